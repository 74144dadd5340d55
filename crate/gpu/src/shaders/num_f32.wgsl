// Products in single precision.
alias num = f32;
fn narrow(x: vec4<f32>) -> vec4<num> {
    return x;
}
