// An f16 scale a block, and the code that stands for zero.
fn W_scales(block: u32) -> vec4<f32> {
    let word = W[W_SCALES + block / 8u][(block / 2u) % 4u];
    let d = half((word >> (16u * (block % 2u))) & 0xffffu);
    return vec4<f32>(d, d, d * W_ZERO, d * W_ZERO);
}
