//! Q4_K: `w = d · s[j] · q − dmin · m[j]` for the eight groups `j` of 32 in a block of 256.
//!
//! f16 `d`, f16 `dmin`, 12 bytes with eight 6-bit `s` and eight 6-bit `m`, then 128 bytes of codes: 32 bytes for each
//! pair of groups, the even group in the low and the odd group in the high nibbles.

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
