// silu(gate) * up. CPU twin: `elementwise::gated_silu`.
fn finish(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> {
    return gate / (1.0 + exp(-gate)) * up;
}
