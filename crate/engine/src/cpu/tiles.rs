//! Quantized weights repacked so that one pass over memory feeds sixteen rows: a tile is 16 rows × one block of columns (32,
//! or 256 for the K formats), as many bytes as in the file but for the K formats' scales, which are widened (1 to 9 %), and for
//! MXFP4, whose codes are made whole and take five bits (21 bytes a block, not 17). Tiles of the K formats are
//! in `tiles_k`; how codes lie is told in `codes`.

use bytemuck::Zeroable;

use super::codes::{Codes, Codes2, Codes3, Codes4, Codes5, Codes6, Codes8, CodesNl, GROUP, Masks, QUADS, ROWS};
use super::dots::{Dots, unroll};
use super::input::{Block, UP};
use super::lanes::{F32x4, HALF_SCALE, I32x4};
use crate::quant::{Format, MXFP4_VALUES, mxfp4_scale};

/// Sixteen rows × one block, of one format.
pub trait Tile: Copy + Zeroable + Send + Sync {
    /// The file's format.
    const FORMAT: Format;

    /// Bits in a code, see [`Codes::BITS`].
    const BITS: u32;

    /// What the sums of [`Tile::dot`] lack.
    const DOWN: f32;

    /// What the tiles of a band have in common.
    type Head: Copy + Zeroable + Send + Sync;

    /// From what the file has in front of sixteen rows.
    fn head(headers: [&[u8]; ROWS]) -> Self::Head;

    /// Packs the same block of sixteen rows, each as the file stores it.
    fn pack(blocks: [&[u8]; ROWS]) -> Self;

    /// The numbers of a row.
    fn decode(&self, head: &Self::Head, row: usize, out: &mut [f32]);

    /// Adds the products of `Q` quads from `quad` on with N inputs to `sums`; `x[n]` are the blocks of 32 that lie against
    /// this tile.
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        head: &Self::Head,
        quad: usize,
        x: [&[Block<D::Form>]; N],
        sums: &mut [[F32x4; N]; Q],
        masks: &Masks,
    );
}

/// The scale of a block, as few bytes as in the file.
pub trait Scale: Copy + Zeroable + Send + Sync {
    /// What widened ones lack, over what the activations bring.
    const DOWN: f32;

    /// The one at the beginning of a block.
    fn read(block: &[u8]) -> Self;

    /// Its number.
    fn number(self) -> f32;

    /// Those of a quad.
    fn widen(four: [Self; 4]) -> F32x4;
}

/// f16.
#[derive(Clone, Copy, Zeroable)]
#[repr(transparent)]
pub struct Half(u16);

impl Half {
    /// The one at byte `at` of a block.
    pub fn at(block: &[u8], at: usize) -> Half {
        Half(u16::from_le_bytes([block[at], block[at + 1]]))
    }
}

impl Scale for Half {
    /// Widened halves lack [`HALF_SCALE`], of which the activations bring [`UP`].
    const DOWN: f32 = HALF_SCALE / UP;

    #[inline(always)]
    fn read(block: &[u8]) -> Half {
        Half::at(block, 0)
    }

    fn number(self) -> f32 {
        half::f16::from_bits(self.0).to_f32()
    }

    #[inline(always)]
    fn widen(four: [Half; 4]) -> F32x4 {
        F32x4::from_half(four.map(|half| half.0))
    }
}

/// The exponent of MXFP4.
#[derive(Clone, Copy, Zeroable)]
#[repr(transparent)]
pub struct Power(u8);

impl Scale for Power {
    /// Widened exponents are those of twice the scale.
    const DOWN: f32 = 0.5 / UP;

    #[inline(always)]
    fn read(block: &[u8]) -> Power {
        Power(block[0])
    }

    fn number(self) -> f32 {
        mxfp4_scale(self.0)
    }

    /// Of 0 it makes zero and of 255 infinity.
    #[inline(always)]
    fn widen(four: [Power; 4]) -> F32x4 {
        I32x4::from_u8(four.map(|power| power.0)).shl::<23>().bits_as_f32()
    }
}

/// Scales of the sixteen rows, by quads.
pub type Scales<S> = [[S; 4]; QUADS];

/// The block of each input that lies against part `i` of a tile.
#[inline(always)]
pub fn nth<B, const N: usize>(x: [&[B]; N], i: usize) -> [&B; N] {
    x.map(|blocks| &blocks[i])
}

/// How the blocks of a format are read.
pub trait Blocks: Copy + Send + Sync {
    const FORMAT: Format;
    type Codes: Codes + Send + Sync;
    type Scale: Scale;
    /// What is taken from a code before it is scaled.
    const ZERO: i32;
    /// The codes of eight columns of a block.
    fn codes(block: &[u8], group: usize) -> [u8; GROUP];
}

/// A type of each name that reads [`Blocks`] of the format of this name.
macro_rules! blocks {
    ($($name:ident, $scale:ty, $codes:ty, $zero:literal: |$block:ident, $group:ident| $read:expr;)*) => {$(
        #[allow(non_camel_case_types)] // the field's own names
        #[derive(Clone, Copy)]
        pub enum $name {}

        impl Blocks for $name {
            const FORMAT: Format = Format::$name;
            type Codes = $codes;
            type Scale = $scale;
            const ZERO: i32 = $zero;

            #[inline(always)]
            fn codes($block: &[u8], $group: usize) -> [u8; GROUP] {
                $read
            }
        }
    )*};
}

blocks! {
    Q4_0, Half, Codes4, 8: |block, group| nibbles(&block[2..18], group);
    Q4_1, Half, Codes4, 0: |block, group| nibbles(&block[4..20], group);
    Q5_0, Half, Codes5, 16: |block, group| with_bit::<4>(nibbles(&block[6..22], group), |i| block[2 + group] >> i);
    Q5_1, Half, Codes5, 0: |block, group| with_bit::<4>(nibbles(&block[8..24], group), |i| block[4 + group] >> i);
    Q8_0, Half, Codes8, 0: |block, group| block[2..34].as_chunks().0[group];
    Q2_K, Half, Codes2, 0: |block, group| k_twos(&block[16..80], group);
    Q3_K, Half, Codes3, 4: |block, group| {
        with_bit::<2>(k_twos(&block[32..96], group), |i| block[group % 4 * GROUP + i] >> (group / 4))
    };
    Q4_K, Half, Codes4, 0: |block, group| k_nibbles(&block[16..144], group);
    Q5_K, Half, Codes5, 0: |block, group| {
        with_bit::<4>(k_nibbles(&block[48..176], group), |i| block[16 + group % 4 * GROUP + i] >> (group / 4))
    };
    Q6_K, Half, Codes6, 32: |block, group| {
        let (half, quarter) = (group / 16, group / 4 % 4);
        let low: &[[u8; GROUP]] = block[half * 64 + quarter % 2 * 32..][..32].as_chunks().0;
        let high: &[[u8; GROUP]] = block[128 + half * 32..][..32].as_chunks().0;
        let (low, high) = (low[group % 4], high[group % 4]);
        std::array::from_fn(|i| low[i] >> (quarter / 2 * 4) & 15 | (high[i] >> (quarter * 2) & 3) << 4)
    };
    IQ4_NL, Half, CodesNl, 0: |block, group| nibbles(&block[2..18], group);
    IQ4_XS, Half, CodesNl, 0: |block, group| nibbles(&block[8 + group / 4 * 16..][..16], group % 4);
    MXFP4, Power, Codes5, 12: |block, group| {
        nibbles(&block[1..17], group).map(|place| (MXFP4_VALUES[usize::from(place)] + 12) as u8)
    };
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

/// Two bits of the eight columns of `group` in 64 bytes that hold, 32 at a time, four parts of 32 columns.
#[inline(always)]
fn k_twos(bytes: &[u8], group: usize) -> [u8; GROUP] {
    let (part, group) = (group / 4, group % 4);
    std::array::from_fn(|i| bytes[part / 4 * 32 + group * GROUP + i] >> (part % 4 * 2) & 3)
}

/// Codes with the lowest bits of `bit` as their bit `AT`.
#[inline(always)]
fn with_bit<const AT: u32>(low: [u8; GROUP], bit: impl Fn(usize) -> u8) -> [u8; GROUP] {
    std::array::from_fn(|i| low[i] | (bit(i) & 1) << AT)
}

/// `d · (q − ZERO)`.
#[derive(Clone, Copy, Zeroable)]
#[zeroable(bound = "")]
#[repr(C)]
pub struct Scaled<F: Blocks> {
    d: Scales<F::Scale>,
    codes: F::Codes,
}

impl<F: Blocks> Tile for Scaled<F> {
    const FORMAT: Format = F::FORMAT;
    const BITS: u32 = F::Codes::BITS;
    const DOWN: f32 = F::Scale::DOWN;

    type Head = ();

    fn head(_headers: [&[u8]; ROWS]) {}

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = F::Scale::read(block);
            (0..4).for_each(|group| tile.codes.set(row, group, F::codes(block, group)));
        }
        tile
    }

    fn decode(&self, (): &(), row: usize, out: &mut [f32]) {
        let d = self.d[row / 4][row % 4].number();
        out.iter_mut().enumerate().for_each(|(k, out)| *out = d * (self.codes.get(row, k) - F::ZERO) as f32);
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
        let x = nth(x, 0);
        let products = D::products::<_, 4, Q, N>(&self.codes, 0, quad, x, masks);
        unroll!(q < Q, {
            let d = F::Scale::widen(self.d[quad + q]);
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
    d: Scales<Half>,
    m: Scales<Half>,
    codes: F::Codes,
}

impl<F: Blocks> Tile for Ranged<F> {
    const FORMAT: Format = F::FORMAT;
    const BITS: u32 = F::Codes::BITS;
    const DOWN: f32 = Half::DOWN;

    type Head = ();

    fn head(_headers: [&[u8]; ROWS]) {}

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = Half::at(block, 0);
            tile.m[row / 4][row % 4] = Half::at(block, 2);
            (0..4).for_each(|group| tile.codes.set(row, group, F::codes(block, group)));
        }
        tile
    }

    fn decode(&self, (): &(), row: usize, out: &mut [f32]) {
        let [d, m] = [&self.d, &self.m].map(|scales| scales[row / 4][row % 4].number());
        out.iter_mut().enumerate().for_each(|(k, out)| *out = d * self.codes.get(row, k) as f32 + m);
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
        let x = nth(x, 0);
        let products = D::products::<_, 4, Q, N>(&self.codes, 0, quad, x, masks);
        unroll!(q < Q, {
            let (d, m) = (Half::widen(self.d[quad + q]), Half::widen(self.m[quad + q]));
            unroll!(n < N, {
                let scaled = products[q][n].to_f32().mul(d.mul(F32x4::splat(x[n].scale_up)));
                sums[q][n] = sums[q][n].add(scaled).add(m.mul(F32x4::splat(x[n].sum_up)));
            });
        });
    }
}
