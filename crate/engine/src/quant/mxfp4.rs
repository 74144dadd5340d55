//! MXFP4: `w = 2^(e − 128) · VALUES[q]`. Block of 32: a byte `e`, then 16 bytes; byte `i` holds `q[i]` low and `q[i + 16]`
//! high. Microscaling formats of the Open Compute Project, version 1.0: elements E2M1, scale E8M0.

/// What the codes stand for, doubled, so that they are whole; the scale is halved for it.
pub const VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// `2^(e − 128)`; the two smallest are subnormal.
pub fn scale(e: u8) -> f32 {
    match e {
        0 | 1 => f32::from_bits(1 << (21 + e)),
        _ => f32::from_bits(u32::from(e - 1) << 23),
    }
}

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = scale(block[0]);
    for (i, byte) in block[1..].iter().enumerate() {
        out[i] = d * f32::from(VALUES[usize::from(byte & 15)]);
        out[i + 16] = d * f32::from(VALUES[usize::from(byte >> 4)]);
    }
}
