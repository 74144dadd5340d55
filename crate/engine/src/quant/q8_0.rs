//! Q8_0: `w = d · q`. Block of 32: f16 `d`, then 32 signed bytes.

use super::nearest::{inverse, largest, put_f16};

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 0);
    for (number, byte) in out.iter_mut().zip(&block[2..]) {
        *number = d * f32::from(*byte as i8);
    }
}

/// The number of largest magnitude becomes ±127; halves are rounded away from zero. Where the scale is too small to be inverted,
/// all is zero.
pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let d = largest(numbers).abs() / 127.0;
    let inverse = Some(inverse(d)).filter(|inverse| inverse.is_finite()).unwrap_or(0.0);
    put_f16(block, 0, d);
    for (byte, number) in block[2..].iter_mut().zip(numbers) {
        *byte = (number * inverse).round() as i8 as u8;
    }
}
