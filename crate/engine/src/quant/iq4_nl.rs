//! IQ4_NL: `w = d · VALUES[q]`. Block of 32: f16 `d`, then 16 bytes; byte `i` holds `q[i]` low and `q[i + 16]` high.

/// What the codes stand for; ggml's `kvalues_iq4nl`, denser about zero, where most weights are.
pub const VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 0);
    for (i, byte) in block[2..].iter().enumerate() {
        out[i] = d * f32::from(VALUES[usize::from(byte & 15)]);
        out[i + 16] = d * f32::from(VALUES[usize::from(byte >> 4)]);
    }
}
