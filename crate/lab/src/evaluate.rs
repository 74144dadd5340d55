//! What compression cost: perplexity, Kullback-Leibler divergence to the original, the same likeliest token, and how far the
//! probability of the right token moved; each with a confidence interval over the same positions (a paired bootstrap).
//!
//! The original's hidden states are kept; its logits are made again when they are compared, a few hundred positions at a time.

use hearth_engine::cpu::team::Team;
use serde::Serialize;

use crate::elementwise::{exp, log_sum_exp};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::model::Model;
use crate::text::Window;
use crate::walk::{Head, Stage, embed, layers};
use crate::{Progress, Watch};

/// Positions whose logits are made at a time.
const BATCH: usize = 128;

/// Neighbouring positions that the bootstrap draws together, since they are alike.
const BLOCK: usize = 32;

/// Draws of the bootstrap.
const DRAWS: usize = 1000;

/// A model that has read a text.
pub struct Reading {
    /// What the head's product reads at the scored positions: `[positions, D]`.
    hidden: Matrix,
    head: Head,
}

/// A model's reading of all windows.
pub fn read(model: &Model, windows: &[Window], team: &mut Team, watch: &mut Watch) -> Result<Reading> {
    let longest = windows.iter().map(|window| window.tokens.len()).max().unwrap_or(1);
    let program = model.program(longest)?;
    let known = |window: &Window| window.tokens.iter().all(|&token| (token as usize) < program.config.vocab_size);
    if !windows.iter().all(known) {
        return Err(Error::Unfit("the text has tokens that this model does not know: it is another model".into()));
    }
    let mut streams: Vec<Matrix> = windows.iter().map(|window| embed(model, &program, &window.tokens)).collect();
    let stages = layers(&program);
    for (i, ops) in stages.iter().enumerate() {
        let stage = Stage::new(model, &program, ops.clone(), longest);
        for x in &mut streams {
            watch(Progress { what: "reading", done: i, of: stages.len() })?;
            stage.run(x, team, &mut |_, _| {});
        }
    }
    let head = Head::new(model, &program);
    if !head.says() {
        return Err(Error::Unfit(
            "this model says nothing that could be predicted: compare its embeddings instead".into(),
        ));
    }
    let mut hidden = Matrix { rows: 0, cols: program.config.dim, data: Vec::new() };
    for (x, window) in streams.iter().zip(windows) {
        let scored = Matrix::new(x.cols, x.data[window.scored.start * x.cols..window.scored.end * x.cols].to_vec());
        let states = head.hidden(&scored, team);
        hidden.rows += states.rows;
        hidden.data.extend(states.data);
    }
    Ok(Reading { hidden, head })
}

/// What was found at one position.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Negative log-probability of the right token, by the original and by the other.
    pub loss: [f64; 2],
    /// `Σ p ln(p / q)` of the original's p and the other's q, in nats.
    pub kl: f64,
    /// Whether both find the same token likeliest.
    pub same_top: bool,
}

/// An original and another model over the same positions.
pub fn compare(
    original: &Reading,
    other: &Reading,
    windows: &[Window],
    team: &mut Team,
    watch: &mut Watch,
) -> Result<Vec<Position>> {
    let right: Vec<u32> = windows.iter().flat_map(|w| w.scored.clone().map(|p| w.tokens[p + 1])).collect();
    let batch = |reading: &Reading, first: usize, team: &mut Team| {
        let rows = first..(first + BATCH).min(reading.hidden.rows);
        let cols = reading.hidden.cols;
        let part = Matrix::new(cols, reading.hidden.data[rows.start * cols..rows.end * cols].to_vec());
        reading.head.logits(&part, team)
    };
    let mut positions = Vec::with_capacity(right.len());
    for first in (0..right.len()).step_by(BATCH) {
        watch(Progress { what: "comparing", done: first, of: right.len() })?;
        let (p, q) = (batch(original, first, team), batch(other, first, team));
        if p.cols != q.cols {
            let what = format!("the vocabularies have {} and {} tokens: these are different models", p.cols, q.cols);
            return Err(Error::Unfit(what));
        }
        for ((p, q), &right) in p.iter().zip(q.iter()).zip(&right[first..]) {
            positions.push(position(p, q, right as usize));
        }
    }
    Ok(positions)
}

/// `Σ p ln(p / q)` of two rows of logits, whose `ln Σ e^x` are given.
pub(crate) fn divergence(p: &[f32], q: &[f32], [log_p, log_q]: [f64; 2]) -> f64 {
    let (shift, norm) = ((log_q - log_p) as f32, log_p as f32);
    let mut kl = 0.0;
    for (p, q) in p.chunks(1024).zip(q.chunks(1024)) {
        kl += f64::from(p.iter().zip(q).map(|(&p, &q)| exp(p - norm) * (p - q + shift)).sum::<f32>());
    }
    if kl < 0.0 { 0.0 } else { kl } // what is no number stays none
}

/// Of two rows of logits.
pub(crate) fn position(p: &[f32], q: &[f32], right: usize) -> Position {
    let (log_p, log_q) = (log_sum_exp(p), log_sum_exp(q));
    let top = |x: &[f32]| (0..x.len()).reduce(|best, i| if x[i] > x[best] { i } else { best });
    Position {
        loss: [log_p - f64::from(p[right]), log_q - f64::from(q[right])],
        kl: divergence(p, q, [log_p, log_q]),
        same_top: top(p) == top(q),
    }
}

/// A figure and the middle 95 % of its bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// From where.
    pub low: f64,
    /// To where.
    pub high: f64,
}

impl Figure {
    /// The mean of some values, each drawn apart. Panics if there are none.
    pub fn mean(values: &[f64]) -> Figure {
        let mut random = fastrand::Rng::with_seed(0);
        let count = values.len() as f64;
        let mut draw = || (0..values.len()).map(|_| values[draw_of(&mut random, values.len())]).sum::<f64>() / count;
        let drawn = (0..DRAWS).map(|_| draw()).collect();
        Figure::of(values.iter().sum::<f64>() / count, drawn)
    }

    /// A value and what the draws gave.
    fn of(value: f64, mut drawn: Vec<f64>) -> Figure {
        drawn.sort_by(f64::total_cmp);
        Figure { value, low: drawn[DRAWS / 40], high: drawn[DRAWS - 1 - DRAWS / 40] }
    }
}

/// One of so many, the same on every platform: `fastrand` draws other `usize`s where they have 32 bits.
fn draw_of(random: &mut fastrand::Rng, count: usize) -> usize {
    random.u64(..count as u64) as usize
}

/// Quality of a model beside its original.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// Positions that counted.
    pub positions: usize,
    /// The original's perplexity.
    pub original_perplexity: Figure,
    /// The other's.
    pub perplexity: Figure,
    /// `perplexity / original_perplexity`.
    pub perplexity_ratio: Figure,
    /// Mean divergence, nats a token.
    pub kl: Figure,
    /// Its percentiles: share of positions, and divergence up to which they lie.
    pub kl_percentiles: Vec<(f64, f64)>,
    /// Share of positions where both find the same token likeliest.
    pub same_top: Figure,
    /// Root mean square of the change of the right token's probability.
    pub rms_dp: Figure,
}

/// Percentiles that are told.
const PERCENTILES: &[f64] = &[0.5, 0.9, 0.95, 0.99, 0.999, 1.0];

/// A figure made of sums over positions.
type Statistic = fn(&Sums) -> f64;

/// Sums over positions.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    loss: [f64; 2],
    kl: f64,
    same_top: f64,
    dp2: f64,
}

impl Sums {
    fn add(mut self, other: &Sums) -> Sums {
        self.count += other.count;
        self.loss = [self.loss[0] + other.loss[0], self.loss[1] + other.loss[1]];
        self.kl += other.kl;
        self.same_top += other.same_top;
        self.dp2 += other.dp2;
        self
    }

    fn of(positions: &[Position]) -> Sums {
        positions.iter().fold(Sums::default(), |sums, position| {
            let dp = libm::exp(-position.loss[1]) - libm::exp(-position.loss[0]);
            sums.add(&Sums {
                count: 1.0,
                loss: position.loss,
                kl: position.kl,
                same_top: f64::from(position.same_top),
                dp2: dp * dp,
            })
        })
    }
}

impl Quality {
    /// Of all positions. Panics if there are none.
    pub fn of(positions: &[Position]) -> Quality {
        let blocks: Vec<Sums> = positions.chunks(BLOCK).map(Sums::of).collect();
        let mut random = fastrand::Rng::with_seed(0);
        let draws: Vec<Sums> = (0..DRAWS)
            .map(|_| {
                (0..blocks.len()).fold(Sums::default(), |sums, _| sums.add(&blocks[draw_of(&mut random, blocks.len())]))
            })
            .collect();
        let all = Sums::of(positions);
        let figure = |statistic: Statistic| Figure::of(statistic(&all), draws.iter().map(statistic).collect());
        let mut kls: Vec<f64> = positions.iter().map(|position| position.kl).collect();
        kls.sort_by(f64::total_cmp);
        let percentile =
            |&share: &f64| (share, kls[((share * kls.len() as f64).ceil() as usize).clamp(1, kls.len()) - 1]);
        Quality {
            positions: positions.len(),
            original_perplexity: figure(|s| libm::exp(s.loss[0] / s.count)),
            perplexity: figure(|s| libm::exp(s.loss[1] / s.count)),
            perplexity_ratio: figure(|s| libm::exp((s.loss[1] - s.loss[0]) / s.count)),
            kl: figure(|s| s.kl / s.count),
            kl_percentiles: PERCENTILES.iter().map(percentile).collect(),
            same_top: figure(|s| s.same_top / s.count),
            rms_dp: figure(|s| (s.dp2 / s.count).sqrt()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_what_its_definition_says() {
        let (p, q) = ([1.0, 2.0, 0.5, -3.0], [0.5, 1.0, 2.5, -1.0]);
        let soft = |x: &[f32]| {
            let sum: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
            x.iter().map(|&x| f64::from(x).exp() / sum).collect::<Vec<_>>()
        };
        let (a, b) = (soft(&p), soft(&q));
        let kl: f64 = a.iter().zip(&b).map(|(a, b)| a * (a / b).ln()).sum();
        let found = position(&p, &q, 2);
        assert!((found.kl - kl).abs() < 1e-6, "{} {kl}", found.kl);
        assert!((found.loss[0] + a[2].ln()).abs() < 1e-6 && (found.loss[1] + b[2].ln()).abs() < 1e-6);
        assert!(!found.same_top);
        assert_eq!(position(&p, &p, 0).kl, 0.0);
    }

    #[test]
    fn intervals_hold_the_figure_and_shrink_with_more_positions() {
        let mut random = fastrand::Rng::with_seed(5);
        let positions: Vec<Position> = (0..6400)
            .map(|_| Position { loss: [random.f64(), random.f64()], kl: random.f64(), same_top: random.bool() })
            .collect();
        let (few, many) = (Quality::of(&positions[..640]), Quality::of(&positions));
        for quality in [&few, &many] {
            for figure in [quality.kl, quality.perplexity, quality.same_top, quality.rms_dp] {
                assert!(figure.low < figure.value && figure.value < figure.high);
            }
        }
        assert!(many.kl.high - many.kl.low < 0.6 * (few.kl.high - few.kl.low));
        assert!((many.kl.value - 0.5).abs() < 0.02 && many.kl_percentiles[1].1 > 0.88);
    }
}
