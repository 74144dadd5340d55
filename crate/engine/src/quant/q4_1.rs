//! Q4_1: `w = d · q + m`. Block of 32: f16 `d`, f16 `m`, then 16 bytes; byte `i` holds `q[i]` low and `q[i + 16]` high.

use super::nearest::{floor, inverse, put_f16, put_nibbles, range};

pub fn decode(block: &[u8], out: &mut [f32]) {
    let (d, m) = (super::f16_at(block, 0), super::f16_at(block, 2));
    for (i, byte) in block[4..].iter().enumerate() {
        out[i] = d * f32::from(byte & 15) + m;
        out[i + 16] = d * f32::from(byte >> 4) + m;
    }
}

/// The smallest number becomes 0, the largest 15.
pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let (min, max) = range(numbers);
    let d = (max - min) / 15.0;
    let inverse = inverse(d);
    let codes: [u8; 32] = std::array::from_fn(|i| floor((numbers[i] - min) * inverse + 0.5, 15));
    put_f16(block, 0, d);
    put_f16(block, 2, min);
    put_nibbles(&codes, &mut block[4..]);
}
