//! Least squares by second moments: what is left of a matrix makes up for what was taken from it.
//!
//! Of `min ‖X Aᵀ − Y‖² + λ‖X‖²` over all tokens nothing is needed but `H = Σ a aᵀ` and `B = Σ y aᵀ`: `X = B (H + λI)⁻¹`.

use hearth_engine::cpu::team::Team;

use crate::cholesky::{factor, invert_lower};
use crate::matrix::{Matrix, times};
use crate::statistics::damp;

/// `(H + λI)⁻¹`, as `L⁻ᵀ L⁻¹`.
pub struct Inverse(Matrix);

impl Inverse {
    /// Of a symmetric `H` without negative directions, with `damping` of the mean of its diagonal added to it; with more, if that is
    /// not enough. Panics where its numbers are none.
    pub fn new(hessian: &Matrix, mut damping: f32, team: &mut Team) -> Inverse {
        loop {
            let mut damped = hessian.clone();
            damp(&mut damped, damping);
            if let Some(lower) = factor(&damped, team) {
                return Inverse(invert_lower(&lower, team));
            }
            damping = (10.0 * damping).max(1e-6);
            assert!(damping < 1e9, "moments are numbers");
        }
    }

    /// `B (H + λI)⁻¹` of `B: [rows, inputs]`.
    pub fn solve(&self, right: &Matrix, team: &mut Team) -> Matrix {
        let half = times(right, &self.0, team);
        times(&half, &self.0.transposed(), team)
    }

    /// Its diagonal.
    pub fn diagonal(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.0.cols];
        self.0.iter().for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x));
        sums
    }

    /// Some of its rows and columns.
    pub fn block(&self, which: &[usize], team: &mut Team) -> Matrix {
        let columns = self.0.columns(which).transposed();
        times(&columns, &columns, team)
    }
}

/// Rows and columns of a symmetric matrix.
pub fn block(hessian: &Matrix, rows: &[usize], cols: &[usize]) -> Matrix {
    let data = rows.iter().flat_map(|&i| cols.iter().map(move |&j| hessian.row(i)[j])).collect();
    Matrix { rows: rows.len(), cols: cols.len(), data }
}

/// What is left of `W` where only the inputs `kept` stay, which make up for the others `D` by `W_D · H_DK · (H_KK + λI)⁻¹`.
pub fn without(weight: &Matrix, hessian: &Matrix, kept: &[usize], damping: f32, team: &mut Team) -> Matrix {
    let dropped: Vec<usize> = (0..weight.cols).filter(|i| kept.binary_search(i).is_err()).collect();
    let mut left = weight.columns(kept);
    let right = times(&weight.columns(&dropped), &block(hessian, kept, &dropped), team);
    let more = Inverse::new(&block(hessian, kept, kept), damping, team).solve(&right, team);
    left.data.iter_mut().zip(more.data).for_each(|(w, more)| *w += more);
    left
}
