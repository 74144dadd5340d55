//! Q2_K: `w = d · s[j] · q − dmin · m[j]` for the sixteen groups `j` of 16 in a block of 256.
//!
//! 16 bytes with `s` in the low and `m` in the high nibbles, 64 bytes of codes, f16 `d`, f16 `dmin`. Each half of 128 numbers
//! uses 32 bytes of codes: its numbers `l`, `l + 32`, `l + 64`, `l + 96` (l < 32) are bits 0–1, 2–3, 4–5, 6–7 of byte `l`.

pub fn decode(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (super::f16_at(block, 80), super::f16_at(block, 82));
    for (j, group) in out.chunks_exact_mut(16).enumerate() {
        let (scale, min) = (d * f32::from(block[j] & 15), dmin * f32::from(block[j] >> 4));
        let codes = &block[16 + j / 8 * 32 + j % 2 * 16..][..16];
        for (number, byte) in group.iter_mut().zip(codes) {
            *number = scale * f32::from(byte >> (j % 8 / 2 * 2) & 3) - min;
        }
    }
}
