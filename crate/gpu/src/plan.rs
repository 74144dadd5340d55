//! A program as dispatches, made once: for one token (`decode`), where norms are taken on the way and a layer is five
//! dispatches, and for several (`batch`), where they are steps of their own.

use hearth_engine::Result;
use hearth_engine::program::{Activation, Norm, Op, Program, WeightId};

use crate::buffers::{Buffers, CHUNK, MOST_SPLITS};
use crate::device::{Gpu, failed};
use crate::kernels::Kernels;
use crate::layout::BLOCK;
use crate::matmul::TILES;
use crate::matvec::{Source, Target};
use crate::steps::Access::{Read, Uniform, Write};
use crate::steps::Extent::{Fixed, Tokens};
use crate::steps::{Binding, Maker, Step, bind};
use crate::text::weight;
use crate::weight::Matrix;

/// Threads of a workgroup.
pub const THREADS: usize = 64;

pub const VEC4: &str = "array<vec4<f32>>";
pub const F32: &str = "array<f32>";

/// How attention over so many positions at most is split.
pub const SPLITS: [(usize, usize); 3] = [(512, 1), (2048, 4), (usize::MAX, MOST_SPLITS)];

/// How numbers of the cache are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheFormat {
    /// As they are.
    F32,
    /// In half the memory, off by up to 2^-11 of themselves.
    F16,
}

impl CacheFormat {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            CacheFormat::F32 => 4,
            CacheFormat::F16 => 2,
        }
    }

    /// What saved keys and values say they are.
    pub fn name(self) -> &'static str {
        match self {
            CacheFormat::F32 => "gpu f32",
            CacheFormat::F16 => "gpu f16",
        }
    }
}

/// All dispatches of a model.
pub struct Plan {
    /// A token's, for each of [`SPLITS`].
    pub decode: Vec<Vec<Step>>,
    /// Its logits.
    pub decode_head: Vec<Step>,
    /// Those of several tokens, for each of [`TILES`].
    pub batch: Vec<Vec<Step>>,
    /// The asked row's logits after them.
    pub batch_head: Vec<Step>,
    /// The logits of them all.
    pub all_heads: Vec<Step>,
    /// Chooses the token after the one row of logits.
    pub sample: [Step; 2],
}

/// What makes a plan.
pub struct Planner<'a> {
    pub program: &'a Program,
    pub buffers: &'a Buffers,
    /// Empty for vectors.
    pub matrices: &'a [Option<Matrix>],
    pub cache: CacheFormat,
    /// Positions there is room for.
    pub context: usize,
    pub software: bool,
    pub kernels: Kernels,
    pub maker: Maker<'a>,
}

/// A norm that the operation before left to do: `x += norm(y)`.
pub type Pending = Option<Norm>;

impl<'a> Planner<'a> {
    /// For this device.
    pub fn new(
        gpu: &'a Gpu,
        program: &'a Program,
        buffers: &'a Buffers,
        matrices: &'a [Option<Matrix>],
        (context, cache): (usize, CacheFormat),
    ) -> Planner<'a> {
        Planner {
            program,
            buffers,
            matrices,
            cache,
            context,
            software: gpu.software,
            kernels: gpu.kernels,
            maker: Maker::new(gpu),
        }
    }

    /// The plan.
    pub fn plan(&mut self) -> Result<Plan> {
        let mut decode_head = Vec::new();
        // The last kind is for all positions there are.
        let kinds = SPLITS.iter().position(|split| self.context <= split.0).expect("the last has no end") + 1;
        let decode = SPLITS[..kinds].iter().map(|&(_, splits)| self.decode(splits, &mut decode_head)).collect();
        let batch = TILES.iter().map(|&tile| self.batch(tile)).collect::<Result<_>>()?;
        let Some(&Op::Head { norm, linear }) = self.program.ops.last() else {
            return Err(failed("a program without a head"));
        };
        let mut batch_head = Vec::new();
        self.head(norm, linear, [0, 1], None, &mut batch_head);
        let mut all_heads = vec![self.norm(norm, &self.buffers.x[0], false)];
        let stride = self.program.config.vocab_size;
        let logits = Target { stride, ..Target::set(&self.buffers.logits) };
        self.matmul("Head", &[(linear, logits)], &self.buffers.y, TILES[0], &mut all_heads)?;
        Ok(Plan { decode, decode_head, batch, batch_head, all_heads, sample: self.sample() })
    }

    fn sample(&mut self) -> [Step; 2] {
        let (buffers, vocab) = (self.buffers, self.program.config.vocab_size);
        let constants =
            format!("const VOCAB = {vocab}u;\nconst CHUNK = {CHUNK}u;\n{}", include_str!("shaders/sample.wgsl"));
        // What one of the two kernels writes, the other reads.
        let bindings = |chosen, found| {
            [
                bind("state", chosen, "State", &buffers.state),
                bind("choice", Uniform, "Choice", &buffers.choice),
                bind("tokens", chosen, "array<u32>", &buffers.tokens),
                bind("logits", found, F32, &buffers.logits),
                bind("chunks", found, "array<Chunk>", &buffers.chunks),
            ]
        };
        let (scan, pick) = (bindings(Read, Write), bindings(Write, Read));
        let [all, one] = [Fixed(vocab.div_ceil(CHUNK)), Fixed(1)];
        [
            self.maker.step("Sample", &[&constants, include_str!("shaders/sample_scan.wgsl")], &scan, [all, one, one]),
            self.maker.step("Sample", &[&constants, include_str!("shaders/sample_pick.wgsl")], &pick, [one, one, one]),
        ]
    }

    pub fn matrix(&self, id: WeightId) -> &'a Matrix {
        self.matrices[id].as_ref().expect("a matrix, as its place in the program says")
    }

    fn decode(&mut self, splits: usize, head: &mut Vec<Step>) -> Vec<Step> {
        let (program, buffers) = (self.program, self.buffers);
        let mut steps = Vec::new();
        // The residual stream is in the first of these two.
        let mut x = [0, 1];
        let mut pending: Pending = None;
        let mut h = &buffers.heads;
        for op in &program.ops {
            match op {
                Op::Embed { table, scale } => self.embed(*table, *scale, &mut steps),
                Op::NormLinear { norm, linears, activation } => {
                    h = if *activation == Activation::None { &buffers.qkv } else { &buffers.hidden[2] };
                    let source = Source::Stream { x, pending, norm: *norm, row: false };
                    self.matvec("NormLinear", linears, *activation, source, Target::set(h), &mut steps);
                    if pending.take().is_some() {
                        x.swap(0, 1);
                    }
                }
                Op::Attention { .. } => {
                    self.attention(op, splits, true, &mut steps);
                    h = &buffers.heads;
                }
                Op::LinearAdd { linear, post_norm } => {
                    let (buffer, add) = match post_norm {
                        None => (&buffers.x[x[0]], true),
                        Some(_) => (&buffers.y, false),
                    };
                    pending = *post_norm;
                    let target = Target { add, ..Target::set(buffer) };
                    self.matvec("LinearAdd", &[*linear], Activation::None, Source::Plain(h), target, &mut steps);
                }
                Op::Head { norm, linear } => {
                    head.clear();
                    self.head(*norm, *linear, x, pending, head);
                }
            }
        }
        steps
    }

    fn batch(&mut self, tile: (usize, usize)) -> Result<Vec<Step>> {
        let (program, buffers) = (self.program, self.buffers);
        let widths = buffers.widths;
        let mut steps = Vec::new();
        let mut h = &buffers.heads;
        for op in &program.ops {
            match op {
                Op::Embed { table, scale } => self.embed(*table, *scale, &mut steps),
                Op::NormLinear { norm, linears, activation } => {
                    steps.push(self.norm(*norm, &buffers.x[0], false));
                    let mut offset = 0;
                    let targets: Vec<_> = linears
                        .iter()
                        .zip(0..)
                        .map(|(&id, i)| {
                            let begin = offset;
                            if *activation != Activation::None {
                                return (id, Target { stride: widths.hidden, ..Target::set(&buffers.hidden[i]) });
                            }
                            offset += program.weights[id].rows;
                            (id, Target { stride: widths.qkv, offset: begin, ..Target::set(&buffers.qkv) })
                        })
                        .collect();
                    self.matmul("NormLinear", &targets, &buffers.y, tile, &mut steps)?;
                    if *activation == Activation::None {
                        continue;
                    }
                    steps.push(self.gate(*activation));
                    h = &buffers.hidden[2];
                }
                Op::Attention { .. } => {
                    steps.push(self.append(op));
                    self.attention(op, 1, false, &mut steps);
                    h = &buffers.heads;
                }
                Op::LinearAdd { linear, post_norm } => {
                    let (buffer, add) = match post_norm {
                        None => (&buffers.x[0], true),
                        Some(_) => (&buffers.y, false),
                    };
                    let target = Target { stride: widths.x, add, ..Target::set(buffer) };
                    self.matmul("LinearAdd", &[(*linear, target)], h, tile, &mut steps)?;
                    if let Some(norm) = post_norm {
                        steps.push(self.norm(*norm, &buffers.x[0], true));
                    }
                }
                Op::Head { .. } => {}
            }
        }
        Ok(steps)
    }

    fn embed(&mut self, table: WeightId, scale: f32, steps: &mut Vec<Step>) {
        let matrix = self.matrix(table);
        for part in &matrix.parts {
            let constants = format!(
                "const BLOCKS = {}u;\nconst FIRST = {}u;\nconst ROWS = {}u;\nconst SCALE = {scale:?};\n",
                matrix.blocks, part.first, part.rows
            );
            let texts = [&constants, &weight("w0", &matrix.layout, part), include_str!("shaders/embed.wgsl")];
            let bindings = [
                bind("state", Read, "State", &self.buffers.state),
                bind("tokens", Read, "array<u32>", &self.buffers.tokens),
                bind("x", Write, VEC4, &self.buffers.x[0]),
                bind("w0", Read, "array<vec4<u32>>", &part.buffer),
            ];
            let grid = [Fixed(matrix.blocks.div_ceil(THREADS)), Tokens(1), Fixed(1)];
            steps.push(self.maker.step("Embed", &texts, &bindings, grid));
        }
    }

    fn head(&mut self, norm: Norm, linear: WeightId, x: [usize; 2], pending: Pending, steps: &mut Vec<Step>) {
        let source = Source::Stream { x, pending, norm, row: true };
        self.matvec("Head", &[linear], Activation::None, source, Target::set(&self.buffers.logits), steps);
    }

    pub fn vector(&self, name: &str, norm: Norm) -> Binding<'a> {
        let cols = self.program.weights[norm.weight].cols.next_multiple_of(BLOCK);
        bind(name, Uniform, format!("array<vec4<f32>, {}>", cols / 4), &self.buffers.vectors[&norm.weight])
    }

    /// `y = norm(x)` of all rows, or `x += norm(y)`.
    fn norm(&mut self, norm: Norm, x: &wgpu::Buffer, add: bool) -> Step {
        let width = self.buffers.widths.x;
        let constants = format!(
            "const VECTORS = {}u;\nconst WIDTH = {:?};\nconst EPS = {:?};\nconst ADD = {};\n",
            width / 4,
            self.program.config.dim as f32,
            norm.eps,
            add
        );
        let (from, to) = if add { (&self.buffers.y, x) } else { (x, &self.buffers.y) };
        let bindings = [bind("x", Read, VEC4, from), bind("y", Write, VEC4, to), self.vector("norm_weight", norm)];
        let grid = [Fixed(1), Tokens(1), Fixed(1)];
        self.maker.step("Norm", &[&constants, include_str!("shaders/norm.wgsl")], &bindings, grid)
    }

    fn gate(&mut self, activation: Activation) -> Step {
        let vectors = self.buffers.widths.hidden / 4;
        let constants = format!("const VECTORS = {vectors}u;\n{}", finish(activation));
        let [gate, up, h] = &self.buffers.hidden;
        let bindings = [bind("gate", Read, VEC4, gate), bind("up", Read, VEC4, up), bind("h", Write, VEC4, h)];
        let grid = [Fixed(vectors.div_ceil(THREADS)), Tokens(1), Fixed(1)];
        self.maker.step("Gate", &[&constants, include_str!("shaders/gate.wgsl")], &bindings, grid)
    }
}

/// WGSL of what is done to products at last.
pub fn finish(activation: Activation) -> &'static str {
    match activation {
        Activation::None => "fn finish(y: vec4<f32>) -> vec4<f32> { return y; }\n",
        Activation::GatedSilu => include_str!("shaders/gated_silu.wgsl"),
        Activation::GatedGelu => include_str!("shaders/gated_gelu.wgsl"),
    }
}
