//! IQ4_XS: `w = d · s[j] · VALUES[q]` for the eight groups `j` of 32 in a block of 256, with the table of IQ4_NL.
//!
//! f16 `d`, a u16 with the high two bits of `s[j]` in bits `2j` and `2j + 1`, 4 bytes with its low four bits (even groups low,
//! odd ones high), then 16 bytes of codes a group as in IQ4_NL.

use super::iq4_nl::VALUES;

/// `s` of the eight groups, −32 to 31; the file has them 32 too large.
pub fn scales(block: &[u8]) -> [i8; 8] {
    let high = u16::from_le_bytes([block[2], block[3]]);
    std::array::from_fn(|j| {
        let low = block[4 + j / 2] >> (j % 2 * 4) & 15;
        (low | ((high >> (2 * j) & 3) << 4) as u8) as i8 - 32
    })
}

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 0);
    for (j, (group, scale)) in out.chunks_exact_mut(32).zip(scales(block)).enumerate() {
        let scale = d * f32::from(scale);
        for (i, byte) in block[8 + 16 * j..][..16].iter().enumerate() {
            group[i] = scale * f32::from(VALUES[usize::from(byte & 15)]);
            group[i + 16] = scale * f32::from(VALUES[usize::from(byte >> 4)]);
        }
    }
}
