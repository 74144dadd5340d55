//! The oracle: every operation as a plain f32 loop over decoded weights. Slow and meant to be read; `cpu/` must agree.

use std::future::ready;

use crate::error::{Error, Result};
use crate::executor::{Cache, Executor, Logits, Run, check_length};
use crate::program::{Activation, Config, Norm, Op, Program, Rope, RopePairs, WeightId};

/// Runs a program with plain loops.
pub struct Naive {
    program: Program,
    /// Every weight as the file stores it.
    bytes: Vec<Vec<u8>>,
    /// Keys and values of each layer, `[S, K, E]`.
    cache: Vec<[Vec<f32>; 2]>,
    cached: usize,
    logits: Vec<f32>,
}

/// The two arrays between operations.
struct State {
    /// Residual stream, `[T, D]`.
    x: Vec<f32>,
    /// What the last operation wrote, `[T, its width]`.
    h: Vec<f32>,
}

impl Naive {
    /// An executor without weights; load them next.
    pub fn new(program: Program) -> Naive {
        Naive {
            bytes: vec![Vec::new(); program.weights.len()],
            cache: vec![Default::default(); program.config.n_layers],
            cached: 0,
            logits: Vec::new(),
            program,
        }
    }

    /// Row `row` of a weight, decoded.
    fn row(&self, id: WeightId, row: usize) -> Vec<f32> {
        let weight = &self.program.weights[id];
        let row_bytes = weight.format.row_bytes(weight.cols).expect("checked at load");
        let mut numbers = vec![0.0; weight.cols];
        weight.format.decode(&self.bytes[id][row * row_bytes..][..row_bytes], &mut numbers);
        numbers
    }

    /// `x: [T, in]` → `x Wᵀ: [T, out]`.
    fn linear(&self, id: WeightId, x: &[f32]) -> Vec<f32> {
        let weight = &self.program.weights[id];
        let mut out = vec![0.0; x.len() / weight.cols * weight.rows];
        for row in 0..weight.rows {
            let numbers = self.row(id, row);
            for (x, out) in x.chunks_exact(weight.cols).zip(out.chunks_exact_mut(weight.rows)) {
                out[row] = numbers.iter().zip(x).map(|(w, x)| w * x).sum();
            }
        }
        out
    }

    /// Norms every stretch of `weight.len()` numbers.
    fn norm(&self, norm: Norm, x: &[f32]) -> Vec<f32> {
        let weight = self.row(norm.weight, 0);
        let mut y = x.to_vec();
        for y in y.chunks_exact_mut(weight.len()) {
            let mean = y.iter().map(|y| y * y).sum::<f32>() / y.len() as f32;
            let factor = 1.0 / (mean + norm.eps).sqrt();
            y.iter_mut().zip(&weight).for_each(|(y, w)| *y *= factor * w);
        }
        y
    }

    fn run(&mut self, op: &Op, tokens: &[u32], state: &mut State, logits: Logits) {
        match op {
            Op::Embed { table, scale } => {
                let rows = tokens.iter().map(|&token| self.row(*table, token as usize));
                state.x = rows.flatten().map(|number| number * scale).collect();
            }
            Op::NormLinear { norm, linears, activation } => {
                let y = self.norm(*norm, &state.x);
                let parts: Vec<_> = linears.iter().map(|&linear| self.linear(linear, &y)).collect();
                state.h = join(&parts, tokens.len(), *activation);
            }
            Op::Attention { layer, q_norm, k_norm, rope, window, scale } => {
                self.attention(*layer, [*q_norm, *k_norm], rope, *window, *scale, state);
            }
            Op::LinearAdd { linear, post_norm } => {
                let mut y = self.linear(*linear, &state.h);
                if let Some(norm) = post_norm {
                    y = self.norm(*norm, &y);
                }
                state.x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            }
            Op::Head { norm, linear } => {
                let dim = self.program.config.dim;
                let first = match logits {
                    Logits::None => state.x.len(),
                    Logits::Last => state.x.len() - dim,
                    Logits::All => 0,
                };
                let y = self.norm(*norm, &state.x[first..]);
                self.logits = self.linear(*linear, &y);
            }
        }
    }

    fn attention(
        &mut self,
        layer: usize,
        [q_norm, k_norm]: [Option<Norm>; 2],
        rope: &Rope,
        window: Option<usize>,
        scale: f32,
        state: &mut State,
    ) {
        let (n_heads, n_kv_heads) = (self.program.config.n_heads, self.program.config.n_kv_heads);
        let head_dim = self.program.config.head_dim;
        let (q_dim, kv_dim) = (n_heads * head_dim, n_kv_heads * head_dim);
        let divisors = rope.divisors.map(|id| self.row(id, 0));
        let frequencies = rope.frequencies(divisors.as_deref());
        let mut out = Vec::new();
        for (t, qkv) in state.h.chunks_exact(q_dim + 2 * kv_dim).enumerate() {
            let position = self.cached + t;
            let mut q = qkv[..q_dim].to_vec();
            let mut k = qkv[q_dim..q_dim + kv_dim].to_vec();
            if let Some(norm) = q_norm {
                q = self.norm(norm, &q);
            }
            if let Some(norm) = k_norm {
                k = self.norm(norm, &k);
            }
            for head in q.chunks_exact_mut(head_dim).chain(k.chunks_exact_mut(head_dim)) {
                rotate(head, rope, &frequencies, position);
            }
            self.cache[layer][0].extend(k);
            self.cache[layer][1].extend(&qkv[q_dim + kv_dim..]);

            let [keys, values] = &self.cache[layer];
            let visible = position + 1 - window.unwrap_or(usize::MAX).min(position + 1)..position + 1;
            for (head, q) in q.chunks_exact(head_dim).enumerate() {
                let at = |s: usize| s * kv_dim + head / (n_heads / n_kv_heads) * head_dim;
                let mut scores: Vec<f32> = visible
                    .clone()
                    .map(|s| q.iter().zip(&keys[at(s)..]).map(|(q, k)| q * k).sum::<f32>() * scale)
                    .collect();
                softmax(&mut scores);
                let mut y = vec![0.0; head_dim];
                for (s, score) in visible.clone().zip(scores) {
                    y.iter_mut().zip(&values[at(s)..]).for_each(|(y, v)| *y += score * v);
                }
                out.extend(y);
            }
        }
        state.h = out;
    }
}

/// The products of one op, each `[T, out]`, side by side `[T, sum of out]`, or gated.
fn join(parts: &[Vec<f32>], tokens: usize, activation: Activation) -> Vec<f32> {
    let gate: fn(f32) -> f32 = match activation {
        Activation::None => {
            let row = |part: &[f32], t: usize| part[t * part.len() / tokens..(t + 1) * part.len() / tokens].to_vec();
            return (0..tokens).flat_map(|t| parts.iter().flat_map(move |part| row(part, t))).collect();
        }
        Activation::GatedSilu => silu,
        Activation::GatedGelu => gelu,
    };
    parts[0].iter().zip(&parts[1]).map(|(&g, u)| gate(g) * u).collect()
}

/// `x · sigmoid(x)`.
pub fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

/// `x · Φ(x)`, tanh form.
pub fn gelu(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + (SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)).tanh())
}

fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - max).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

fn rotate(head: &mut [f32], rope: &Rope, frequencies: &[f32], position: usize) {
    for (i, frequency) in frequencies.iter().enumerate() {
        let (a, b) = match rope.pairs {
            RopePairs::Neighbours => (2 * i, 2 * i + 1),
            RopePairs::Halves => (i, i + rope.dims / 2),
        };
        let (sin, cos) = (position as f32 * frequency).sin_cos();
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
    }
}

impl Executor for Naive {
    fn program(&self) -> &Program {
        &self.program
    }

    fn load_rows(&mut self, weight: WeightId, _first_row: usize, bytes: &[u8]) -> Result<()> {
        let held = &mut self.bytes[weight];
        if held.is_empty() {
            let spec = &self.program.weights[weight];
            let bytes = spec.rows * spec.format.row_bytes(spec.cols).expect("checked at load");
            let refused = |_| Error::OutOfMemory { what: spec.name.clone(), bytes };
            held.try_reserve_exact(bytes).map_err(refused)?;
        }
        held.extend_from_slice(bytes);
        Ok(())
    }

    fn forward<'a>(&'a mut self, tokens: &'a [u32], logits: Logits) -> Run<'a> {
        let mut state = State { x: Vec::new(), h: Vec::new() };
        for op in self.program.ops.clone() {
            self.run(&op, tokens, &mut state, logits);
        }
        self.cached += tokens.len();
        Box::pin(ready(Ok(self.logits.as_slice())))
    }

    fn cached(&self) -> usize {
        self.cached
    }

    fn cache_bytes(&self) -> usize {
        let Config { n_layers, n_kv_heads, head_dim, .. } = self.program.config;
        2 * n_layers * n_kv_heads * head_dim * size_of::<f32>()
    }

    fn cache_format(&self) -> &'static str {
        "naive f32"
    }

    fn save(&mut self) -> Cache<'_> {
        let numbers = self.cache.iter().flatten().flatten();
        Box::pin(ready(Ok(numbers.flat_map(|number| number.to_le_bytes()).collect())))
    }

    fn restore(&mut self, tokens: &[u32], cache: &[u8]) -> Result<()> {
        check_length(cache, tokens.len(), self.cache_bytes())?;
        let numbers: Vec<f32> = cache.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
        let len = tokens.len() * self.program.config.n_kv_heads * self.program.config.head_dim;
        for (i, part) in self.cache.iter_mut().flatten().enumerate() {
            *part = numbers[i * len..(i + 1) * len].to_vec();
        }
        self.cached = tokens.len();
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.cached = self.cached.min(len);
        let kv_dim = self.program.config.n_kv_heads * self.program.config.head_dim;
        for part in self.cache.iter_mut().flatten() {
            part.truncate(self.cached * kv_dim);
        }
    }
}
