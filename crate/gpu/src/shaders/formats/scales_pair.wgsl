// A block's f16 scale and f16 least number.
fn W_scales(block: u32) -> vec4<f32> {
    let word = W[W_SCALES + block / 4u][block % 4u];
    let d = half(word & 0xffffu);
    let m = half(word >> 16u);
    return vec4<f32>(d, d, -m, -m);
}
