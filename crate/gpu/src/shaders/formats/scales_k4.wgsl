// As the file has them for eight blocks: f16 d and dmin, then eight scales and eight minima of six bits in twelve bytes.
fn W_scales(block: u32) -> vec4<f32> {
    let v = W[W_SCALES + block / 8u];
    let shift = 8u * (block % 4u);
    let y = v.y >> shift;
    let z = v.z >> shift;
    let w = v.w >> shift;
    let late = block % 8u >= 4u;
    let scale = select(y & 63u, (w & 15u) | ((y >> 2u) & 48u), late);
    let least = select(z & 63u, ((w >> 4u) & 15u) | ((z >> 2u) & 48u), late);
    let s = half(v.x & 0xffffu) * f32(scale);
    let m = half(v.x >> 16u) * f32(least);
    return vec4<f32>(s, s, m, m);
}
