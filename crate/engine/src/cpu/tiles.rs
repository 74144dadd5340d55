//! Quantized weights repacked so that one pass over memory feeds sixteen rows: a tile is 16 rows × one block of columns (32,
//! or 256 for the K formats), as many bytes as in the file but for the K formats' scales, which are widened.
//! How codes lie is told in `codes`.

use bytemuck::Zeroable;

use super::codes::{Codes, Codes4, Codes5, Codes6, Codes8, CodesNl, GROUP, Masks, QUADS, ROWS};
use super::dots::{Dots, unroll};
use super::input::{Block, UP};
use super::lanes::{F32x4, HALF_SCALE, I32x4};
use crate::quant::{Format, q4_k_scale_and_min};

/// Sixteen rows × one block, of one format.
pub trait Tile: Copy + Zeroable + Send + Sync {
    /// The file's format.
    const FORMAT: Format;

    /// Bits in a code, see [`Codes::BITS`].
    const BITS: u32;

    /// What the sums of [`Tile::dot`] lack.
    const DOWN: f32;

    /// Packs the same block of sixteen rows, each as the file stores it.
    fn pack(blocks: [&[u8]; ROWS]) -> Self;

    /// The numbers of a row.
    fn decode(&self, row: usize, out: &mut [f32]);

    /// Adds the products of `Q` quads from `quad` on with N inputs to `sums`; `x[n]` are the blocks of 32 that lie against
    /// this tile.
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        quad: usize,
        x: [&[Block<D::Form>]; N],
        sums: &mut [[F32x4; N]; Q],
        masks: &Masks,
    );
}

/// f16 of the sixteen rows, by quads.
type Halves = [[u16; 4]; QUADS];

/// Widened halves lack [`HALF_SCALE`], of which the activations bring [`UP`].
const DOWN_OF_HALVES: f32 = HALF_SCALE / UP;

/// f32 of the sixteen rows. The scales of K formats are multiplied again and so small that many are subnormal f16; widened by
/// shifting they would be subnormal f32, which many machines multiply far more slowly. It costs 1 to 3 % more memory.
type Floats = [[f32; 4]; QUADS];

/// The block of each input that lies against part `i` of a tile.
#[inline(always)]
fn nth<B, const N: usize>(x: [&[B]; N], i: usize) -> [&B; N] {
    x.map(|blocks| &blocks[i])
}

fn half_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn widened(block: &[u8], at: usize) -> f32 {
    half::f16::from_bits(half_at(block, at)).to_f32()
}

fn half(values: &Halves, row: usize) -> f32 {
    half::f16::from_bits(values[row / 4][row % 4]).to_f32()
}

/// How the blocks of a format are read.
pub trait Blocks: Copy + Send + Sync {
    const FORMAT: Format;
    type Codes: Codes + Send + Sync;
    /// What is taken from a code before it is scaled.
    const ZERO: i32;
    /// The codes of eight columns of a block.
    fn codes(block: &[u8], group: usize) -> [u8; GROUP];
}

/// A type of each name that reads [`Blocks`] of the format of this name.
macro_rules! blocks {
    ($($name:ident, $codes:ty, $zero:literal: |$block:ident, $group:ident| $read:expr;)*) => {$(
        #[allow(non_camel_case_types)] // the field's own names
        #[derive(Clone, Copy)]
        pub enum $name {}

        impl Blocks for $name {
            const FORMAT: Format = Format::$name;
            type Codes = $codes;
            const ZERO: i32 = $zero;

            #[inline(always)]
            fn codes($block: &[u8], $group: usize) -> [u8; GROUP] {
                $read
            }
        }
    )*};
}

blocks! {
    Q4_0, Codes4, 8: |block, group| nibbles(&block[2..18], group);
    Q4_1, Codes4, 0: |block, group| nibbles(&block[4..20], group);
    Q5_0, Codes5, 16: |block, group| with_fifth(nibbles(&block[6..22], group), |i| block[2 + group] >> i);
    Q5_1, Codes5, 0: |block, group| with_fifth(nibbles(&block[8..24], group), |i| block[4 + group] >> i);
    Q8_0, Codes8, 0: |block, group| block[2..34].as_chunks().0[group];
    Q4_K, Codes4, 0: |block, group| k_nibbles(&block[16..144], group);
    Q5_K, Codes5, 0: |block, group| {
        with_fifth(k_nibbles(&block[48..176], group), |i| block[16 + group % 4 * GROUP + i] >> (group / 4))
    };
    IQ4_NL, CodesNl, 0: |block, group| nibbles(&block[2..18], group);
}

/// The eight columns of `group` in 16 bytes that hold column `k` low and `k + 16` high, as all but the K formats do.
#[inline(always)]
fn nibbles(bytes: &[u8], group: usize) -> [u8; GROUP] {
    std::array::from_fn(|i| bytes[group % 2 * GROUP + i] >> (group / 2 * 4) & 15)
}

/// The same in 128 bytes that hold, 32 at a time, an even part of 32 columns low and the odd one after it high.
#[inline(always)]
fn k_nibbles(bytes: &[u8], group: usize) -> [u8; GROUP] {
    let (part, group) = (group / 4, group % 4);
    std::array::from_fn(|i| bytes[part / 2 * 32 + group * GROUP + i] >> (part % 2 * 4) & 15)
}

/// Nibbles with the lowest bits of `fifth`.
#[inline(always)]
fn with_fifth(low: [u8; GROUP], fifth: impl Fn(usize) -> u8) -> [u8; GROUP] {
    std::array::from_fn(|i| low[i] | (fifth(i) & 1) << 4)
}

/// `d · (q − ZERO)`.
#[derive(Clone, Copy, Zeroable)]
#[zeroable(bound = "")]
#[repr(C)]
pub struct Scaled<F: Blocks> {
    d: Halves,
    codes: F::Codes,
}

impl<F: Blocks> Tile for Scaled<F> {
    const FORMAT: Format = F::FORMAT;
    const BITS: u32 = F::Codes::BITS;
    const DOWN: f32 = DOWN_OF_HALVES;

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = half_at(block, 0);
            (0..4).for_each(|group| tile.codes.set(row, group, F::codes(block, group)));
        }
        tile
    }

    fn decode(&self, row: usize, out: &mut [f32]) {
        let d = half(&self.d, row);
        out.iter_mut().enumerate().for_each(|(k, out)| *out = d * (self.codes.get(row, k) - F::ZERO) as f32);
    }

    #[inline(always)]
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        quad: usize,
        x: [&[Block<D::Form>]; N],
        sums: &mut [[F32x4; N]; Q],
        masks: &Masks,
    ) {
        let x = nth(x, 0);
        let products = D::products::<_, 4, Q, N>(&self.codes, 0, quad, x, masks);
        unroll!(q < Q, {
            let d = F32x4::from_half(self.d[quad + q]);
            unroll!(n < N, {
                let product = match F::ZERO {
                    0 => products[q][n],
                    zero => products[q][n].add(I32x4::splat(-zero * (x[n].sums[0] + x[n].sums[1]))),
                };
                sums[q][n] = sums[q][n].add(product.to_f32().mul(d.mul(F32x4::splat(x[n].scale_up))));
            });
        });
    }
}

/// `d · q + m`.
#[derive(Clone, Copy, Zeroable)]
#[zeroable(bound = "")]
#[repr(C)]
pub struct Ranged<F: Blocks> {
    d: Halves,
    m: Halves,
    codes: F::Codes,
}

impl<F: Blocks> Tile for Ranged<F> {
    const FORMAT: Format = F::FORMAT;
    const BITS: u32 = F::Codes::BITS;
    const DOWN: f32 = DOWN_OF_HALVES;

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = half_at(block, 0);
            tile.m[row / 4][row % 4] = half_at(block, 2);
            (0..4).for_each(|group| tile.codes.set(row, group, F::codes(block, group)));
        }
        tile
    }

    fn decode(&self, row: usize, out: &mut [f32]) {
        let (d, m) = (half(&self.d, row), half(&self.m, row));
        out.iter_mut().enumerate().for_each(|(k, out)| *out = d * self.codes.get(row, k) as f32 + m);
    }

    #[inline(always)]
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        quad: usize,
        x: [&[Block<D::Form>]; N],
        sums: &mut [[F32x4; N]; Q],
        masks: &Masks,
    ) {
        let x = nth(x, 0);
        let products = D::products::<_, 4, Q, N>(&self.codes, 0, quad, x, masks);
        unroll!(q < Q, {
            let (d, m) = (F32x4::from_half(self.d[quad + q]), F32x4::from_half(self.m[quad + q]));
            unroll!(n < N, {
                let scaled = products[q][n].to_f32().mul(d.mul(F32x4::splat(x[n].scale_up)));
                sums[q][n] = sums[q][n].add(scaled).add(m.mul(F32x4::splat(x[n].sum_up)));
            });
        });
    }
}

/// `d · s · q − dmin · m`, with `s` and `m` for each of eight parts of 32 columns, widened from six bits to bytes.
#[derive(Clone, Copy, Zeroable)]
#[zeroable(bound = "")]
#[repr(C)]
pub struct RangedK<F: Blocks> {
    d: Floats,
    dmin: Floats,
    parts: [RangedKPart<F::Codes>; 8],
}

#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
struct RangedKPart<C> {
    scale: [[u8; 4]; QUADS],
    min: [[u8; 4]; QUADS],
    codes: C,
}

impl<F: Blocks> Tile for RangedK<F> {
    const FORMAT: Format = F::FORMAT;
    const BITS: u32 = F::Codes::BITS;
    const DOWN: f32 = 1.0 / UP;

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = widened(block, 0);
            tile.dmin[row / 4][row % 4] = widened(block, 2);
            let packed: &[u8; 12] = block[4..16].try_into().expect("twelve bytes");
            for (j, part) in tile.parts.iter_mut().enumerate() {
                let (scale, min) = q4_k_scale_and_min(packed, j);
                part.scale[row / 4][row % 4] = scale;
                part.min[row / 4][row % 4] = min;
                (0..4).for_each(|group| part.codes.set(row, group, F::codes(block, 4 * j + group)));
            }
        }
        tile
    }

    fn decode(&self, row: usize, out: &mut [f32]) {
        for (part, out) in self.parts.iter().zip(out.chunks_exact_mut(32)) {
            let scale = self.d[row / 4][row % 4] * f32::from(part.scale[row / 4][row % 4]);
            let min = self.dmin[row / 4][row % 4] * f32::from(part.min[row / 4][row % 4]);
            out.iter_mut().enumerate().for_each(|(k, out)| *out = scale * part.codes.get(row, k) as f32 - min);
        }
    }

    #[inline(always)]
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        quad: usize,
        x: [&[Block<D::Form>]; N],
        sums: &mut [[F32x4; N]; Q],
        masks: &Masks,
    ) {
        for (j, part) in self.parts.iter().enumerate() {
            let x = nth(x, j);
            let products = D::products::<_, 4, Q, N>(&part.codes, 0, quad, x, masks);
            unroll!(q < Q, {
                let at = quad + q;
                let scale = F32x4::from_array(self.d[at]).mul(I32x4::from_u8(part.scale[at]).to_f32());
                let min = F32x4::from_array(self.dmin[at]).mul(I32x4::from_u8(part.min[at]).to_f32());
                unroll!(n < N, {
                    let scaled = products[q][n].to_f32().mul(scale.mul(F32x4::splat(x[n].scale_up)));
                    sums[q][n] = sums[q][n].add(scaled).sub(min.mul(F32x4::splat(x[n].sum_up)));
                });
            });
        }
    }
}

/// `d · s · (q − 32)`, with `s` for each of sixteen parts of 16 columns.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
pub struct Q6K {
    d: Floats,
    parts: [Q6KPart; 8],
}

#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
struct Q6KPart {
    /// Of columns 0–15 and 16–31.
    scale: [[[i8; 4]; QUADS]; 2],
    codes: Codes6,
}

impl Tile for Q6K {
    const FORMAT: Format = Format::Q6_K;
    const BITS: u32 = Codes6::BITS;
    const DOWN: f32 = 1.0 / UP;

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = widened(block, 208);
            for (j, part) in tile.parts.iter_mut().enumerate() {
                let (half, quarter) = (j / 4, j % 4);
                for (h, scale) in part.scale.iter_mut().enumerate() {
                    scale[row / 4][row % 4] = block[192 + 2 * j + h] as i8;
                }
                let low: &[[u8; GROUP]] = block[half * 64 + quarter % 2 * 32..][..32].as_chunks().0;
                let high: &[[u8; GROUP]] = block[128 + half * 32..][..32].as_chunks().0;
                for group in 0..4 {
                    let code = |i: usize| {
                        let (low, high) = (low[group][i] >> (quarter / 2 * 4), high[group][i] >> (quarter * 2));
                        low & 15 | (high & 3) << 4
                    };
                    part.codes.set(row, group, std::array::from_fn(code));
                }
            }
        }
        tile
    }

    fn decode(&self, row: usize, out: &mut [f32]) {
        for (part, out) in self.parts.iter().zip(out.chunks_exact_mut(32)) {
            let scale = part.scale.map(|scale| self.d[row / 4][row % 4] * f32::from(scale[row / 4][row % 4]));
            for (k, out) in out.iter_mut().enumerate() {
                *out = scale[k / 16] * (part.codes.get(row, k) - 32) as f32;
            }
        }
    }

    #[inline(always)]
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        quad: usize,
        x: [&[Block<D::Form>]; N],
        sums: &mut [[F32x4; N]; Q],
        masks: &Masks,
    ) {
        for (j, part) in self.parts.iter().enumerate() {
            let x = nth(x, j);
            let mut scaled = [[F32x4::splat(0.0); N]; Q];
            unroll!(h < 2, {
                let products = D::products::<_, 2, Q, N>(&part.codes, 2 * h, quad, x, masks);
                unroll!(q < Q, {
                    let scale = I32x4::from_i8(part.scale[h][quad + q]).to_f32();
                    unroll!(n < N, {
                        let product = products[q][n].add(I32x4::splat(-32 * x[n].sums[h])).to_f32().mul(scale);
                        scaled[q][n] = if h == 0 { product } else { scaled[q][n].add(product) };
                    });
                });
            });
            unroll!(q < Q, {
                let d = F32x4::from_array(self.d[quad + q]);
                unroll!(n < N, {
                    sums[q][n] = sums[q][n].add(scaled[q][n].mul(d.mul(F32x4::splat(x[n].scale_up))));
                });
            });
        }
    }
}
