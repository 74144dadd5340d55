//! Low rank: a matrix as a product of two thin ones, `W ≈ B A` with `B: [out, r]` and `A: [r, in]`.
//!
//! With the `r` leading left singular vectors `U` of `W`, `B = U` and `A = Uᵀ W` have the least error of all. Where inputs are
//! known, what counts is the error of the outputs: with `H = E[x xᵀ] = L Lᵀ` it is that of `W L`, so `U` is taken of that
//! ("whitening": SVD-LLM, Wang et al. 2024, arXiv:2403.07378); `B A = U Uᵀ W` is then its best approximation, too.
//!
//! Singular vectors are eigenvectors of the smaller of `M Mᵀ` and `Mᵀ M`.

use hearth_engine::cpu::team::Team;

use crate::cholesky::factor;
use crate::eigen::{dot, eigen, eigenvalues};
use crate::gptq::{DAMPING, damping_for};
use crate::matrix::{Matrix, add_gram, mirror, times};
use crate::statistics::{Statistics, damp};

/// Two thin matrices.
pub struct Factors {
    /// `[r, in]`.
    pub a: Matrix,
    /// `[out, r]`.
    pub b: Matrix,
}

impl Factors {
    /// Of rank `rank`, or of as many as the matrix has; with `whitener`, the `L` of its inputs, so that its outputs keep most.
    pub fn of(weight: &Matrix, whitener: Option<&Matrix>, rank: usize, team: &mut Team) -> Factors {
        let u = match whitener {
            Some(l) => leading(&times(weight, &l.transposed(), team), rank, team),
            None => leading(weight, rank, team),
        };
        Factors { a: times(&u, &weight.transposed(), team), b: u.transposed() }
    }

    /// `B A: [out, in]`.
    pub fn product(&self, team: &mut Team) -> Matrix {
        times(&self.b, &self.a.transposed(), team)
    }
}

/// `L` of the inputs' `E[x xᵀ] = L Lᵀ`, damped as GPTQ does it, and more until it is positive; `None` if nothing is known of them.
pub fn whitener(statistics: &Statistics, team: &mut Team) -> Option<Matrix> {
    let hessian = statistics.hessian()?;
    let mut damping = damping_for(statistics.tokens, hessian.rows, DAMPING);
    loop {
        let mut damped = hessian.clone();
        damp(&mut damped, damping);
        match factor(&damped, team) {
            Some(l) => return Some(l),
            None if damping > 1e6 => return None,
            None => damping *= 10.0,
        }
    }
}

/// The squares of the singular values of a matrix, descending; with `whitener`, those of `W L`.
pub fn energies(weight: &Matrix, whitener: Option<&Matrix>, team: &mut Team) -> Vec<f64> {
    let whitened = whitener.map(|l| times(weight, &l.transposed(), team));
    let gram = smaller_gram(whitened.as_ref().unwrap_or(weight), team);
    eigenvalues(&gram, team).into_iter().map(|value| value.max(0.0)).collect()
}

/// `M Mᵀ` or `Mᵀ M`, whichever is smaller.
fn smaller_gram(m: &Matrix, team: &mut Team) -> Matrix {
    let mut gram = Matrix::zeros(m.rows.min(m.cols), m.rows.min(m.cols));
    match m.rows <= m.cols {
        true => add_gram(&m.transposed(), &mut gram, team),
        false => add_gram(m, &mut gram, team),
    }
    mirror(&mut gram);
    gram
}

/// The leading left singular vectors of `M: [out, in]`, rows: `[rank, out]`.
fn leading(m: &Matrix, rank: usize, team: &mut Team) -> Matrix {
    let mut vectors = eigen(&smaller_gram(m, team), team).vectors;
    vectors.rows = rank.min(vectors.rows);
    vectors.data.truncate(vectors.rows * vectors.cols);
    if m.rows <= m.cols {
        return vectors;
    }
    // Right ones: the left ones are where `M` takes them.
    let mut images = times(&vectors, m, team);
    orthonormalize(&mut images);
    images
}

/// Makes rows orthonormal, in order; one that lies within those before it becomes zero. Gram and Schmidt's, twice, since once is not
/// enough (Giraud et al. 2005).
fn orthonormalize(m: &mut Matrix) {
    let cols = m.cols;
    let mut done: Vec<f64> = Vec::with_capacity(m.data.len());
    for row in m.data.chunks_exact_mut(cols) {
        let mut x: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let size = norm(&x);
        for _ in 0..2 {
            for other in done.chunks_exact(cols) {
                let dot = dot(&x, other);
                x.iter_mut().zip(other).for_each(|(x, y)| *x -= dot * y);
            }
        }
        let left = norm(&x);
        let factor = if left > 1e-6 * size { 1.0 / left } else { 0.0 };
        x.iter_mut().for_each(|x| *x *= factor);
        row.iter_mut().zip(&x).for_each(|(row, x)| *row = *x as f32);
        done.extend(x);
    }
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
        let mut random = fastrand::Rng::with_seed(seed);
        Matrix::new(cols, (0..rows * cols).map(|_| random.f32() - 0.5).collect())
    }

    fn error(a: &Matrix, b: &Matrix) -> f32 {
        let energy = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>();
        energy(&mut a.data.iter().zip(&b.data).map(|(a, b)| a - b)) / energy(&mut a.data.iter().copied())
    }

    #[test]
    fn full_rank_is_the_matrix_and_less_is_what_the_energies_say() {
        let team = &mut Team::spawn(2);
        for (rows, cols) in [(20, 20), (12, 40), (40, 12), (1, 7), (7, 1)] {
            let w = random(rows, cols, 1);
            let mut statistics = Statistics::new(cols, true);
            statistics.see(&random(300, cols, 2), team);
            let l = whitener(&statistics, team).unwrap();
            let least = rows.min(cols);
            for whitener in [None, Some(&l)] {
                let full = Factors::of(&w, whitener, 99, team);
                assert_eq!((full.a.rows, full.b.rows, full.b.cols, full.a.cols), (least, rows, least, cols));
                assert!(error(&w, &full.product(team)) < 1e-10, "{rows} {cols}");
            }
            let energies = energies(&w, None, team);
            let half = least.div_ceil(2);
            let lost = energies[half..].iter().sum::<f64>() / energies.iter().sum::<f64>();
            let found = error(&w, &Factors::of(&w, None, half, team).product(team));
            assert!((f64::from(found) - lost).abs() < 1e-5, "{rows} {cols}: {found} {lost}");
        }
    }

    #[test]
    fn a_matrix_of_low_rank_is_found_whole() {
        let team = &mut Team::alone();
        for (rows, cols) in [(30, 50), (50, 30)] {
            let w = times(&random(rows, 3, 5), &random(cols, 3, 6), team);
            assert!(error(&w, &Factors::of(&w, None, 3, team).product(team)) < 1e-10);
            assert!(error(&w, &Factors::of(&w, None, 9, team).product(team)) < 1e-10);
            assert!(error(&w, &Factors::of(&w, None, 2, team).product(team)) > 1e-3);
        }
    }
}
