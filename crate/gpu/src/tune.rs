//! Which ways of making products suit an adapter: each is checked against the CPU and timed on a made-up matrix.

use hearth_engine::Result;
use hearth_engine::cpu::team::Clock;
use hearth_engine::models::Architecture;
use hearth_engine::program::{Activation, Config, Linear, Pooling, Program, Weight};
use hearth_engine::quant::Format;

use crate::buffers::{Buffers, MOST_TOKENS};
use crate::device::{Gpu, failed};
use crate::kernels::{Kernels, Product};
use crate::matmul::TILES;
use crate::matvec::{Source, Target};
use crate::plan::{CacheFormat, Planner};
use crate::steps::Step;
use crate::weight::Matrix;

/// Rows and columns of the matrix, on adapters that are programs on the CPU and on cards, which need more to be busy.
const SIZES: [(usize, usize); 2] = [(512, 1024), (4096, 2048)];

/// Rows that are compared with the CPU's, evenly spread.
const COMPARED: usize = 64;

/// How long a measurement takes at least, and how many there are of each way, in turns.
const LEAST_MS: f64 = 8.0;
const ROUNDS: usize = 5;

/// Part of the plain way's time that another may take at most to be preferred.
const WORTH_IT: f64 = 0.9;

/// A way of making products of one kind.
struct Way {
    kernels: Kernels,
    steps: Vec<Step>,
    best_ms: f64,
}

impl Gpu {
    /// Finds out how this adapter makes products fastest, and makes them so from now on: in some tenths of a second, or some seconds
    /// where the adapter is a program on the CPU. Ways that are wrong or refused are left out; errors if the plain one is. What is
    /// neither f32 nor bytes makes no difference to single tokens, and subgroups are decided in f32.
    pub async fn tune(&mut self, clock: Clock) -> Result<Kernels> {
        let (rows, cols) = SIZES[usize::from(!self.software)];
        let plain = Kernels::PLAIN;
        self.kernels = plain;
        // An adapter whose kernels may see only little has no room for the made-up matrix. Whatever else it is shows later.
        let Ok(bench) = Bench::new(self, rows, cols) else { return Ok(plain) };
        let others = [(Product::Codes, true), (Product::F16, self.offers.f16), (Product::Bytes, self.offers.bytes)];
        let others = others.into_iter().filter(|(_, offered)| *offered).map(|(product, _)| product);
        let single = self.offers.bytes.then_some(Kernels { matvec: Product::Bytes, ..plain });
        let Kernels { matvec, .. } = bench.best(self, clock, 1, plain, single).await?;
        let shared = self.offers.subgroups.then_some(Kernels { subgroups: true, ..plain });
        let best = bench.best(self, clock, MOST_TOKENS, plain, shared).await?;
        let others = others.map(|matmul| Kernels { matmul, ..best });
        let best = bench.best(self, clock, MOST_TOKENS, best, others).await?;
        self.kernels = Kernels { matvec, ..best };
        Ok(self.kernels)
    }
}

/// A matrix, activations, and what the CPU makes of them.
struct Bench {
    program: Program,
    buffers: Buffers,
    matrices: Vec<Option<Matrix>>,
    /// `[T, COMPARED]`.
    expected: Vec<f32>,
}

impl Bench {
    fn new(gpu: &Gpu, rows: usize, cols: usize) -> Result<Bench> {
        let format = Format::Q4_0;
        let mut random = 1_u32;
        let mut byte = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        };
        // Scales of 2^-5.
        let block =
            |byte: &mut dyn FnMut() -> u8| [0, 0x28].into_iter().chain(std::array::from_fn::<u8, 16, _>(|_| byte()));
        let bytes: Vec<u8> = (0..rows * cols / 32).flat_map(|_| block(&mut byte)).collect();
        // Activations that no format holds exactly, some of them large.
        let x: Vec<f32> = (0..MOST_TOKENS * cols)
            .map(|i| (f32::from(byte()) / 99.0 - 1.3) * if i % 4099 == 0 { 1e4 } else { 1.0 })
            .collect();

        let config = Config {
            architecture: Architecture::Llama,
            n_layers: 0,
            n_caches: 0,
            n_heads: cols / 32,
            n_kv_heads: 1,
            head_dim: 32,
            dim: cols,
            hidden_dim: rows,
            vocab_size: 1,
            max_seq: 1,
            context: 1,
            encoder: false,
            pooling: Pooling::Last,
        };
        let weight = Weight { name: "made up".into(), tensor: 0, first_row: 0, rows, cols, format };
        let mut matrix = Matrix::new(gpu, &weight)?;
        matrix.load_rows(gpu, &bytes);
        let program = Program { config, weights: vec![weight], ops: Vec::new() };
        let buffers = Buffers::new(gpu, &program, 1, CacheFormat::F32.bytes())?;
        gpu.queue.write_buffer(&buffers.heads, 0, bytemuck::cast_slice(&x));

        let compared: Vec<f32> = bytes
            .chunks(bytes.len() / rows)
            .step_by(rows / COMPARED)
            .flat_map(|row| {
                let mut numbers = vec![0.0; cols];
                format.decode(row, &mut numbers);
                numbers
            })
            .collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let expected = x.chunks(cols).flat_map(|x| compared.chunks(cols).map(move |row| dot(row, x))).collect();
        Ok(Bench { program, buffers, matrices: vec![Some(matrix)], expected })
    }

    /// The fastest way of making products with so many tokens: `plain` or one of `others` that is right and faster.
    async fn best(
        &self,
        gpu: &Gpu,
        clock: Clock,
        tokens: usize,
        plain: Kernels,
        others: impl IntoIterator<Item = Kernels>,
    ) -> Result<Kernels> {
        gpu.queue.write_buffer(&self.buffers.state, 0, bytemuck::cast_slice(&[0, tokens as u32, 0, 0]));
        let mut ways = Vec::new();
        for kernels in std::iter::once(plain).chain(others) {
            // What an adapter refuses of these is no reason to do without it.
            let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
            let steps = self.steps(gpu, kernels, tokens)?;
            let error = self.error(gpu, &steps, tokens).await?;
            let refused = scope.pop().await;
            let most = if tokens == 1 { kernels.matvec } else { kernels.matmul }.most_apart();
            // NaN is wrong, too.
            if refused.is_none() && error <= most {
                ways.push(Way { kernels, steps, best_ms: f64::INFINITY });
            } else if ways.is_empty() {
                return Err(failed(
                    refused.map_or(format!("its products are wrong, by {error:.1e}"), |error| error.to_string()),
                ));
            }
        }
        let mut times = 1;
        loop {
            let start = clock();
            self.run(gpu, &ways[0].steps, tokens, times).await?;
            if clock() - start >= LEAST_MS || times >= 1 << 12 {
                break;
            }
            times *= 2;
        }
        for _ in 0..ROUNDS {
            for way in &mut ways {
                let start = clock();
                self.run(gpu, &way.steps, tokens, times).await?;
                way.best_ms = way.best_ms.min(clock() - start);
            }
        }
        let plain_ms = ways[0].best_ms;
        let best = ways.iter().min_by(|a, b| a.best_ms.total_cmp(&b.best_ms)).expect("the plain way is there");
        Ok(if best.best_ms <= WORTH_IT * plain_ms { best.kernels } else { ways[0].kernels })
    }

    fn steps(&self, gpu: &Gpu, kernels: Kernels, tokens: usize) -> Result<Vec<Step>> {
        let Bench { program, buffers, matrices, .. } = self;
        let gpu = gpu.clone().with(kernels);
        let mut planner = Planner::new(&gpu, program, buffers, matrices, (1, CacheFormat::F32));
        let target = Target { stride: program.config.hidden_dim, ..Target::set(&buffers.hidden[0]) };
        let linear = Linear { weight: 0, bias: None, low_rank: None };
        let mut steps = Vec::new();
        if tokens == 1 {
            let source = Source::Plain { x: &buffers.heads, row: false };
            planner.matvec("Tune", &[linear], Activation::None, source, target, &mut steps);
        } else {
            planner.matmul("Tune", &[(linear, target)], &buffers.heads, TILES[TILES.len() - 1], &mut steps)?;
        }
        Ok(steps)
    }

    async fn run(&self, gpu: &Gpu, steps: &[Step], tokens: usize, times: usize) -> Result<()> {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        (0..times).for_each(|_| steps.iter().for_each(|step| step.record(&mut pass, tokens)));
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
        gpu.idle().await
    }

    /// How far the products of `steps` are from the CPU's, relative.
    async fn error(&self, gpu: &Gpu, steps: &[Step], tokens: usize) -> Result<f32> {
        let rows = self.program.config.hidden_dim;
        let bytes = tokens * rows * 4;
        // What is not written is wrong.
        gpu.queue.write_buffer(&self.buffers.hidden[0], 0, &vec![0xff; bytes]);
        self.run(gpu, steps, tokens, 1).await?;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let landing = gpu.buffer("products", bytes, usage)?;
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&self.buffers.hidden[0], 0, &landing, 0, bytes as u64);
        let after = gpu.queue.submit([encoder.finish()]);
        let read = gpu.read(&landing, bytes, after).await?;
        let found = read.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).step_by(rows / COMPARED);
        let (mut apart, mut size) = (0.0, 0.0);
        for (found, expected) in found.zip(&self.expected) {
            apart += (found - expected) * (found - expected);
            size += expected * expected;
        }
        Ok((apart / size).sqrt())
    }
}
