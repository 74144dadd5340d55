//! The searches by which ggml's reference encoders choose scales: a few candidates about the obvious one are rounded to, each
//! gets the scale (and minimum) that is best for its codes by least squares, and the candidate with the least error wins. Every
//! sum is taken in ggml's order (`ggml-quants.c`: `make_qx_quants`, `make_qkx2_quants`), so that bytes are the same.

use super::nearest::{largest, nearest};

/// Numbers that are all smaller than this count as zero.
pub const ZERO: f32 = 1e-15;

/// `x ≈ scale · (code − MOST)` with codes of 0 to `2 · most − 1`, weighted by `x²`. Returns the scale.
pub fn scale<const N: usize>(x: &[f32; N], most: i32, codes: &mut [u8; N]) -> f32 {
    let max = largest(x);
    if max.abs() < ZERO {
        *codes = [0; N];
        return 0.0;
    }
    let level = |inverse: f32, x: f32| nearest(inverse * x).clamp(-most, most - 1);
    let sums = |inverse: f32| {
        x.iter().fold((0.0_f32, 0.0_f32), |(xl, ll), &x| {
            let (l, w) = (level(inverse, x) as f32, x * x);
            (xl + w * x * l, ll + w * l * l)
        })
    };
    let mut best_inverse = -most as f32 / max;
    let (xl, ll) = sums(best_inverse);
    let mut scale = if ll == 0.0 { 0.0 } else { xl / ll };
    let mut best = scale * xl;
    for step in (-9..=9).filter(|&step| step != 0) {
        let inverse = -(most as f32 + 0.1 * step as f32) / max;
        let (xl, ll) = sums(inverse);
        if ll > 0.0 && xl * xl > best * ll {
            (best_inverse, scale) = (inverse, xl / ll);
            best = scale * xl;
        }
    }
    *codes = x.map(|x| (level(best_inverse, x) + most) as u8);
    scale
}

/// What [`scale_and_min`] tries: inverses of the scale of `(first + 0.1 · i + most) / range` for `i` up to `steps`, with codes of 0 to `most`.
pub struct Steps {
    pub most: i32,
    pub first: f32,
    pub steps: i32,
}

/// `x ≈ scale · code − min` with a minimum of at least 0. Returns scale and minimum.
pub fn scale_and_min<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    Steps { most, first, steps }: Steps,
    codes: &mut [u8; N],
) -> (f32, f32) {
    let (mut min, mut max) = (x[0], x[0]);
    let (mut sum_w, mut sum_x) = (weights[0], weights[0] * x[0]);
    for (&x, &w) in x.iter().zip(weights).skip(1) {
        (min, max) = (if x < min { x } else { min }, if x > max { x } else { max });
        sum_w += w;
        sum_x += w * x;
    }
    if min > 0.0 {
        min = 0.0;
    }
    if max == min {
        *codes = [0; N];
        return (0.0, -min);
    }
    let levels = |inverse: f32, min: f32| x.map(|x| nearest(inverse * (x - min)).clamp(0, most) as u8);
    let error = |codes: &[u8; N], scale: f32, min: f32| {
        let terms = x.iter().zip(weights).zip(codes);
        terms.fold(0.0_f32, |sum, ((x, w), &code)| {
            let difference = scale * f32::from(code) + min - x;
            sum + w * (difference * difference)
        })
    };
    let inverse = most as f32 / (max - min);
    let mut scale = 1.0 / inverse;
    *codes = levels(inverse, min);
    let mut best = error(codes, scale, min);
    for step in 0..=steps {
        // From the best minimum so far.
        let tried = levels((first + 0.1 * step as f32 + most as f32) / (max - min), min);
        let (mut l, mut ll, mut xl) = (0.0_f32, 0.0_f32, 0.0_f32);
        for ((x, w), &code) in x.iter().zip(weights).zip(&tried) {
            let code = f32::from(code);
            l += w * code;
            ll += w * code * code;
            xl += w * code * x;
        }
        let determinant = sum_w * ll - l * l;
        if determinant > 0.0 {
            let mut this_scale = (sum_w * xl - sum_x * l) / determinant;
            let mut this_min = (ll * sum_x - l * xl) / determinant;
            if this_min > 0.0 {
                this_min = 0.0;
                this_scale = xl / ll;
            }
            let this = error(&tried, this_scale, this_min);
            if this < best {
                (*codes, best, scale, min) = (tried, this, this_scale, this_min);
            }
        }
    }
    (scale, -min)
}
