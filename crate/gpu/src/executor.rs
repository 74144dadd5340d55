//! A [`Program`] on the device.

use std::collections::HashMap;

use hearth_engine::executor::{Cache, Choice, Executor, Logits, Run, Times, Tuning, check_length};
use hearth_engine::loader::Device;
use hearth_engine::program::{Config, Op, Program, WeightId};
use hearth_engine::sampling::Sampling;
use hearth_engine::{Error, Result};

use crate::ahead::{Ahead, MOST_AHEAD};
use crate::buffers::Buffers;
use crate::device::{Gpu, failed};
use crate::matmul::TILES;
use crate::plan::{CacheFormat, Plan, Planner, SPLITS};
use crate::profile::profile;
use crate::steps::Step;
use crate::weight::Matrix;

/// Positions there is room for at least: a trial needs as many.
const LEAST_CONTEXT: usize = 64;

/// How often an operation is timed.
const PROFILED: usize = 5;

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
    /// Which of the plan's ways of decoding to take, whatever is cached.
    path: Option<usize>,
    turned: bool,
    ahead: Ahead,
    landing: wgpu::Buffer,
    logits: Vec<f32>,
}

impl Gpu {
    /// This device for a [`Loader`](hearth_engine::loader::Loader).
    pub fn device(self) -> Device {
        Device::Other(Box::new(move |program| Ok(Box::new(GpuExecutor::new(self, program, CacheFormat::F16)?))))
    }
}

impl GpuExecutor {
    /// An executor with room for a conversation, as long as it may become, and for weights; load them next.
    pub fn new(gpu: Gpu, program: Program, cache: CacheFormat) -> Result<GpuExecutor> {
        if program.ops.iter().flat_map(Op::linears).any(|linear| linear.low_rank.is_some()) {
            return Err(failed(
                "matrices of low rank run on the CPU only: take that, or a model in which they are merged",
            ));
        }
        let context = program.config.context.max(LEAST_CONTEXT).min(program.config.max_seq);
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
            (buffers.most_logits * program.config.vocab_size).max(buffers.most_tokens * buffers.widths.x) * 4,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        )?;
        Ok(GpuExecutor {
            ahead: Ahead::new(&gpu)?,
            program,
            matrices,
            vectors: HashMap::new(),
            buffers,
            plan,
            context,
            cache,
            cached: 0,
            path: None,
            turned: false,
            landing,
            logits: Vec::new(),
            gpu,
        })
    }

    /// Dispatches that a token takes at most, from its embedding to the choice of the next.
    pub fn dispatches(&self) -> usize {
        let layers = self.plan.decode.iter().map(Vec::len).max().unwrap_or(0);
        layers + self.plan.decode_head.len() + self.plan.sample.len()
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
                        [angle.cos() * rope.magnitude, angle.sin() * rope.magnitude]
                    })
                })
                .collect();
            self.gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&turns));
        }
    }

    /// Errors unless there is room for `tokens`.
    fn check(&self, tokens: &[u32]) -> Result<()> {
        if self.cached + tokens.len() > self.context {
            return Err(Error::PromptTooLong { prompt: self.cached + tokens.len(), context: self.context });
        }
        self.gpu.check()
    }

    /// All of `tokens`, in pieces that the buffers hold.
    async fn pass(&mut self, tokens: &[u32], logits: Logits) -> Result<&[f32]> {
        self.check(tokens)?;
        if logits == Logits::Last && self.plan.decode.is_empty() {
            return Err(failed("an encoder has no next token"));
        }
        self.ahead.settle().await?;
        self.prepare_turns();
        self.logits.clear();
        let most = if logits == Logits::All { self.buffers.most_logits } else { self.buffers.most_tokens };
        for (i, piece) in tokens.chunks(most).enumerate() {
            let last = (i + 1) * most >= tokens.len();
            let asked = if logits == Logits::Last && !last { Logits::None } else { logits };
            self.run(piece, asked).await?;
        }
        Ok(&self.logits)
    }

    async fn run(&mut self, tokens: &[u32], logits: Logits) -> Result<()> {
        let (mut encoder, rows) = self.tell(tokens, logits);
        let Config { vocab_size, dim, .. } = self.program.config;
        let (made, stride, width) = match logits {
            Logits::Hidden => (&self.plan.hidden.1, self.buffers.widths.x, dim),
            _ => (&self.buffers.logits, vocab_size, vocab_size),
        };
        let bytes = rows * stride * 4;
        if bytes > 0 {
            encoder.copy_buffer_to_buffer(made, 0, &self.landing, 0, bytes as u64);
        }
        let after = self.gpu.queue.submit([encoder.finish()]);
        self.cached += tokens.len();
        if bytes > 0 {
            let read = self.gpu.read(&self.landing, bytes, after).await?;
            let numbers = read.chunks_exact(stride * 4).flat_map(|row| &row.as_chunks().0[..width]);
            self.logits.extend(numbers.map(|&number| f32::from_le_bytes(number)));
        }
        self.gpu.check()
    }

    /// Keys and values of the cached positions, layer by layer.
    async fn read_cache(&mut self) -> Result<Vec<u8>> {
        self.ahead.settle().await?;
        let mut all = Vec::new();
        let part = self.cached * self.cache_bytes() / (2 * self.program.config.n_caches);
        if part == 0 {
            return Ok(all);
        }
        let landing = self.gpu.buffer("saved", part, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?;
        for buffer in self.buffers.cache.iter().flatten() {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(buffer, 0, &landing, 0, part as u64);
            let after = self.gpu.queue.submit([encoder.finish()]);
            all.extend(self.gpu.read(&landing, part, after).await?);
        }
        Ok(all)
    }

    /// Writes `tokens` and where they stand, and records their run; gives the rows of logits that it makes, too.
    fn tell(&self, tokens: &[u32], logits: Logits) -> (wgpu::CommandEncoder, usize) {
        let count = tokens.len();
        self.place(self.cached, count);
        self.gpu.queue.write_buffer(&self.buffers.tokens, self.cached as u64 * 4, bytemuck::cast_slice(tokens));
        let (body, head, rows) = self.steps(count, logits);
        (self.record(body.iter().chain(head), count), rows)
    }

    /// What runs `count` tokens behind the cached ones, what makes their logits, and how many rows these are.
    fn steps(&self, count: usize, logits: Logits) -> (&[Step], &[Step], usize) {
        let alone = count == 1 && logits != Logits::Hidden && !self.plan.decode.is_empty();
        let body = match count {
            _ if alone => self.decode_body(self.cached),
            _ => &self.plan.batch[TILES.iter().position(|tile| count <= tile.0).unwrap_or(TILES.len() - 1)],
        };
        let (head, rows): (&[Step], usize) = match logits {
            Logits::None => (&[], 0),
            Logits::Hidden => (&self.plan.hidden.0, count),
            _ if alone => (&self.plan.decode_head, 1),
            Logits::Last => (&self.plan.batch_head, 1),
            Logits::All => (&self.plan.all_heads, count),
        };
        (body, head, rows)
    }

    /// Says where the next run stands: `count` tokens behind `cached` ones.
    fn place(&self, cached: usize, count: usize) {
        let state = [cached as u32, count as u32, count as u32 - 1, 0];
        self.gpu.queue.write_buffer(&self.buffers.state, 0, bytemuck::cast_slice(&state));
    }

    /// What runs one token behind `cached` positions.
    fn decode_body(&self, cached: usize) -> &[Step] {
        let by_length = || SPLITS.iter().position(|split| cached < split.0).expect("the last has no end");
        &self.plan.decode[self.path.unwrap_or_else(by_length)]
    }

    fn record<'a>(&self, steps: impl Iterator<Item = &'a Step>, tokens: usize) -> wgpu::CommandEncoder {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        steps.for_each(|step| step.record(&mut pass, tokens));
        drop(pass);
        encoder
    }

    /// The token after `tokens`; up to `more` behind it are begun with.
    async fn next(&mut self, tokens: &[u32], sampling: Sampling, more: usize) -> Result<u32> {
        self.check(tokens)?;
        if self.ahead.continues(tokens, &sampling) {
            self.cached += 1;
        } else {
            let (first, last) =
                tokens.split_at((tokens.len() - 1) / self.buffers.most_tokens * self.buffers.most_tokens);
            self.pass(first, Logits::None).await?;
            self.begin(last, &sampling);
            self.cached += last.len();
        }
        // What is under way has begun with the positions behind the cached ones.
        while self.ahead.len() <= more.min(MOST_AHEAD - 1) && self.cached + self.ahead.len() <= self.context {
            let position = self.cached + self.ahead.len();
            let steps = self.decode_body(position - 1).iter().chain(&self.plan.decode_head).chain(&self.plan.sample);
            let encoder = self.record(steps, 1);
            self.ahead.send(&self.gpu, encoder, &self.buffers.tokens, position);
        }
        self.ahead.next(&sampling).await
    }

    /// Runs `tokens` and chooses the one after them; all that follows needs no word from here.
    fn begin(&mut self, tokens: &[u32], sampling: &Sampling) {
        let choice = Choosing {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            penalty: sampling.repetition_penalty,
            top_k: u32::try_from(sampling.top_k).unwrap_or(u32::MAX),
            // A penalty of one needs nobody looked up.
            window: match sampling.repetition_penalty {
                1.0 => 0,
                // All of them for -1.
                _ => u32::try_from(sampling.repetition_window).unwrap_or(u32::MAX),
            },
            seed: sampling.seed(),
            unused: 0,
        };
        self.gpu.queue.write_buffer(&self.buffers.choice, 0, bytemuck::bytes_of(&choice));
        let (mut encoder, _) = self.tell(tokens, Logits::Last);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.plan.sample.iter().for_each(|step| step.record(&mut pass, 1));
        drop(pass);
        self.ahead.send(&self.gpu, encoder, &self.buffers.tokens, self.cached + tokens.len());
    }
}

/// `Choice` of `sample.wgsl`.
#[derive(Clone, Copy, bytemuck::NoUninit)]
#[repr(C)]
struct Choosing {
    temperature: f32,
    top_p: f32,
    min_p: f32,
    penalty: f32,
    top_k: u32,
    window: u32,
    seed: u32,
    unused: u32,
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
            None => match self.buffers.biases.get(&weight) {
                Some((buffer, at)) => {
                    self.gpu.queue.write_buffer(buffer, *at as u64 * 4, bytemuck::cast_slice(&numbers));
                }
                None => drop(self.vectors.insert(weight, numbers)),
            },
        }
        Ok(())
    }

    fn forward<'a>(&'a mut self, tokens: &'a [u32], logits: Logits) -> Run<'a> {
        Box::pin(self.pass(tokens, logits))
    }

    fn choose<'a>(&'a mut self, tokens: &'a [u32], sampling: &Sampling, more: usize) -> Option<Choice<'a>> {
        sampling.is_plain().then(|| Box::pin(self.next(tokens, sampling.clone(), more)) as Choice)
    }

    fn profile(&mut self, tokens: usize) -> Times<'_> {
        Box::pin(async move {
            self.truncate(0);
            let tokens = tokens.clamp(1, self.buffers.most_tokens);
            let wanted = if self.plan.decode.is_empty() { Logits::Hidden } else { Logits::Last };
            self.pass(&vec![0; tokens], wanted).await?;
            let (body, head, _) = self.steps(tokens, wanted);
            let steps: Vec<&Step> = body.iter().chain(head).chain(&self.plan.sample).collect();
            let times = profile(&self.gpu, &steps, tokens, PROFILED, || self.place(0, tokens)).await;
            self.truncate(0);
            times
        })
    }

    fn paths(&self) -> usize {
        self.plan.decode.len()
    }

    fn force_path(&mut self, path: Option<usize>) {
        self.path = path;
    }

    fn cached(&self) -> usize {
        self.cached
    }

    fn cache_bytes(&self) -> usize {
        let Config { n_caches, n_kv_heads, head_dim, .. } = self.program.config;
        2 * n_caches * n_kv_heads * head_dim * self.cache.bytes()
    }

    fn cache_format(&self) -> &'static str {
        self.cache.name()
    }

    fn save(&mut self) -> Cache<'_> {
        Box::pin(self.read_cache())
    }

    fn restore(&mut self, tokens: &[u32], cache: &[u8]) -> Result<()> {
        check_length(cache, tokens.len(), self.cache_bytes())?;
        if tokens.len() > self.context {
            return Err(Error::PromptTooLong { prompt: tokens.len(), context: self.context });
        }
        self.ahead.give_up();
        let buffers = self.buffers.cache.iter().flatten();
        let part = (cache.len() / (2 * self.program.config.n_caches)).max(1);
        for (buffer, bytes) in buffers.zip(cache.chunks_exact(part)) {
            self.gpu.queue.write_buffer(buffer, 0, bytes);
        }
        // Penalties look for them there.
        self.gpu.queue.write_buffer(&self.buffers.tokens, 0, bytemuck::cast_slice(tokens));
        self.cached = tokens.len();
        self.gpu.check()
    }

    fn truncate(&mut self, len: usize) {
        self.ahead.give_up();
        self.cached = self.cached.min(len);
    }

    fn apply(&mut self, _tuning: &Tuning) -> Tuning {
        Tuning { kernel: self.gpu.kernels.to_string(), threads: 1 }
    }
}
