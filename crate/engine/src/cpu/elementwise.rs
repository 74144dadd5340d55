//! Norms and activations on lanes. Lengths that are no multiple of four end with plain numbers.

use super::lanes::{Exp, F32x4};
use crate::naive;

/// Root-mean-square norm in place: `x / sqrt(mean(x²) + eps) · weight`. Panics if the lengths differ.
pub fn norm(x: &mut [f32], weight: &[f32], eps: f32) {
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

/// `silu(gate) · up` into the gate.
pub fn gated_silu(gates: &mut [f32], ups: &[f32]) {
    let one = F32x4::splat(1.0);
    let zero = F32x4::splat(0.0);
    let exp = Exp::new();
    gated(gates, ups, |x| x.div(one.add(exp.of(zero.sub(x)))), naive::silu);
}

/// `gelu(gate) · up` into the gate; `0.5 (1 + tanh z)` is `1 / (1 + e^(−2z))`.
pub fn gated_gelu(gates: &mut [f32], ups: &[f32]) {
    let one = F32x4::splat(1.0);
    let linear = F32x4::splat(-2.0 * 0.797_884_6);
    let cubic = F32x4::splat(-2.0 * 0.797_884_6 * 0.044_715);
    let exp = Exp::new();
    let gelu = |x: F32x4| x.div(one.add(exp.of(x.mul(linear.add(cubic.mul(x).mul(x))))));
    gated(gates, ups, gelu, naive::gelu);
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
