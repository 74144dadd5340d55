//! Q4_0: `w = d · (q − 8)`. Block of 32: f16 `d`, then 16 bytes; byte `i` holds `q[i]` low and `q[i + 16]` high.

use super::nearest::{put_f16, put_nibbles, scaled};

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 0);
    for (i, byte) in block[2..].iter().enumerate() {
        out[i] = d * (f32::from(byte & 15) - 8.0);
        out[i + 16] = d * (f32::from(byte >> 4) - 8.0);
    }
}

pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let (d, codes) = scaled(numbers, 8);
    put_f16(block, 0, d);
    put_nibbles(&codes, &mut block[2..]);
}
