//! Tiles of the K formats: 16 rows × 256 columns, with scales (and minima) of parts of a block that have a scale in common.

use bytemuck::Zeroable;

use super::codes::{Codes, Codes2, Masks, QUADS, ROWS};
use super::dots::{Dots, unroll};
use super::input::{Block, UP};
use super::lanes::{F32x4, I32x4};
use super::tiles::{Blocks, Half, IQ4_XS, Q2_K, Q3_K, Q6_K, Scale, Tile, nth};
use crate::quant::{Format, iq4_xs_scales, q3_k_scales, q4_k_scale_and_min};

/// f32 of the sixteen rows. The scales of K formats are multiplied again and so small that many are subnormal f16; widened by
/// shifting they would be subnormal f32, which many machines multiply far more slowly. It costs 1 to 3 % more memory.
type Floats = [[f32; 4]; QUADS];

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

    type Head = ();

    fn head(_headers: [&[u8]; ROWS]) {}

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = Half::at(block, 0).number();
            tile.dmin[row / 4][row % 4] = Half::at(block, 2).number();
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

    fn decode(&self, (): &(), row: usize, out: &mut [f32]) {
        for (part, out) in self.parts.iter().zip(out.chunks_exact_mut(32)) {
            let scale = self.d[row / 4][row % 4] * f32::from(part.scale[row / 4][row % 4]);
            let min = self.dmin[row / 4][row % 4] * f32::from(part.min[row / 4][row % 4]);
            out.iter_mut().enumerate().for_each(|(k, out)| *out = scale * part.codes.get(row, k) as f32 - min);
        }
    }

    #[inline(always)]
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        (): &(),
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

/// Formats with signed scales of parts of a block.
pub trait PartScales: Blocks {
    /// Where a block has its f16 `d`.
    const D_AT: usize;

    /// Of each sixteen columns.
    fn scales(block: &[u8]) -> [i8; 16];
}

impl PartScales for Q3_K {
    const D_AT: usize = 108;

    fn scales(block: &[u8]) -> [i8; 16] {
        q3_k_scales(block)
    }
}

impl PartScales for Q6_K {
    const D_AT: usize = 208;

    fn scales(block: &[u8]) -> [i8; 16] {
        std::array::from_fn(|i| block[192 + i] as i8)
    }
}

impl PartScales for IQ4_XS {
    const D_AT: usize = 0;

    /// Each of them twice: 8 bytes more than it needs.
    fn scales(block: &[u8]) -> [i8; 16] {
        let scales = iq4_xs_scales(block);
        std::array::from_fn(|i| scales[i / 2])
    }
}

/// `d · s · (q − ZERO)`, with `s` for each of sixteen parts of 16 columns.
#[derive(Clone, Copy, Zeroable)]
#[zeroable(bound = "")]
#[repr(C)]
pub struct ScaledK<F: Blocks> {
    d: Floats,
    parts: [ScaledKPart<F::Codes>; 8],
}

#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
struct ScaledKPart<C> {
    /// Of columns 0–15 and 16–31.
    scale: [[[i8; 4]; QUADS]; 2],
    codes: C,
}

impl<F: PartScales> Tile for ScaledK<F> {
    const FORMAT: Format = F::FORMAT;
    const BITS: u32 = F::Codes::BITS;
    const DOWN: f32 = 1.0 / UP;

    type Head = ();

    fn head(_headers: [&[u8]; ROWS]) {}

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = Half::at(block, F::D_AT).number();
            let scales = F::scales(block);
            for (j, part) in tile.parts.iter_mut().enumerate() {
                (0..2).for_each(|h| part.scale[h][row / 4][row % 4] = scales[2 * j + h]);
                (0..4).for_each(|group| part.codes.set(row, group, F::codes(block, 4 * j + group)));
            }
        }
        tile
    }

    fn decode(&self, (): &(), row: usize, out: &mut [f32]) {
        for (part, out) in self.parts.iter().zip(out.chunks_exact_mut(32)) {
            let scale = part.scale.map(|scale| self.d[row / 4][row % 4] * f32::from(scale[row / 4][row % 4]));
            for (k, out) in out.iter_mut().enumerate() {
                *out = scale[k / 16] * (part.codes.get(row, k) - F::ZERO) as f32;
            }
        }
    }

    #[inline(always)]
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        (): &(),
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
                        let product = products[q][n].add(I32x4::splat(-F::ZERO * x[n].sums[h])).to_f32().mul(scale);
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

/// `d · s · q − dmin · m`, with `s` and `m` of four bits for each of sixteen parts of 16 columns.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
pub struct Q2K {
    d: Floats,
    /// A sixteenth of `dmin`: minima stay where they are, in the high nibbles.
    dmin_16: Floats,
    parts: [Q2KPart; 8],
}

#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
struct Q2KPart {
    /// Scale and minimum of columns 0–15 and 16–31.
    both: [[[u8; 4]; QUADS]; 2],
    codes: Codes2,
}

impl Tile for Q2K {
    const FORMAT: Format = Format::Q2_K;
    const BITS: u32 = Codes2::BITS;
    const DOWN: f32 = 1.0 / UP;

    type Head = ();

    fn head(_headers: [&[u8]; ROWS]) {}

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = Half::at(block, 80).number();
            tile.dmin_16[row / 4][row % 4] = Half::at(block, 82).number() / 16.0;
            for (j, part) in tile.parts.iter_mut().enumerate() {
                (0..2).for_each(|h| part.both[h][row / 4][row % 4] = block[2 * j + h]);
                (0..4).for_each(|group| part.codes.set(row, group, Q2_K::codes(block, 4 * j + group)));
            }
        }
        tile
    }

    fn decode(&self, (): &(), row: usize, out: &mut [f32]) {
        let [d, dmin_16] = [&self.d, &self.dmin_16].map(|scales| scales[row / 4][row % 4]);
        for (part, out) in self.parts.iter().zip(out.chunks_exact_mut(32)) {
            for (k, out) in out.iter_mut().enumerate() {
                let both = part.both[k / 16][row / 4][row % 4];
                let (scale, min) = (d * f32::from(both & 0x0f), dmin_16 * f32::from(both & 0xf0));
                *out = scale * part.codes.get(row, k) as f32 - min;
            }
        }
    }

    #[inline(always)]
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        (): &(),
        quad: usize,
        x: [&[Block<D::Form>]; N],
        sums: &mut [[F32x4; N]; Q],
        masks: &Masks,
    ) {
        for (j, part) in self.parts.iter().enumerate() {
            let x = nth(x, j);
            unroll!(h < 2, {
                let products = D::products::<_, 2, Q, N>(&part.codes, 2 * h, quad, x, masks);
                unroll!(q < Q, {
                    let (at, both) = (quad + q, I32x4::from_u8(part.both[h][quad + q]));
                    let scale = F32x4::from_array(self.d[at]).mul(both.and(I32x4::splat(0x0f)).to_f32());
                    let min = F32x4::from_array(self.dmin_16[at]).mul(both.and(I32x4::splat(0xf0)).to_f32());
                    unroll!(n < N, {
                        let least = min.mul(F32x4::splat(x[n].sums[h] as f32));
                        let product = products[q][n].to_f32().mul(scale).sub(least);
                        sums[q][n] = sums[q][n].add(product.mul(F32x4::splat(x[n].scale_up)));
                    });
                });
            });
        }
    }
}
