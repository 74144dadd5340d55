//! Dense f32 matrices whose products are the same bits everywhere.
//!
//! A recipe gives the same file in a tab and on the command line, whatever the number of threads. So nothing here lets the
//! machine choose: every output is one sum over `k` in ascending order, multiplications and additions are rounded apart (never
//! fused), and threads only divide outputs among them. SIMD lanes are outputs, too.

use hearth_engine::cpu::divide::Rows;
use hearth_engine::cpu::panel::{PANEL, products};
use hearth_engine::cpu::team::Team;

/// Rows of `x` that are multiplied at a time.
const TALL: usize = 4;

/// A matrix `[rows, cols]`, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// `rows · cols` numbers.
    pub data: Vec<f32>,
}

impl Matrix {
    /// Zeros.
    pub fn zeros(rows: usize, cols: usize) -> Matrix {
        Matrix { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// These numbers. Panics unless there are whole rows of them.
    pub fn new(cols: usize, data: Vec<f32>) -> Matrix {
        assert!(data.len().is_multiple_of(cols));
        Matrix { rows: data.len() / cols, cols, data }
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// Row `i`.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// All rows.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.data.chunks_exact(self.cols)
    }

    /// Rows and columns exchanged.
    pub fn transposed(&self) -> Matrix {
        let mut out = Matrix::zeros(self.cols, self.rows);
        for (i, row) in self.iter().enumerate() {
            row.iter().enumerate().for_each(|(j, &x)| out.data[j * self.rows + i] = x);
        }
        out
    }

    /// The columns of these numbers.
    pub fn columns(&self, which: &[usize]) -> Matrix {
        Matrix {
            rows: self.rows,
            cols: which.len(),
            data: self.iter().flat_map(|row| which.iter().map(|&j| row[j])).collect(),
        }
    }
}

/// A matrix `W: [N, K]` laid out for products: panels of [`PANEL`] rows, each `[K][PANEL]`; the last one is filled up with zeros.
pub struct Packed {
    rows: usize,
    cols: usize,
    panels: Vec<[f32; PANEL]>,
}

impl Packed {
    /// Of `W`.
    pub fn new(w: &Matrix) -> Packed {
        Packed::of(w.rows, w.cols, &w.data)
    }

    /// Of `W: [rows, cols]`.
    pub fn of(rows: usize, cols: usize, w: &[f32]) -> Packed {
        let mut panels = vec![[0.0; PANEL]; rows.div_ceil(PANEL) * cols];
        for (i, row) in w.chunks_exact(cols).enumerate() {
            let panel = &mut panels[i / PANEL * cols..][..cols];
            panel.iter_mut().zip(row).for_each(|(lanes, &x)| lanes[i % PANEL] = x);
        }
        Packed { rows, cols, panels }
    }

    /// `x · Wᵀ: [T, N]` of `x: [T, K]`. Panics unless they fit.
    pub fn times(&self, x: &Matrix, team: &mut Team) -> Matrix {
        let mut out = Matrix::zeros(x.rows, self.rows);
        self.add_times(x, &mut out, team);
        out
    }

    /// `out += x · Wᵀ`; the product is summed by itself before it is added. Panics unless they fit.
    pub fn add_times(&self, x: &Matrix, out: &mut Matrix, team: &mut Team) {
        assert_eq!((x.cols, x.rows, self.rows), (self.cols, out.rows, out.cols));
        let cols = out.cols;
        let whole = x.rows / TALL * TALL * cols;
        let (tall, rest) = out.data.split_at_mut(whole);
        let strip = |first: usize, out: &mut [f32]| {
            let tall = out.len() / cols;
            for (p, panel) in self.panels.chunks_exact(self.cols).enumerate() {
                let at = p * PANEL;
                let width = PANEL.min(cols - at);
                if tall == TALL {
                    let rows: [&[f32]; TALL] = std::array::from_fn(|r| x.row(first + r));
                    for (sums, out) in products(panel, rows).iter().zip(out.chunks_exact_mut(cols)) {
                        out[at..at + width].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                    }
                } else {
                    for (r, out) in out.chunks_exact_mut(cols).enumerate() {
                        let [sums] = products(panel, [x.row(first + r)]);
                        out[at..at + width].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                    }
                }
            }
        };
        team.expect(x.rows);
        if !tall.is_empty() {
            team.each(Rows::new(tall, whole / (TALL * cols)), |i, out| strip(i * TALL, out));
        }
        if !rest.is_empty() {
            strip(whole / cols, rest);
        }
    }
}

/// `x · Wᵀ`, plainly; see [`Packed::times`].
pub fn times(x: &Matrix, w: &Matrix, team: &mut Team) -> Matrix {
    Packed::new(w).times(x, team)
}

/// `gram += xᵀ x`, `[K, K]`, of `x: [T, K]`: the lower triangle and what of the upper one comes along; see [`mirror`].
pub fn add_gram(x: &Matrix, gram: &mut Matrix, team: &mut Team) {
    const BAND: usize = 64;
    let columns = x.transposed();
    for first in (0..columns.rows).step_by(BAND) {
        let rows = first..(first + BAND).min(columns.rows);
        // Rows of the band against all columns up to its end.
        let left = Matrix::new(x.rows, columns.data[rows.start * x.rows..rows.end * x.rows].to_vec());
        let right = Packed::of(rows.end, x.rows, &columns.data[..rows.end * x.rows]);
        let product = right.times(&left, team);
        for (i, sums) in rows.zip(product.iter()) {
            gram.row_mut(i)[..sums.len()].iter_mut().zip(sums).for_each(|(gram, sum)| *gram += sum);
        }
    }
}

/// Makes a matrix symmetric by its lower triangle.
pub fn mirror(m: &mut Matrix) {
    for i in 0..m.rows {
        for j in 0..i {
            m.data[j * m.cols + i] = m.data[i * m.cols + j];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
        let mut random = fastrand::Rng::with_seed(seed);
        Matrix::new(cols, (0..rows * cols).map(|_| random.f32() - 0.5).collect())
    }

    #[test]
    fn products_are_plain_sums_on_any_number_of_threads() {
        for (t, n, k) in [(1, 1, 1), (3, 9, 5), (4, 8, 16), (13, 31, 33), (64, 65, 20)] {
            let (x, w) = (random(t, k, 1), random(n, k, 2));
            let plain = |i: usize, j: usize| x.row(i).iter().zip(w.row(j)).fold(0.0, |sum, (x, w)| sum + x * w);
            for threads in [1, 2, 3] {
                let out = times(&x, &w, &mut Team::spawn(threads));
                for i in 0..t {
                    for j in 0..n {
                        assert_eq!(out.row(i)[j].to_bits(), f32::to_bits(plain(i, j)), "{t} {n} {k} {threads}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_gram_is_every_column_times_every_other() {
        let x = random(37, 70, 3);
        let mut gram = Matrix::zeros(70, 70);
        add_gram(&x, &mut gram, &mut Team::alone());
        mirror(&mut gram);
        for i in 0..70 {
            for j in 0..70 {
                let plain = x.iter().fold(0.0, |sum: f32, row| sum + row[i] * row[j]);
                assert_eq!(gram.row(i)[j], plain);
            }
        }
    }
}
