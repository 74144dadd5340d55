//! Rotation of heads by their position.

use crate::program::{Rope, RopePairs};

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
                // Not the standard library's: that is another one in the browser, and the last bit decides a near-tie.
                let (sin, cos) = libm::sincosf(position as f32 * frequency);
                (cos * rope.magnitude, sin * rope.magnitude)
            }));
        }
    }

    /// Turns the heads of token `t` of the run: `heads: [heads, E]`.
    pub fn rotate(&self, t: usize, heads: &mut [f32], head_dim: usize) {
        let turns = &self.turns[t * self.half..(t + 1) * self.half];
        for head in heads.chunks_exact_mut(head_dim) {
            match self.pairs {
                Some(RopePairs::Halves) => {
                    let (first, second) = head[..2 * self.half].split_at_mut(self.half);
                    for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
                _ => {
                    for ([a, b], (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
            }
        }
    }
}
