//! The oracle: every operation as a plain f32 loop over decoded weights. Slow and meant to be read; `cpu/` must agree.

use std::future::ready;

use crate::error::{Error, Result};
use crate::executor::{Cache, Executor, Logits, Run, check_length};
use crate::program::{Activation, Config, Linear, Norm, NormKind, Op, Program, Rope, RopePairs, WeightId, softcap};

/// Runs a program with plain loops.
pub struct Naive {
    program: Program,
    /// Every weight as the file stores it.
    bytes: Vec<Vec<u8>>,
    /// Keys and values of each layer, `[S, K, E]`.
    cache: Vec<[Vec<f32>; 2]>,
    cached: usize,
    /// What the head made.
    out: Vec<f32>,
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
            cache: vec![Default::default(); program.config.n_caches],
            cached: 0,
            out: Vec::new(),
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
    fn times(&self, id: WeightId, x: &[f32]) -> Vec<f32> {
        let weight = &self.program.weights[id];
        let mut out = vec![0.0; x.len() / weight.cols * weight.rows];
        for row in 0..weight.rows {
            let numbers = self.row(id, row);
            for (x, out) in x.chunks_exact(weight.cols).zip(out.chunks_exact_mut(weight.rows)) {
                out[row] = numbers.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
            }
        }
        out
    }

    /// `x: [T, in]` → `x Wᵀ + s (x Aᵀ) Bᵀ + b: [T, out]`.
    fn linear(&self, linear: Linear, x: &[f32]) -> Vec<f32> {
        let whole = linear.whole().map(|id| self.times(id, x));
        let low = linear.low_rank.map(|low| {
            let products = self.times(low.b, &self.times(low.a, x));
            products.into_iter().map(|product| low.scale * product).collect::<Vec<_>>()
        });
        let bias = linear.bias.map(|id| self.row(id, 0));
        let mut parts = [whole, low].into_iter().flatten();
        let mut out = parts.next().expect("one or the other");
        parts.for_each(|part| out.iter_mut().zip(part).for_each(|(out, part)| *out += part));
        if let Some(bias) = bias {
            out.chunks_exact_mut(bias.len()).flatten().zip(bias.iter().cycle()).for_each(|(out, bias)| *out += bias);
        }
        out
    }

    /// Norms every stretch of `weight.len()` numbers.
    fn norm(&self, norm: Norm, x: &[f32]) -> Vec<f32> {
        let weight = self.row(norm.weight, 0);
        let bias = norm.bias.map_or(vec![0.0; weight.len()], |id| self.row(id, 0));
        let mut y = x.to_vec();
        for y in y.chunks_exact_mut(weight.len()) {
            let mean = |y: &[f32]| y.iter().sum::<f32>() / y.len() as f32;
            if norm.kind == NormKind::Layer {
                let mean = mean(y);
                y.iter_mut().for_each(|y| *y -= mean);
            }
            let square = mean(&y.iter().map(|y| y * y).collect::<Vec<_>>());
            let factor = 1.0 / (square + norm.eps).sqrt();
            y.iter_mut().zip(&weight).zip(&bias).for_each(|((y, w), b)| *y = *y * factor * w + b);
        }
        y
    }

    /// The same, or `x` as it is.
    fn norm_if_any(&self, norm: Option<Norm>, x: &[f32]) -> Vec<f32> {
        norm.map_or(x.to_vec(), |norm| self.norm(norm, x))
    }

    fn run(&mut self, op: &Op, tokens: &[u32], state: &mut State, logits: Logits) {
        match op {
            Op::Embed { table, scale, positions, kind } => {
                state.x.clear();
                for (position, &token) in (self.cached..).zip(tokens) {
                    let mut x: Vec<f32> = self.row(*table, token as usize).iter().map(|x| x * scale).collect();
                    let more = [positions.map(|id| self.row(id, position)), kind.map(|id| self.row(id, 0))];
                    more.iter().flatten().for_each(|more| x.iter_mut().zip(more).for_each(|(x, more)| *x += more));
                    state.x.extend(x);
                }
            }
            Op::Norm { norm } => state.x = self.norm(*norm, &state.x),
            Op::NormLinear { norm, linears, activation } => {
                let y = self.norm_if_any(*norm, &state.x);
                let parts: Vec<_> = linears.iter().map(|&linear| self.linear(linear, &y)).collect();
                state.h = join(&parts, tokens.len(), *activation);
            }
            Op::Attention { .. } => self.attention(op, state),
            Op::LinearAdd { linear, post_norm } => {
                let y = self.norm_if_any(*post_norm, &self.linear(*linear, &state.h));
                state.x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            }
            Op::Head { transform, norm, linear, softcap: cap } => {
                let dim = self.program.config.dim;
                let first = match logits {
                    Logits::None => state.x.len(),
                    Logits::Last => state.x.len() - dim,
                    Logits::All | Logits::Hidden => 0,
                };
                let mut y = state.x[first..].to_vec();
                let hidden = logits == Logits::Hidden;
                if let Some((linear, activation)) = transform.filter(|_| !hidden) {
                    y = join(&[self.linear(linear, &y)], y.len() / dim, activation);
                }
                if !(hidden && transform.is_some()) {
                    y = self.norm_if_any(*norm, &y);
                }
                self.out = match linear {
                    Some(linear) if !hidden => self.linear(*linear, &y),
                    _ => y,
                };
                if let Some(cap) = cap.filter(|_| !hidden) {
                    self.out.iter_mut().for_each(|logit| *logit = softcap(*logit, cap));
                }
            }
        }
    }

    fn attention(&mut self, op: &Op, state: &mut State) {
        let &Op::Attention { layer, q_norm, k_norm, rope, causal, window, scale, softcap: cap } = op else {
            unreachable!("called for attention")
        };
        let (n_heads, n_kv_heads) = (self.program.config.n_heads, self.program.config.n_kv_heads);
        let head_dim = self.program.config.head_dim;
        let (q_dim, kv_dim) = (n_heads * head_dim, n_kv_heads * head_dim);
        let frequencies = rope.map(|rope| {
            let divisors = rope.divisors.map(|id| self.row(id, 0));
            (rope, rope.frequencies(divisors.as_deref()))
        });
        let mut queries = Vec::new();
        for (position, qkv) in (self.cached..).zip(state.h.chunks_exact(q_dim + 2 * kv_dim)) {
            let mut q = self.norm_if_any(q_norm, &qkv[..q_dim]);
            let mut k = self.norm_if_any(k_norm, &qkv[q_dim..q_dim + kv_dim]);
            for head in q.chunks_exact_mut(head_dim).chain(k.chunks_exact_mut(head_dim)) {
                if let Some((rope, frequencies)) = &frequencies {
                    rotate(head, rope, frequencies, position);
                }
            }
            queries.push(q);
            self.cache[layer][0].extend(k);
            self.cache[layer][1].extend(&qkv[q_dim + kv_dim..]);
        }
        let [keys, values] = &self.cache[layer];
        let mut out = Vec::new();
        for (t, q) in queries.iter().enumerate() {
            let end = if causal { self.cached + t + 1 } else { self.cached + queries.len() };
            let visible = end - window.unwrap_or(usize::MAX).min(end)..end;
            for (head, q) in q.chunks_exact(head_dim).enumerate() {
                let at = |s: usize| s * kv_dim + head / (n_heads / n_kv_heads) * head_dim;
                let mut scores: Vec<f32> = visible
                    .clone()
                    .map(|s| q.iter().zip(&keys[at(s)..]).map(|(q, k)| q * k).sum::<f32>() * scale)
                    .collect();
                if let Some(cap) = cap {
                    scores.iter_mut().for_each(|score| *score = softcap(*score, cap));
                }
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
        Activation::Gelu => return parts[0].iter().map(|&x| gelu(x)).collect(),
        Activation::GeluErf => return parts[0].iter().map(|&x| gelu_erf(x)).collect(),
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

/// `x · Φ(x)`, by the error function.
pub fn gelu_erf(x: f32) -> f32 {
    0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2))
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
        let (sin, cos) = (sin * rope.magnitude, cos * rope.magnitude);
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
        Box::pin(ready(Ok(self.out.as_slice())))
    }

    fn cached(&self) -> usize {
        self.cached
    }

    fn cache_bytes(&self) -> usize {
        let Config { n_caches, n_kv_heads, head_dim, .. } = self.program.config;
        2 * n_caches * n_kv_heads * head_dim * size_of::<f32>()
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
