//! IQ4_NL: `w = d · VALUES[q]`. Block of 32: f16 `d`, then 16 bytes; byte `i` holds `q[i]` low and `q[i + 16]` high.

use super::nearest::{inverse, largest, put_f16, put_nibbles};
use super::search::ZERO;

/// What the codes stand for; ggml's `kvalues_iq4nl`, denser about zero, where most weights are.
pub const VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 0);
    for (i, byte) in block[2..].iter().enumerate() {
        out[i] = d * f32::from(VALUES[usize::from(byte & 15)]);
        out[i + 16] = d * f32::from(VALUES[usize::from(byte >> 4)]);
    }
}

/// The place of the value that is nearest to `x`; of two the larger one's.
fn place(x: f32) -> u8 {
    let above = VALUES.partition_point(|&value| f32::from(value) <= x).clamp(1, 15);
    let [below, value] = [VALUES[above - 1], VALUES[above]].map(f32::from);
    (if x - below < value - x { above - 1 } else { above }) as u8
}

/// The scale is searched for as ggml does (`quantize_row_iq4_nl_impl`): sixteen candidates, errors weighted by `x²`.
pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let max = largest(numbers);
    let sums = |inverse: f32| {
        numbers.iter().fold((0.0_f32, 0.0_f32), |(xq, qq), &x| {
            let (q, w) = (f32::from(VALUES[usize::from(place(inverse * x))]), x * x);
            (xq + w * q * x, qq + w * q * q)
        })
    };
    let least = f32::from(VALUES[0]);
    let mut scale = 0.0;
    if max.abs() >= ZERO {
        let (xq, qq) = sums(1.0 / (-max / least));
        scale = if qq > 0.0 { xq / qq } else { 0.0 };
        let mut best = scale * xq;
        for step in -7..=7 {
            let (xq, qq) = sums((step as f32 + least) / max);
            if qq > 0.0 && xq * xq > best * qq {
                scale = xq / qq;
                best = scale * xq;
            }
        }
    }
    let inverse = inverse(scale);
    let codes: [u8; 32] = std::array::from_fn(|i| place(inverse * numbers[i]));
    put_f16(block, 0, scale);
    put_nibbles(&codes, &mut block[2..]);
}
