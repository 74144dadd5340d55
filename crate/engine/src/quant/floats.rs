//! F32, F16 and BF16, little-endian.

pub fn decode_f32(bytes: &[u8], out: &mut [f32]) {
    out[0] = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
}

pub fn decode_f16(bytes: &[u8], out: &mut [f32]) {
    out[0] = super::f16_at(bytes, 0);
}

pub fn decode_bf16(bytes: &[u8], out: &mut [f32]) {
    out[0] = f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16);
}

pub fn encode_f32(numbers: &[f32], bytes: &mut [u8]) {
    bytes.copy_from_slice(&numbers[0].to_le_bytes());
}

pub fn encode_f16(numbers: &[f32], bytes: &mut [u8]) {
    super::nearest::put_f16(bytes, 0, numbers[0]);
}

pub fn encode_bf16(numbers: &[f32], bytes: &mut [u8]) {
    bytes.copy_from_slice(&half::bf16::from_f32(numbers[0]).to_le_bytes());
}
