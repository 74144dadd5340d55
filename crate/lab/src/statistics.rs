//! What calibration texts say of the inputs of products: how large each is, and how they go together.

use hearth_engine::cpu::team::Team;

use crate::matrix::{Matrix, add_gram, mirror};

/// Of the inputs of one or several products, `[tokens, in]`.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Tokens that were seen.
    pub tokens: usize,
    /// `Σ x²`.
    squares: Vec<f64>,
    /// `Σ x xᵀ`, if it is asked for.
    gram: Option<Matrix>,
}

impl Statistics {
    /// Of inputs `width` wide, with their products if `gram`.
    pub fn new(width: usize, gram: bool) -> Statistics {
        let gram = gram.then(|| Matrix::zeros(width, width));
        Statistics { tokens: 0, squares: vec![0.0; width], gram }
    }

    /// Where only `Σ x²` is known.
    pub fn of_squares(tokens: usize, squares: Vec<f64>) -> Statistics {
        Statistics { tokens, squares, gram: None }
    }

    /// `Σ x²` of each input.
    pub fn squares(&self) -> &[f64] {
        &self.squares
    }

    /// Sees the inputs of some tokens.
    pub fn see(&mut self, x: &Matrix, team: &mut Team) {
        self.tokens += x.rows;
        let mut squares = vec![0.0_f32; x.cols];
        for row in x.iter() {
            squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
        }
        self.squares.iter_mut().zip(squares).for_each(|(all, sum)| *all += f64::from(sum));
        if let Some(gram) = &mut self.gram {
            add_gram(x, gram, team);
        }
    }

    /// `E[x²]` of each input.
    pub fn mean_squares(&self) -> Vec<f32> {
        self.squares.iter().map(|square| (square / self.tokens.max(1) as f64) as f32).collect()
    }

    /// `E[x xᵀ]`, symmetric, if it was asked for.
    pub fn hessian(&self) -> Option<Matrix> {
        let mut hessian = self.gram.clone()?;
        mirror(&mut hessian);
        let count = self.tokens.max(1) as f32;
        hessian.data.iter_mut().for_each(|x| *x /= count);
        Some(hessian)
    }

    /// Forgets all inputs but these.
    pub fn keep(&mut self, kept: &[usize]) {
        self.squares = kept.iter().map(|&i| self.squares[i]).collect();
        if let Some(gram) = &mut self.gram {
            let rows = Matrix::new(gram.cols, kept.iter().flat_map(|&i| gram.row(i)).copied().collect());
            *gram = rows.columns(kept);
        }
    }

    /// Divides inputs by these, as happens where their scales are folded into what makes them.
    pub fn divide(&mut self, scales: &[f32]) {
        for (i, &s) in scales.iter().enumerate() {
            self.squares[i] /= f64::from(s * s);
        }
        if let Some(gram) = &mut self.gram {
            for (i, row) in gram.data.chunks_exact_mut(scales.len()).enumerate() {
                row.iter_mut().zip(scales).for_each(|(x, s)| *x /= scales[i] * s);
            }
        }
    }
}

/// Adds `share` of the mean of the diagonal to it, also where an input was never seen; 1 where none was. The Hessian is then
/// positive.
pub fn damp(hessian: &mut Matrix, share: f32) {
    let n = hessian.rows;
    let mean = (0..n).map(|i| f64::from(hessian.row(i)[i])).sum::<f64>() / n as f64;
    let more = if mean == 0.0 { 1.0 } else { (f64::from(share) * mean) as f32 };
    (0..n).for_each(|i| hessian.row_mut(i)[i] += more);
}
