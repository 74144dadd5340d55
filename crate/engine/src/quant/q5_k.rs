//! Q5_K: `w = d · s[j] · q − dmin · m[j]` for the eight groups `j` of 32 in a block of 256.
//!
//! As Q4_K, but between the scales and the 128 bytes of low four bits come 32 bytes of fifth bits: number `l` of group `j`
//! has its own in bit `j` of byte `l`.

use super::q4_k::scales;

pub fn decode(block: &[u8], out: &mut [f32]) {
    for (j, (group, (scale, min))) in out.chunks_exact_mut(32).zip(scales(block)).enumerate() {
        let (high, low) = (&block[16..48], &block[48 + j / 2 * 32..][..32]);
        for ((number, low), high) in group.iter_mut().zip(low).zip(high) {
            let code = low >> (j % 2 * 4) & 15 | (high >> j & 1) << 4;
            *number = scale * f32::from(code) - min;
        }
    }
}
