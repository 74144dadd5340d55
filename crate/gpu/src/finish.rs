//! What becomes of products before they are stored: a bias is added, an activation or a cap is laid on them.

use hearth_engine::program::Activation;

/// Done to each product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finish {
    /// Nothing.
    None,
    /// GELU, tanh form.
    Gelu,
    /// GELU by the error function.
    GeluErf,
    /// `cap · tanh(x / cap)`.
    Cap(f32),
}

impl Finish {
    /// Of an operation whose products are not gated.
    pub fn of(activation: Activation) -> Finish {
        match activation {
            Activation::Gelu => Finish::Gelu,
            Activation::GeluErf => Finish::GeluErf,
            Activation::None | Activation::GatedSilu | Activation::GatedGelu => Finish::None,
        }
    }

    /// WGSL of `finished`, which is given a product of row `row`; the biases of all rows are bound as `bias`, if they are `biased`.
    pub fn text(self, biased: bool) -> String {
        let value = if biased { "value + bias[row]" } else { "value" };
        let (call, function) = match self {
            Finish::None => (value.to_owned(), ""),
            Finish::Gelu => (format!("gelu({value})"), include_str!("shaders/gelu.wgsl")),
            Finish::GeluErf => (format!("gelu_erf({value})"), include_str!("shaders/gelu_erf.wgsl")),
            Finish::Cap(cap) => (format!("capped({value}, {cap:?})"), include_str!("shaders/capped.wgsl")),
        };
        format!("fn finished(row: u32, value: f32) -> f32 {{\nreturn {call};\n}}\n{function}")
    }
}

/// WGSL of `finish`, what becomes of products with gate and up at last.
pub fn gate(activation: Activation) -> &'static str {
    match activation {
        Activation::GatedSilu => include_str!("shaders/gated_silu.wgsl"),
        Activation::GatedGelu => include_str!("shaders/gated_gelu.wgsl"),
        Activation::None | Activation::Gelu | Activation::GeluErf => {
            "fn finish(y: vec4<f32>) -> vec4<f32> { return y; }\n"
        }
    }
}
