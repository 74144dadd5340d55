//! Q5_0: `w = d · (q − 16)`. Block of 32: f16 `d`, a u32 with the fifth bit of `q[i]` in bit `i`, then 16 bytes of low
//! four bits as in Q4_0.

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 0);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let fifth = |i: usize| ((high >> i & 1) << 4) as u8;
    for (i, byte) in block[6..].iter().enumerate() {
        out[i] = d * (f32::from(byte & 15 | fifth(i)) - 16.0);
        out[i + 16] = d * (f32::from(byte >> 4 | fifth(i + 16)) - 16.0);
    }
}
