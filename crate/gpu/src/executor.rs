//! A [`Program`] on the device.

use std::collections::HashMap;

use hearth_engine::executor::{Executor, Logits, Run, Tuning};
use hearth_engine::loader::Device;
use hearth_engine::program::{Config, Program, WeightId};
use hearth_engine::{Error, Result};

use crate::buffers::{Buffers, MOST_LOGITS, MOST_TOKENS};
use crate::device::Gpu;
use crate::plan::{CacheFormat, Plan, Planner, SPLITS, TILES};
use crate::steps::Step;
use crate::weight::Matrix;

/// Runs a program on a [`Gpu`].
pub struct GpuExecutor {
    gpu: Gpu,
    program: Program,
    matrices: Vec<Option<Matrix>>,
    /// Rotations' divisors, until the turns are made of them.
    vectors: HashMap<WeightId, Vec<f32>>,
    buffers: Buffers,
    plan: Plan,
    context: usize,
    cache: CacheFormat,
    cached: usize,
    turned: bool,
    landing: wgpu::Buffer,
    logits: Vec<f32>,
}

impl Gpu {
    /// This device for a [`Loader`](hearth_engine::loader::Loader), with room for `context` positions.
    pub fn device(self, context: usize) -> Device {
        Device::Other(Box::new(move |program| {
            Ok(Box::new(GpuExecutor::new(self, program, context, CacheFormat::F16)?))
        }))
    }
}

impl GpuExecutor {
    /// An executor with room for `context` positions and its weights; load them next.
    pub fn new(gpu: Gpu, program: Program, context: usize, cache: CacheFormat) -> Result<GpuExecutor> {
        let context = context.min(program.config.max_seq);
        let matrix = |spec| Matrix::new(&gpu, spec).map(Some);
        let matrices = program
            .weights
            .iter()
            .map(|spec| if spec.rows == 1 { Ok(None) } else { matrix(spec) })
            .collect::<Result<Vec<_>>>()?;
        let buffers = Buffers::new(&gpu, &program, context, cache.bytes())?;
        let plan = Planner::new(&gpu, &program, &buffers, &matrices, (context, cache)).plan()?;
        let landing = gpu.buffer(
            "landing",
            MOST_LOGITS * program.config.vocab_size * 4,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        )?;
        Ok(GpuExecutor {
            program,
            matrices,
            vectors: HashMap::new(),
            buffers,
            plan,
            context,
            cache,
            cached: 0,
            turned: false,
            landing,
            logits: Vec::new(),
            gpu,
        })
    }

    /// Dispatches that a token takes at most, its logits included.
    pub fn dispatches(&self) -> usize {
        self.plan.decode.iter().map(Vec::len).max().unwrap_or(0) + self.plan.decode_head.len()
    }

    /// Cosine and sine of every position, once the divisors of their angles are here.
    fn prepare_turns(&mut self) {
        if std::mem::replace(&mut self.turned, true) {
            return;
        }
        for (rope, buffer) in &self.buffers.turns {
            let divisors = rope.divisors.and_then(|id| self.vectors.get(&id));
            let frequencies = rope.frequencies(divisors.map(Vec::as_slice));
            let turns: Vec<[f32; 2]> = (0..self.context)
                .flat_map(|position| {
                    frequencies.iter().map(move |frequency| {
                        let angle = position as f32 * frequency;
                        [angle.cos(), angle.sin()]
                    })
                })
                .collect();
            self.gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&turns));
        }
    }

    /// All of `tokens`, in pieces that the buffers hold.
    async fn pass(&mut self, tokens: &[u32], logits: Logits) -> Result<&[f32]> {
        self.prepare_turns();
        if self.cached + tokens.len() > self.context {
            return Err(Error::PromptTooLong { prompt: self.cached + tokens.len(), context: self.context });
        }
        self.logits.clear();
        let most = if logits == Logits::All { MOST_LOGITS } else { MOST_TOKENS };
        for (i, piece) in tokens.chunks(most).enumerate() {
            let last = (i + 1) * most >= tokens.len();
            let asked = if logits == Logits::Last && !last { Logits::None } else { logits };
            self.run(piece, asked).await?;
        }
        Ok(&self.logits)
    }

    async fn run(&mut self, tokens: &[u32], logits: Logits) -> Result<()> {
        let count = tokens.len();
        let state = [self.cached as u32, count as u32, count as u32 - 1, 0];
        self.gpu.queue.write_buffer(&self.buffers.state, 0, bytemuck::cast_slice(&state));
        self.gpu.queue.write_buffer(&self.buffers.tokens, 0, bytemuck::cast_slice(tokens));
        let one = count == 1;
        let body = match one {
            true => {
                &self.plan.decode[SPLITS.iter().position(|split| self.cached < split.0).expect("the last has no end")]
            }
            false => &self.plan.batch[TILES.iter().position(|&tile| count <= tile).unwrap_or(TILES.len() - 1)],
        };
        let (head, rows): (&[Step], usize) = match logits {
            Logits::None => (&[], 0),
            _ if one => (&self.plan.decode_head, 1),
            Logits::Last => (&self.plan.batch_head, 1),
            Logits::All => (&self.plan.all_heads, count),
        };
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        body.iter().chain(head).for_each(|step| step.record(&mut pass, count));
        drop(pass);
        let bytes = rows * self.program.config.vocab_size * 4;
        if bytes > 0 {
            encoder.copy_buffer_to_buffer(&self.buffers.logits, 0, &self.landing, 0, bytes as u64);
        }
        self.gpu.queue.submit([encoder.finish()]);
        self.cached += count;
        if bytes > 0 {
            let read = self.gpu.read(&self.landing, bytes).await?;
            self.logits.extend(read.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)));
        }
        self.gpu.check()
    }
}

impl Executor for GpuExecutor {
    fn program(&self) -> &Program {
        &self.program
    }

    fn load_rows(&mut self, weight: WeightId, _first_row: usize, bytes: &[u8]) -> Result<()> {
        if let Some(matrix) = &mut self.matrices[weight] {
            matrix.load_rows(&self.gpu, bytes);
            return Ok(());
        }
        let spec = &self.program.weights[weight];
        let mut numbers = vec![0.0; spec.cols];
        spec.format.decode(bytes, &mut numbers);
        match self.buffers.vectors.get(&weight) {
            Some(buffer) => self.gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&numbers)),
            None => drop(self.vectors.insert(weight, numbers)),
        }
        Ok(())
    }

    fn forward<'a>(&'a mut self, tokens: &'a [u32], logits: Logits) -> Run<'a> {
        Box::pin(self.pass(tokens, logits))
    }

    fn cached(&self) -> usize {
        self.cached
    }

    fn cache_bytes(&self) -> usize {
        let Config { n_layers, n_kv_heads, head_dim, .. } = self.program.config;
        2 * n_layers * n_kv_heads * head_dim * self.cache.bytes()
    }

    fn truncate(&mut self, len: usize) {
        self.cached = self.cached.min(len);
    }

    fn apply(&mut self, _tuning: &Tuning) -> Tuning {
        Tuning { kernel: "wgsl".into(), threads: 1 }
    }
}
