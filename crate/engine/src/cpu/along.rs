//! Tiles of formats whose rows cannot share a vector: every row has a table of its own, or keeps other columns than the next.
//! Sixteen rows × 32 columns again, but a vector has neighbouring columns of one row, and activations are read as they lie, not
//! spread; the four sums of a vector are added last, those of four rows at once.

use bytemuck::Zeroable;

use super::codes::{GROUP, Masks, QUADS, ROWS};
use super::dots::{Dots, unroll};
use super::input::Block;
use super::lanes::{F32x4, I16x8, I32x4};
use super::tiles::{Half, Scale, Scales, Tile, nth};
use crate::quant::{Format, lut4_values, s4_mask};

/// The codes of four rows and 32 columns.
trait Quad: Copy {
    /// Those of a row, as they are multiplied.
    fn row<D: Dots>(self, row: usize, masks: &Masks) -> D::Row;
}

/// Products of four rows with N inputs, as exact sums.
#[inline(always)]
fn products<D: Dots, const N: usize>(quad: impl Quad, x: [&Block<D::Form>; N], masks: &Masks) -> [I32x4; N] {
    let mut sums = [I32x4::splat(0); N];
    if N == 1 {
        // What is widened is used at once: four rows of it would not fit into the registers.
        let a = D::row(&quad.row::<D>(0, masks), x[0], masks);
        let b = D::row(&quad.row::<D>(1, masks), x[0], masks);
        let c = D::row(&quad.row::<D>(2, masks), x[0], masks);
        let d = D::row(&quad.row::<D>(3, masks), x[0], masks);
        sums[0] = I32x4::sums([a, b, c, d]);
        return sums;
    }
    let a = quad.row::<D>(0, masks);
    let b = quad.row::<D>(1, masks);
    let c = quad.row::<D>(2, masks);
    let d = quad.row::<D>(3, masks);
    unroll!(n < N, {
        sums[n] = I32x4::sums([
            D::row(&a, x[n], masks),
            D::row(&b, x[n], masks),
            D::row(&c, x[n], masks),
            D::row(&d, x[n], masks),
        ]);
    });
    sums
}

/// What [`Half`]s of a quad and N inputs make of exact sums.
#[inline(always)]
fn scale<F, const N: usize>(d: [Half; 4], products: [I32x4; N], x: [&Block<F>; N], sums: &mut [F32x4; N]) {
    let d = Half::widen(d);
    unroll!(n < N, {
        sums[n] = sums[n].add(products[n].to_f32().mul(d.mul(F32x4::splat(x[n].scale_up))));
    });
}

/// The places that codes have in a row's sixteen bytes, low nibbles first: byte `2i + j` has column `i` of groups `j` and `2 + j`,
/// so that even and odd bytes are the columns of a group.
type Places = [u8; 16];

/// From bytes that hold column `k` low and `k + 16` high.
fn places(codes: &[u8]) -> Places {
    std::array::from_fn(|i| codes[i % 2 * GROUP + i / 2])
}

/// What the code of column `k` stands for.
fn value(places: &Places, values: &[u8; 16], k: usize) -> f32 {
    let byte = places[k % GROUP * 2 + k / GROUP % 2];
    f32::from(values[usize::from(byte >> (k / 16 * 4) & 15)] as i8)
}

/// Codes that a table for each row tells.
#[derive(Clone, Copy)]
struct LookedUp<'a> {
    places: &'a [Places; 4],
    tables: &'a [[u8; 16]; 4],
}

impl Quad for LookedUp<'_> {
    #[inline(always)]
    fn row<D: Dots>(self, row: usize, masks: &Masks) -> D::Row {
        let (places, values) = (I16x8::from_bytes(self.places[row]), I16x8::from_bytes(self.tables[row]));
        let low = values.pick(places.and(masks.nibble));
        let high = values.pick(places.shr::<4>().and(masks.nibble));
        D::signed([low, high])
    }
}

/// The tables of sixteen rows.
type Tables = [[[u8; 16]; 4]; QUADS];

/// `d · values[q]`, a scale for each group.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
pub struct Lut32 {
    d: Scales<Half>,
    places: [[Places; 4]; QUADS],
}

impl Tile for Lut32 {
    const FORMAT: Format = Format::LUT4_32;
    const BITS: u32 = 8;
    const DOWN: f32 = Half::DOWN;
    type Head = Tables;

    fn head(headers: [&[u8]; ROWS]) -> Tables {
        bytemuck::must_cast(headers.map(|header| lut4_values(header).map(|value| value as u8)))
    }

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Lut32 {
        let mut tile = Lut32::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            tile.d[row / 4][row % 4] = Half::read(block);
            tile.places[row / 4][row % 4] = places(&block[2..]);
        }
        tile
    }

    fn decode(&self, head: &Tables, row: usize, out: &mut [f32]) {
        let (quad, row) = (row / 4, row % 4);
        let d = self.d[quad][row].number();
        let number = |k| d * value(&self.places[quad][row], &head[quad][row], k);
        out.iter_mut().enumerate().for_each(|(k, out)| *out = number(k));
    }

    #[inline(always)]
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        head: &Tables,
        quad: usize,
        x: [&[Block<D::Form>]; N],
        sums: &mut [[F32x4; N]; Q],
        masks: &Masks,
    ) {
        let x = nth(x, 0);
        unroll!(q < Q, {
            let codes = LookedUp { places: &self.places[quad + q], tables: &head[quad + q] };
            let products = products::<D, N>(codes, x, masks);
            scale(self.d[quad + q], products, x, &mut sums[q]);
        });
    }
}

/// `d · values[q]`, a scale for the row.
#[derive(Clone, Copy, Zeroable)]
#[repr(transparent)]
pub struct LutRow([[Places; 4]; QUADS]);

/// Scales and tables of sixteen rows.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
pub struct ScaledTables {
    d: Scales<Half>,
    tables: Tables,
}

impl Tile for LutRow {
    const FORMAT: Format = Format::LUT4_ROW;
    const BITS: u32 = 8;
    const DOWN: f32 = Half::DOWN;
    type Head = ScaledTables;

    fn head(headers: [&[u8]; ROWS]) -> ScaledTables {
        let mut head = ScaledTables { d: Scales::zeroed(), tables: Lut32::head(headers) };
        for (row, header) in headers.into_iter().enumerate() {
            head.d[row / 4][row % 4] = Half::at(header, 16);
        }
        head
    }

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> LutRow {
        LutRow(std::array::from_fn(|quad| std::array::from_fn(|row| places(blocks[4 * quad + row]))))
    }

    fn decode(&self, head: &ScaledTables, row: usize, out: &mut [f32]) {
        let (quad, row) = (row / 4, row % 4);
        let d = head.d[quad][row].number();
        let number = |k| d * value(&self.0[quad][row], &head.tables[quad][row], k);
        out.iter_mut().enumerate().for_each(|(k, out)| *out = number(k));
    }

    #[inline(always)]
    fn dot<D: Dots, const Q: usize, const N: usize>(
        &self,
        head: &ScaledTables,
        quad: usize,
        x: [&[Block<D::Form>]; N],
        sums: &mut [[F32x4; N]; Q],
        masks: &Masks,
    ) {
        let x = nth(x, 0);
        unroll!(q < Q, {
            let codes = LookedUp { places: &self.0[quad + q], tables: &head.tables[quad + q] };
            let products = products::<D, N>(codes, x, masks);
            scale(head.d[quad + q], products, x, &mut sums[q]);
        });
    }
}

/// For columns that are kept among eight, as bits: where the code of each lies among theirs, and [`NONE`] for the others. Columns
/// come in `order`.
pub const fn spread(order: [u8; GROUP]) -> [[u8; GROUP]; 256] {
    let mut table = [[NONE; GROUP]; 256];
    let mut bits = 0_usize;
    while bits < 256 {
        let mut i = 0;
        while i < GROUP {
            let below = (1 << order[i]) - 1;
            if bits >> order[i] & 1 == 1 {
                table[bits][i] = (bits & below).count_ones() as u8;
            }
            i += 1;
        }
        bits += 1;
    }
    table
}

/// A place that [`I16x8::pick`] makes zero of, and still does when up to sixteen is added to it.
const NONE: u8 = 0x80;

/// What is added to places so that they count the codes of columns before: entry `n` adds `n` to the last eight bytes.
static TO_LAST: [[u8; 16]; 16] = offsets(8);

/// The same to all sixteen.
static TO_ALL: [[u8; 16]; 32] = offsets(0);

const fn offsets<const N: usize>(first: usize) -> [[u8; 16]; N] {
    let mut table = [[0; 16]; N];
    let mut n = 0;
    while n < N {
        let mut i = first;
        while i < 16 {
            table[n][i] = n as u8;
            i += 1;
        }
        n += 1;
    }
    table
}

/// `d · (q − 8)` of at most sixteen of 32 columns, the others zero. Fourteen bytes a row, as in the file.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
pub struct Sparse {
    d: Scales<Half>,
    /// Which columns are kept, eight a byte; no more than sixteen.
    kept: [[[u8; 4]; 4]; QUADS],
    /// Codes of the kept ones, xor 8: the code of zero is zero, and so is what is not picked.
    codes: [[[u8; 8]; 4]; QUADS],
}

/// Codes at their columns, and the code of zero at the others.
#[derive(Clone, Copy)]
struct Spread<'a> {
    kept: &'a [[u8; 4]; 4],
    codes: &'a [[u8; 8]; 4],
}

/// Where the codes of two groups' kept columns lie among theirs.
#[inline(always)]
fn places_of<D: Dots>(first: u8, second: u8) -> I16x8 {
    let places = I16x8::from_halves([D::SPREAD[usize::from(first)], D::SPREAD[usize::from(second)]]);
    places.add(I16x8::from_bytes(TO_LAST[first.count_ones() as usize % 16]))
}

impl Quad for Spread<'_> {
    #[inline(always)]
    fn row<D: Dots>(self, row: usize, masks: &Masks) -> D::Row {
        let codes = I16x8::from_halves([self.codes[row], [0; 8]]);
        let codes = codes.zip_bytes(codes.shr::<4>()).and(masks.nibble);
        let [a, b, c, d] = self.kept[row];
        let before = u16::from_le_bytes([a, b]).count_ones() as usize;
        let first = codes.pick(places_of::<D>(a, b)).xor(masks.eights);
        let later = places_of::<D>(c, d).add(I16x8::from_bytes(TO_ALL[before % 32]));
        D::unsigned([first, codes.pick(later).xor(masks.eights)])
    }
}

impl Tile for Sparse {
    const FORMAT: Format = Format::S4_16_32;
    const BITS: u32 = 4;
    const DOWN: f32 = Half::DOWN;
    type Head = ();

    fn head(_headers: [&[u8]; ROWS]) {}

    #[inline(always)]
    fn pack(blocks: [&[u8]; ROWS]) -> Sparse {
        let mut tile = Sparse::zeroed();
        for (row, block) in blocks.into_iter().enumerate() {
            let (quad, row) = (row / 4, row % 4);
            tile.d[quad][row] = Half::read(block);
            tile.kept[quad][row] = s4_mask(block).to_le_bytes();
            tile.codes[quad][row] = std::array::from_fn(|i| block[6 + i] ^ 0x88);
        }
        tile
    }

    fn decode(&self, (): &(), row: usize, out: &mut [f32]) {
        let (quad, row) = (row / 4, row % 4);
        let (d, kept) = (self.d[quad][row].number(), u32::from_le_bytes(self.kept[quad][row]));
        for (k, out) in out.iter_mut().enumerate() {
            let place = (kept & ((1 << k) - 1)).count_ones() as usize;
            let code = || self.codes[quad][row][place / 2] >> (place % 2 * 4) & 15 ^ 8;
            *out = if kept >> k & 1 == 1 { d * (f32::from(code()) - 8.0) } else { 0.0 };
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
        let x = nth(x, 0);
        unroll!(q < Q, {
            let codes = Spread { kept: &self.kept[quad + q], codes: &self.codes[quad + q] };
            let mut products = products::<D, N>(codes, x, masks);
            unroll!(n < N, {
                products[n] = products[n].add(I32x4::splat(-8 * (x[n].sums[0] + x[n].sums[1])));
            });
            scale(self.d[quad + q], products, x, &mut sums[q]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_the_columns_before() {
        let table = spread([0, 4, 1, 5, 2, 6, 3, 7]);
        assert_eq!(table[0], [NONE; 8]);
        assert_eq!(table[0xff], [0, 4, 1, 5, 2, 6, 3, 7]);
        assert_eq!(table[0b1010_0110], [NONE, NONE, 0, 2, 1, NONE, NONE, 3]);
    }
}
