//! A program as dispatches, made once: for one token (`decode`), where norms are taken on the way and a layer is five
//! dispatches, and for several (`batch`), where they are steps of their own.

use hearth_engine::Result;
use hearth_engine::program::{Activation, Norm, Op, Program, Rope, RopePairs, WeightId};

use crate::buffers::{Buffers, CHUNK, MOST_SPLITS};
use crate::device::{Gpu, failed};
use crate::layout::BLOCK;
use crate::steps::Access::{Read, Uniform, Write};
use crate::steps::Extent::{Fixed, Tokens};
use crate::steps::{Binding, Maker, Step, bind};
use crate::text::{Repeat, repeat, weight, weight_at};
use crate::weight::{Matrix, Part};

/// Threads of a workgroup.
const THREADS: usize = 64;

/// Weights that a kernel can bind besides its other buffers.
const MOST_WEIGHTS: usize = 3;

const VEC4: &str = "array<vec4<f32>>";
const F32: &str = "array<f32>";

/// How attention over so many positions at most is split.
pub const SPLITS: [(usize, usize); 3] = [(512, 1), (2048, 4), (usize::MAX, MOST_SPLITS)];

/// Tokens that a workgroup of a batch's matmul takes, and how many of them one thread.
pub const TILES: [(usize, usize); 3] = [(8, 4), (32, 4), (64, 8)];

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
    software: bool,
    subgroups: bool,
    maker: Maker<'a>,
}

/// A norm that the operation before left to do: `x += norm(y)`.
type Pending = Option<Norm>;

/// A part of a weight and the weight.
type Piece<'a> = (&'a Matrix, &'a Part);

/// Where products go.
#[derive(Clone, Copy)]
struct Target<'a> {
    buffer: &'a wgpu::Buffer,
    /// Numbers of a row.
    stride: usize,
    /// Added to what is there.
    add: bool,
}

impl<'a> Target<'a> {
    /// A token's products, from the buffer's beginning.
    fn set(buffer: &'a wgpu::Buffer) -> Target<'a> {
        Target { buffer, stride: 0, add: false }
    }
}

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
            subgroups: gpu.subgroups,
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
        let logits = Target { buffer: &self.buffers.logits, stride: self.program.config.vocab_size, add: false };
        self.matmul("Head", &[linear], &self.buffers.y, logits, TILES[0], &mut all_heads)?;
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

    fn matrix(&self, id: WeightId) -> &'a Matrix {
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
                    let target = Target { buffer, stride: 0, add };
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
                    let qkv = Target { buffer: &buffers.qkv, stride: widths.qkv, add: false };
                    if *activation == Activation::None {
                        self.matmul("NormLinear", linears, &buffers.y, qkv, tile, &mut steps)?;
                        continue;
                    }
                    for (linear, buffer) in linears.iter().zip(&buffers.hidden) {
                        let target = Target { buffer, stride: widths.hidden, add: false };
                        self.matmul("NormLinear", &[*linear], &buffers.y, target, tile, &mut steps)?;
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
                    let target = Target { buffer, stride: widths.x, add };
                    self.matmul("LinearAdd", &[*linear], h, target, tile, &mut steps)?;
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

    /// Matrices side by side, or gate and up.
    fn matvec(
        &mut self,
        label: &'static str,
        linears: &[WeightId],
        activation: Activation,
        source: Source,
        target: Target,
        steps: &mut Vec<Step>,
    ) {
        if activation != Activation::None {
            let [gate, up] = [linears[0], linears[1]].map(|id| self.matrix(id));
            // Rows of both go through one kernel; no model has a gate so large that it is cut at all.
            assert_eq!(gate.parts.len(), up.parts.len(), "gate and up are cut alike");
            for (a, b) in gate.parts.iter().zip(&up.parts) {
                steps.push(self.matvec_step(label, &[&[(gate, a)], &[(up, b)]], activation, source, target, a.first));
            }
            return;
        }
        let mut offset = 0;
        let mut pieces = Vec::new();
        for &id in linears {
            let matrix = self.matrix(id);
            pieces.extend(matrix.parts.iter().map(|part| (matrix, part)));
        }
        for pieces in pieces.chunks(MOST_WEIGHTS) {
            steps.push(self.matvec_step(label, &[pieces], activation, source, target, offset));
            offset += pieces.iter().map(|(_, part)| part.rows).sum::<usize>();
        }
    }

    fn matvec_step(
        &mut self,
        label: &'static str,
        sets: &[&[Piece]],
        activation: Activation,
        source: Source,
        target: Target,
        offset: usize,
    ) -> Step {
        let buffers = self.buffers;
        let (matrix, _) = sets[0][0];
        let total: usize = sets[0].iter().map(|(_, part)| part.rows).sum();
        let blocks = matrix.blocks;
        let lanes = lanes(blocks, self.software);
        let mut bindings = vec![bind("y", Write, F32, target.buffer)];
        let mut text = format!(
            "const BLOCKS = {blocks}u;\nconst LANES = {lanes}u;\nconst TOTAL = {total}u;\nconst SETS = {};\n\
             fn store(row: u32, value: f32) {{ y[{offset}u + row] {} value; }}\n",
            sets.len(),
            if target.add { "+=" } else { "=" },
        );
        match source {
            Source::Plain(input) => {
                bindings.push(bind("x", Read, VEC4, input));
                text += "const ROW = 0u;\nfn weighed(x: Block, block: u32) -> Block { return x; }\n";
                text += "fn normed(square: f32) -> f32 { return 1.0; }\n";
                text += include_str!("shaders/input_plain.wgsl");
            }
            Source::Stream { x, pending, norm, row } => {
                bindings.push(bind("x", Read, VEC4, &buffers.x[x[0]]));
                text += &format!("const WIDTH = {:?};\n", self.program.config.dim as f32);
                bindings.push(self.vector("norm_weight", norm));
                text += &format!("const EPS = {:?};\n{}", norm.eps, include_str!("shaders/weighed.wgsl"));
                match pending {
                    Some(norm) => {
                        bindings.push(bind("pending", Read, VEC4, &buffers.y));
                        bindings.push(self.vector("pending_weight", norm));
                        bindings.push(bind("x_next", Write, VEC4, &buffers.x[x[1]]));
                        text += &format!("const PENDING_EPS = {:?};\n", norm.eps);
                        text += include_str!("shaders/input_pending.wgsl");
                    }
                    None if row => {
                        bindings.push(bind("state", Read, "State", &buffers.state));
                        text += &include_str!("shaders/input_plain.wgsl").replace("ROW", "state.row");
                    }
                    None => text += &format!("const ROW = 0u;\n{}", include_str!("shaders/input_plain.wgsl")),
                }
            }
        }
        let mut names = 0;
        for (set, pieces) in sets.iter().enumerate() {
            let mut end = 0;
            let mut choice = String::new();
            for (matrix, part) in *pieces {
                let name = format!("w{names}");
                names += 1;
                text += &weight(&name, &matrix.layout, part);
                bindings.push(bind(&name, Read, "array<vec4<u32>>", &part.buffer));
                let begin = end;
                end += part.rows * blocks;
                let product = format!("return {name}_dot(at - {begin}u, x, sums);");
                choice += &if end == total * blocks { product } else { format!("if (at < {end}u) {{ {product} }}\n") };
            }
            text += &format!("fn dot{set}(at: u32, x: Block, sums: vec2<f32>) -> f32 {{\n{choice}\n}}\n");
        }
        text += finish(activation);
        let all = if sets.len() == 1 { "y0" } else { "y0, y1" };
        let kernel = include_str!("shaders/matvec.wgsl").replace("ALL_Y", all);
        text += &repeat(&kernel, Repeat { i: sets.len(), e: 0 });
        let grid = [Fixed(total.div_ceil(THREADS / lanes * 4)), Fixed(1), Fixed(1)];
        self.maker.step(label, &[&text], &bindings, grid)
    }

    fn vector(&self, name: &str, norm: Norm) -> Binding<'a> {
        let cols = self.program.weights[norm.weight].cols.next_multiple_of(BLOCK);
        bind(name, Uniform, format!("array<vec4<f32>, {}>", cols / 4), &self.buffers.vectors[&norm.weight])
    }

    /// `y = norm(x)` of all rows, or `x += norm(y)`.
    fn norm(&mut self, norm: Norm, x: &wgpu::Buffer, add: bool) -> Step {
        let width = self.buffers.widths.x;
        let constants = format!(
            "const VECTORS = {}u;\nconst WIDTH = {:?};\nconst EPS = {:?};\nconst KEEP = {:?};\n",
            width / 4,
            self.program.config.dim as f32,
            norm.eps,
            if add { 1.0 } else { 0.0 }
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

    /// Matrices side by side over all tokens of a run.
    fn matmul(
        &mut self,
        label: &'static str,
        linears: &[WeightId],
        input: &wgpu::Buffer,
        target: Target,
        (tokens, own): (usize, usize),
        steps: &mut Vec<Step>,
    ) -> Result<()> {
        let mut offset = 0;
        for &id in linears {
            let matrix = self.matrix(id);
            for part in &matrix.parts {
                let ranks = tokens / own;
                let constants = format!("const TOKENS = {tokens}u;\nconst OWN = {own}u;\nconst RANKS = {ranks}u;\n");
                let kernel = repeat(&self.taking(include_str!("shaders/matmul.wgsl")), Repeat { i: ranks, e: own / 4 });
                let regions = ["shape.high", "shape.scales", "shape.whole"];
                let texts = [&constants, &weight_at("w0", &matrix.layout, regions), &kernel];
                let [_, high, scales, common] = part.vectors();
                let sizes =
                    [matrix.blocks, part.rows, target.stride, offset, high, scales, common].map(|size| size as u32);
                let shape = self.maker.uniform("shape", &sizes, if target.add { 1.0 } else { 0.0 })?;
                let bindings = [
                    bind("state", Read, "State", &self.buffers.state),
                    bind("shape", Uniform, "Shape", &shape),
                    bind("x", Read, VEC4, input),
                    bind("y", Write, F32, target.buffer),
                    bind("w0", Read, "array<vec4<u32>>", &part.buffer),
                ];
                let grid = [Fixed(part.rows.div_ceil(THREADS)), Tokens(tokens), Fixed(1)];
                let texts = texts.map(String::as_str);
                steps.push(self.maker.step(label, &texts, &bindings, grid));
                offset += part.rows;
            }
        }
        Ok(())
    }

    /// A matmul whose threads take each token's numbers from workgroup memory or, with subgroups, share what each of four has taken.
    fn taking(&self, kernel: &str) -> String {
        let (share, take): (_, fn(usize) -> String) = match self.subgroups {
            true => ("let own{e} = inputs[at + 4u * {e}u + i % 4u];", |n| format!("quadBroadcast(own{{e}}, {n}u)")),
            false => ("", |n| format!("inputs[at + 4u * {{e}}u + {n}u]")),
        };
        (0..4).fold(kernel.replace("SHARE", share), |text, n| text.replace(&format!("TAKE{n}"), &take(n)))
    }

    fn append(&mut self, op: &Op) -> Step {
        let (mut text, bindings) = self.heads(op, false);
        text += "const QUERIES = 1u;\n";
        text += include_str!("shaders/append.wgsl");
        self.maker.step("Append", &[&text], &bindings, [Fixed(self.program.config.n_kv_heads), Fixed(1), Tokens(1)])
    }

    fn attention(&mut self, op: &Op, splits: usize, append: bool, steps: &mut Vec<Step>) {
        let Op::Attention { window, scale, .. } = op else { unreachable!("called for attention") };
        let c = &self.program.config;
        let (group, pieces) = (c.n_heads / c.n_kv_heads, c.head_dim.div_ceil(THREADS));
        let queries = if append { 1 } else { queries(group, c.head_dim) };
        let (mut text, mut bindings) = self.heads(op, true);
        text += &format!(
            "const QUERIES = {queries}u;\nconst SPLITS = {splits}u;\nconst APPEND = {append};\nconst SCALE = {scale:?};\n\
             const WINDOW = {}u;\nconst STRIDE = {}u;\nconst LOWEST = -1e30;\n",
            window.map_or(u32::MAX, |window| window.try_into().unwrap_or(u32::MAX)),
            self.buffers.widths.heads,
        );
        text += &repeat(include_str!("shaders/attention.wgsl"), Repeat { i: group * queries, e: pieces });
        let out = if splits == 1 { &self.buffers.heads } else { &self.buffers.splits };
        bindings.push(bind("out", Write, F32, out));
        let grid = [Fixed(c.n_kv_heads), Fixed(splits), Tokens(queries)];
        steps.push(self.maker.step("Attention", &[&text], &bindings, grid));
        if splits > 1 {
            let constants = format!(
                "const SPLITS = {splits}u;\nconst HEADS = {}u;\nconst HEAD_DIM = {}u;\nconst LOWEST = -1e30;\n",
                c.n_heads, c.head_dim
            );
            let bindings =
                [bind("parts", Read, F32, &self.buffers.splits), bind("out", Write, F32, &self.buffers.heads)];
            let texts = [&constants, include_str!("shaders/merge.wgsl")];
            steps.push(self.maker.step("Merge", &texts, &bindings, [Fixed(c.n_heads), Fixed(1), Fixed(1)]));
        }
    }

    /// What the kernels of attention share: `heads.wgsl`, the cache, and what they see, which may not be more than they use.
    fn heads(&self, op: &Op, queries: bool) -> (String, Vec<Binding<'a>>) {
        let Op::Attention { layer, q_norm, k_norm, rope, .. } = op else { unreachable!("called for attention") };
        let (c, buffers) = (&self.program.config, self.buffers);
        let (keys_type, values_type, cache) = match self.cache {
            CacheFormat::F32 => (VEC4, F32, include_str!("shaders/cache_f32.wgsl")),
            CacheFormat::F16 => ("array<vec2<u32>>", "array<u32>", include_str!("shaders/cache_f16.wgsl")),
        };
        let eps = |norm: &Option<Norm>| norm.map_or(0.0, |norm| norm.eps);
        let mut text = format!(
            "const HEADS = {}u;\nconst KV_HEADS = {}u;\nconst HEAD_DIM = {}u;\nconst VECTORS = {}u;\nconst GROUP = {}u;\n\
             const H_STRIDE = {}u;\nconst TURNING = {}u;\nconst HALVES = {};\nconst Q_NORM = {};\nconst K_NORM = {};\n\
             const Q_EPS = {:?};\nconst K_EPS = {:?};\n",
            c.n_heads,
            c.n_kv_heads,
            c.head_dim,
            c.head_dim / 4,
            c.n_heads / c.n_kv_heads,
            buffers.widths.qkv,
            rope.dims,
            rope.pairs == RopePairs::Halves,
            q_norm.is_some(),
            k_norm.is_some(),
            eps(q_norm),
            eps(k_norm),
        );
        let [keys, values] = &buffers.cache[*layer];
        let mut bindings = vec![
            bind("state", Read, "State", &buffers.state),
            bind("h", Read, F32, &buffers.qkv),
            bind("turns", Read, "array<vec2<f32>>", self.turns(rope)),
            bind("keys", Write, keys_type, keys),
            bind("values", Write, values_type, values),
        ];
        let mut weight_of = |name: &str, norm: &Option<Norm>| match norm {
            Some(norm) => {
                bindings.push(self.vector(name, *norm));
                format!("{name}[e / 4u][e % 4u]")
            }
            None => "1.0".to_owned(),
        };
        let q = weight_of("q_weight", if queries { q_norm } else { &None });
        let k = weight_of("k_weight", k_norm);
        text +=
            &format!("fn head_weight(e: u32, query: bool) -> f32 {{\nif (query) {{ return {q}; }}\nreturn {k};\n}}\n");
        text += include_str!("shaders/heads.wgsl");
        text += cache;
        (text, bindings)
    }

    fn turns(&self, rope: &Rope) -> &'a wgpu::Buffer {
        &self.buffers.turns.iter().find(|(known, _)| known == rope).expect("made with the buffers").1
    }
}

/// What a matvec reads.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// As it is.
    Plain(&'a wgpu::Buffer),
    /// The residual stream, with what is pending, normed; the row that is asked for, or the first.
    Stream { x: [usize; 2], pending: Pending, norm: Norm, row: bool },
}

/// Tokens of a batch whose queries share what is read of the cache, for `group` query heads to a key head: as many as fit in the
/// workgroup memory and registers that any adapter has.
fn queries(group: usize, head_dim: usize) -> usize {
    let fits = |&queries: &usize| {
        let rows = group * queries;
        let bytes = rows * (head_dim * 4 + THREADS * 4 + 16);
        bytes <= 12 << 10 && rows * head_dim.div_ceil(THREADS) <= THREADS && rows < THREADS
    };
    [4, 2].into_iter().find(fits).unwrap_or(1)
}

/// Lanes that share a row of so many blocks. On a card neighbours should read neighbouring blocks, though some have none left at the
/// end; a program on the CPU gains nothing by that: with two lanes for 18 blocks SwiftShader took 0.78 of the time.
fn lanes(blocks: usize, software: bool) -> usize {
    match blocks {
        ..32 if software => 2,
        0..8 => 2,
        8..32 => 8,
        32..64 => 16,
        _ => 32,
    }
}

/// WGSL of what is done to products at last.
fn finish(activation: Activation) -> &'static str {
    match activation {
        Activation::None => "fn finish(y: vec4<f32>) -> vec4<f32> { return y; }\n",
        Activation::GatedSilu => include_str!("shaders/gated_silu.wgsl"),
        Activation::GatedGelu => include_str!("shaders/gated_gelu.wgsl"),
    }
}
