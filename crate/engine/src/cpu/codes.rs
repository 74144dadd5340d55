//! The codes of a tile, 16 rows × 32 columns, packed so that nothing is ever shuffled.
//!
//! The rows come in four quads. For a quad and a group of eight columns there are two *planes* of sixteen bytes; each 32-bit
//! lane is a row, and its four bytes are the codes of columns
//!
//! ```text
//!             byte 0   byte 1   byte 2   byte 3
//!   plane 0   k = 0    k = 4    k = 1    k = 5
//!   plane 1   k = 2    k = 6    k = 3    k = 7
//! ```
//!
//! Dot products of bytes take a plane as it is. Without them its even bytes, then its odd bytes, are two vectors of i16 that
//! meet two neighbouring activations each. Groups lie one after the other and the quads within them, so that one activation is
//! read once for sixteen rows and the weights in one linear stream. Codes keep the file's own values: integer sums are exact.

use bytemuck::Zeroable;

use super::lanes::I16x8;
use crate::quant::IQ4_NL_VALUES;

/// Rows in a tile.
pub const ROWS: usize = 16;

/// Rows that one vector holds.
pub const QUADS: usize = ROWS / 4;

/// Columns in a group.
pub const GROUP: usize = 8;

/// Masks, and a table, that stay in registers.
#[derive(Clone, Copy)]
pub struct Masks {
    pub nibble: I16x8,
    bit_4: I16x8,
    bits_45: I16x8,
    /// The code of zero in four bits.
    pub eights: I16x8,
    /// What the codes of IQ4_NL stand for.
    values: I16x8,
    /// The even bytes.
    pub even: I16x8,
    /// Eight times 1.
    #[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
    pub ones: I16x8,
}

impl Masks {
    #[inline(always)]
    pub fn new() -> Masks {
        Masks {
            nibble: I16x8::kept(0x0f0f),
            bit_4: I16x8::kept(0x1010),
            bits_45: I16x8::kept(0x3030),
            eights: I16x8::kept(0x0808),
            values: I16x8::from_bytes(std::hint::black_box(IQ4_NL_VALUES.map(|value| value as u8))),
            even: I16x8::kept(0x00ff),
            #[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
            ones: I16x8::kept(1),
        }
    }
}

/// A packing of codes.
pub trait Codes: Copy + Zeroable {
    /// Bits in a code, or in what a table says that it stands for. Those of eight are signed, the others are not.
    const BITS: u32;

    /// Stores eight neighbouring columns of a row; no bits above those of the file's codes may be set.
    fn set(&mut self, row: usize, group: usize, codes: [u8; GROUP]);

    /// The two planes of a quad and group. `quad` is a constant once the caller is inlined, so shifts are by literals.
    fn planes(&self, quad: usize, group: usize, masks: &Masks) -> [I16x8; 2];

    /// The code of a row and column, or what it stands for; signed if there are eight bits.
    fn get(&self, row: usize, k: usize) -> i32 {
        let (plane, byte) = (k % 4 / 2, k % 2 * 2 + k % GROUP / 4);
        let byte = self.planes(row / 4, k / GROUP, &Masks::new())[plane].to_bytes()[row % 4 * 4 + byte];
        if Self::BITS == 8 { i32::from(byte as i8) } else { i32::from(byte) }
    }
}

/// The planes' lanes for eight codes of a row.
#[inline(always)]
fn lanes(codes: [u8; GROUP]) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = codes;
    [u32::from_le_bytes([a, e, b, f]), u32::from_le_bytes([c, g, d, h])]
}

/// Sets bits of a row's lane.
#[inline(always)]
fn put(vector: &mut [u8; 16], row: usize, bits: u32) {
    let lane = &mut vector.as_chunks_mut::<4>().0[row % 4];
    *lane = (u32::from_le_bytes(*lane) | bits).to_le_bytes();
}

/// Four bits, 0 to 15: plane 0 in the low nibbles, plane 1 in the high ones.
#[derive(Clone, Copy, Zeroable)]
#[repr(transparent)]
pub struct Codes4([[[u8; 16]; QUADS]; 4]);

impl Codes for Codes4 {
    const BITS: u32 = 4;

    #[inline(always)]
    fn set(&mut self, row: usize, group: usize, codes: [u8; GROUP]) {
        let [a, b] = lanes(codes);
        put(&mut self.0[group][row / 4], row, a | b << 4);
    }

    #[inline(always)]
    fn planes(&self, quad: usize, group: usize, masks: &Masks) -> [I16x8; 2] {
        let v = I16x8::from_bytes(self.0[group][quad]);
        [v.and(masks.nibble), v.shr::<4>().and(masks.nibble)]
    }
}

/// Five bits, 0 to 31: nibbles, and for each group the fifth bits of quad `q`, plane `p` in bit `2q + p` of the bytes.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
pub struct Codes5 {
    high: [[u8; 16]; 4],
    low: Codes4,
}

impl Codes for Codes5 {
    const BITS: u32 = 5;

    #[inline(always)]
    fn set(&mut self, row: usize, group: usize, codes: [u8; GROUP]) {
        self.low.set(row, group, codes.map(|code| code & 15));
        let [a, b] = lanes(codes.map(|code| code >> 4));
        put(&mut self.high[group], row, (a | b << 1) << (row / 4 * 2));
    }

    #[inline(always)]
    fn planes(&self, quad: usize, group: usize, masks: &Masks) -> [I16x8; 2] {
        let [a, b] = self.low.planes(quad, group, masks);
        let v = I16x8::from_bytes(self.high[group]);
        let [fifth_a, fifth_b] = match quad {
            0 => [v.shl::<4>(), v.shl::<3>()],
            1 => [v.shl::<2>(), v.shl::<1>()],
            2 => [v, v.shr::<1>()],
            _ => [v.shr::<2>(), v.shr::<3>()],
        };
        [a.or(fifth_a.and(masks.bit_4)), b.or(fifth_b.and(masks.bit_4))]
    }
}

/// Six bits, 0 to 63: nibbles, and for each group and plane the upper two bits of quad `q` in bits `2q` and `2q + 1` of the
/// bytes.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
pub struct Codes6 {
    high: [[[u8; 16]; 2]; 4],
    low: Codes4,
}

impl Codes for Codes6 {
    const BITS: u32 = 6;

    #[inline(always)]
    fn set(&mut self, row: usize, group: usize, codes: [u8; GROUP]) {
        self.low.set(row, group, codes.map(|code| code & 15));
        for (plane, lane) in self.high[group].iter_mut().zip(lanes(codes.map(|code| code >> 4))) {
            put(plane, row, lane << (row / 4 * 2));
        }
    }

    #[inline(always)]
    fn planes(&self, quad: usize, group: usize, masks: &Masks) -> [I16x8; 2] {
        let [a, b] = self.low.planes(quad, group, masks);
        let [high_a, high_b] = self.high[group].map(|bytes| {
            let v = I16x8::from_bytes(bytes);
            match quad {
                0 => v.shl::<4>(),
                1 => v.shl::<2>(),
                2 => v,
                _ => v.shr::<2>(),
            }
        });
        [a.or(high_a.and(masks.bits_45)), b.or(high_b.and(masks.bits_45))]
    }
}

/// Two bits, 0 to 3: for each group and plane, the codes of quad `q` in bits `2q` and `2q + 1` of the bytes.
#[derive(Clone, Copy, Zeroable)]
#[repr(transparent)]
pub struct Codes2([[[u8; 16]; 2]; 4]);

impl Codes for Codes2 {
    const BITS: u32 = 2;

    #[inline(always)]
    fn set(&mut self, row: usize, group: usize, codes: [u8; GROUP]) {
        for (plane, lane) in self.0[group].iter_mut().zip(lanes(codes)) {
            put(plane, row, lane << (row / 4 * 2));
        }
    }

    #[inline(always)]
    fn planes(&self, quad: usize, group: usize, masks: &Masks) -> [I16x8; 2] {
        // 0x0303, made of a mask that is there already.
        let two = masks.nibble.and(masks.nibble.shr::<2>());
        self.0[group].map(|bytes| {
            let v = I16x8::from_bytes(bytes);
            let v = match quad {
                0 => v,
                1 => v.shr::<2>(),
                2 => v.shr::<4>(),
                _ => v.shr::<6>(),
            };
            v.and(two)
        })
    }
}

/// Three bits, 0 to 7: two, and for each group the third bits of quad `q`, plane `p` in bit `2q + p` of the bytes.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
pub struct Codes3 {
    high: [[u8; 16]; 4],
    low: Codes2,
}

impl Codes for Codes3 {
    const BITS: u32 = 3;

    #[inline(always)]
    fn set(&mut self, row: usize, group: usize, codes: [u8; GROUP]) {
        self.low.set(row, group, codes.map(|code| code & 3));
        let [a, b] = lanes(codes.map(|code| code >> 2));
        put(&mut self.high[group], row, (a | b << 1) << (row / 4 * 2));
    }

    #[inline(always)]
    fn planes(&self, quad: usize, group: usize, masks: &Masks) -> [I16x8; 2] {
        let [a, b] = self.low.planes(quad, group, masks);
        let bit_2 = masks.bit_4.shr::<2>();
        let v = I16x8::from_bytes(self.high[group]);
        let [third_a, third_b] = match quad {
            0 => [v.shl::<2>(), v.shl::<1>()],
            1 => [v, v.shr::<1>()],
            2 => [v.shr::<2>(), v.shr::<3>()],
            _ => [v.shr::<4>(), v.shr::<5>()],
        };
        [a.or(third_a.and(bit_2)), b.or(third_b.and(bit_2))]
    }
}

/// Four bits, the places of signed bytes in the table of IQ4_NL. Their products are of i16 like those of signed bytes: products
/// of bytes would need one table for the positive and one for the negative, and as many instructions.
#[derive(Clone, Copy, Zeroable)]
#[repr(transparent)]
pub struct CodesNl(Codes4);

impl Codes for CodesNl {
    const BITS: u32 = 8;

    #[inline(always)]
    fn set(&mut self, row: usize, group: usize, codes: [u8; GROUP]) {
        self.0.set(row, group, codes);
    }

    #[inline(always)]
    fn planes(&self, quad: usize, group: usize, masks: &Masks) -> [I16x8; 2] {
        self.0.planes(quad, group, masks).map(|places| masks.values.pick(places))
    }
}

/// Signed bytes: group, plane, quad.
#[derive(Clone, Copy, Zeroable)]
#[repr(transparent)]
pub struct Codes8([[[[u8; 16]; QUADS]; 2]; 4]);

impl Codes for Codes8 {
    const BITS: u32 = 8;

    #[inline(always)]
    fn set(&mut self, row: usize, group: usize, codes: [u8; GROUP]) {
        for (plane, lane) in self.0[group].iter_mut().zip(lanes(codes)) {
            put(&mut plane[row / 4], row, lane);
        }
    }

    #[inline(always)]
    fn planes(&self, quad: usize, group: usize, _masks: &Masks) -> [I16x8; 2] {
        let [a, b] = &self.0[group];
        [I16x8::from_bytes(a[quad]), I16x8::from_bytes(b[quad])]
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    /// Codes of `bits` bits, and what each stands for.
    fn comes_back<C: Codes>(bits: u32, number: impl Fn(u8) -> i32) {
        let mut random = fastrand::Rng::with_seed(bits.into());
        let codes: [[u8; 32]; ROWS] = std::array::from_fn(|_| std::array::from_fn(|_| random.u8(..) >> (8 - bits)));
        let mut packed = C::zeroed();
        for (row, codes) in codes.iter().enumerate() {
            for (group, codes) in codes.as_chunks::<GROUP>().0.iter().enumerate() {
                packed.set(row, group, *codes);
            }
        }
        for (row, codes) in codes.iter().enumerate() {
            for (k, &code) in codes.iter().enumerate() {
                assert_eq!(packed.get(row, k), number(code), "{bits} bits, row {row}, column {k}");
            }
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_code_comes_back() {
        comes_back::<Codes2>(2, i32::from);
        comes_back::<Codes3>(3, i32::from);
        comes_back::<Codes4>(4, i32::from);
        comes_back::<CodesNl>(4, |code| IQ4_NL_VALUES[usize::from(code)].into());
        comes_back::<Codes5>(5, i32::from);
        comes_back::<Codes6>(6, i32::from);
        comes_back::<Codes8>(8, |code| i32::from(code as i8));
    }
}
