//! The fast executor: a program on SIMD lanes and several threads. Weights lie in tiles (`tiles`), activations are quantized
//! once per operation (`input`), keys and values are kept as bytes (`cache`). Everything is written over the few operations of
//! `lanes`; a `team` of threads takes the pieces of each operation from a counter.

mod attention;
mod cache;
mod codes;
mod dense;
mod divide;
mod dots;
mod elementwise;
mod input;
mod lanes;
mod matrix;
pub mod measure;
mod plan;
mod rope;
pub mod team;
mod tiles;
mod tune;

use std::future::ready;

use crate::error::Result;
use crate::executor::{self, Executor, Logits, Run, Tuning, check_length};
use crate::program::{Activation, Norm, Op, Program, Rope, WeightId};
use attention::Cut;
pub use attention::MAX_HEAD_DIM;
use cache::Cache;
use divide::{Columns, Rows};
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
            cache: (0..program.config.n_layers).map(|_| Cache::new(&program.config)).collect(),
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
            Op::Embed { table, scale } => {
                x.resize(count * dim, 0.0);
                team.each(Rows::new(x, count), |t, x| {
                    weights.matrices[*table].row(tokens[t] as usize, x);
                    x.iter_mut().for_each(|x| *x *= scale);
                });
            }
            Op::NormLinear { norm, linears, activation } => {
                weights.prepare_normed(*norm, x, input, team, weights.forms(linears, *kernel));
                h.resize(count * plan.width(), 0.0);
                let gate = match activation {
                    Activation::None => return weights.multiply(plan, *kernel, input, h, team),
                    Activation::GatedSilu => elementwise::gated_silu,
                    Activation::GatedGelu => elementwise::gated_gelu,
                };
                weights.multiply_gated(plan, *kernel, input, (h, up), gate, team);
                // The matrix that reads it comes next and says in what form.
                input.resize(count, plan.width(), Forms::default());
                std::mem::swap(&mut input.x, h);
            }
            Op::Attention { layer, q_norm, k_norm, rope, window, scale } => {
                let (e, n_kv_heads) = (config.head_dim, config.n_kv_heads);
                let (queries, keys) = (config.n_heads * e, n_kv_heads * e);
                let width = queries + 2 * keys;
                let turns = turns_of(turns, *rope, &weights.vectors, first, count);
                team.each(Rows::new(h, count), |t, h| {
                    let (q, rest) = h.split_at_mut(queries);
                    for (norm, heads) in [(q_norm, q), (k_norm, &mut rest[..keys])] {
                        if let Some(norm) = norm {
                            let weight = &weights.vectors[norm.weight];
                            heads.chunks_exact_mut(e).for_each(|head| elementwise::norm(head, weight, norm.eps));
                        }
                        turns.rotate(t, heads, e);
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
                let cut = Cut::new(config, first, count, *window);
                units.resize(cut.len(), 0.0);
                team.each(Rows::new(units, cut.units()), |i, out| cut.attend(i, heads, h, width, *scale, out));
                // The matrix that reads it comes next and says in what form.
                input.resize(count, queries, Forms::default());
                team.each(Rows::new(&mut input.x, count), |t, x| cut.merge(t, units, x));
            }
            Op::LinearAdd { linear, post_norm } => {
                let forms = weights.matrices[*linear].forms(*kernel);
                prepare(input, team, forms);
                h.resize(count * dim, 0.0);
                match post_norm {
                    None => weights.multiply_add(plan, *kernel, input, h, x, team),
                    Some(norm) => {
                        weights.multiply(plan, *kernel, input, h, team);
                        team.each((Rows::new(h, count), Rows::new(x, count)), |_, (h, x)| {
                            elementwise::norm(h, &weights.vectors[norm.weight], norm.eps);
                            elementwise::add(x, h);
                        });
                    }
                }
            }
            Op::Head { norm, linear } => {
                let first = match logits {
                    Logits::None => return,
                    Logits::Last => x.len() - dim,
                    Logits::All => 0,
                };
                weights.prepare_normed(*norm, &x[first..], input, team, weights.matrices[*linear].forms(*kernel));
                out.resize(input.tokens() * plan.width(), 0.0);
                weights.multiply(plan, *kernel, input, out, team);
            }
        }
    }
}

impl Weights {
    /// The forms that any of these reads.
    fn forms(&self, linears: &[WeightId], kernel: Kernel) -> Forms {
        linears
            .iter()
            .map(|&id| self.matrices[id].forms(kernel))
            .fold(Forms::default(), |a, b| Forms { pairs: a.pairs | b.pairs, bytes: a.bytes | b.bytes })
    }

    /// Norms the rows of `x` into `input`, in these forms.
    fn prepare_normed(&self, norm: Norm, x: &[f32], input: &mut Input, team: &mut Team, forms: Forms) {
        let weight = &self.vectors[norm.weight];
        let (cols, count) = (weight.len(), x.len() / weight.len());
        input.resize(count, cols, forms);
        team.each(input.rows(count), |t, (row, pairs, bytes)| {
            row.copy_from_slice(&x[t * cols..(t + 1) * cols]);
            elementwise::norm(row, weight, norm.eps);
            quantize(row, pairs, bytes);
        });
    }

    /// The products of `input` with the plan's matrices, side by side.
    fn multiply(&self, plan: &Plan, kernel: Kernel, input: &Input, out: &mut [f32], team: &mut Team) {
        team.each(Columns::new(out, plan.width(), plan.bounds()), |i, mut strip| {
            let (matrix, bands) = plan.piece(i);
            self.matrices[matrix].product(kernel, input, bands, &mut strip);
        });
    }

    /// `gate(W₀ x, W₁ x)` for the two matrices of the plan.
    fn multiply_gated(
        &self,
        plan: &Plan,
        kernel: Kernel,
        input: &Input,
        (gates, ups): (&mut [f32], &mut Vec<f32>),
        gate: fn(&mut [f32], &[f32]),
        team: &mut Team,
    ) {
        ups.resize(gates.len(), 0.0);
        let (width, bounds) = (plan.width(), plan.bounds());
        team.each((Columns::new(gates, width, bounds), Columns::new(ups, width, bounds)), |i, (mut gates, mut ups)| {
            let (matrix, bands) = plan.piece(i);
            self.matrices[matrix].product(kernel, input, bands.clone(), &mut gates);
            self.matrices[plan.up()].product(kernel, input, bands, &mut ups);
            (0..input.tokens()).for_each(|t| gate(gates.row(t), ups.row(t)));
        });
    }

    /// `x += W · input`.
    fn multiply_add(&self, plan: &Plan, kernel: Kernel, input: &Input, h: &mut [f32], x: &mut [f32], team: &mut Team) {
        let (width, bounds) = (plan.width(), plan.bounds());
        team.each((Columns::new(h, width, bounds), Columns::new(x, width, bounds)), |i, (mut h, mut x)| {
            let (matrix, bands) = plan.piece(i);
            self.matrices[matrix].product(kernel, input, bands, &mut h);
            (0..input.tokens()).for_each(|t| elementwise::add(x.row(t), h.row(t)));
        });
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
        } else {
            self.weights.matrices[weight].load_rows(bytes);
        }
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
