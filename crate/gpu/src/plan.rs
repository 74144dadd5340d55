//! A program as dispatches, made once: for one token (`decode`), where norms are taken on the way and a layer is five
//! dispatches, and for several (`batch`), where they are steps of their own.

use hearth_engine::Result;
use hearth_engine::program::{Activation, Linear, Norm, NormKind, Op, Program, WeightId};

use crate::buffers::{Buffers, CHUNK, MOST_SPLITS};
use crate::device::{Gpu, failed};
use crate::finish::{Finish, gate};
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
    /// Their hidden states, and where these are then.
    pub hidden: (Vec<Step>, wgpu::Buffer),
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
        let gated_bias = |op: &Op| match op {
            Op::NormLinear { linears, activation, .. } => {
                activation.is_gated() && linears.iter().any(|l| l.bias.is_some())
            }
            _ => false,
        };
        let cut = |op: &Op| match op {
            Op::Embed { positions: Some(positions), .. } => self.matrix(*positions).parts.len() > 1,
            Op::NormLinear { linears, activation, .. } if activation.is_gated() => {
                let [gate, up] = [linears[0], linears[1]].map(|linear| self.matrix(linear.weight).parts.len());
                gate != up
            }
            _ => false,
        };
        if self.program.ops.iter().any(cut) {
            return Err(failed("this adapter sees too little of a matrix at once"));
        }
        if self.program.ops.iter().any(gated_bias) {
            return Err(failed("biases of gates are not supported there"));
        }
        let mut decode_head = Vec::new();
        // The last kind is for all positions there are.
        let kinds = SPLITS.iter().position(|split| self.context <= split.0).expect("the last has no end") + 1;
        // An encoder reads texts as a whole, whatever their length.
        let splits = if self.program.config.encoder { &[] } else { &SPLITS[..kinds] };
        let decode = splits.iter().map(|&(_, splits)| self.decode(splits, &mut decode_head)).collect();
        let batch = TILES.iter().map(|&tile| self.batch(tile)).collect::<Result<_>>()?;
        let head = self.program.ops.last().ok_or_else(|| failed("a program without a head"))?;
        let mut batch_head = Vec::new();
        self.head(head, [0, 1], None, &mut batch_head);
        let all_heads = self.all_heads(head)?;
        let hidden = self.hidden(head);
        Ok(Plan { decode, decode_head, batch, batch_head, all_heads, hidden, sample: self.sample() })
    }

    /// The logits of all tokens of a run.
    fn all_heads(&mut self, head: &Op) -> Result<Vec<Step>> {
        let Op::Head { transform, norm, linear: Some(linear), softcap } = head else { return Ok(Vec::new()) };
        let (buffers, mut steps) = (self.buffers, Vec::new());
        let mut x = &buffers.x[0];
        if let Some((transform, activation)) = transform {
            let finish = Finish::of(*activation);
            let to = Target { stride: buffers.widths.x, finish, ..Target::set(&buffers.x[1]) };
            self.matmul("Head", &[(*transform, self.biased(&[*transform], to))], x, TILES[0], &mut steps)?;
            x = &buffers.x[1];
        }
        if let Some(norm) = norm {
            steps.push(self.norm(*norm, Some(x), &buffers.y, false));
            x = &buffers.y;
        }
        let finish = softcap.map_or(Finish::None, Finish::Cap);
        let logits = Target { stride: self.program.config.vocab_size, finish, ..Target::set(&buffers.logits) };
        self.matmul("Head", &[(*linear, self.biased(&[*linear], logits))], x, TILES[0], &mut steps)?;
        Ok(steps)
    }

    fn hidden(&mut self, head: &Op) -> (Vec<Step>, wgpu::Buffer) {
        match head {
            Op::Head { transform: None, norm: Some(norm), .. } => {
                (vec![self.norm(*norm, Some(&self.buffers.x[0]), &self.buffers.y, false)], self.buffers.y.clone())
            }
            _ => (Vec::new(), self.buffers.x[0].clone()),
        }
    }

    /// The target with the biases of products that lie there side by side.
    fn biased(&self, linears: &[Linear], target: Target<'a>) -> Target<'a> {
        let any = linears.iter().find_map(|linear| linear.bias);
        Target { bias: any.map(|id| &self.buffers.biases[&id].0), ..target }
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
                Op::Embed { .. } => self.embed(op, &mut steps),
                Op::Norm { norm } => steps.push(self.norm(*norm, None, &buffers.x[x[0]], false)),
                Op::NormLinear { norm, linears, activation } => {
                    h = if *activation == Activation::None { &buffers.qkv } else { &buffers.hidden[2] };
                    let source = self.source(*norm, x, pending, false, &mut steps);
                    let target = Target { finish: Finish::of(*activation), ..Target::set(h) };
                    let target = self.biased(linears, target);
                    self.matvec("NormLinear", linears, *activation, source, target, &mut steps);
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
                    let target = self.biased(&[*linear], Target { add, ..Target::set(buffer) });
                    let source = Source::Plain { x: h, row: false };
                    self.matvec("LinearAdd", &[*linear], Activation::None, source, target, &mut steps);
                }
                Op::Head { .. } => {
                    head.clear();
                    self.head(op, x, pending, head);
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
                Op::Embed { .. } => self.embed(op, &mut steps),
                Op::Norm { norm } => steps.push(self.norm(*norm, None, &buffers.x[0], false)),
                Op::NormLinear { norm, linears, activation } => {
                    let input = match norm {
                        Some(norm) => {
                            steps.push(self.norm(*norm, Some(&buffers.x[0]), &buffers.y, false));
                            &buffers.y
                        }
                        None => &buffers.x[0],
                    };
                    let finish = Finish::of(*activation);
                    let width = program.weights[linears[0].weight].rows.next_multiple_of(BLOCK);
                    let mut offset = 0;
                    let targets: Vec<_> = linears
                        .iter()
                        .zip(0..)
                        .map(|(linear, i)| {
                            let begin = offset;
                            let target = match activation {
                                Activation::None => {
                                    offset += program.weights[linear.weight].rows;
                                    let target = Target { stride: widths.qkv, ..Target::set(&buffers.qkv) };
                                    self.biased(linears, Target { offset: begin, ..target })
                                }
                                // Gate and up; what is not gated goes where their product would.
                                _ => {
                                    let buffer = &buffers.hidden[if activation.is_gated() { i } else { 2 }];
                                    let target = Target { stride: width, finish, ..Target::set(buffer) };
                                    self.biased(&[*linear], target)
                                }
                            };
                            (*linear, target)
                        })
                        .collect();
                    self.matmul("NormLinear", &targets, input, tile, &mut steps)?;
                    if *activation == Activation::None {
                        continue;
                    }
                    if activation.is_gated() {
                        steps.push(self.gate(*activation, width));
                    }
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
                    let target = self.biased(&[*linear], Target { stride: widths.x, add, ..Target::set(buffer) });
                    self.matmul("LinearAdd", &[(*linear, target)], h, tile, &mut steps)?;
                    if let Some(norm) = post_norm {
                        steps.push(self.norm(*norm, Some(&buffers.y), &buffers.x[0], true));
                    }
                }
                Op::Head { .. } => {}
            }
        }
        Ok(steps)
    }

    fn embed(&mut self, op: &Op, steps: &mut Vec<Step>) {
        let &Op::Embed { table, scale, positions, kind } = op else { unreachable!("called for embeddings") };
        let mut more = Vec::new();
        let mut added =
            "let none = vec4<f32>(0.0);\nvar x = Block(none, none, none, none, none, none, none, none);\n".to_owned();
        let mut functions = String::new();
        if let Some(positions) = positions {
            let matrix = self.matrix(positions);
            let [part] = matrix.parts.as_slice() else { unreachable!("positions are few") };
            functions += &weight("w1", &matrix.layout, part);
            more.push(bind("w1", Read, "array<vec4<u32>>", &part.buffer));
            added += "x = block_plus(x, w1_decode(position * BLOCKS + block));\n";
        }
        if let Some(kind) = kind {
            more.push(self.vector("kind", kind));
            added += "let k = 8u * block;\nx = block_plus(x, Block(kind[k], kind[k + 1u], kind[k + 2u], kind[k + 3u],\n\
                      kind[k + 4u], kind[k + 5u], kind[k + 6u], kind[k + 7u]));\n";
        }
        let matrix = self.matrix(table);
        for part in &matrix.parts {
            let text = format!(
                "const BLOCKS = {}u;\nconst FIRST = {}u;\nconst ROWS = {}u;\nconst SCALE = {scale:?};\n\
                 fn added(position: u32, block: u32) -> Block {{\n{added}return x;\n}}\n{functions}",
                matrix.blocks, part.first, part.rows
            );
            let texts = [&text, &weight("w0", &matrix.layout, part), include_str!("shaders/embed.wgsl")];
            let mut bindings = vec![
                bind("state", Read, "State", &self.buffers.state),
                bind("tokens", Read, "array<u32>", &self.buffers.tokens),
                bind("x", Write, VEC4, &self.buffers.x[0]),
                bind("w0", Read, "array<vec4<u32>>", &part.buffer),
            ];
            bindings.extend(more.iter().cloned());
            let grid = [Fixed(matrix.blocks.div_ceil(THREADS)), Tokens(1), Fixed(1)];
            steps.push(self.maker.step("Embed", &texts, &bindings, grid));
        }
    }

    /// The asked row's logits.
    fn head(&mut self, head: &Op, x: [usize; 2], pending: Pending, steps: &mut Vec<Step>) {
        // An encoder's are only asked for all of a text.
        let &Op::Head { transform: None, norm, linear: Some(linear), softcap } = head else { return };
        let source = self.source(norm, x, pending, true, steps);
        let finish = softcap.map_or(Finish::None, Finish::Cap);
        let target = self.biased(&[linear], Target { finish, ..Target::set(&self.buffers.logits) });
        self.matvec("Head", &[linear], Activation::None, source, target, steps);
    }

    /// Where a product finds its normed activations: it takes a root-mean-square norm on the way, any other is a step before.
    fn source(
        &mut self,
        norm: Option<Norm>,
        x: [usize; 2],
        pending: Pending,
        row: bool,
        steps: &mut Vec<Step>,
    ) -> Source<'a> {
        let buffers = self.buffers;
        match norm {
            Some(norm) if norm.kind == NormKind::Rms => Source::Stream { x, pending, norm, row },
            Some(norm) => {
                assert!(pending.is_none(), "no model norms both products and means");
                steps.push(self.norm(norm, Some(&buffers.x[x[0]]), &buffers.y, false));
                Source::Plain { x: &buffers.y, row }
            }
            None => Source::Plain { x: &buffers.x[x[0]], row },
        }
    }

    pub fn vector(&self, name: &str, id: WeightId) -> Binding<'a> {
        let cols = self.program.weights[id].cols.next_multiple_of(BLOCK);
        bind(name, Uniform, format!("array<vec4<f32>, {}>", cols / 4), &self.buffers.vectors[&id])
    }

    /// `y = norm(x)` of all rows, or, to `add`, `y += norm(x)`, or, without `x`, `y = norm(y)`.
    fn norm(&mut self, norm: Norm, x: Option<&wgpu::Buffer>, y: &wgpu::Buffer, add: bool) -> Step {
        let mut text = format!(
            "const VECTORS = {}u;\nconst WIDTH = {:?};\nconst EPS = {:?};\nconst ADD = {add};\nconst LAYER = {};\n\
             fn source(at: u32) -> vec4<f32> {{ return {}[at]; }}\n",
            self.buffers.widths.x / 4,
            self.program.config.dim as f32,
            norm.eps,
            norm.kind == NormKind::Layer,
            if x.is_some() { "x" } else { "y" },
        );
        let mut bindings = vec![bind("y", Write, VEC4, y), self.vector("norm_weight", norm.weight)];
        bindings.extend(x.map(|x| bind("x", Read, VEC4, x)));
        text += match norm.bias {
            Some(bias) => {
                bindings.push(self.vector("norm_bias", bias));
                "fn shift(at: u32) -> vec4<f32> { return norm_bias[at]; }\n"
            }
            None => "fn shift(at: u32) -> vec4<f32> { return vec4<f32>(0.0); }\n",
        };
        let grid = [Fixed(1), Tokens(1), Fixed(1)];
        self.maker.step("Norm", &[&text, include_str!("shaders/norm.wgsl")], &bindings, grid)
    }

    /// Of rows of `width` numbers.
    fn gate(&mut self, activation: Activation, width: usize) -> Step {
        let vectors = width / 4;
        let constants = format!("const VECTORS = {vectors}u;\n{}", gate(activation));
        let [gate, up, h] = &self.buffers.hidden;
        let bindings = [bind("gate", Read, VEC4, gate), bind("up", Read, VEC4, up), bind("h", Write, VEC4, h)];
        let grid = [Fixed(vectors.div_ceil(THREADS)), Tokens(1), Fixed(1)];
        self.maker.step("Gate", &[&constants, include_str!("shaders/gate.wgsl")], &bindings, grid)
    }
}
