//! Q5_1: `w = d · q + m`. Block of 32: f16 `d`, f16 `m`, then a u32 of fifth bits and 16 bytes of low four as in Q5_0.

use super::nearest::{put_f16, put_fifths, put_nibbles, ranged};

pub fn decode(block: &[u8], out: &mut [f32]) {
    let (d, m) = (super::f16_at(block, 0), super::f16_at(block, 2));
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    let fifth = |i: usize| ((high >> i & 1) << 4) as u8;
    for (i, byte) in block[8..].iter().enumerate() {
        out[i] = d * f32::from(byte & 15 | fifth(i)) + m;
        out[i + 16] = d * f32::from(byte >> 4 | fifth(i + 16)) + m;
    }
}

pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let (d, m, codes) = ranged(numbers, 31);
    put_f16(block, 0, d);
    put_f16(block, 2, m);
    put_fifths(&codes, &mut block[4..]);
    put_nibbles(&codes, &mut block[8..]);
}
