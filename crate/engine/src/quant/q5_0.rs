//! Q5_0: `w = d · (q − 16)`. Block of 32: f16 `d`, a u32 with the fifth bit of `q[i]` in bit `i`, then 16 bytes of low
//! four bits as in Q4_0.

use super::nearest::{put_f16, put_fifths, put_nibbles, scaled};

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 0);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let fifth = |i: usize| ((high >> i & 1) << 4) as u8;
    for (i, byte) in block[6..].iter().enumerate() {
        out[i] = d * (f32::from(byte & 15 | fifth(i)) - 16.0);
        out[i + 16] = d * (f32::from(byte >> 4 | fifth(i + 16)) - 16.0);
    }
}

pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let (d, codes) = scaled(numbers, 16);
    put_f16(block, 0, d);
    put_fifths(&codes, &mut block[2..]);
    put_nibbles(&codes, &mut block[6..]);
}
