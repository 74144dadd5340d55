//! Q6_K: `w = d · s[j] · (q − 32)` for the sixteen groups `j` of 16 in a block of 256.
//!
//! 128 bytes of low four bits, 64 bytes of high two bits, 16 signed bytes `s`, f16 `d`. Each half of 128 numbers uses 64
//! low bytes and 32 high bytes: numbers `l`, `l + 32`, `l + 64`, `l + 96` (l < 32) take the low nibbles of bytes `l`,
//! `l + 32`, then the high nibbles of the same two, and bits 0–1, 2–3, 4–5, 6–7 of high byte `l`.

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
