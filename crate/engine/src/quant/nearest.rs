//! What encoders share: a block's extremes, rounding, and packing. Steps and their order are those of ggml's reference encoders
//! (`ggml-quants.c`), so that files come out byte for byte the same.

/// The number of largest magnitude, with its sign; the first of several.
pub fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().copied().reduce(|max, x| if x.abs() > max.abs() { x } else { max }).unwrap_or_default()
}

/// `1 / d`, or 0 for 0.
pub fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// The whole number below `x`, at most `most`. Where `x` is not finite, as it is if a scale was too small to be inverted, 0.
fn floor(x: f32, most: u8) -> u8 {
    if x.is_finite() { (x as u8).min(most) } else { 0 }
}

/// `x ≈ d · (code − zero)` with codes below `2 · zero`: `d` and codes. The number of largest magnitude becomes 0.
pub fn scaled(numbers: &[f32], zero: u8) -> (f32, [u8; 32]) {
    let d = largest(numbers) / -f32::from(zero);
    let (inverse, half) = (inverse(d), f32::from(zero) + 0.5);
    (d, std::array::from_fn(|i| floor(numbers[i] * inverse + half, 2 * zero - 1)))
}

/// `x ≈ d · code + m` with codes up to `most`: `d`, `m` and codes. The smallest number becomes 0, the largest `most`.
pub fn ranged(numbers: &[f32], most: u8) -> (f32, f32, [u8; 32]) {
    let (min, max) =
        numbers.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), x| (min.min(*x), max.max(*x)));
    let d = (max - min) / f32::from(most);
    let inverse = inverse(d);
    (d, min, std::array::from_fn(|i| floor((numbers[i] - min) * inverse + 0.5, most)))
}

/// The nearest whole number within ±2^22; halves go to even ones. What lies outside, as it does where a scale was too small to be
/// inverted, becomes something: the same as in ggml.
pub fn nearest(x: f32) -> i32 {
    const WHOLE: f32 = 1.5 * (1 << 23) as f32;
    ((x + WHOLE).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// Writes an f16 at `at`.
pub fn put_f16(block: &mut [u8], at: usize, number: f32) {
    block[at..at + 2].copy_from_slice(&half::f16::from_f32(number).to_le_bytes());
}

/// The low four bits of codes: those of the first half in low nibbles, those of the second in high ones.
pub fn put_nibbles(codes: &[u8], out: &mut [u8]) {
    let (low, high) = codes.split_at(codes.len() / 2);
    for ((byte, low), high) in out.iter_mut().zip(low).zip(high) {
        *byte = low & 15 | high << 4;
    }
}

/// The fifth bits of 32 codes as a u32.
pub fn put_fifths(codes: &[u8; 32], out: &mut [u8]) {
    let bits = codes.iter().rev().fold(0_u32, |bits, code| bits << 1 | u32::from(code >> 4 & 1));
    out[..4].copy_from_slice(&bits.to_le_bytes());
}
