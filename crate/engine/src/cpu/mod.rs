//! The fast executor: a program on SIMD lanes. Weights lie in tiles (`tiles`), activations are quantized once per operation
//! (`input`), keys and values are kept as f16 (`attention`). Everything is written over the few operations of `lanes`.

mod attention;
mod elementwise;
mod input;
mod lanes;
mod matrix;
mod tiles;

use crate::error::Result;
use crate::executor::{Executor, Logits};
use crate::program::{Activation, Norm, Op, Program, Rope, WeightId};
pub use attention::MAX_HEAD_DIM;
use attention::{Cache, Turns};
use input::Input;
use matrix::{Matrix, matrix};

/// Runs a program on the CPU.
pub struct Cpu {
    program: Program,
    matrices: Vec<Box<dyn Matrix>>,
    /// Norm weights and the like, decoded: used by every token and small.
    vectors: Vec<Vec<f32>>,
    cache: Vec<Cache>,
    cached: usize,
    scratch: Scratch,
}

/// Buffers that live from run to run.
#[derive(Default)]
struct Scratch {
    /// Residual stream, `[T, D]`.
    x: Vec<f32>,
    /// What the next matrix reads.
    input: Input,
    /// Products, `[T, out]`, of each matrix of an operation.
    products: Vec<Vec<f32>>,
    /// The angles of each rotation in use, for the positions of this run.
    turns: Vec<(Rope, Vec<f32>, Turns)>,
    scores: Vec<f32>,
    logits: Vec<f32>,
}

impl Cpu {
    /// An executor with memory reserved for its weights; load them next.
    pub fn new(program: Program) -> Result<Cpu> {
        let matrices = program.weights.iter().map(matrix).collect::<Result<Vec<_>>>()?;
        Ok(Cpu {
            matrices,
            vectors: vec![Vec::new(); program.weights.len()],
            cache: (0..program.config.n_layers).map(|_| Cache::new(&program.config)).collect(),
            cached: 0,
            scratch: Scratch::default(),
            program,
        })
    }

    fn run(&mut self, op: usize, tokens: &[u32], logits: Logits) {
        let Scratch { x, input, products, turns, scores, logits: out } = &mut self.scratch;
        let dim = self.program.config.dim;
        match &self.program.ops[op] {
            Op::Embed { table, scale } => {
                x.resize(tokens.len() * dim, 0.0);
                for (token, x) in tokens.iter().zip(x.chunks_exact_mut(dim)) {
                    self.matrices[*table].row(*token as usize, x);
                    x.iter_mut().for_each(|x| *x *= scale);
                }
            }
            Op::NormLinear { norm, linears, activation } => {
                norm_into(&self.vectors, *norm, x, input);
                multiply(&self.matrices, linears, input, products);
                match activation {
                    Activation::None => {}
                    Activation::GatedSilu => elementwise::gated_silu(products),
                    Activation::GatedGelu => elementwise::gated_gelu(products),
                }
                if *activation != Activation::None {
                    let [gated, ..] = products.as_slice() else { unreachable!("a gate has two matrices") };
                    input.clear(gated.len() / tokens.len());
                    input.x.extend_from_slice(gated);
                }
            }
            Op::Attention { layer, q_norm, k_norm, rope, window, scale } => {
                let [q, k, v, ..] = products.as_mut_slice() else { unreachable!("attention follows three matrices") };
                let head_dim = self.program.config.head_dim;
                for (norm, heads) in [(q_norm, &mut *q), (k_norm, &mut *k)] {
                    let Some(norm) = norm else { continue };
                    for head in heads.chunks_exact_mut(head_dim) {
                        elementwise::norm(head, &self.vectors[norm.weight], norm.eps);
                    }
                }
                let turns = turns_of(turns, *rope, &self.vectors, self.cached, tokens.len());
                turns.rotate(q, head_dim);
                turns.rotate(k, head_dim);
                let cache = &mut self.cache[*layer];
                cache.append(self.cached, k, v);
                input.clear(self.program.config.n_heads * head_dim);
                input.x.resize(q.len(), 0.0);
                cache.attend(self.cached, q, *window, *scale, scores, &mut input.x);
            }
            Op::LinearAdd { linear, post_norm } => {
                multiply(&self.matrices, &[*linear], input, products);
                if let Some(norm) = post_norm {
                    for row in products[0].chunks_exact_mut(dim) {
                        elementwise::norm(row, &self.vectors[norm.weight], norm.eps);
                    }
                }
                x.iter_mut().zip(&products[0]).for_each(|(x, y)| *x += y);
            }
            Op::Head { norm, linear } => {
                let first = match logits {
                    Logits::None => return,
                    Logits::Last => x.len() - dim,
                    Logits::All => 0,
                };
                norm_into(&self.vectors, *norm, &x[first..], input);
                multiply(&self.matrices, &[*linear], input, products);
                std::mem::swap(out, &mut products[0]);
            }
        }
    }
}

/// Norms rows of `x` into `input`.
fn norm_into(vectors: &[Vec<f32>], norm: Norm, x: &[f32], input: &mut Input) {
    let weight = &vectors[norm.weight];
    input.clear(weight.len());
    input.x.extend_from_slice(x);
    for row in input.x.chunks_exact_mut(weight.len()) {
        elementwise::norm(row, weight, norm.eps);
    }
}

/// The products of `input` with several matrices, each into its own buffer.
fn multiply(matrices: &[Box<dyn Matrix>], ids: &[WeightId], input: &mut Input, products: &mut Vec<Vec<f32>>) {
    products.resize_with(ids.len().max(products.len()), Vec::new);
    if ids.iter().any(|&id| matrices[id].wants_blocks()) {
        input.quantize();
    }
    for (&id, product) in ids.iter().zip(&mut *products) {
        product.resize(input.tokens() * matrices[id].rows(), 0.0);
        matrices[id].product(input, product);
    }
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
    fn load_rows(&mut self, weight: WeightId, _first_row: usize, bytes: &[u8]) -> Result<()> {
        self.matrices[weight].load_rows(bytes);
        let spec = &self.program.weights[weight];
        if spec.rows == 1 {
            let vector = &mut self.vectors[weight];
            vector.resize(spec.cols, 0.0);
            spec.format.decode(bytes, vector);
        }
        Ok(())
    }

    fn forward(&mut self, tokens: &[u32], logits: Logits) -> Result<&[f32]> {
        for cache in &mut self.cache {
            cache.reserve(self.cached + tokens.len())?;
        }
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

    fn cached(&self) -> usize {
        self.cached
    }

    fn truncate(&mut self, len: usize) {
        self.cached = self.cached.min(len);
    }
}
