//! Q8_0: `w = d · q`. Block of 32: f16 `d`, then 32 signed bytes.

pub fn decode(block: &[u8], out: &mut [f32]) {
    let d = super::f16_at(block, 0);
    for (number, byte) in out.iter_mut().zip(&block[2..]) {
        *number = d * f32::from(*byte as i8);
    }
}
