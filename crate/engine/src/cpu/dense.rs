//! Weights that are not quantized: rows as they are.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::codes::ROWS;
use super::divide::Strip;
use super::input::{Forms, Input};
use super::lanes::{F32x4, HALF_SCALE};
use super::matrix::{Kernel, Matrix, reserve};
use crate::error::Result;
use crate::program::Weight;

/// A number of an unquantized weight, little-endian in the file and in memory.
pub trait Number: Pod + Send + Sync {
    /// Four of them.
    fn widen(four: [Self; 4]) -> F32x4;
}

impl Number for f32 {
    #[inline(always)]
    fn widen(four: [f32; 4]) -> F32x4 {
        F32x4::from_array(four)
    }
}

/// Half precision.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub struct F16(u16);

impl Number for F16 {
    #[inline(always)]
    fn widen(four: [F16; 4]) -> F32x4 {
        F32x4::from_half(bytemuck::must_cast(four)).mul(F32x4::splat(HALF_SCALE))
    }
}

/// The upper half of an f32.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Number for Bf16 {
    #[inline(always)]
    fn widen(four: [Bf16; 4]) -> F32x4 {
        F32x4::from_bf16(bytemuck::must_cast(four))
    }
}

/// A matrix of such numbers.
pub struct Dense<N> {
    rows: usize,
    cols: usize,
    data: Vec<N>,
}

impl<N: Number> Dense<N> {
    /// An empty one, with its memory reserved.
    pub fn boxed(weight: &Weight) -> Result<Box<dyn Matrix>> {
        let (rows, cols) = (weight.rows, weight.cols);
        Ok(Box::new(Dense::<N> { rows, cols, data: reserve(weight, rows * cols)? }))
    }

    fn numbers(&self, row: usize) -> &[N] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }
}

impl<N: Number> Matrix for Dense<N> {
    fn load_rows(&mut self, bytes: &[u8]) {
        self.data.extend(bytes.chunks_exact(size_of::<N>()).map(bytemuck::pod_read_unaligned::<N>));
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn band_bytes(&self) -> usize {
        ROWS * self.cols * size_of::<N>()
    }

    fn forms(&self, _kernel: Kernel) -> Forms {
        Forms::default()
    }

    fn product(&self, _kernel: Kernel, x: &Input, bands: Range<usize>, out: &mut Strip) {
        let first = bands.start * ROWS;
        for row in first..(bands.end * ROWS).min(self.rows) {
            let (weights, rest) = self.numbers(row).as_chunks::<4>();
            for t in 0..x.tokens() {
                let (x, x_rest) = x.row(t).as_chunks::<4>();
                // Four sums hide the latency of the additions.
                let mut sums = [F32x4::splat(0.0); 4];
                for (i, (w, x)) in weights.iter().zip(x).enumerate() {
                    sums[i % 4] = sums[i % 4].add(N::widen(*w).mul(F32x4::from_array(*x)));
                }
                let rest: f32 = rest.iter().zip(x_rest).map(|(w, x)| N::widen([*w; 4]).to_array()[0] * x).sum();
                out.row(t)[row - first] = sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() + rest;
            }
        }
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        for (w, out) in self.numbers(row).iter().zip(out) {
            *out = N::widen([*w; 4]).to_array()[0];
        }
    }
}
