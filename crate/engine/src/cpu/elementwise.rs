//! Norms and activations on lanes. Lengths that are no multiple of four end with plain numbers.

use super::lanes::{Exp, F32x4};
use crate::{naive, program};

/// Root-mean-square norm in place: `x / sqrt(mean(x²) + eps) · weight`. Panics if the lengths differ.
pub fn rms_norm(x: &mut [f32], weight: &[f32], eps: f32) {
    assert_eq!(x.len(), weight.len());
    let (lanes, rest) = x.as_chunks::<4>();
    let mut sum = F32x4::splat(0.0);
    for x in lanes {
        let x = F32x4::from_array(*x);
        sum = sum.add(x.mul(x));
    }
    let sum = sum.sum() + rest.iter().map(|x| x * x).sum::<f32>();
    let factor = 1.0 / (sum / x.len() as f32 + eps).sqrt();
    x.iter_mut().zip(weight).for_each(|(x, w)| *x = *x * factor * w);
}

/// The same after the mean is taken out; `bias`, if any, is added.
pub fn layer_norm(x: &mut [f32], weight: &[f32], bias: Option<&[f32]>, eps: f32) {
    let (lanes, rest) = x.as_chunks::<4>();
    let sum = lanes.iter().fold(F32x4::splat(0.0), |sum, x| sum.add(F32x4::from_array(*x))).sum();
    let mean = (sum + rest.iter().sum::<f32>()) / x.len() as f32;
    x.iter_mut().for_each(|x| *x -= mean);
    rms_norm(x, weight, eps);
    if let Some(bias) = bias {
        add(x, bias);
    }
}

/// `gelu(x)` of each, tanh form.
pub fn gelu(x: &mut [f32]) {
    let gelu = Gelu::new();
    let (lanes, rest) = x.as_chunks_mut::<4>();
    lanes.iter_mut().for_each(|x| *x = gelu.of(F32x4::from_array(*x)).to_array());
    rest.iter_mut().for_each(|x| *x = naive::gelu(*x));
}

/// `x · Φ(x)` of each, by the error function.
pub fn gelu_erf(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = naive::gelu_erf(*x));
}

/// `cap · tanh(x / cap)` of each; tanh z is `2 / (1 + e^(−2z)) − 1`.
pub fn softcap(x: &mut [f32], cap: f32) {
    let (one, two, caps) = (F32x4::splat(1.0), F32x4::splat(2.0), F32x4::splat(cap));
    let (exp, by) = (Exp::new(), F32x4::splat(-2.0 / cap));
    let (lanes, rest) = x.as_chunks_mut::<4>();
    for x in lanes {
        let tanh = two.div(one.add(exp.of(F32x4::from_array(*x).mul(by)))).sub(one);
        *x = tanh.mul(caps).to_array();
    }
    rest.iter_mut().for_each(|x| *x = program::softcap(*x, cap));
}

/// `silu(gate) · up` into the gate.
pub fn gated_silu(gates: &mut [f32], ups: &[f32]) {
    let one = F32x4::splat(1.0);
    let zero = F32x4::splat(0.0);
    let exp = Exp::new();
    gated(gates, ups, |x| x.div(one.add(exp.of(zero.sub(x)))), naive::silu);
}

/// `gelu(gate) · up` into the gate.
pub fn gated_gelu(gates: &mut [f32], ups: &[f32]) {
    let gelu = Gelu::new();
    gated(gates, ups, |x| gelu.of(x), naive::gelu);
}

/// GELU, tanh form; `0.5 (1 + tanh z)` is `1 / (1 + e^(−2z))`.
struct Gelu {
    one: F32x4,
    linear: F32x4,
    cubic: F32x4,
    exp: Exp,
}

impl Gelu {
    #[inline(always)]
    fn new() -> Gelu {
        Gelu {
            one: F32x4::splat(1.0),
            linear: F32x4::splat(-2.0 * 0.797_884_6),
            cubic: F32x4::splat(-2.0 * 0.797_884_6 * 0.044_715),
            exp: Exp::new(),
        }
    }

    #[inline(always)]
    fn of(&self, x: F32x4) -> F32x4 {
        let z = x.mul(self.linear.add(self.cubic.mul(x).mul(x)));
        x.div(self.one.add(self.exp.of(z)))
    }
}

fn gated(gates: &mut [f32], ups: &[f32], gate: impl Fn(F32x4) -> F32x4, plain: impl Fn(f32) -> f32) {
    let ((gates, gates_rest), (ups, ups_rest)) = (gates.as_chunks_mut::<4>(), ups.as_chunks::<4>());
    for (g, u) in gates.iter_mut().zip(ups) {
        *g = gate(F32x4::from_array(*g)).mul(F32x4::from_array(*u)).to_array();
    }
    for (g, u) in gates_rest.iter_mut().zip(ups_rest) {
        *g = plain(*g) * u;
    }
}

/// `x += y`.
pub fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
