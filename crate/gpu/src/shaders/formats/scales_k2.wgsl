// A byte for each half of eight blocks, scale low and least number high, and their common f16 d and dmin.
fn W_scales(block: u32) -> vec4<f32> {
    let inner = block % 8u;
    let both = vec2<u32>(W[W_SCALES + block / 8u][inner / 2u]) >> (vec2<u32>(0u, 8u) + 16u * (inner % 2u));
    let pair = W[W_COMMON + block / 32u][(block / 8u) % 4u];
    let s = half(pair & 0xffffu) * vec2<f32>(both & vec2<u32>(15u));
    let m = half(pair >> 16u) * vec2<f32>((both >> vec2<u32>(4u)) & vec2<u32>(15u));
    return vec4<f32>(s, m);
}
