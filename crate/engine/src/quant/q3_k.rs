//! Q3_K: `w = d · s[j] · (q − 4)` for the sixteen groups `j` of 16 in a block of 256.
//!
//! 32 bytes of third bits: number `l` of 32 neighbours `i` has its own in bit `i` of byte `l`. Then 64 bytes of low two bits
//! as in Q2_K, 12 bytes with sixteen 6-bit `s`, f16 `d`.

/// `s` of the sixteen groups, −32 to 31. The 12 bytes hold the low four bits of groups `j` and `j + 8` in byte `j < 8`; and
/// the high two of groups `j`, `j + 4`, `j + 8`, `j + 12` in byte `8 + j`, all 32 too large.
pub fn scales(block: &[u8]) -> [i8; 16] {
    let packed = &block[96..108];
    std::array::from_fn(|j| {
        let (low, high) = (packed[j % 8] >> (j / 8 * 4) & 15, packed[8 + j % 4] >> (j / 4 * 2) & 3);
        (low | high << 4) as i8 - 32
    })
}

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 108);
    for (j, (group, scale)) in out.chunks_exact_mut(16).zip(scales(block)).enumerate() {
        let scale = d * f32::from(scale);
        let high = &block[j % 2 * 16..][..16];
        let low = &block[32 + j / 8 * 32 + j % 2 * 16..][..16];
        for ((number, low), high) in group.iter_mut().zip(low).zip(high) {
            let code = low >> (j % 8 / 2 * 2) & 3 | (high >> (j / 2) & 1) << 2;
            *number = scale * (f32::from(code) - 4.0);
        }
    }
}
