//! S4_16_32: of 32 numbers at most 16 are kept, `w = d · (q − 8)`; the others are zero. 3.5 bits a number. Not of ggml: see
//! `formats::gguf`'s extension.
//!
//! Block of 32: f16 `d`, a u32 whose bit `i` tells whether number `i` is kept, then 8 bytes with the codes of the kept ones in
//! order, the first in the low nibble. Where fewer are kept, the last codes say nothing; kept ones beyond the sixteenth are zero.

use super::nearest::{put_f16, scaled};

/// Numbers of a block that are kept, at most.
pub const MOST: usize = 16;

/// Which numbers of a block are kept: bits beyond the sixteenth, which have no codes, are taken away.
pub fn mask(block: &[u8]) -> u32 {
    let mut mask = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    while mask.count_ones() as usize > MOST {
        mask ^= 1 << mask.ilog2();
    }
    mask
}

pub fn decode(block: &[u8], out: &mut [f32]) {
    let (d, mask) = (super::f16_at(block, 0), mask(block));
    let mut kept = 0;
    for (i, number) in out.iter_mut().enumerate() {
        *number = 0.0;
        if mask >> i & 1 == 1 {
            *number = d * (f32::from(block[6 + kept / 2] >> (kept % 2 * 4) & 15) - 8.0);
            kept += 1;
        }
    }
}

/// Keeps the sixteen of largest magnitude, of equal ones the first, and rounds them as Q4_0 does.
pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let mut order: [usize; 32] = std::array::from_fn(|i| i);
    order.sort_by(|&a, &b| numbers[b].abs().total_cmp(&numbers[a].abs()));
    let (d, codes) = scaled(numbers, 8);
    let mask = order[..MOST].iter().filter(|&&i| codes[i] != 8).fold(0_u32, |mask, i| mask | 1 << i);
    put(d, mask, &codes, block);
}

/// The bytes of a block: its scale, which numbers are kept (at most sixteen), and the codes of all 32.
pub fn put(d: f32, mask: u32, codes: &[u8; 32], block: &mut [u8]) {
    assert!(mask.count_ones() as usize <= MOST, "at most {MOST} of 32 are kept");
    put_f16(block, 0, d);
    block[2..6].copy_from_slice(&mask.to_le_bytes());
    block[6..].fill(0);
    for (kept, i) in (0..32).filter(|i| mask >> i & 1 == 1).enumerate() {
        block[6 + kept / 2] |= codes[i] << (kept % 2 * 4);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    fn back(block: &[u8]) -> [f32; 32] {
        let mut numbers = [f32::NAN; 32];
        Format::S4_16_32.decode(block, &mut numbers);
        numbers
    }

    #[test]
    fn the_sixteen_largest_are_kept() {
        let numbers: [f32; 32] = std::array::from_fn(|i| [-8.0, 7.0, 1.0, 0.25][i % 4] * if i < 4 { 1.0 } else { 0.5 });
        let mut block = [0xaa; 14];
        Format::S4_16_32.encode(&numbers, &mut block).unwrap();
        // All of the first two kinds; the threes come after them only in the first four.
        let expected: [f32; 32] = std::array::from_fn(|i| if i % 4 < 2 { numbers[i] } else { 0.0 });
        assert!(back(&block).iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 0.5));
        assert_eq!(mask(&block), 0x3333_3333);
        // Fewer numbers than places, one of them rounded to zero: they come back, and zeros are not kept.
        let mut few = [0.0; 32];
        (few[3], few[17], few[31]) = (4.0, -8.0, 0.01);
        Format::S4_16_32.encode(&few, &mut block).unwrap();
        few[31] = 0.0;
        assert_eq!((back(&block), mask(&block)), (few, 1 << 3 | 1 << 17));
    }

    #[test]
    fn what_has_no_code_is_zero() {
        let mut block = [0x11; 14];
        put(1.0, 0xffff, &[9; 32], &mut block);
        block[2..6].fill(0xff);
        assert_eq!(mask(&block), 0xffff);
        assert_eq!(back(&block), std::array::from_fn(|i| f32::from(u8::from(i < 16))));
    }
}
