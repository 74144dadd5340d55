// Numbers are shared in half precision; activations past its end become the largest there is.
alias num = f16;
fn narrow(x: vec4<f32>) -> vec4<num> {
    return vec4<f16>(clamp(x, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
