// gelu(gate) * up, tanh form; far from zero, where some devices' tanh overflows, it is 1 anyway. CPU twin: `elementwise::gated_gelu`.
fn finish(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> {
    let inner = 0.7978845608 * (gate + 0.044715 * gate * gate * gate);
    return 0.5 * gate * (1.0 + tanh(clamp(inner, vec4<f32>(-15.0), vec4<f32>(15.0)))) * up;
}
