//! What compression cost a model that makes vectors of texts: how near its vectors stay to the original's, and whether a search
//! with them still finds the same neighbours.

use hearth_engine::cpu::team::Team;
use hearth_engine::program::Pooling;
use serde::Serialize;

use crate::elementwise::dot;
use crate::error::{Error, Result};
use crate::evaluate::Figure;
use crate::matrix::Matrix;
use crate::model::Model;
use crate::walk::{Head, Stage, embed, layers};
use crate::{Progress, Watch};

/// Neighbours that a search finds.
const NEIGHBOURS: usize = 10;

/// Tokens of a text that count.
const LONGEST: usize = 256;

/// Texts without which there are no neighbours worth the name.
const FEWEST: usize = 2 * NEIGHBOURS;

/// Vectors of a model beside those of its original.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likeness {
    /// Texts that were compared.
    pub texts: usize,
    /// Mean cosine between the two vectors of a text.
    pub cosine: Figure,
    /// The least one.
    pub least_cosine: f64,
    /// Of the ten texts nearest to a text by the original's vectors, the share that is among the ten nearest by the other's.
    pub overlap_at_10: Figure,
}

/// The texts of a file, each to become a vector: its paragraphs, or its lines where it has few.
pub fn texts(text: &str) -> Vec<&str> {
    let cut = |by: &'static str| text.split(by).map(str::trim).filter(|part| part.len() > 2).collect::<Vec<_>>();
    let paragraphs = cut("\n\n");
    if paragraphs.len() >= FEWEST { paragraphs } else { cut("\n") }
}

/// One vector of length 1 for each text, `[texts, D]`, pooled as the model's file says. Errors if they are too few to compare.
pub fn vectors(model: &Model, texts: &[String], team: &mut Team, watch: &mut Watch) -> Result<Matrix> {
    if texts.len() < FEWEST {
        let what = format!("the test text has {} paragraphs, and {FEWEST} are needed: give more text", texts.len());
        return Err(Error::Unfit(what));
    }
    let tokenizer = model.tokenizer()?;
    let longest = LONGEST.min(model.program(1)?.config.max_seq);
    let program = model.program(longest)?;
    let mut streams = Vec::with_capacity(texts.len());
    for text in texts {
        let mut tokens = tokenizer.encode(text)?;
        tokens.truncate(longest);
        if tokens.is_empty() {
            return Err(Error::Unfit(format!("the model sees nothing in “{text}”: leave it out")));
        }
        streams.push(embed(model, &program, &tokens));
    }
    let stages = layers(&program);
    for (done, ops) in stages.iter().enumerate() {
        let stage = Stage::new(model, &program, ops.clone(), longest);
        for x in &mut streams {
            watch(Progress { what: "reading", done, of: stages.len() })?;
            stage.run(x, team, &mut |_, _| {});
        }
    }
    let head = Head::new(model, &program);
    let mut vectors = Matrix::zeros(texts.len(), program.config.dim);
    for (x, vector) in streams.iter().zip(vectors.data.chunks_exact_mut(program.config.dim)) {
        pool(&head.hidden(x, team), program.config.pooling, vector);
    }
    Ok(vectors)
}

/// Hidden states, `[T, D]`, become one vector of length 1.
fn pool(hidden: &Matrix, pooling: Pooling, out: &mut [f32]) {
    let rows = match pooling {
        Pooling::Cls => 0..1,
        Pooling::Last => hidden.rows - 1..hidden.rows,
        Pooling::Mean => 0..hidden.rows,
    };
    let mut sums = vec![0.0_f64; hidden.cols];
    rows.for_each(|t| sums.iter_mut().zip(hidden.row(t)).for_each(|(sum, x)| *sum += f64::from(*x)));
    let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum / length) as f32);
}

/// Compares the vectors that two models made of the same texts. Errors where they are of different widths.
pub fn compare(original: &Matrix, other: &Matrix) -> Result<Likeness> {
    if (original.rows, original.cols) != (other.rows, other.cols) {
        let what = format!("vectors of {} and of {} numbers cannot be compared", original.cols, other.cols);
        return Err(Error::Unfit(what));
    }
    let cosines: Vec<f64> = original.iter().zip(other.iter()).map(|(a, b)| dot(a, b)).collect();
    let overlaps: Vec<f64> = (0..original.rows)
        .map(|i| {
            let (a, b) = (neighbours(original, i), neighbours(other, i));
            a.iter().filter(|text| b.contains(text)).count() as f64 / NEIGHBOURS as f64
        })
        .collect();
    Ok(Likeness {
        texts: cosines.len(),
        cosine: Figure::mean(&cosines),
        least_cosine: cosines.iter().copied().fold(f64::INFINITY, f64::min),
        overlap_at_10: Figure::mean(&overlaps),
    })
}

/// The texts nearest to text `i`, itself left out.
fn neighbours(vectors: &Matrix, i: usize) -> Vec<usize> {
    let mut others: Vec<(f64, usize)> = (0..vectors.rows)
        .filter(|&other| other != i)
        .map(|other| (dot(vectors.row(i), vectors.row(other)), other))
        .collect();
    others.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    others.into_iter().take(NEIGHBOURS).map(|(_, other)| other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(seed: u64, noise: f32) -> Matrix {
        let (mut random, mut shake) = (fastrand::Rng::with_seed(1), fastrand::Rng::with_seed(seed));
        let mut vectors = Matrix::zeros(60, 16);
        for row in vectors.data.chunks_exact_mut(16) {
            row.iter_mut().for_each(|x| *x = random.f32() - 0.5 + noise * (shake.f32() - 0.5));
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|x| *x /= length);
        }
        vectors
    }

    #[test]
    fn vectors_are_like_themselves_and_less_like_shaken_ones() {
        let original = made_up(2, 0.0);
        let [same, near, far] = [0.0, 0.05, 1.0].map(|noise| compare(&original, &made_up(3, noise)).unwrap());
        assert!((same.cosine.value - 1.0).abs() < 1e-6 && same.overlap_at_10.value == 1.0, "{same:?}");
        assert!(near.cosine.value > 0.99 && near.overlap_at_10.value > 0.8, "{near:?}");
        assert!(far.cosine.value < 0.9 && far.overlap_at_10.value < near.overlap_at_10.value, "{far:?}");
        assert!(far.least_cosine <= far.cosine.low && far.cosine.low < far.cosine.high);
    }

    #[test]
    fn a_text_is_cut_into_paragraphs_or_lines() {
        let paragraphs = "a line\nand another\n\n".repeat(30);
        assert_eq!(texts(&paragraphs).len(), 30);
        assert_eq!(texts(&"only lines\n".repeat(25)).len(), 25);
    }
}
