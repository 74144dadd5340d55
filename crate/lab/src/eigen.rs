//! Eigenvalues and eigenvectors of a symmetric matrix, `A = Vᵀ diag(λ) V`, in f64 with the same bits everywhere.
//!
//! Householder reflections make it tridiagonal, the implicit QL iteration makes that diagonal (EISPACK's `tred2` and `tql2`; Golub
//! & Van Loan, "Matrix Computations", 8.3). The iteration itself needs only two diagonals, so it is run by itself, and what it
//! does to the vectors is kept and done to many of their components at a time: components are lanes, and threads divide them.
//! (Libraries that are fast enough use fused products where a processor has them, and so give other bits.)

use hearth_engine::cpu::divide::Rows;
use hearth_engine::cpu::team::Team;

use crate::matrix::Matrix;

/// Lanes of a sum.
const LANES: usize = 8;

/// Rows that a thread takes at a time.
const BAND: usize = 8;

/// Components of all vectors that are worked on together.
const STRIP: usize = 32;

/// Rotations that are kept before they are done.
const ROTATIONS: usize = 1 << 18;

/// What a symmetric matrix is made of.
pub struct Eigen {
    /// Descending.
    pub values: Vec<f64>,
    /// The vector of each, a row: `[n, n]`, orthonormal.
    pub vectors: Matrix,
}

/// Of a symmetric matrix.
pub fn eigen(a: &Matrix, team: &mut Team) -> Eigen {
    let n = a.rows;
    let reduced = Tridiagonal::of(a, team);
    let mut vectors = Vectors::of(&reduced, team);
    let values = diagonal(&reduced, |rotations| vectors.rotate(rotations, team));
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    let rows = order.iter().flat_map(|&i| (0..n).map(move |j| (i, j))).map(|(i, j)| vectors.component(i, j));
    Eigen { vectors: Matrix::new(n, rows.collect()), values: order.iter().map(|&i| values[i]).collect() }
}

/// Only the eigenvalues of a symmetric matrix, descending.
pub fn eigenvalues(a: &Matrix, team: &mut Team) -> Vec<f64> {
    let mut values = diagonal(&Tridiagonal::of(a, team), |_| {});
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// `Σ x y` in eight lanes.
#[inline(always)]
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    sums.iter().sum::<f64>() + x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f64>()
}

/// `Q T Qᵀ`, with `T` of three diagonals and `Q` a product of reflections `I − β v vᵀ`.
struct Tridiagonal {
    n: usize,
    /// Of `T`.
    diagonal: Vec<f64>,
    /// Beside it; the last one is 0.
    beside: Vec<f64>,
    /// `v` of reflection `k` in row `k`, from column `k + 1` on.
    reflections: Vec<f64>,
    /// `β` of each.
    betas: Vec<f64>,
}

impl Tridiagonal {
    /// Of a symmetric matrix.
    ///
    /// With `v` from the column that is to vanish, `p = β A v` and `w = p − (β/2)(pᵀ v) v`, the rest becomes `A − v wᵀ − w vᵀ`. Each
    /// row hears of that and is multiplied with the next `v` in one go.
    fn of(a: &Matrix, team: &mut Team) -> Tridiagonal {
        let n = a.rows;
        let padded = n.next_multiple_of(BAND);
        let mut rows: Vec<f64> = a.data.iter().map(|&x| f64::from(x)).collect();
        rows.resize(padded * n, 0.0);
        let mut out = Tridiagonal {
            n,
            diagonal: Vec::with_capacity(n),
            beside: Vec::with_capacity(n),
            reflections: Vec::new(),
            betas: Vec::with_capacity(n),
        };
        let (mut v, mut w, mut products) = (vec![0.0; n], vec![0.0; n], vec![0.0; padded]);
        team.expect(BAND);
        for k in 0..n {
            let row = &mut rows[k * n..(k + 1) * n];
            // The reflection before this one.
            (k..n).for_each(|j| row[j] -= v[k] * w[j] + w[k] * v[j]);
            out.diagonal.push(row[k]);
            let (beta, beside) = reflect(&mut row[k + 1..]);
            out.betas.push(beta);
            out.beside.push(beside);
            if k + 1 == n {
                break;
            }
            let next = row.to_vec();
            let first = (k + 1) / BAND;
            let bands = Rows::new(&mut rows[first * BAND * n..], padded / BAND - first);
            let sums = Rows::new(&mut products[first * BAND..], padded / BAND - first);
            let last = (&v, &w);
            team.each((bands, sums), |band, (rows, sums)| {
                for (i, (row, sum)) in ((first + band) * BAND..n).zip(rows.chunks_exact_mut(n).zip(sums)) {
                    if i > k {
                        let (v, w) = last;
                        let (v_i, w_i) = (v[i], w[i]);
                        let pairs = v[k + 1..].iter().zip(&w[k + 1..]);
                        row[k + 1..].iter_mut().zip(pairs).for_each(|(x, (v, w))| *x -= v_i * w + w_i * v);
                        *sum = beta * dot(&row[k + 1..], &next[k + 1..]);
                    }
                }
            });
            v = next;
            v[..=k].fill(0.0);
            let half = 0.5 * beta * dot(&products[k + 1..n], &v[k + 1..]);
            w.fill(0.0);
            (k + 1..n).for_each(|i| w[i] = products[i] - half * v[i]);
        }
        rows.truncate(n * n);
        out.reflections = rows;
        out
    }
}

/// Makes `x` the `v` of the reflection that leaves only its first number; returns `β` and that number.
fn reflect(x: &mut [f64]) -> (f64, f64) {
    let Some(&first) = x.first() else { return (0.0, 0.0) };
    let rest = dot(&x[1..], &x[1..]);
    if rest == 0.0 {
        x.fill(0.0);
        return (0.0, first);
    }
    let norm = (first * first + rest).sqrt();
    let left = if first > 0.0 { -norm } else { norm };
    x[0] = first - left;
    (2.0 / (x[0] * x[0] + rest), left)
}

/// Columns `i` and `i + 1` become `c V_i − s V_{i+1}` and `s V_i + c V_{i+1}`.
struct Rotation {
    i: u32,
    c: f64,
    s: f64,
}

/// The eigenvalues, unsorted; `rotate` is told, now and then, what is to be done to the vectors.
fn diagonal(reduced: &Tridiagonal, mut rotate: impl FnMut(&[Rotation])) -> Vec<f64> {
    let (n, mut d, mut e) = (reduced.n, reduced.diagonal.clone(), reduced.beside.clone());
    let mut rotations = Vec::new();
    let (mut shift, mut size) = (0.0, 0.0_f64);
    for l in 0..n {
        size = size.max(d[l].abs() + e[l].abs());
        let small = f64::EPSILON * size;
        let m = (l..n).find(|&m| e[m].abs() <= small).unwrap_or(l);
        while m > l && e[l].abs() > small {
            let g = d[l];
            let p = (d[l + 1] - g) / (2.0 * e[l]);
            let r = libm::copysign(libm::hypot(p, 1.0), p);
            (d[l], d[l + 1]) = (e[l] / (p + r), e[l] * (p + r));
            let (after, h) = (d[l + 1], g - d[l]);
            d[l + 2..].iter_mut().for_each(|d| *d -= h);
            shift += h;
            let (mut p, after_beside) = (d[m], e[l + 1]);
            let (mut c, mut before, mut earlier) = (1.0, 1.0, 1.0);
            let (mut s, mut s_before) = (0.0, 0.0);
            for i in (l..m).rev() {
                (earlier, before, s_before) = (before, c, s);
                let (g, h) = (c * e[i], c * p);
                let r = libm::hypot(p, e[i]);
                e[i + 1] = s * r;
                (s, c) = (e[i] / r, p / r);
                p = c * d[i] - s * g;
                d[i + 1] = h + s * (c * g + s * d[i]);
                rotations.push(Rotation { i: i as u32, c, s });
            }
            p = -s * s_before * earlier * after_beside * e[l] / after;
            (e[l], d[l]) = (s * p, c * p);
            if rotations.len() > ROTATIONS {
                rotate(&rotations);
                rotations.clear();
            }
        }
        d[l] += shift;
        e[l] = 0.0;
    }
    rotate(&rotations);
    d
}

/// Columns that become the eigenvectors, in strips: of [`STRIP`] components, `[n][STRIP]`.
struct Vectors {
    n: usize,
    strips: Vec<f64>,
}

impl Vectors {
    /// `Q`.
    fn of(reduced: &Tridiagonal, team: &mut Team) -> Vectors {
        let n = reduced.n;
        let mut out = Vectors { n, strips: vec![0.0; n.div_ceil(STRIP) * n * STRIP] };
        out.each(team, |strip, columns| {
            let first = strip * STRIP;
            (first..n.min(first + STRIP)).for_each(|j| columns[j][j - first] = 1.0);
            for (k, beta) in reduced.betas.iter().enumerate().filter(|(_, beta)| **beta != 0.0) {
                let v = &reduced.reflections[k * n + k + 1..(k + 1) * n];
                let mut sums = [0.0; STRIP];
                for (column, v) in columns[k + 1..].iter().zip(v) {
                    sums.iter_mut().zip(column).for_each(|(sum, x)| *sum += x * v);
                }
                for (column, v) in columns[k + 1..].iter_mut().zip(v) {
                    let factor = beta * v;
                    column.iter_mut().zip(&sums).for_each(|(x, sum)| *x -= factor * sum);
                }
            }
        });
        out
    }

    fn rotate(&mut self, rotations: &[Rotation], team: &mut Team) {
        self.each(team, |_, columns| {
            for Rotation { i, c, s } in rotations {
                let [left, right] = &mut columns[*i as usize..][..2] else { unreachable!("two columns") };
                for (x, y) in left.iter_mut().zip(right) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
        });
    }

    fn each(&mut self, team: &mut Team, task: impl Fn(usize, &mut [[f64; STRIP]]) + Sync) {
        let count = self.n.div_ceil(STRIP);
        team.expect(self.n);
        team.each(Rows::new(&mut self.strips, count), |strip, columns| task(strip, columns.as_chunks_mut().0));
    }

    /// Component `j` of column `i`.
    fn component(&self, i: usize, j: usize) -> f32 {
        self.strips[(j / STRIP * self.n + i) * STRIP + j % STRIP] as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::times;

    fn symmetric(n: usize, seed: u64) -> Matrix {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut a = Matrix::new(n, (0..n * n).map(|_| random.f32() - 0.5).collect());
        crate::matrix::mirror(&mut a);
        a
    }

    fn difference(a: &Matrix, b: impl Fn(usize, usize) -> f32) -> f32 {
        let at = |(i, x): (usize, &f32)| (x - b(i / a.cols, i % a.cols)).abs();
        a.data.iter().enumerate().map(at).fold(0.0, f32::max)
    }

    #[test]
    fn vectors_and_values_give_the_matrix_back() {
        for n in [1, 2, 3, 7, 8, 9, 31, 33, 64, 130] {
            let a = symmetric(n, n as u64);
            let Eigen { values, vectors } = eigen(&a, &mut Team::alone());
            assert!(values.is_sorted_by(|a, b| a >= b), "{n}");
            let unit = times(&vectors, &vectors, &mut Team::alone());
            assert!(difference(&unit, |i, j| f32::from(i == j)) < 1e-6, "{n}");
            let mut scaled = vectors.clone();
            scaled
                .data
                .chunks_exact_mut(n)
                .zip(&values)
                .for_each(|(row, value)| row.iter_mut().for_each(|x| *x *= *value as f32));
            let back = times(&scaled.transposed(), &vectors.transposed(), &mut Team::alone());
            assert!(difference(&back, |i, j| a.row(i)[j]) < 1e-5, "{n}");
            let only = eigenvalues(&a, &mut Team::alone());
            assert_eq!(only, values, "{n}");
        }
    }

    #[test]
    fn easy_matrices_have_the_values_one_sees() {
        let diagonal = |values: &[f32]| {
            let n = values.len();
            Matrix::new(n, (0..n * n).map(|i| if i / n == i % n { values[i / n] } else { 0.0 }).collect())
        };
        let team = &mut Team::alone();
        assert_eq!(eigen(&diagonal(&[1.0, 5.0, -2.0, 0.0]), team).values, [5.0, 1.0, 0.0, -2.0]);
        assert_eq!(eigen(&diagonal(&[0.0; 5]), team).values, [0.0; 5]);
        // Of rank one.
        let x = [1.0, -2.0, 3.0, 4.0, 0.0, 5.0];
        let outer = Matrix::new(6, x.iter().flat_map(|a| x.iter().map(move |b| a * b)).collect());
        let found = eigen(&outer, team);
        assert!((found.values[0] - 55.0).abs() < 1e-10 && found.values[1..].iter().all(|value| value.abs() < 1e-10));
        assert!((found.vectors.row(0)[5].abs() - 5.0 / 55_f32.sqrt()).abs() < 1e-6);
        // Second differences: 2 − 2 cos(π k / (n + 1)).
        let n = 50;
        let chain = Matrix::new(n, (0..n * n).map(|i| [2.0, -1.0, 0.0][(i / n).abs_diff(i % n).min(2)]).collect());
        for (k, value) in eigenvalues(&chain, team).iter().rev().enumerate() {
            let exact = 2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
            assert!((value - exact).abs() < 1e-13, "{k}");
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let a = symmetric(150, 3);
        let [one, two, three] = [1, 2, 3].map(|threads| eigen(&a, &mut Team::spawn(threads)));
        assert!(one.values == two.values && one.vectors == two.vectors);
        assert!(one.values == three.values && one.vectors == three.vectors);
    }

    #[test]
    fn what_is_no_number_ends() {
        let mut a = symmetric(20, 1);
        a.row_mut(3)[3] = f32::NAN;
        assert!(eigen(&a, &mut Team::alone()).values.iter().any(|value| value.is_nan()));
    }
}
