// cap tanh(x / cap); far out a tanh may overflow. CPU twin: `elementwise::softcap`.
fn capped(x: f32, cap: f32) -> f32 {
    return cap * tanh(clamp(x / cap, -15.0, 15.0));
}
