// Numbers are shared as they are.
alias num = f32;
fn narrow(x: vec4<f32>) -> vec4<num> {
    return x;
}
