//! The feed-forward half of a layer, forwards and backwards: what distillation tunes.
//!
//! ```text
//! n = x̂ · g + s    u_i = W_i n + b_i    a = act(u_0) · u_1, or act(u_0)    y = W a + b
//! ```
//!
//! with `x̂` the input divided by its size and, for layer norms, without its mean.

use hearth_engine::cpu::team::Team;
use hearth_engine::naive::gelu_erf;
use hearth_engine::program::{Activation, NormKind};

use crate::elementwise::{self as el, Gain};
use crate::matrix::{Matrix, times};

/// Its numbers; or what a loss says of them.
#[derive(Clone)]
pub struct FeedForward {
    /// Which norm, and what keeps it from dividing by zero.
    pub norm: (NormKind, f32),
    /// What is done between the matrices.
    pub activation: Activation,
    /// `g: [D]`.
    pub gain: Vec<f32>,
    /// `s: [D]`; nothing, if empty.
    pub shift: Vec<f32>,
    /// `W_i: [F, D]`, gate and up, or up.
    pub ups: Vec<Matrix>,
    /// `b_i: [F]`, each nothing, if empty.
    pub up_biases: Vec<Vec<f32>>,
    /// `W: [D, F]`.
    pub down: Matrix,
    /// `b: [D]`; nothing, if empty.
    pub down_bias: Vec<f32>,
}

/// What the way forwards leaves for the way back, `[T, ...]` each.
pub struct Tape {
    sized: Matrix,
    normed: Matrix,
    ups: Vec<Matrix>,
    activated: Matrix,
    /// What the half adds to the stream: `[T, D]`.
    pub out: Matrix,
}

impl FeedForward {
    /// All numbers, always in the same order: gain, shift, ups, their biases, down, its bias.
    pub fn numbers(&mut self) -> Vec<&mut Vec<f32>> {
        let mut all = vec![&mut self.gain, &mut self.shift];
        all.extend(self.ups.iter_mut().map(|up| &mut up.data));
        all.extend(&mut self.up_biases);
        all.extend([&mut self.down.data, &mut self.down_bias]);
        all
    }

    /// Zeros in its shape.
    pub fn zeros(&self) -> FeedForward {
        let mut zeros = self.clone();
        zeros.numbers().into_iter().for_each(|numbers| numbers.fill(0.0));
        zeros
    }

    /// Of `x: [T, D]`.
    pub fn forward(&self, x: &Matrix, team: &mut Team) -> Tape {
        let mut sized = x.clone();
        let (kind, eps) = self.norm;
        Gain { kind, weight: vec![1.0; x.cols], bias: Vec::new(), eps }.apply(&mut sized.data);
        let mut normed = sized.clone();
        for row in normed.data.chunks_exact_mut(x.cols) {
            row.iter_mut().zip(&self.gain).for_each(|(x, g)| *x *= g);
        }
        add(&mut normed, &self.shift);
        let product = |(up, bias): (&Matrix, &Vec<f32>)| {
            let mut product = times(&normed, up, team);
            add(&mut product, bias);
            product
        };
        let ups: Vec<Matrix> = self.ups.iter().zip(&self.up_biases).map(product).collect();
        let mut activated = ups[0].clone();
        activated.data.iter_mut().for_each(|u| *u = act(self.activation, *u)[0]);
        if let Some(up) = ups.get(1) {
            activated.data.iter_mut().zip(&up.data).for_each(|(a, u)| *a *= u);
        }
        let mut out = times(&activated, &self.down, team);
        add(&mut out, &self.down_bias);
        Tape { sized, normed, ups, activated, out }
    }

    /// What a loss says of all numbers, if it says `d_out: [T, D]` of the output.
    pub fn backward(&self, tape: &Tape, d_out: &Matrix, team: &mut Team) -> FeedForward {
        let mut gradient = self.zeros();
        gradient.down = outer(d_out, &tape.activated, team);
        sum(d_out, &mut gradient.down_bias);
        let d_activated = times(d_out, &self.down.transposed(), team);
        let mut d_ups = vec![d_activated.clone(), d_activated];
        d_ups.truncate(self.ups.len());
        for i in 0..tape.activated.data.len() {
            let [value, slope] = act(self.activation, tape.ups[0].data[i]);
            if let Some(up) = tape.ups.get(1) {
                d_ups[0].data[i] *= up.data[i];
                d_ups[1].data[i] *= value;
            }
            d_ups[0].data[i] *= slope;
        }
        let mut d_normed = Matrix::zeros(d_out.rows, d_out.cols);
        for (i, d_up) in d_ups.iter().enumerate() {
            gradient.ups[i] = outer(d_up, &tape.normed, team);
            sum(d_up, &mut gradient.up_biases[i]);
            let part = times(d_up, &self.ups[i].transposed(), team);
            d_normed.data.iter_mut().zip(&part.data).for_each(|(sum, d)| *sum += d);
        }
        sum(&d_normed, &mut gradient.shift);
        d_normed.data.iter_mut().zip(&tape.sized.data).for_each(|(d, x)| *d *= x);
        sum(&d_normed, &mut gradient.gain);
        gradient
    }
}

/// `Σ_t d_t x_tᵀ`.
fn outer(d: &Matrix, x: &Matrix, team: &mut Team) -> Matrix {
    times(&d.transposed(), &x.transposed(), team)
}

/// Adds all rows, unless nothing is wanted.
fn sum(rows: &Matrix, out: &mut [f32]) {
    if !out.is_empty() {
        rows.iter().for_each(|row| out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
    }
}

fn add(x: &mut Matrix, row: &[f32]) {
    if !row.is_empty() {
        el::add_row(x, row);
    }
}

/// The activation's value and slope.
fn act(activation: Activation, x: f32) -> [f32; 2] {
    match activation {
        Activation::None => [x, 1.0],
        Activation::GatedSilu => {
            let s = 1.0 / (1.0 + el::exp(-x));
            [x * s, s * (1.0 + x * (1.0 - s))]
        }
        Activation::Gelu | Activation::GatedGelu => {
            const SQRT_2_OVER_PI: f32 = 0.797_884_6;
            let t = el::tanh(SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x));
            let inner = SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044_715 * x * x);
            [0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner]
        }
        Activation::GeluErf => {
            const SQRT_TAU: f32 = 2.506_628_3;
            let share = 0.5 * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2));
            [gelu_erf(x), share + x * el::exp(-0.5 * x * x) / SQRT_TAU]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(activation: Activation, kind: NormKind) -> FeedForward {
        let (dim, width) = (12, 20);
        let mut random = fastrand::Rng::with_seed(3);
        let mut vector = |n: usize, size: f32| (0..n).map(|_| size * (random.f32() - 0.5)).collect::<Vec<_>>();
        let count = if activation.is_gated() { 2 } else { 1 };
        FeedForward {
            norm: (kind, 1e-5),
            activation,
            gain: vector(dim, 1.0).iter().map(|g| g + 1.0).collect(),
            shift: if kind == NormKind::Layer { vector(dim, 1.0) } else { Vec::new() },
            ups: (0..count).map(|_| Matrix::new(dim, vector(dim * width, 1.5))).collect(),
            up_biases: (0..count).map(|i| vector(if i == 0 { width } else { 0 }, 1.0)).collect(),
            down: Matrix::new(width, vector(dim * width, 1.5)),
            down_bias: vector(dim, 1.0),
        }
    }

    #[test]
    fn gradients_are_differences() {
        let team = &mut Team::alone();
        let mut random = fastrand::Rng::with_seed(9);
        let [x, y] = [0, 1].map(|_| Matrix::new(12, (0..12 * 7).map(|_| 2.0 * random.f32() - 1.0).collect()));
        for (activation, kind) in [
            (Activation::GatedSilu, NormKind::Rms),
            (Activation::GatedGelu, NormKind::Rms),
            (Activation::Gelu, NormKind::Layer),
            (Activation::GeluErf, NormKind::Layer),
        ] {
            let half = made(activation, kind);
            let lacks = |half: &FeedForward, team: &mut Team| {
                let tape = half.forward(&x, team);
                let data = tape.out.data.iter().zip(&y.data).map(|(o, y)| o - y).collect();
                (Matrix::new(12, data), tape)
            };
            let loss = |half: &FeedForward, team: &mut Team| -> f64 {
                lacks(half, team).0.data.iter().map(|r| 0.5 * f64::from(r * r)).sum()
            };
            let (d_out, tape) = lacks(&half, team);
            let mut gradient = half.backward(&tape, &d_out, team);
            for i in 0..gradient.numbers().len() {
                let along: Vec<f32> = gradient.numbers()[i].iter().map(|g| g + random.f32() - 0.5).collect();
                if along.is_empty() {
                    continue;
                }
                let length = el::dot(&along, &along).sqrt();
                let step = 4e-3 / length as f32;
                let mut moved = |sign: f32| {
                    let mut half = half.clone();
                    half.numbers()[i].iter_mut().zip(&along).for_each(|(w, d)| *w += sign * step * d);
                    loss(&half, team)
                };
                let found = (moved(1.0) - moved(-1.0)) / (2.0 * f64::from(step));
                let expected = el::dot(gradient.numbers()[i], &along);
                assert!((found / expected - 1.0).abs() < 1e-3, "{activation:?} {i}: {found} {expected}");
            }
        }
    }
}
