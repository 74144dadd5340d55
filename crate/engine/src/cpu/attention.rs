//! Rotation of heads, the cache of keys and values, and `softmax(Q Kᵀ · scale) V`.
//!
//! Keys and values are f16 in pages of 256 positions, `[K, 256, E]` each, so memory grows with the conversation and never
//! moves. Halves too small to be normal are stored as zero: widened, they would be subnormal f32, which many machines
//! compute far more slowly. (bf16 would be quicker to widen and four times less precise.)

use std::ops::Range;

use half::f16;

use super::lanes::{F32x4, HALF_SCALE};
use crate::error::{Error, Result};
use crate::program::{Config, Rope, RopePairs};

/// Sines and cosines for a run of positions.
#[derive(Default)]
pub struct Turns {
    first: usize,
    pairs: Option<RopePairs>,
    /// `[T, dims / 2]` of (cos, sin).
    turns: Vec<(f32, f32)>,
    half: usize,
}

impl Turns {
    /// Computes them unless they are there already.
    pub fn prepare(&mut self, rope: Rope, frequencies: &[f32], first: usize, tokens: usize) {
        if self.pairs.is_some() && self.first == first && self.turns.len() == tokens * frequencies.len() {
            return;
        }
        (self.first, self.pairs, self.half) = (first, Some(rope.pairs), frequencies.len());
        self.turns.clear();
        for position in first..first + tokens {
            self.turns.extend(frequencies.iter().map(|frequency| {
                let (sin, cos) = (position as f32 * frequency).sin_cos();
                (cos, sin)
            }));
        }
    }

    /// Turns all heads of all tokens: `heads: [T, heads · E]`.
    pub fn rotate(&self, heads: &mut [f32], head_dim: usize) {
        let tokens = self.turns.len() / self.half;
        let row_len = heads.len() / tokens;
        for (row, turns) in heads.chunks_exact_mut(row_len).zip(self.turns.chunks_exact(self.half)) {
            for head in row.chunks_exact_mut(head_dim) {
                for (i, (cos, sin)) in turns.iter().enumerate() {
                    let (a, b) = match self.pairs {
                        Some(RopePairs::Halves) => (i, i + self.half),
                        _ => (2 * i, 2 * i + 1),
                    };
                    (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
                }
            }
        }
    }
}

/// Positions in a page.
const PAGE: usize = 256;

/// Widest head there is room for: twice the widest model we know.
pub const MAX_HEAD_DIM: usize = 512;

struct Page {
    keys: Vec<u16>,
    values: Vec<u16>,
}

/// The keys and values of one layer.
pub struct Cache {
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    pages: Vec<Page>,
}

impl Cache {
    /// Empty.
    pub fn new(config: &Config) -> Cache {
        let Config { n_heads, n_kv_heads, head_dim, .. } = *config;
        Cache { n_heads, n_kv_heads, head_dim, pages: Vec::new() }
    }

    /// Makes room for `positions`.
    pub fn reserve(&mut self, positions: usize) -> Result<()> {
        let len = self.n_kv_heads * PAGE * self.head_dim;
        while self.pages.len() * PAGE < positions {
            let page = || {
                let mut page = Vec::new();
                let refused = |_| Error::OutOfMemory { what: "the conversation".into(), bytes: 2 * len };
                page.try_reserve_exact(len).map_err(refused)?;
                page.resize(len, 0);
                Ok(page)
            };
            self.pages.push(Page { keys: page()?, values: page()? });
        }
        Ok(())
    }

    /// Start of position `s` of a head within its page.
    fn at(&self, head: usize, s: usize) -> usize {
        (head * PAGE + s % PAGE) * self.head_dim
    }

    /// Stores `k, v: [T, K · E]` at positions `first` and on; [`Cache::reserve`] comes first.
    pub fn append(&mut self, first: usize, k: &[f32], v: &[f32]) {
        let width = self.n_kv_heads * self.head_dim;
        for (t, (k, v)) in k.chunks_exact(width).zip(v.chunks_exact(width)).enumerate() {
            let s = first + t;
            for (head, (k, v)) in k.chunks_exact(self.head_dim).zip(v.chunks_exact(self.head_dim)).enumerate() {
                let at = self.at(head, s);
                let page = &mut self.pages[s / PAGE];
                store(k, &mut page.keys[at..]);
                store(v, &mut page.values[at..]);
            }
        }
    }

    /// For each token `t` of `q: [T, H · E]`, at position `first + t`, attention over the visible positions up to its own,
    /// into `out: [T, H · E]`.
    pub fn attend(
        &self,
        first: usize,
        q: &[f32],
        window: Option<usize>,
        scale: f32,
        scores: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let e = self.head_dim;
        let row = self.n_heads * e;
        for (t, (q, out)) in q.chunks_exact(row).zip(out.chunks_exact_mut(row)).enumerate() {
            let end = first + t + 1;
            let start = end - window.unwrap_or(usize::MAX).min(end);
            for (head, (q, out)) in q.chunks_exact(e).zip(out.chunks_exact_mut(e)).enumerate() {
                let kv_head = head / (self.n_heads / self.n_kv_heads);
                self.scores(kv_head, start..end, q, scale, scores);
                let sum = exp_minus_max(scores);
                self.mix(kv_head, start, scores, 1.0 / sum, out);
            }
        }
    }

    /// `scores[s - start] = scale · q · k[s]`.
    fn scores(&self, head: usize, positions: Range<usize>, q: &[f32], scale: f32, scores: &mut Vec<f32>) {
        scores.clear();
        let factor = F32x4::splat(scale * HALF_SCALE);
        let mut scaled = [[0.0; 4]; MAX_HEAD_DIM / 4];
        let scaled = &mut scaled[..q.len() / 4];
        for (scaled, q) in scaled.iter_mut().zip(q.as_chunks::<4>().0) {
            *scaled = F32x4::from_array(*q).mul(factor).to_array();
        }
        for s in positions {
            let key = &self.pages[s / PAGE].keys[self.at(head, s)..][..self.head_dim];
            let mut sums = [F32x4::splat(0.0); 2];
            for (i, (k, q)) in key.as_chunks::<4>().0.iter().zip(&*scaled).enumerate() {
                sums[i % 2] = sums[i % 2].add(F32x4::from_half(*k).mul(F32x4::from_array(*q)));
            }
            scores.push(sums[0].add(sums[1]).sum());
        }
    }

    /// `out = factor · Σ weights[s - start] v[s]`.
    fn mix(&self, head: usize, start: usize, weights: &[f32], factor: f32, out: &mut [f32]) {
        let out = out.as_chunks_mut::<4>().0;
        out.fill([0.0; 4]);
        for (s, weight) in (start..).zip(weights) {
            let value = &self.pages[s / PAGE].values[self.at(head, s)..][..self.head_dim];
            let weight = F32x4::splat(weight * factor * HALF_SCALE);
            for (out, v) in out.iter_mut().zip(value.as_chunks::<4>().0) {
                *out = F32x4::from_array(*out).add(F32x4::from_half(*v).mul(weight)).to_array();
            }
        }
    }
}

fn store(numbers: &[f32], halves: &mut [u16]) {
    const SMALLEST_NORMAL: f32 = f32::from_bits((127 - 14) << 23);
    for (number, half) in numbers.iter().zip(halves) {
        let number = if number.abs() < SMALLEST_NORMAL { 0.0 } else { number.clamp(-65504.0, 65504.0) };
        *half = f16::from_f32(number).to_bits();
    }
}

/// Softmax without its division: `e^(score − max)` in place, and their sum.
fn exp_minus_max(scores: &mut [f32]) -> f32 {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (lanes, rest) = scores.as_chunks_mut::<4>();
    let mut sum = F32x4::splat(0.0);
    for scores in lanes {
        let e = F32x4::from_array(*scores).sub(F32x4::splat(max)).exp();
        sum = sum.add(e);
        *scores = e.to_array();
    }
    rest.iter_mut().for_each(|score| *score = (*score - max).exp());
    sum.sum() + rest.iter().sum::<f32>()
}
