//! Q4_1: `w = d · q + m`. Block of 32: f16 `d`, f16 `m`, then 16 bytes; byte `i` holds `q[i]` low and `q[i + 16]` high.

use super::nearest::{put_f16, put_nibbles, ranged};

pub fn decode(block: &[u8], out: &mut [f32]) {
    let (d, m) = (super::f16_at(block, 0), super::f16_at(block, 2));
    for (i, byte) in block[4..].iter().enumerate() {
        out[i] = d * f32::from(byte & 15) + m;
        out[i + 16] = d * f32::from(byte >> 4) + m;
    }
}

pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let (d, m, codes) = ranged(numbers, 15);
    put_f16(block, 0, d);
    put_f16(block, 2, m);
    put_nibbles(&codes, &mut block[4..]);
}
