//! Q4_K: `w = d · s[j] · q − dmin · m[j]` for the eight groups `j` of 32 in a block of 256.
//!
//! f16 `d`, f16 `dmin`, 12 bytes with eight 6-bit `s` and eight 6-bit `m`, then 128 bytes of codes: 32 bytes for each
//! pair of groups, the even group in the low and the odd group in the high nibbles.

use super::nearest::{nearest, put_f16, put_nibbles};
use super::search::{self, Steps};

/// The 6-bit scale and minimum of group `j < 8` in the 12 packed bytes: four of each in the low six bits of bytes
/// 0..8; the rest have their low four bits in bytes 8..12 and their high two on top of bytes 0..8.
pub fn scale_and_min(packed: &[u8; 12], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    }
}

/// `(d · s[j], dmin · m[j])` of each group of a block, which begins alike in Q4_K and Q5_K.
pub fn scales(block: &[u8]) -> [(f32, f32); 8] {
    let (d, dmin) = (super::f16_at(block, 0), super::f16_at(block, 2));
    let packed = block[4..16].try_into().expect("twelve bytes");
    std::array::from_fn(|j| {
        let (scale, min) = scale_and_min(packed, j);
        (d * f32::from(scale), dmin * f32::from(min))
    })
}

pub fn decode(block: &[u8], out: &mut [f32]) {
    for (j, (group, (scale, min))) in out.chunks_exact_mut(32).zip(scales(block)).enumerate() {
        let codes = &block[16 + j / 2 * 32..][..32];
        for (number, byte) in group.iter_mut().zip(codes) {
            *number = scale * f32::from(byte >> (j % 2 * 4) & 15) - min;
        }
    }
}

/// Writes the scale and minimum of group `j` where [`scale_and_min`] finds them, in order of `j` into zeros.
fn put_scale_and_min(packed: &mut [u8], j: usize, scale: u8, min: u8) {
    if j < 4 {
        (packed[j], packed[j + 4]) = (scale, min);
    } else {
        packed[j + 4] = scale & 15 | min << 4;
        packed[j - 4] |= scale >> 4 << 6;
        packed[j] |= min >> 4 << 6;
    }
}

/// Finds codes of 0 to `most`, and writes the scales and minima of a block, which begins alike in Q4_K and Q5_K. Each group is
/// searched for by itself; then scales and minima are rounded to six bits, and numbers to what these have become.
pub fn encode_groups(numbers: &[f32], steps: fn() -> Steps, block: &mut [u8]) -> [u8; 256] {
    let groups = numbers.as_chunks::<32>().0;
    let mut codes = [[0; 32]; 8];
    let mut found = [(0.0, 0.0); 8];
    for ((x, codes), found) in groups.iter().zip(&mut codes).zip(&mut found) {
        let average = (x.iter().map(|x| x * x).sum::<f32>() / 32.0).sqrt();
        *found = search::scale_and_min(x, &x.map(|x| average + x.abs()), steps(), codes);
    }
    // Not `max`: which zero that takes differs between machines.
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (max_scale, max_min) =
        found.iter().fold((0.0, 0.0), |(scales, mins), (scale, min)| (larger(scales, *scale), larger(mins, *min)));
    let [inverse_scale, inverse_min] = [max_scale, max_min].map(|max| if max > 0.0 { 63.0 / max } else { 0.0 });
    block[4..16].fill(0);
    for (j, (scale, min)) in found.into_iter().enumerate() {
        let [scale, min] = [inverse_scale * scale, inverse_min * min].map(|x| (nearest(x) as u8).min(63));
        put_scale_and_min(&mut block[4..16], j, scale, min);
    }
    put_f16(block, 0, max_scale / 63.0);
    put_f16(block, 2, max_min / 63.0);
    for ((x, codes), (scale, min)) in groups.iter().zip(&mut codes).zip(scales(block)) {
        if scale != 0.0 {
            *codes = x.map(|x| nearest((x + min) / scale).clamp(0, steps().most) as u8);
        }
    }
    std::array::from_fn(|i| codes[i / 32][i % 32])
}

pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let codes = encode_groups(numbers, || Steps { most: 15, first: -1.0, steps: 20 }, block);
    for (codes, out) in codes.chunks_exact(64).zip(block[16..].chunks_exact_mut(32)) {
        put_nibbles(codes, out);
    }
}
