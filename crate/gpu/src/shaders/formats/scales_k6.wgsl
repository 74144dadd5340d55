// A signed byte for each half of eight blocks, and their common f32 scale.
fn W_scales(block: u32) -> vec4<f32> {
    let inner = block % 8u;
    let word = W[W_SCALES + block / 8u][inner / 2u];
    let d = bitcast<f32>(W[W_COMMON + block / 32u][(block / 8u) % 4u]);
    let both = vec2<i32>(vec2<u32>(word) << select(vec2<u32>(24u, 16u), vec2<u32>(8u, 0u), inner % 2u == 1u)) >> vec2<u32>(24u);
    let s = d * vec2<f32>(both);
    return vec4<f32>(s, W_ZERO * s);
}
