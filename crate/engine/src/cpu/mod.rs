//! The fast executor: a program on SIMD lanes and several threads. Weights lie in tiles (`tiles`), activations are quantized
//! once per operation (`input`), keys and values are kept as bytes (`cache`). Everything is written over the few operations of
//! `lanes`; a `team` of threads takes the pieces of each operation from a counter.

mod along;
mod attention;
mod cache;
mod codes;
mod dense;
pub mod divide;
mod dots;
mod elementwise;
mod input;
mod lanes;
mod matrix;
pub mod measure;
pub mod panel;
mod plan;
mod rope;
pub mod team;
mod tiles;
mod tiles_k;
mod tune;

use std::future::ready;
use std::ops::Range;

use crate::error::Result;
use crate::executor::{self, Executor, Logits, Run, Tuning, check_length};
use crate::program::{Activation, Linear, LowRank, Norm, NormKind, Op, Program, Rope, WeightId};
use attention::Cut;
pub use attention::MAX_HEAD_DIM;
use cache::Cache;
use codes::ROWS;
use divide::{Columns, Rows, Strip};
use input::{Forms, Input, quantize};
pub use matrix::Kernel;
use matrix::{Matrix, matrix};
use plan::Plan;
use rope::Turns;
use team::{Clock, Team};

/// Runs a program on the CPU.
pub struct Cpu {
    program: Program,
    weights: Weights,
    cache: Vec<Cache>,
    cached: usize,
    scratch: Scratch,
    team: Team,
    kernel: Kernel,
}

struct Weights {
    matrices: Vec<Box<dyn Matrix>>,
    /// Norm weights and the like, decoded: used by every token and small.
    vectors: Vec<Vec<f32>>,
    /// How the matrices of each operation are cut for the team.
    plans: Vec<Plan>,
}

/// Buffers that live from run to run.
#[derive(Default)]
struct Scratch {
    /// Residual stream, `[T, D]`.
    x: Vec<f32>,
    /// What the next matrix reads.
    input: Input,
    /// What the last matrices made, `[T, rows of them all]`.
    h: Vec<f32>,
    /// Up, beside the gate in `h`.
    up: Vec<f32>,
    /// The angles of each rotation in use, for the positions of this run.
    turns: Vec<(Rope, Vec<f32>, Turns)>,
    /// What the units of attention leave.
    units: Vec<f32>,
    logits: Vec<f32>,
}

impl Cpu {
    /// An executor with memory reserved for its weights; load them next.
    pub fn new(program: Program, team: Team) -> Result<Cpu> {
        let matrices = program.weights.iter().map(matrix).collect::<Result<Vec<_>>>()?;
        let plans = program.ops.iter().map(|op| Plan::new(op, &matrices)).collect();
        let vectors = vec![Vec::new(); program.weights.len()];
        Ok(Cpu {
            weights: Weights { matrices, vectors, plans },
            cache: (0..program.config.n_caches).map(|_| Cache::new(&program.config)).collect(),
            cached: 0,
            scratch: Scratch::default(),
            team,
            kernel: Kernel::DEFAULT,
            program,
        })
    }

    /// All operations over `tokens`.
    fn run_all(&mut self, tokens: &[u32], logits: Logits) -> Result<&[f32]> {
        for cache in &mut self.cache {
            cache.reserve(self.cached + tokens.len())?;
        }
        self.team.expect(tokens.len());
        for op in 0..self.program.ops.len() {
            self.run(op, tokens, logits);
        }
        self.cached += tokens.len();
        let wanted = match logits {
            Logits::None => 0,
            _ => self.scratch.logits.len(),
        };
        Ok(&self.scratch.logits[..wanted])
    }

    fn run(&mut self, op: usize, tokens: &[u32], logits: Logits) {
        let Cpu { program, weights, cache, cached, scratch, team, kernel } = self;
        let (config, plan, op) = (&program.config, &weights.plans[op], &program.ops[op]);
        let (count, dim, first) = (tokens.len(), config.dim, *cached);
        let Scratch { x, input, h, up, turns, units, logits: out } = scratch;
        match op {
            Op::Embed { table, scale, positions, kind } => {
                x.resize(count * dim, 0.0);
                h.resize(count * dim, 0.0);
                team.each((Rows::new(x, count), Rows::new(h, count)), |t, (x, position)| {
                    weights.matrices[*table].row(tokens[t] as usize, x);
                    x.iter_mut().for_each(|x| *x *= scale);
                    if let Some(positions) = positions {
                        weights.matrices[*positions].row(first + t, position);
                        elementwise::add(x, position);
                    }
                    if let Some(kind) = kind {
                        elementwise::add(x, &weights.vectors[*kind]);
                    }
                });
            }
            Op::Norm { norm } => team.each(Rows::new(x, count), |_, x| weights.norm(*norm, x)),
            Op::NormLinear { norm, linears, activation } => {
                weights.prepare_normed(*norm, (x, dim), input, team, weights.forms(linears, *kernel));
                h.resize(count * plan.width(), 0.0);
                match activation {
                    Activation::None => return weights.multiply(plan, *kernel, input, h, |_| {}, team),
                    Activation::Gelu | Activation::GeluErf => {
                        weights.multiply(plan, *kernel, input, h, plain(*activation), team);
                    }
                    Activation::GatedSilu => {
                        weights.multiply_gated(plan, *kernel, input, (h, up), elementwise::gated_silu, team);
                    }
                    Activation::GatedGelu => {
                        weights.multiply_gated(plan, *kernel, input, (h, up), elementwise::gated_gelu, team);
                    }
                }
                // The matrix that reads it comes next and says in what form.
                input.resize(count, plan.width(), Forms::default());
                std::mem::swap(&mut input.x, h);
            }
            Op::Attention { layer, q_norm, k_norm, rope, causal, window, scale, softcap } => {
                let (e, n_kv_heads) = (config.head_dim, config.n_kv_heads);
                let (queries, keys) = (config.n_heads * e, n_kv_heads * e);
                let width = queries + 2 * keys;
                let turns = rope.map(|rope| turns_of(turns, rope, &weights.vectors, first, count));
                team.each(Rows::new(h, count), |t, h| {
                    let (q, rest) = h.split_at_mut(queries);
                    for (norm, heads) in [(q_norm, q), (k_norm, &mut rest[..keys])] {
                        if let Some(norm) = norm {
                            heads.chunks_exact_mut(e).for_each(|head| weights.norm(*norm, head));
                        }
                        if let Some(turns) = turns {
                            turns.rotate(t, heads, e);
                        }
                    }
                });
                let heads = &mut cache[*layer].heads;
                // A single token's keys and values are stored sooner than a helper hears of them.
                let parts = if count == 1 { 1 } else { n_kv_heads };
                team.each(Rows::new(heads, parts), |part, heads| {
                    for (i, head) in heads.iter_mut().enumerate() {
                        let at = queries + (part * n_kv_heads / parts + i) * e;
                        head.append(first, h, width, (at, at + keys), e);
                    }
                });
                let cut = Cut::new(config, (first, count), (*causal, *window), (*scale, *softcap));
                units.resize(cut.len(), 0.0);
                team.each(Rows::new(units, cut.units()), |i, out| cut.attend(i, heads, h, width, out));
                // The matrix that reads it comes next and says in what form.
                input.resize(count, queries, Forms::default());
                team.each(Rows::new(&mut input.x, count), |t, x| cut.merge(t, units, x));
            }
            Op::LinearAdd { linear, post_norm } => {
                let forms = weights.forms(&[*linear], *kernel);
                prepare(input, team, forms);
                h.resize(count * dim, 0.0);
                match post_norm {
                    None => weights.multiply_add(plan, *kernel, input, h, x, team),
                    Some(norm) => {
                        weights.multiply(plan, *kernel, input, h, |_| {}, team);
                        team.each((Rows::new(h, count), Rows::new(x, count)), |_, (h, x)| {
                            weights.norm(*norm, h);
                            elementwise::add(x, h);
                        });
                    }
                }
            }
            Op::Head { transform, norm, linear, softcap } => {
                let first = match logits {
                    Logits::None => return,
                    Logits::Last => x.len() - dim,
                    Logits::All | Logits::Hidden => 0,
                };
                let mut x = &x[first..];
                let Some(linear) = linear.filter(|_| logits != Logits::Hidden) else {
                    out.clear();
                    out.extend_from_slice(x);
                    if let Some(norm) = norm.filter(|_| transform.is_none()) {
                        team.each(Rows::new(out, count), |_, x| weights.norm(norm, x));
                    }
                    return;
                };
                if let (Some((transform, activation)), Some(plan)) = (transform, plan.before()) {
                    weights.prepare_normed(None, (x, dim), input, team, weights.forms(&[*transform], *kernel));
                    h.resize(x.len(), 0.0);
                    weights.multiply(plan, *kernel, input, h, plain(*activation), team);
                    x = h;
                }
                weights.prepare_normed(*norm, (x, dim), input, team, weights.forms(&[linear], *kernel));
                out.resize(input.tokens() * plan.width(), 0.0);
                match softcap {
                    None => weights.multiply(plan, *kernel, input, out, |_| {}, team),
                    Some(cap) => {
                        weights.multiply(plan, *kernel, input, out, |logits| elementwise::softcap(logits, *cap), team);
                    }
                }
            }
        }
    }
}

impl Weights {
    /// The forms that any of these reads.
    fn forms(&self, linears: &[Linear], kernel: Kernel) -> Forms {
        linears
            .iter()
            .flat_map(|linear| linear.whole().into_iter().chain(linear.low_rank.map(|low| low.a)))
            .map(|id| self.matrices[id].forms(kernel))
            .fold(Forms::default(), |a, b| Forms { pairs: a.pairs | b.pairs, bytes: a.bytes | b.bytes })
    }

    /// Norms a row, or a head.
    fn norm(&self, Norm { kind, weight, bias, eps }: Norm, x: &mut [f32]) {
        let weight = &self.vectors[weight];
        match kind {
            NormKind::Rms => elementwise::rms_norm(x, weight, eps),
            NormKind::Layer => elementwise::layer_norm(x, weight, bias.map(|id| self.vectors[id].as_slice()), eps),
        }
    }

    /// The rows of `x`, `cols` wide, into `input`, normed if they are to be, in these forms.
    fn prepare_normed(
        &self,
        norm: Option<Norm>,
        (x, cols): (&[f32], usize),
        input: &mut Input,
        team: &mut Team,
        forms: Forms,
    ) {
        let count = x.len() / cols;
        input.resize(count, cols, forms);
        team.each(input.rows(count), |t, (row, pairs, bytes)| {
            row.copy_from_slice(&x[t * cols..(t + 1) * cols]);
            if let Some(norm) = norm {
                self.norm(norm, row);
            }
            quantize(row, pairs, bytes);
        });
    }

    /// What the low-rank parts of a plan's matrices make of `input` first, `A x`, in the form in which their second factors take it.
    fn prepare_low(&self, plan: &Plan, kernel: Kernel, input: &mut Input, team: &mut Team) {
        let mut low = std::mem::take(&mut input.low);
        low.resize_with(plan.low_ranks().len(), Input::default);
        for (LowRank { a, b, .. }, low) in plan.low_ranks().iter().zip(&mut low) {
            let (a, forms) = (&self.matrices[*a], self.matrices[*b].forms(kernel));
            let (rank, count) = (a.rows(), input.tokens());
            low.resize(count, rank, forms);
            let bounds: Vec<_> = (0..=rank.div_ceil(ROWS)).map(|band| (band * ROWS).min(rank)).collect();
            team.each(Columns::new(&mut low.x, rank, &bounds), |band, mut strip| {
                a.product(kernel, input, band..band + 1, &mut strip);
            });
            if forms != Forms::default() {
                team.each(low.rows(count), |_, (row, pairs, bytes)| quantize(row, pairs, bytes));
            }
        }
        input.low = low;
    }

    /// `s · B · (A x)` for some bands, added to `out` or in its place.
    fn low_product(&self, low: LowRank, bands: Range<usize>, kernel: Kernel, x: &Input, add: bool, out: &mut Strip) {
        let (b, width) = (&self.matrices[low.b], out.columns());
        if !add {
            b.product(kernel, x, bands, out);
            return (0..x.tokens()).for_each(|t| out.row(t).iter_mut().for_each(|out| *out *= low.scale));
        }
        let mut products = vec![0.0; x.tokens() * width];
        b.product(kernel, x, bands, &mut Strip::whole(&mut products, width));
        for (t, products) in products.chunks_exact(width).enumerate() {
            out.row(t).iter_mut().zip(products).for_each(|(out, product)| *out += low.scale * product);
        }
    }

    /// The products of `input` with some bands of one of the plan's matrices, and its bias.
    fn product(
        &self,
        plan: &Plan,
        linear: Linear,
        bands: Range<usize>,
        kernel: Kernel,
        input: &Input,
        out: &mut Strip,
    ) {
        let first = bands.start * ROWS;
        if let Some(whole) = linear.whole() {
            self.matrices[whole].product(kernel, input, bands.clone(), out);
        }
        if let Some(low) = linear.low_rank {
            let at = plan.low_ranks().iter().position(|other| *other == low).expect("a plan has those of its matrices");
            self.low_product(low, bands, kernel, &input.low[at], linear.whole().is_some(), out);
        }
        if let Some(bias) = linear.bias {
            let bias = &self.vectors[bias][first..];
            (0..input.tokens()).for_each(|t| elementwise::add(out.row(t), bias));
        }
    }

    /// The products of `input` with the plan's matrices, side by side, and what `finish` makes of them.
    fn multiply(
        &self,
        plan: &Plan,
        kernel: Kernel,
        input: &mut Input,
        out: &mut [f32],
        finish: impl Fn(&mut [f32]) + Sync,
        team: &mut Team,
    ) {
        self.prepare_low(plan, kernel, input, team);
        team.each(Columns::new(out, plan.width(), plan.bounds()), |i, mut strip| {
            let piece = plan.piece(i);
            self.product(plan, piece.linear, piece.bands.clone(), kernel, input, &mut strip);
            (0..input.tokens()).for_each(|t| finish(strip.row(t)));
        });
    }

    /// `gate(W₀ x, W₁ x)` for the two matrices of the plan.
    fn multiply_gated(
        &self,
        plan: &Plan,
        kernel: Kernel,
        input: &mut Input,
        (gates, ups): (&mut [f32], &mut Vec<f32>),
        gate: fn(&mut [f32], &[f32]),
        team: &mut Team,
    ) {
        self.prepare_low(plan, kernel, input, team);
        ups.resize(gates.len(), 0.0);
        let (width, bounds) = (plan.width(), plan.bounds());
        team.each((Columns::new(gates, width, bounds), Columns::new(ups, width, bounds)), |i, (mut gates, mut ups)| {
            let piece = plan.piece(i);
            self.product(plan, piece.linear, piece.bands.clone(), kernel, input, &mut gates);
            self.product(plan, plan.up(), piece.bands.clone(), kernel, input, &mut ups);
            (0..input.tokens()).for_each(|t| gate(gates.row(t), ups.row(t)));
        });
    }

    /// `x += W · input`.
    fn multiply_add(
        &self,
        plan: &Plan,
        kernel: Kernel,
        input: &mut Input,
        h: &mut [f32],
        x: &mut [f32],
        team: &mut Team,
    ) {
        self.prepare_low(plan, kernel, input, team);
        let (width, bounds) = (plan.width(), plan.bounds());
        team.each((Columns::new(h, width, bounds), Columns::new(x, width, bounds)), |i, (mut h, mut x)| {
            let piece = plan.piece(i);
            self.product(plan, piece.linear, piece.bands.clone(), kernel, input, &mut h);
            (0..input.tokens()).for_each(|t| elementwise::add(x.row(t), h.row(t)));
        });
    }
}

/// One of the activations of a single matrix. Panics for those that join two.
fn plain(activation: Activation) -> fn(&mut [f32]) {
    match activation {
        Activation::Gelu => elementwise::gelu,
        Activation::GeluErf => elementwise::gelu_erf,
        other => unreachable!("{other:?} is none of a single matrix"),
    }
}

/// Quantizes what is in `input.x`.
fn prepare(input: &mut Input, team: &mut Team, forms: Forms) {
    let count = input.tokens();
    input.resize(count, input.cols, forms);
    team.each(input.rows(count), |_, (row, pairs, bytes)| quantize(row, pairs, bytes));
}

/// The turns for `tokens` positions from `first` on, made when a run first asks for them.
fn turns_of<'a>(
    known: &'a mut Vec<(Rope, Vec<f32>, Turns)>,
    rope: Rope,
    vectors: &[Vec<f32>],
    first: usize,
    tokens: usize,
) -> &'a Turns {
    let i = known.iter().position(|(other, ..)| *other == rope).unwrap_or_else(|| {
        let divisors = rope.divisors.map(|id| vectors[id].as_slice());
        known.push((rope, rope.frequencies(divisors), Turns::default()));
        known.len() - 1
    });
    let (_, frequencies, turns) = &mut known[i];
    turns.prepare(rope, frequencies, first, tokens);
    turns
}

impl Executor for Cpu {
    fn program(&self) -> &Program {
        &self.program
    }

    fn load_rows(&mut self, weight: WeightId, _first_row: usize, bytes: &[u8]) -> Result<()> {
        let spec = &self.program.weights[weight];
        if spec.rows == 1 {
            let vector = &mut self.weights.vectors[weight];
            vector.resize(spec.cols, 0.0);
            spec.format.decode(bytes, vector);
        }
        // A factor of rank 1 is a vector, too.
        self.weights.matrices[weight].load_rows(bytes);
        Ok(())
    }

    fn forward<'a>(&'a mut self, tokens: &'a [u32], logits: Logits) -> Run<'a> {
        Box::pin(ready(self.run_all(tokens, logits)))
    }

    fn cached(&self) -> usize {
        self.cached
    }

    fn cache_bytes(&self) -> usize {
        self.cache.iter().map(Cache::bytes_per_position).sum()
    }

    fn truncate(&mut self, len: usize) {
        self.cached = self.cached.min(len);
    }

    fn cache_format(&self) -> &'static str {
        "cpu q8"
    }

    fn save(&mut self) -> executor::Cache<'_> {
        let mut bytes = Vec::new();
        for cache in &mut self.cache {
            cache.visit(self.cached, &mut |part| bytes.extend_from_slice(part));
        }
        Box::pin(ready(Ok(bytes)))
    }

    fn restore(&mut self, tokens: &[u32], cache: &[u8]) -> Result<()> {
        check_length(cache, tokens.len(), self.cache.iter().map(Cache::saved_bytes).sum())?;
        for layer in &mut self.cache {
            layer.reserve(tokens.len())?;
        }
        let mut rest = cache;
        for layer in &mut self.cache {
            layer.visit(tokens.len(), &mut |part| {
                let next = rest.split_off(..part.len()).expect("the length is checked");
                part.copy_from_slice(next);
            });
        }
        self.cached = tokens.len();
        Ok(())
    }

    fn tune(&mut self, clock: Clock, threads: usize, fewer: bool) -> Result<Option<Tuning>> {
        for cache in &mut self.cache {
            cache.reserve(self.cached + 1)?;
        }
        Ok(Some(self.time_candidates(clock, threads, fewer)))
    }

    fn apply(&mut self, tuning: &Tuning) -> Tuning {
        self.kernel = Kernel::from_name(&tuning.kernel).unwrap_or(Kernel::DEFAULT);
        self.team.limit(tuning.threads);
        Tuning { kernel: self.kernel.name().into(), threads: self.team.active() }
    }
}
