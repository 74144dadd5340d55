//! Q6_K: `w = d · s[j] · (q − 32)` for the sixteen groups `j` of 16 in a block of 256.
//!
//! 128 bytes of low four bits, 64 bytes of high two bits, 16 signed bytes `s`, f16 `d`. Each half of 128 numbers uses 64
//! low bytes and 32 high bytes: numbers `l`, `l + 32`, `l + 64`, `l + 96` (l < 32) take the low nibbles of bytes `l`,
//! `l + 32`, then the high nibbles of the same two, and bits 0–1, 2–3, 4–5, 6–7 of high byte `l`.

use super::nearest::{largest, nearest, put_f16, put_nibbles};
use super::search;

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 208);
    for (h, half) in out.chunks_exact_mut(128).enumerate() {
        let low = &block[h * 64..][..64];
        let high = &block[128 + h * 32..][..32];
        let scales = &block[192 + h * 8..][..8];
        for (i, number) in half.iter_mut().enumerate() {
            let (quarter, l) = (i / 32, i % 32);
            let nibble = low[quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
            let code = nibble | (high[l] >> (quarter * 2) & 3) << 4;
            *number = d * f32::from(scales[i / 16] as i8) * (f32::from(code) - 32.0);
        }
    }
}

/// Each group is searched for by itself; then scales are rounded to bytes, and numbers to what these have become.
pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let groups = numbers.as_chunks::<16>().0;
    let mut codes = [[0; 16]; 16];
    let mut scales = [0.0; 16];
    for ((x, codes), scale) in groups.iter().zip(&mut codes).zip(&mut scales) {
        *scale = search::scale(x, 32, codes);
    }
    let max = largest(&scales);
    if max.abs() < search::ZERO {
        block.fill(0);
        return;
    }
    let inverse = -128.0 / max;
    put_f16(block, 208, 1.0 / inverse);
    let d = super::f16_at(block, 208);
    for (((x, codes), scale), byte) in groups.iter().zip(&mut codes).zip(scales).zip(&mut block[192..208]) {
        let scale = nearest(inverse * scale).min(127) as i8;
        *byte = scale as u8;
        let d = d * f32::from(scale);
        if d != 0.0 {
            *codes = x.map(|x| (nearest(x / d).clamp(-32, 31) + 32) as u8);
        }
    }
    for (h, half) in codes.as_flattened().chunks_exact(128).enumerate() {
        put_nibbles(half, &mut block[h * 64..][..64]);
        for (l, high) in block[128 + h * 32..][..32].iter_mut().enumerate() {
            *high = (0..4).fold(0, |bits, quarter| bits | (half[quarter * 32 + l] >> 4) << (2 * quarter));
        }
    }
}
