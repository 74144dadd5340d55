//! Q5_K: `w = d · s[j] · q − dmin · m[j]` for the eight groups `j` of 32 in a block of 256.
//!
//! As Q4_K, but between the scales and the 128 bytes of low four bits come 32 bytes of fifth bits: number `l` of group `j`
//! has its own in bit `j` of byte `l`.

use super::nearest::put_nibbles;
use super::q4_k::{encode_groups, scales};
use super::search::Steps;

pub fn decode(block: &[u8], out: &mut [f32]) {
    for (j, (group, (scale, min))) in out.chunks_exact_mut(32).zip(scales(block)).enumerate() {
        let (high, low) = (&block[16..48], &block[48 + j / 2 * 32..][..32]);
        for ((number, low), high) in group.iter_mut().zip(low).zip(high) {
            let code = low >> (j % 2 * 4) & 15 | (high >> j & 1) << 4;
            *number = scale * f32::from(code) - min;
        }
    }
}

pub fn encode(numbers: &[f32], block: &mut [u8]) {
    let codes = encode_groups(numbers, || Steps { most: 31, first: -0.5, steps: 15 }, block);
    for (l, high) in block[16..48].iter_mut().enumerate() {
        *high = (0..8).fold(0, |bits, j| bits | (codes[32 * j + l] >> 4) << j);
    }
    for (codes, out) in codes.chunks_exact(64).zip(block[48..].chunks_exact_mut(32)) {
        put_nibbles(codes, out);
    }
}
