//! SparseGPT: numbers are removed along the inputs, those first whose loss is least by the optimal brain surgeon, and what stays
//! makes up for each. Frantar & Alistarh 2023, arXiv:2301.00774.
//!
//! With `U` as in [`gptq`](crate::gptq), the loss of removing `w_j` is `w_j² / U_jj²`; which go is settled for `BLOCK` inputs at
//! a time, by what earlier removals have made of them.

use hearth_engine::cpu::divide::Rows;
use hearth_engine::cpu::team::Team;

use crate::gptq::Spread;
use crate::matrix::Matrix;
use crate::pattern::Pattern;

/// Inputs of which it is settled together which go.
const BLOCK: usize = 128;

/// The matrix without a share of its numbers. `spread` must have the inputs in their own order, unless the pattern is free.
pub fn prune(weight: &Matrix, pattern: Pattern, share: f64, spread: &Spread, team: &mut Team) -> Matrix {
    let (order, upper) = (spread.order(), spread.upper());
    let mut out = weight.clone();
    team.each(Rows::new(&mut out.data, weight.rows), |_, row| {
        let mut w: Vec<f32> = order.iter().map(|&j| row[j]).collect();
        for first in (0..w.len()).step_by(BLOCK) {
            let end = (first + BLOCK).min(w.len());
            let scores: Vec<f32> = (first..end).map(|j| (w[j] / upper.row(j)[j]).powi(2)).collect();
            let zeros = pattern.zeros(&scores, share);
            for j in (first..end).filter(|j| zeros[j - first]) {
                let spreads = upper.row(j);
                let error = w[j] / spreads[j];
                w[j] = 0.0;
                w[j + 1..].iter_mut().zip(&spreads[j + 1..]).for_each(|(w, u)| *w -= error * u);
            }
            // What was removed stays so.
            (first..end).filter(|j| zeros[j - first]).for_each(|j| w[j] = 0.0);
        }
        order.iter().zip(w).for_each(|(&j, w)| row[j] = w);
    });
    out
}
