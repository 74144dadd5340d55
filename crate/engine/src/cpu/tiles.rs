//! Quantized weights repacked so that one pass over memory feeds sixteen rows.
//!
//! A tile is 16 rows × one block of columns (32, or 256 for the K formats), as many bytes as in the file. Its rows come in four
//! quads. For a quad and eight columns `k`, sixteen bytes hold the 4-bit codes so that each 32-bit lane is a row, its two
//! 16-bit halves are an even and the next odd column, and nibble `p` of a half is column pair `p`:
//!
//! ```text
//! lane r (row r of the quad):   even half            odd half
//!   bits 0–3   pair 0           k = 0                k = 1
//!   bits 4–7   pair 1           k = 2                k = 3
//!   bits 8–11  pair 2           k = 4                k = 5
//!   bits 12–15 pair 3           k = 6                k = 7
//! ```
//!
//! A mask and three shifts give four vectors of i16 that multiply the activation pair `(x[k], x[k + 1])`, the same for every
//! row: `i32x4.dot_i16x8` then leaves one sum per row, and nothing is ever shuffled. Byte codes lie likewise, two pairs in
//! sixteen bytes. Codes keep the file's own values, so integer sums are exact.

use bytemuck::{Pod, Zeroable};

use super::input::Block;
use super::lanes::{F32x4, HALF_SCALE, I16x8, I32x4};
use crate::quant::{Format, q4_k_scale_and_min};

/// Rows in a tile.
pub const ROWS: usize = 16;

/// Sixteen rows × one block, of one format.
pub trait Tile: Pod {
    /// The file's format.
    const FORMAT: Format;

    /// Packs the same block of sixteen rows, each as the file stores it.
    fn pack(blocks: [&[u8]; ROWS]) -> Self;

    /// Adds the products of the four rows of `quad` with N inputs to `sums`; `x[n]` are the blocks of 32 that lie against
    /// this tile.
    fn dot<const N: usize>(&self, quad: usize, x: [&[Block]; N], sums: &mut [F32x4; N]);
}

/// 16 rows × 32 columns of 4-bit codes: quad, group of eight columns, bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct Nibbles([[[u8; 16]; 4]; 4]);

/// 16 rows × 32 columns of bytes: quad, group of four columns, bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct Bytes([[[u8; 16]; 8]; 4]);

/// The fifth bits of 16 rows × 32 columns: of quad and half lane, bit `4 · group + pair`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct FifthBits([[[u8; 2]; 8]; 4]);

/// f16 of the sixteen rows, by quads.
type Halves = [[u16; 4]; 4];

impl Nibbles {
    /// Bits above the low four are ignored.
    fn set(&mut self, row: usize, k: usize, code: u8) {
        let (pair, odd) = (k % 8 / 2, k % 2);
        let byte = &mut self.0[row / 4][k / 8][4 * (row % 4) + 2 * odd + pair / 2];
        *byte |= (code & 15) << (pair % 2 * 4);
    }

    #[inline(always)]
    fn pairs(&self, quad: usize, group: usize) -> [I16x8; 4] {
        let v = I16x8::from_bytes(self.0[quad][group]);
        let mask = I16x8::splat(15);
        [v.and(mask), v.shr::<4>().and(mask), v.shr::<8>().and(mask), v.shr::<12>()]
    }
}

impl Bytes {
    fn set(&mut self, row: usize, k: usize, code: i8) {
        self.0[row / 4][k / 4][4 * (row % 4) + 2 * (k % 2) + k % 4 / 2] = code as u8;
    }

    #[inline(always)]
    fn pairs(&self, quad: usize, group: usize) -> [I16x8; 4] {
        let a = I16x8::from_bytes(self.0[quad][2 * group]);
        let b = I16x8::from_bytes(self.0[quad][2 * group + 1]);
        [a.shl::<8>().sar::<8>(), a.sar::<8>(), b.shl::<8>().sar::<8>(), b.sar::<8>()]
    }
}

impl FifthBits {
    fn set(&mut self, row: usize, k: usize, code: u8) {
        let bit = k / 8 * 4 + k % 8 / 2;
        self.0[row / 4][2 * (row % 4) + k % 2][bit / 8] |= (code >> 4 & 1) << (bit % 8);
    }

    /// The fifth bits of a group, in place as bit 4.
    #[inline(always)]
    fn pairs(&self, quad: usize, group: usize) -> [I16x8; 4] {
        let v = I16x8::from_bytes(bytemuck::must_cast(self.0[quad]));
        let bit = I16x8::splat(16);
        // Bit 4 · group + pair goes to bit 4. Shift counts are literals: `group` is, once the caller's loop is unrolled.
        let [a, b, c, d] = match group {
            0 => [v.shl::<4>(), v.shl::<3>(), v.shl::<2>(), v.shl::<1>()],
            1 => [v, v.shr::<1>(), v.shr::<2>(), v.shr::<3>()],
            2 => [v.shr::<4>(), v.shr::<5>(), v.shr::<6>(), v.shr::<7>()],
            _ => [v.shr::<8>(), v.shr::<9>(), v.shr::<10>(), v.shr::<11>()],
        };
        [a.and(bit), b.and(bit), c.and(bit), d.and(bit)]
    }
}

/// Integer products of four rows with N inputs over the groups of eight columns in `groups`.
#[inline(always)]
fn dot_groups<const N: usize>(
    groups: std::ops::Range<usize>,
    x: [&Block; N],
    pairs: impl Fn(usize) -> [I16x8; 4],
) -> [I32x4; N] {
    let mut sums = [I32x4::splat(0); N];
    for group in groups {
        let codes = pairs(group);
        for (sum, x) in sums.iter_mut().zip(x) {
            for (p, codes) in codes.iter().enumerate() {
                *sum = sum.add(codes.dot(I16x8::splat_pair(x.pairs[4 * group + p])));
            }
        }
    }
    sums
}

/// Adds `d · scale · (products − zero · Σ q)`: how every format ends whose codes have one f16 scale and a fixed zero.
#[inline(always)]
fn add_scaled<const N: usize>(sums: &mut [F32x4; N], d: [u16; 4], products: [I32x4; N], x: [&Block; N], zero: i32) {
    let d = F32x4::from_half(d);
    for n in 0..N {
        let product = products[n].add(I32x4::splat(-zero * x[n].sum));
        sums[n] = sums[n].add(product.to_f32().mul(d.mul(F32x4::splat(x[n].scale_up))));
    }
}

/// The block of each input that lies against part `i` of a tile.
#[inline(always)]
fn nth<const N: usize>(x: [&[Block]; N], i: usize) -> [&Block; N] {
    x.map(|blocks| &blocks[i])
}

fn half_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// Code `k` of the 16 bytes that Q4_0, Q4_1 and Q5_0 share: `k` low, `k + 16` high.
fn nibble(bytes: &[u8], k: usize) -> u8 {
    bytes[k % 16] >> (k / 16 * 4) & 15
}

/// `d · (q − 8)`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Q4_0 {
    d: Halves,
    codes: Nibbles,
}

impl Tile for Q4_0 {
    const FORMAT: Format = Format::Q4_0;

    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = half_at(block, 0);
            (0..32).for_each(|k| tile.codes.set(row, k, nibble(&block[2..], k)));
        }
        tile
    }

    #[inline(always)]
    fn dot<const N: usize>(&self, quad: usize, x: [&[Block]; N], sums: &mut [F32x4; N]) {
        let x = nth(x, 0);
        let products = dot_groups(0..4, x, |group| self.codes.pairs(quad, group));
        add_scaled(sums, self.d[quad], products, x, 8);
    }
}

/// `d · q + m`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Q4_1 {
    d: Halves,
    m: Halves,
    codes: Nibbles,
}

impl Tile for Q4_1 {
    const FORMAT: Format = Format::Q4_1;

    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = half_at(block, 0);
            tile.m[row / 4][row % 4] = half_at(block, 2);
            (0..32).for_each(|k| tile.codes.set(row, k, nibble(&block[4..], k)));
        }
        tile
    }

    #[inline(always)]
    fn dot<const N: usize>(&self, quad: usize, x: [&[Block]; N], sums: &mut [F32x4; N]) {
        let x = nth(x, 0);
        let (d, m) = (F32x4::from_half(self.d[quad]), F32x4::from_half(self.m[quad]));
        let products = dot_groups(0..4, x, |group| self.codes.pairs(quad, group));
        for n in 0..N {
            let scaled = products[n].to_f32().mul(d.mul(F32x4::splat(x[n].scale_up)));
            sums[n] = sums[n].add(scaled).add(m.mul(F32x4::splat(x[n].sum_up)));
        }
    }
}

/// `d · (q − 16)`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Q5_0 {
    d: Halves,
    codes: Nibbles,
    high: FifthBits,
}

impl Tile for Q5_0 {
    const FORMAT: Format = Format::Q5_0;

    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = half_at(block, 0);
            for k in 0..32 {
                let code = nibble(&block[6..], k) | (block[2 + k / 8] >> (k % 8) & 1) << 4;
                tile.codes.set(row, k, code);
                tile.high.set(row, k, code);
            }
        }
        tile
    }

    #[inline(always)]
    fn dot<const N: usize>(&self, quad: usize, x: [&[Block]; N], sums: &mut [F32x4; N]) {
        let x = nth(x, 0);
        let products = dot_groups(0..4, x, |group| {
            let (low, high) = (self.codes.pairs(quad, group), self.high.pairs(quad, group));
            std::array::from_fn(|p| low[p].or(high[p]))
        });
        add_scaled(sums, self.d[quad], products, x, 16);
    }
}

/// `d · q`, signed bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Q8_0 {
    d: Halves,
    codes: Bytes,
}

impl Tile for Q8_0 {
    const FORMAT: Format = Format::Q8_0;

    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = half_at(block, 0);
            (0..32).for_each(|k| tile.codes.set(row, k, block[2 + k] as i8));
        }
        tile
    }

    #[inline(always)]
    fn dot<const N: usize>(&self, quad: usize, x: [&[Block]; N], sums: &mut [F32x4; N]) {
        let x = nth(x, 0);
        let products = dot_groups(0..4, x, |group| self.codes.pairs(quad, group));
        add_scaled(sums, self.d[quad], products, x, 0);
    }
}

/// `d · s · q − dmin · m`, with `s` and `m` for each of eight groups of 32 columns, widened from six bits to bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Q4K {
    d: Halves,
    dmin: Halves,
    groups: [Q4KGroup; 8],
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Q4KGroup {
    scale: [[u8; 4]; 4],
    min: [[u8; 4]; 4],
    codes: Nibbles,
}

impl Tile for Q4K {
    const FORMAT: Format = Format::Q4_K;

    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = half_at(block, 0);
            tile.dmin[row / 4][row % 4] = half_at(block, 2);
            let packed: &[u8; 12] = block[4..16].try_into().expect("twelve bytes");
            for (j, group) in tile.groups.iter_mut().enumerate() {
                let (scale, min) = q4_k_scale_and_min(packed, j);
                group.scale[row / 4][row % 4] = scale;
                group.min[row / 4][row % 4] = min;
                let codes = &block[16 + j / 2 * 32..][..32];
                (0..32).for_each(|k| group.codes.set(row, k, codes[k] >> (j % 2 * 4)));
            }
        }
        tile
    }

    #[inline(always)]
    fn dot<const N: usize>(&self, quad: usize, x: [&[Block]; N], sums: &mut [F32x4; N]) {
        let up = F32x4::splat(HALF_SCALE);
        let (d, dmin) = (F32x4::from_half(self.d[quad]).mul(up), F32x4::from_half(self.dmin[quad]).mul(up));
        for (j, part) in self.groups.iter().enumerate() {
            let x = nth(x, j);
            let scale = d.mul(I32x4::from_u8(part.scale[quad]).to_f32());
            let min = dmin.mul(I32x4::from_u8(part.min[quad]).to_f32());
            let products = dot_groups(0..4, x, |group| part.codes.pairs(quad, group));
            for n in 0..N {
                let scaled = products[n].to_f32().mul(scale.mul(F32x4::splat(x[n].scale)));
                sums[n] = sums[n].add(scaled).sub(min.mul(F32x4::splat(x[n].scale * x[n].sum as f32)));
            }
        }
    }
}

/// `d · s · (q − 32)`, with `s` for each of sixteen groups of 16 columns; codes are kept as signed bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Q6K {
    d: Halves,
    groups: [Q6KGroup; 8],
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Q6KGroup {
    /// Of columns 0–15 and 16–31.
    scale: [[[i8; 4]; 4]; 2],
    codes: Bytes,
}

impl Tile for Q6K {
    const FORMAT: Format = Format::Q6_K;

    fn pack(blocks: [&[u8]; ROWS]) -> Self {
        let mut tile = Self::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = half_at(block, 208);
            for (j, group) in tile.groups.iter_mut().enumerate() {
                let (half, quarter) = (j / 4, j % 4);
                for (h, scale) in group.scale.iter_mut().enumerate() {
                    scale[row / 4][row % 4] = block[192 + 2 * j + h] as i8;
                }
                for k in 0..32 {
                    let low = block[half * 64 + quarter % 2 * 32 + k] >> (quarter / 2 * 4) & 15;
                    let high = block[128 + half * 32 + k] >> (quarter * 2) & 3;
                    group.codes.set(row, k, (low | high << 4) as i8 - 32);
                }
            }
        }
        tile
    }

    #[inline(always)]
    fn dot<const N: usize>(&self, quad: usize, x: [&[Block]; N], sums: &mut [F32x4; N]) {
        let d = F32x4::from_half(self.d[quad]).mul(F32x4::splat(HALF_SCALE));
        for (j, part) in self.groups.iter().enumerate() {
            let x = nth(x, j);
            for (h, scale) in part.scale.iter().enumerate() {
                let scale = d.mul(I32x4::from_i8(scale[quad]).to_f32());
                let products = dot_groups(2 * h..2 * h + 2, x, |group| part.codes.pairs(quad, group));
                for n in 0..N {
                    let scaled = products[n].to_f32().mul(scale.mul(F32x4::splat(x[n].scale)));
                    sums[n] = sums[n].add(scaled);
                }
            }
        }
    }
}
