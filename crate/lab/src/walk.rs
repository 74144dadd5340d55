//! A program over whole texts, layer by layer, in f32 and with the same bits everywhere: how the lab calibrates and evaluates.
//!
//! An executor runs all layers for some tokens; the lab runs all tokens through one layer, so that only that layer's weights are
//! decoded, their inputs can be watched ([`Tap`]), and what follows sees the compressed layer instead of the original.

use std::collections::HashMap;
use std::ops::Range;

use hearth_engine::cpu::divide::Rows;
use hearth_engine::cpu::team::Team;
use hearth_engine::naive::gelu_erf;
use hearth_engine::program::{Activation, Config, Linear, Norm, Op, Program, Rope, WeightId, softcap};

use crate::elementwise::{self as el, Gain, Turns};
use crate::matrix::{Matrix, Packed};
use crate::model::Model;

/// Who is told what goes into the products of operation `op`: `[T, in]`.
pub type Tap<'a> = &'a mut dyn FnMut(usize, &Matrix);

/// The operations of each layer; before the first one are the embedding's, behind the last one is the head.
pub fn layers(program: &Program) -> Vec<Range<usize>> {
    let mut layers: Vec<Range<usize>> = Vec::new();
    for (i, op) in program.ops.iter().enumerate() {
        let Some(layer) = layer_of(program, op) else { continue };
        if layers.len() <= layer {
            layers.resize(layer + 1, i..i);
        }
        layers[layer].end = i + 1;
    }
    layers
}

/// The layer that an operation's weights are of.
fn layer_of(program: &Program, op: &Op) -> Option<usize> {
    let weight = op.linears().map(|linear| linear.weight).chain(op.norms().map(|norm| norm.weight)).next()?;
    program.weights[weight].name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

/// Some operations with their weights decoded.
pub struct Stage<'a> {
    program: &'a Program,
    ops: Range<usize>,
    matrices: HashMap<WeightId, Packed>,
    vectors: HashMap<WeightId, Vec<f32>>,
    turns: Option<Turns>,
}

impl<'a> Stage<'a> {
    /// Operations of a program with the model's weights, for texts of up to `longest` tokens.
    pub fn new(model: &Model, program: &'a Program, ops: Range<usize>, longest: usize) -> Stage<'a> {
        let mut stage =
            Stage { program, ops: ops.clone(), matrices: HashMap::new(), vectors: HashMap::new(), turns: None };
        for op in &program.ops[ops] {
            let biases = op.linears().filter_map(|linear| linear.bias);
            let norms = op.norms().flat_map(|norm| [Some(norm.weight), norm.bias]).flatten();
            for id in biases.chain(norms) {
                stage.vectors.insert(id, model.weight(program, id).data);
            }
            for linear in op.linears() {
                stage.matrices.entry(linear.weight).or_insert_with(|| Packed::new(&model.linear(program, linear)));
            }
            if let Op::Attention { rope: Some(rope), .. } = op {
                stage.turns = Some(turns(model, program, *rope, longest));
            }
        }
        stage
    }

    /// Takes other numbers for a weight's; gives back those it had. Panics if the weight is not of this stage.
    pub fn swap(&mut self, id: WeightId, matrix: Packed) -> Packed {
        self.matrices.insert(id, matrix).expect("a weight of this stage")
    }

    /// Brings the residual stream of one text, `[T, D]`, through.
    pub fn run(&self, x: &mut Matrix, team: &mut Team, tap: Tap) {
        let mut h = Matrix::default();
        for i in self.ops.clone() {
            match &self.program.ops[i] {
                Op::Norm { norm } => self.gain(*norm).apply(&mut x.data),
                Op::NormLinear { norm, linears, activation } => {
                    let input = self.normed(*norm, x);
                    tap(i, &input);
                    let parts = linears.iter().map(|&linear| self.product(linear, &input, team)).collect();
                    h = join(parts, *activation);
                }
                op @ Op::Attention { .. } => h = self.attention(op, &h, team),
                Op::LinearAdd { linear, post_norm } => {
                    tap(i, &h);
                    let product = self.product(*linear, &h, team);
                    let product = self.normed(*post_norm, &product);
                    x.data.iter_mut().zip(&product.data).for_each(|(x, y)| *x += y);
                }
                Op::Embed { .. } | Op::Head { .. } => unreachable!("not of a layer"),
            }
        }
    }

    fn gain(&self, Norm { kind, weight, bias, eps }: Norm) -> Gain {
        let bias = bias.map_or(Vec::new(), |bias| self.vectors[&bias].clone());
        Gain { kind, weight: self.vectors[&weight].clone(), bias, eps }
    }

    fn normed(&self, norm: Option<Norm>, x: &Matrix) -> Matrix {
        let mut y = x.clone();
        if let Some(norm) = norm {
            self.gain(norm).apply(&mut y.data);
        }
        y
    }

    fn product(&self, Linear { weight, bias, .. }: Linear, x: &Matrix, team: &mut Team) -> Matrix {
        let mut out = self.matrices[&weight].times(x, team);
        if let Some(bias) = bias {
            el::add_row(&mut out, &self.vectors[&bias]);
        }
        out
    }

    fn attention(&self, op: &Op, qkv: &Matrix, team: &mut Team) -> Matrix {
        let &Op::Attention { q_norm, k_norm, rope, causal, window, scale, softcap: cap, .. } = op else {
            unreachable!("called for attention")
        };
        let Config { head_dim: e, .. } = self.program.config;
        // In the middle of a pass, some layers have fewer heads already.
        let share = self.program.config.n_heads / self.program.config.n_kv_heads;
        let n_kv_heads = qkv.cols / e / (share + 2);
        let n_heads = n_kv_heads * share;
        let (tokens, keys) = (qkv.rows, n_heads * e);
        let values = keys + n_kv_heads * e;
        let [q_norm, k_norm] = [q_norm, k_norm].map(|norm| norm.map(|norm| self.gain(norm)));
        let mut qkv = qkv.clone();
        for (t, row) in qkv.data.chunks_exact_mut(qkv.cols).enumerate() {
            let (q, k) = row[..values].split_at_mut(keys);
            for (norm, heads) in [(&q_norm, q), (&k_norm, k)] {
                if let Some(norm) = norm {
                    norm.apply(heads);
                }
                if let (Some(turns), true) = (&self.turns, rope.is_some()) {
                    turns.apply(t, heads, e);
                }
            }
        }
        let head = |at: usize| Matrix::new(e, qkv.iter().flat_map(|row| row[at..at + e].iter().copied()).collect());
        let mut heads = vec![0.0; tokens * keys];
        team.each(Rows::new(&mut heads, n_heads), |i, out| {
            let alone = &mut Team::alone();
            let group = i / (n_heads / n_kv_heads);
            let mut scores = Packed::new(&head(keys + group * e)).times(&head(i * e), alone);
            for (t, row) in scores.data.chunks_exact_mut(tokens).enumerate() {
                let end = if causal { t + 1 } else { tokens };
                let start = end - window.unwrap_or(usize::MAX).min(end);
                row[..start].fill(0.0);
                row[end..].fill(0.0);
                let seen = &mut row[start..end];
                seen.iter_mut().for_each(|score| *score *= scale);
                if let Some(cap) = cap {
                    seen.iter_mut().for_each(|score| *score = softcap(*score, cap));
                }
                el::softmax(seen);
            }
            let values = head(values + group * e).transposed();
            out.copy_from_slice(&Packed::new(&values).times(&scores, alone).data);
        });
        let mut out = Matrix::zeros(tokens, keys);
        for (i, head) in heads.chunks_exact(tokens * e).enumerate() {
            for (t, part) in head.chunks_exact(e).enumerate() {
                out.row_mut(t)[i * e..(i + 1) * e].copy_from_slice(part);
            }
        }
        out
    }
}

fn turns(model: &Model, program: &Program, rope: Rope, longest: usize) -> Turns {
    let divisors = rope.divisors.map(|id| model.weight(program, id).data);
    Turns::new(rope, &rope.frequencies(divisors.as_deref()), longest)
}

/// The products of one operation side by side, or joined.
fn join(mut parts: Vec<Matrix>, activation: Activation) -> Matrix {
    let each = |mut part: Matrix, f: fn(f32) -> f32| {
        part.data.iter_mut().for_each(|x| *x = f(*x));
        part
    };
    let gate: fn(f32) -> f32 = match activation {
        Activation::None => {
            let (rows, cols) = (parts[0].rows, parts.iter().map(|part| part.cols).sum());
            let data = (0..rows).flat_map(|t| parts.iter().flat_map(move |part| part.row(t))).copied().collect();
            return Matrix { rows, cols, data };
        }
        Activation::Gelu => return each(parts.remove(0), el::gelu),
        Activation::GeluErf => return each(parts.remove(0), gelu_erf),
        Activation::GatedSilu => el::silu,
        Activation::GatedGelu => el::gelu,
    };
    let up = parts.pop().expect("two matrices");
    let mut out = parts.pop().expect("two matrices");
    out.data.iter_mut().zip(&up.data).for_each(|(g, u)| *g = gate(*g) * u);
    out
}

/// What goes into the first layer for one text: `[T, D]`.
pub fn embed(model: &Model, program: &Program, tokens: &[u32]) -> Matrix {
    let dim = program.config.dim;
    let mut x = Matrix::zeros(tokens.len(), dim);
    let Some(Op::Embed { table, scale, positions, kind }) = program.ops.first() else {
        unreachable!("a program begins so")
    };
    let row = |id: WeightId, row: usize, out: &mut [f32]| {
        let weight = &program.weights[id];
        let row_bytes = weight.format.row_bytes(weight.cols).expect("the header was checked");
        weight.format.decode(&model.data[weight.tensor][(weight.first_row + row) * row_bytes..][..row_bytes], out);
    };
    let mut more = vec![0.0; dim];
    for (position, &token) in tokens.iter().enumerate() {
        let x = x.row_mut(position);
        row(*table, token as usize, x);
        x.iter_mut().for_each(|x| *x *= scale);
        for (id, index) in positions.iter().map(|id| (*id, position)).chain(kind.iter().map(|id| (*id, 0))) {
            row(id, index, &mut more);
            x.iter_mut().zip(&more).for_each(|(x, more)| *x += more);
        }
    }
    let first = layers(program).first().map_or(program.ops.len() - 1, |layer| layer.start);
    Stage::new(model, program, 1..first, tokens.len()).run(&mut x, &mut Team::alone(), &mut |_, _| {});
    x
}

/// The head: from residual stream to hidden states, and from those to logits.
pub struct Head {
    gain: Option<Gain>,
    transform: Option<(Packed, Vec<f32>, Activation)>,
    linear: Option<(Packed, Vec<f32>)>,
    softcap: Option<f32>,
}

impl Head {
    /// Of a model.
    pub fn new(model: &Model, program: &Program) -> Head {
        let Some(Op::Head { transform, norm, linear, softcap }) = program.ops.last() else {
            unreachable!("a program ends so")
        };
        let vector = |id: WeightId| model.weight(program, id).data;
        let linear_of =
            |linear: Linear| (Packed::new(&model.linear(program, linear)), linear.bias.map_or(Vec::new(), vector));
        let gain = norm.map(|Norm { kind, weight, bias, eps }| Gain {
            kind,
            weight: vector(weight),
            bias: bias.map_or(Vec::new(), vector),
            eps,
        });
        let transform = transform.map(|(linear, activation)| {
            let (matrix, bias) = linear_of(linear);
            (matrix, bias, activation)
        });
        Head { gain, transform, linear: linear.map(linear_of), softcap: *softcap }
    }

    /// Whether it makes logits.
    pub fn says(&self) -> bool {
        self.linear.is_some()
    }

    /// What the last product reads: `[T, D]`.
    pub fn hidden(&self, x: &Matrix, team: &mut Team) -> Matrix {
        let mut x = x.clone();
        if let Some((transform, bias, activation)) = &self.transform {
            x = transform.times(&x, team);
            el::add_row(&mut x, bias);
            x = join(vec![x], *activation);
        }
        if let Some(gain) = &self.gain {
            gain.apply(&mut x.data);
        }
        x
    }

    /// Logits `[T, V]` of hidden states. Panics where a model has none.
    pub fn logits(&self, hidden: &Matrix, team: &mut Team) -> Matrix {
        let (linear, bias) = self.linear.as_ref().expect("a head that says something");
        let mut logits = linear.times(hidden, team);
        if !bias.is_empty() {
            el::add_row(&mut logits, bias);
        }
        if let Some(cap) = self.softcap {
            logits.data.iter_mut().for_each(|logit| *logit = softcap(*logit, cap));
        }
        logits
    }
}
