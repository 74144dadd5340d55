//! GPTQ: levels are chosen number by number along the inputs, and the numbers not yet chosen make up for each error.
//! Frantar et al. 2022, arXiv:2210.17323, with the order of inputs by their energy ("act-order") and scales fixed beforehand
//! ("static groups"), so that the order costs nothing when the model runs.
//!
//! With `H = E[x xᵀ] + λI` and `H⁻¹ = Uᵀ U`: for each input `j` in order, `q_j = round(w_j)`, `e = (w_j − q_j) / U_jj`, and
//! `w_k −= e · U_jk` for all later `k`.

use hearth_engine::cpu::divide::Rows;
use hearth_engine::cpu::team::Team;

use crate::cholesky::inverse_upper;
use crate::grid::{GROUP, Grid, Scale};
use crate::matrix::Matrix;
use crate::statistics::damp;

/// Inputs whose errors are spread among themselves at once; later ones hear of them together.
const BLOCK: usize = 64;

/// Tokens for each input below which the Hessian is uncertain: it is then damped ten times as much.
const ENOUGH: f64 = 3.5;

/// Share of the mean of the diagonal that is added to it.
pub const DAMPING: f32 = 0.01;

/// What `damping` is raised to where `inputs` were seen on few tokens.
pub fn damping_for(tokens: usize, inputs: usize, damping: f32) -> f32 {
    let few = (tokens as f64) < ENOUGH * inputs as f64;
    if few { damping.max(10.0 * DAMPING) } else { damping }
}

/// An order of inputs, and the factor that spreads errors in that order.
pub struct Spread {
    order: Vec<usize>,
    upper: Matrix,
    /// The damping that it took.
    pub damping: f32,
}

impl Spread {
    /// For inputs with this Hessian, seen on so many tokens. Damping is raised until the matrix is positive.
    pub fn new(hessian: &Matrix, tokens: usize, damping: f32, by_energy: bool, team: &mut Team) -> Spread {
        let n = hessian.rows;
        let mut order: Vec<usize> = (0..n).collect();
        if by_energy {
            order.sort_by(|&a, &b| hessian.row(b)[b].total_cmp(&hessian.row(a)[a]));
        }
        let mut damping = damping_for(tokens, n, damping);
        loop {
            let mut damped = hessian.clone();
            damp(&mut damped, damping);
            let ordered = Matrix::new(
                n,
                order.iter().flat_map(|&i| order.iter().map(move |&j| (i, j))).map(|(i, j)| damped.row(i)[j]).collect(),
            );
            if let Some(upper) = inverse_upper(&ordered, team) {
                return Spread { order, upper, damping };
            }
            damping *= 10.0;
            if damping > 1e6 {
                // Inputs that are no numbers: nothing makes up for anything, and the weights will be refused.
                let upper = Matrix { rows: n, cols: n, data: (0..n * n).map(|i| f32::from(i / n == i % n)).collect() };
                return Spread { order, upper, damping };
            }
        }
    }

    /// The inputs in the order in which they are settled.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// `U`, in that order.
    pub fn upper(&self) -> &Matrix {
        &self.upper
    }
}

/// Levels of every number of `weight: [out, in]`, a group of [`GROUP`] inputs with the scale of `scales: [out, groups]`.
pub fn levels(weight: &Matrix, scales: &[Scale], grid: Grid, spread: &Spread, team: &mut Team) -> Vec<u8> {
    let groups = weight.cols / GROUP;
    codes(weight, spread, team, |row, at, x| {
        let scale = scales[row * groups + at / GROUP];
        let code = grid.code(scale, x);
        (code, grid.number(scale, code))
    })
}

/// Codes of every number of `weight: [out, in]`, where `round(row, input, x)` tells the code for `x` and the number that it stands
/// for.
pub fn codes(
    weight: &Matrix,
    spread: &Spread,
    team: &mut Team,
    round: impl Fn(usize, usize, f32) -> (u8, f32) + Sync,
) -> Vec<u8> {
    let cols = weight.cols;
    let Spread { order, upper, .. } = spread;
    let mut codes = vec![0; weight.data.len()];
    team.each(Rows::new(&mut codes, weight.rows), |row, codes| {
        let mut w: Vec<f32> = order.iter().map(|&j| weight.row(row)[j]).collect();
        for first in (0..cols).step_by(BLOCK) {
            let end = (first + BLOCK).min(cols);
            let mut errors = [0.0_f32; BLOCK];
            for j in first..end {
                let at = order[j];
                // What was pruned stays so where there is a zero (Q8_0, Q5_0, Q4_0), and others make up for what it was to make up for.
                let pruned = weight.row(row)[at] == 0.0;
                let (code, number) = round(row, at, if pruned { 0.0 } else { w[j] });
                codes[at] = code;
                let spreads = upper.row(j);
                let error = (w[j] - number) / spreads[j];
                errors[j - first] = error;
                w[j + 1..end].iter_mut().zip(&spreads[j + 1..end]).for_each(|(w, u)| *w -= error * u);
            }
            let later = &mut w[end..];
            for (j, error) in (first..end).zip(errors) {
                later.iter_mut().zip(&upper.row(j)[end..]).for_each(|(w, u)| *w -= error * u);
            }
        }
    });
    codes
}
