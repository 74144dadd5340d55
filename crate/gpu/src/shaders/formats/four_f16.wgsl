// Four f16.
fn W_four(a: u32, b: u32) -> vec4<f32> {
    return vec4<f32>(half(a & 0xffffu), half(a >> 16u), half(b & 0xffffu), half(b >> 16u));
}
