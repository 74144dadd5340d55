// A byte a block, e: the scale is 2^(e - 128), zero where that is subnormal.
fn W_scales(block: u32) -> vec4<f32> {
    let e = (W[W_SCALES + block / 16u][(block / 4u) % 4u] >> (8u * (block % 4u))) & 255u;
    let d = bitcast<f32>((max(e, 1u) - 1u) << 23u);
    return vec4<f32>(d, d, d * W_ZERO, d * W_ZERO);
}
