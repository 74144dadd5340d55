//! Cholesky factors `A = L Lᵀ` and what the lab needs of them, in blocks so that nearly all work is products of matrices.
//! Sums are in f32 with blocks of products: enough, since what is factored is damped.

use hearth_engine::cpu::team::Team;

use crate::matrix::{Matrix, Packed, times};

/// Columns that are factored at a time.
const BLOCK: usize = 64;

/// The lower triangle `L` of a symmetric `A` (its lower triangle is read), zeros above; `None` if `A` is not positive.
pub fn factor(a: &Matrix, team: &mut Team) -> Option<Matrix> {
    let n = a.rows;
    let mut l = a.clone();
    for first in (0..n).step_by(BLOCK) {
        let end = (first + BLOCK).min(n);
        // The diagonal block, plainly.
        for j in first..end {
            let row_j = l.row(j)[first..j].to_vec();
            let pivot = l.row(j)[j] - row_j.iter().map(|x| x * x).sum::<f32>();
            if !(pivot > 0.0 && pivot.is_finite()) {
                return None;
            }
            let pivot = pivot.sqrt();
            l.row_mut(j)[j] = pivot;
            for i in j + 1..end {
                let row = l.row_mut(i);
                let sum: f32 = row[first..j].iter().zip(&row_j).map(|(x, y)| x * y).sum();
                row[j] = (row[j] - sum) / pivot;
            }
        }
        // The rows below it: solved against the block.
        let block: Vec<Vec<f32>> = (first..end).map(|j| l.row(j)[first..=j].to_vec()).collect();
        for i in end..n {
            let row = &mut l.row_mut(i)[first..end];
            for (j, known) in block.iter().enumerate() {
                let sum: f32 = row[..j].iter().zip(known).map(|(x, y)| x * y).sum();
                row[j] = (row[j] - sum) / known[j];
            }
        }
        // What is left: minus the products of these columns.
        if end < n {
            let below = Matrix::new(end - first, (end..n).flat_map(|i| l.row(i)[first..end].to_vec()).collect());
            for band in (end..n).step_by(4 * BLOCK) {
                let band_end = (band + 4 * BLOCK).min(n);
                let width = end - first;
                let rows = Matrix::new(width, below.data[(band - end) * width..(band_end - end) * width].to_vec());
                let known = Packed::of(band_end - end, width, &below.data[..(band_end - end) * width]);
                let products = known.times(&rows, team);
                for (i, products) in (band..band_end).zip(products.iter()) {
                    l.row_mut(i)[end..band_end].iter_mut().zip(products).for_each(|(x, p)| *x -= p);
                }
            }
        }
    }
    for i in 0..n {
        l.row_mut(i)[i + 1..].fill(0.0);
    }
    Some(l)
}

/// `L⁻¹` of a lower triangle.
pub fn invert_lower(l: &Matrix, team: &mut Team) -> Matrix {
    let n = l.rows;
    let mut inverse = Matrix::zeros(n, n);
    for first in (0..n).step_by(BLOCK) {
        let end = (first + BLOCK).min(n);
        let width = end - first;
        // Right side: the unit matrix's rows minus what earlier rows give.
        let mut right = Matrix::zeros(width, n);
        if first > 0 {
            let left = Matrix::new(first, (first..end).flat_map(|i| l.row(i)[..first].to_vec()).collect());
            let done = Matrix::new(n, inverse.data[..first * n].to_vec());
            // Only the first `first` columns of what is done are not zero.
            let done = Matrix::new(first, done.iter().flat_map(|row| row[..first].to_vec()).collect()).transposed();
            let products = times(&left, &done, team);
            for (right, products) in right.data.chunks_exact_mut(n).zip(products.iter()) {
                right[..first].iter_mut().zip(products).for_each(|(x, p)| *x = -p);
            }
        }
        for i in 0..width {
            right.row_mut(i)[first + i] = 1.0;
            let (above, row) = right.data.split_at_mut(i * n);
            for (j, above) in above.chunks_exact(n).enumerate() {
                let factor = l.row(first + i)[first + j];
                row[..end].iter_mut().zip(above).for_each(|(x, y)| *x -= factor * y);
            }
            let pivot = l.row(first + i)[first + i];
            row[..end].iter_mut().for_each(|x| *x /= pivot);
        }
        inverse.data[first * n..end * n].copy_from_slice(&right.data);
    }
    inverse
}

/// `U` with `A⁻¹ = Uᵀ U`, upper triangle: what GPTQ and SparseGPT spread errors by. With `A` turned end for end, `A = L Lᵀ`, it is
/// `L⁻¹` turned back. `None` if `A` is not positive.
pub fn inverse_upper(a: &Matrix, team: &mut Team) -> Option<Matrix> {
    let l = factor(&turned(a), team)?;
    Some(turned(&invert_lower(&l, team)))
}

/// Rows and columns in the other order.
fn turned(a: &Matrix) -> Matrix {
    Matrix { data: a.data.iter().rev().copied().collect(), ..*a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{add_gram, mirror};

    fn positive(n: usize, seed: u64) -> Matrix {
        let mut random = fastrand::Rng::with_seed(seed);
        let x = Matrix::new(n, (0..3 * n * n).map(|_| random.f32() - 0.5).collect());
        let mut a = Matrix::zeros(n, n);
        add_gram(&x, &mut a, &mut Team::alone());
        mirror(&mut a);
        a
    }

    fn close(a: &Matrix, b: &Matrix) -> bool {
        let size = b.data.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        a.data.iter().zip(&b.data).all(|(a, b)| (a - b).abs() < 2e-4 * size)
    }

    #[test]
    fn factors_give_the_matrix_and_its_inverse() {
        let team = &mut Team::spawn(2);
        for n in [1, 5, 64, 65, 200] {
            let a = positive(n, n as u64);
            let l = factor(&a, team).unwrap();
            assert!(close(&times(&l, &l, team), &a), "{n}");
            let unit = times(&l, &invert_lower(&l, team).transposed(), team);
            let exact = Matrix { data: (0..n * n).map(|i| f32::from(i / n == i % n)).collect(), ..unit.clone() };
            assert!(close(&unit, &exact), "{n}");
            let u = inverse_upper(&a, team).unwrap();
            assert!((0..n).all(|i| u.row(i)[..i].iter().all(|x| *x == 0.0)), "{n}");
            let inverse = times(&u.transposed(), &u.transposed(), team);
            assert!(close(&times(&inverse, &a, team), &exact), "{n}");
        }
    }

    #[test]
    fn what_is_not_positive_is_said() {
        let mut a = positive(80, 1);
        a.row_mut(70)[70] = -1.0;
        assert!(factor(&a, &mut Team::alone()).is_none());
    }
}
