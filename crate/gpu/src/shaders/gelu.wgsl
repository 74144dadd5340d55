// GELU, tanh form: 0.5 (1 + tanh z) is 1 / (1 + e^(-2z)). CPU twin: `elementwise::gelu`.
fn gelu(x: f32) -> f32 {
    return x / (1.0 + exp(min(x * (-1.5957692 - 0.0713548163 * x * x), 80.0)));
}
