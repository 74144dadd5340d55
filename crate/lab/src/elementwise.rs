//! What happens to numbers between products, the same bits everywhere: sums in one order, and an exponential of our own, since a
//! platform's may differ in its last bit.

use crate::matrix::Matrix;
use hearth_engine::program::{NormKind, Rope, RopePairs};

/// Lanes of a sum: eight partial sums, joined in order.
const LANES: usize = 8;

/// `e^x`, relative error below 2.5e-7 for x from −87 to 88; beyond, what it is there. `2^n · e^r` with `r` within ±ln 2 / 2 by a
/// polynomial (Cephes' `expf`). Without branches, so that it becomes lanes.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const WHOLE: f32 = 1.5 * (1 << 23) as f32;
    let x = x.clamp(-87.0, 88.0);
    let n = x * std::f32::consts::LOG2_E + WHOLE - WHOLE;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = ((((1.987_569_1e-4 * r + 1.398_199_9e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r + 1.666_666_5e-1)
        * r
        + 0.5;
    let e = p * r * r + r + 1.0;
    e * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

/// `tanh(x)` by `exp`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp(2.0 * x.clamp(-10.0, 10.0));
    (e - 1.0) / (e + 1.0)
}

/// `x · sigmoid(x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `x · Φ(x)`, tanh form.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)))
}

/// `Σ f(x_i)` in eight lanes.
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (lanes, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for lane in lanes {
        sums.iter_mut().zip(lane).for_each(|(sum, &x)| *sum += f(x));
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

/// `Σ x y`, in order.
pub fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// A norm's numbers.
pub struct Gain {
    /// Which.
    pub kind: NormKind,
    /// Factors.
    pub weight: Vec<f32>,
    /// What is added; nothing, if empty.
    pub bias: Vec<f32>,
    /// Keeps the root away from zero.
    pub eps: f32,
}

impl Gain {
    /// Norms every stretch of as many numbers as the norm has.
    pub fn apply(&self, x: &mut [f32]) {
        let n = self.weight.len();
        for x in x.chunks_exact_mut(n) {
            if self.kind == NormKind::Layer {
                let mean = sum(x, |x| x) / n as f32;
                x.iter_mut().for_each(|x| *x -= mean);
            }
            let factor = 1.0 / (sum(x, |x| x * x) / n as f32 + self.eps).sqrt();
            x.iter_mut().zip(&self.weight).for_each(|(x, w)| *x = *x * factor * w);
            x.iter_mut().zip(&self.bias).for_each(|(x, b)| *x += b);
        }
    }
}

/// Softmax in place.
pub fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = exp(*score - max));
    let sum = sum(scores, |x| x);
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// `ln Σ e^x`.
pub fn log_sum_exp(x: &[f32]) -> f64 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Stretches, so that a large vocabulary's sum keeps its digits.
    let sum: f64 = x.chunks(1024).map(|x| f64::from(sum(x, |x| exp(x - max)))).sum();
    f64::from(max) + libm::log(sum)
}

/// Cosines and sines of every position: `[positions, pairs]` each.
pub struct Turns {
    rope: Rope,
    pairs: usize,
    turns: Vec<[f32; 2]>,
}

impl Turns {
    /// For `positions` from 0 on.
    pub fn new(rope: Rope, frequencies: &[f32], positions: usize) -> Turns {
        let turn = |position: usize, frequency: f32| {
            let (sin, cos) = libm::sincosf(position as f32 * frequency);
            [cos * rope.magnitude, sin * rope.magnitude]
        };
        let turns = (0..positions).flat_map(|position| frequencies.iter().map(move |&f| turn(position, f))).collect();
        Turns { rope, pairs: frequencies.len(), turns }
    }

    /// Turns heads of `head_dim` numbers of the token at a position.
    pub fn apply(&self, position: usize, heads: &mut [f32], head_dim: usize) {
        let turns = &self.turns[position * self.pairs..][..self.pairs];
        for head in heads.chunks_exact_mut(head_dim) {
            for (i, [cos, sin]) in turns.iter().enumerate() {
                let (a, b) = match self.rope.pairs {
                    RopePairs::Neighbours => (2 * i, 2 * i + 1),
                    RopePairs::Halves => (i, i + self.rope.dims / 2),
                };
                (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
            }
        }
    }
}

/// Adds a row to every row.
pub fn add_row(x: &mut Matrix, row: &[f32]) {
    x.data.chunks_exact_mut(row.len()).for_each(|x| x.iter_mut().zip(row).for_each(|(x, b)| *x += b));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_one() {
        for i in -8600..=8700 {
            let x = i as f32 / 100.0 + 0.003;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2.5e-7, "{x}: {}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert!((tanh(0.5) - 0.5_f32.tanh()).abs() < 1e-6 && (tanh(-20.0) + 1.0).abs() < 1e-6);
    }
}
