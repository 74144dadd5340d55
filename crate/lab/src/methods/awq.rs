//! AWQ: inputs that matter are made larger in the weights, and smaller where they are made, so that rounding hurts them less. The
//! model computes the same. Lin et al. 2023, arXiv:2306.00978.
//!
//! Input `j` gets the scale `s_j = E[x_j²]^α`, for the α of a grid that is best for a plain 4-bit rounding by the inputs'
//! squares. `1 / s` goes into the norm before, into the values that attention mixes, or into the matrix that is gated.

use hearth_engine::cpu::team::Team;
use hearth_engine::program::Activation;
use hearth_engine::quant::Format;

use super::quantize::{nearest, scales};
use super::{Kind, Opt, Spec};
use crate::error::Result;
use crate::grid::{GROUP, Grid};
use crate::layer::{Group, Layer, Source};
use crate::pass::{LayerMethod, Method, Needs};

pub const SPEC: Spec = Spec {
    name: "awq",
    does: "Moves weight from inputs that matter into what makes them, so that later rounding hurts less.",
    options: &[
        Opt {
            name: "steps",
            does: "Strengths to try between none and full.",
            kind: Kind::Number { min: 1.0, max: 40.0, default: 10.0 },
        },
        Opt {
            name: "format",
            does: "The grid it prepares for.",
            kind: Kind::Choice { of: &["Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"], default: "Q4_0" },
        },
    ],
    make: |options| {
        let format = Format::from_name(options.choice("format")).expect("a format");
        Method::layer(Awq { steps: options.number("steps") as usize, grid: Grid::of(format).expect("a grid") })
    },
};

struct Awq {
    steps: usize,
    grid: Grid,
}

impl LayerMethod for Awq {
    fn needs(&self) -> Needs {
        Needs::Squares
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        for i in 0..layer.groups.len() {
            let (before, from_here) = layer.groups.split_at_mut(i);
            let group = &mut from_here[0];
            if group.slots.iter().any(|slot| slot.weight.cols % GROUP != 0) || group.statistics.tokens == 0 {
                continue;
            }
            let Some(ties) = ties(group, before, &layer.config) else { continue };
            let best = self.best(group, &ties, team);
            if best.iter().all(|s| *s == 1.0) {
                continue;
            }
            fold(group, before, &best, &layer.config);
        }
        Ok(())
    }
}

/// Inputs that can only be scaled together: for each the first of its kind; `None` if nothing can take the scales.
fn ties(group: &Group, before: &[Group], config: &hearth_engine::program::Config) -> Option<Vec<usize>> {
    let width = group.slots[0].weight.cols;
    match group.source {
        Source::Norm => Some((0..width).collect()),
        Source::Activation(Activation::GatedGelu | Activation::GatedSilu) => Some((0..width).collect()),
        Source::Attention if before.last().is_some_and(|qkv| qkv.slots.len() == 3) => {
            let (e, share) = (config.head_dim, config.n_heads / config.n_kv_heads);
            Some((0..width).map(|j| j / (e * share) * (e * share) + j % e).collect())
        }
        _ => None,
    }
}

/// Multiplies the group's inputs in its matrices and divides them in what makes them.
fn fold(group: &mut Group, before: &mut [Group], by: &[f32], config: &hearth_engine::program::Config) {
    for slot in &mut group.slots {
        let rows = slot.change().data.chunks_exact_mut(by.len());
        rows.for_each(|row| row.iter_mut().zip(by).for_each(|(w, s)| *w *= s));
    }
    group.statistics.divide(by);
    match group.source {
        Source::Norm => group.norm.iter_mut().for_each(|vector| vector.divide(0, by)),
        Source::Attention => {
            let (e, share) = (config.head_dim, config.n_heads / config.n_kv_heads);
            let values: Vec<f32> = (0..config.n_kv_heads * e).map(|i| by[i / e * e * share + i % e]).collect();
            divide_rows(before.last_mut().expect("it has ties"), 2, &values);
        }
        _ => divide_rows(before.last_mut().expect("it has ties"), 1, by),
    }
}

/// Divides the outputs of product `i` of a group: its last rows, where several products are parts of one matrix.
fn divide_rows(group: &mut Group, i: usize, by: &[f32]) {
    let slot = group.slots.last_mut().expect("a group has slots");
    let (cols, first) = (slot.weight.cols, slot.weight.rows - by.len());
    for (row, s) in slot.change().data[first * cols..].chunks_exact_mut(cols).zip(by) {
        row.iter_mut().for_each(|w| *w /= s);
    }
    if let Some(Some(bias)) = group.biases.get_mut(i) {
        let first = bias.numbers.len() - by.len();
        bias.divide(first, by);
    }
}

impl Awq {
    /// The scales of the strength that leaves the least error, all 1 if none is better than nothing.
    fn best(&self, group: &Group, ties: &[usize], team: &mut Team) -> Vec<f32> {
        let squares = group.statistics.mean_squares();
        let mut energy = vec![0.0_f32; squares.len()];
        let mut count = vec![0.0_f32; squares.len()];
        for (j, &tie) in ties.iter().enumerate() {
            energy[tie] += squares[j];
            count[tie] += 1.0;
        }
        let mut best = (f64::INFINITY, vec![1.0; squares.len()]);
        for step in 0..=self.steps {
            let strength = 0.5 * step as f32 / self.steps as f32;
            let mut by: Vec<f32> =
                ties.iter().map(|&tie| libm::powf((energy[tie] / count[tie]).max(1e-12), strength)).collect();
            // So that the scales are about 1: the root of the largest times the smallest.
            let (low, high) = by.iter().fold((f32::MAX, 0.0_f32), |(low, high), &s| (low.min(s), high.max(s)));
            let middle = (low * high).sqrt();
            by.iter_mut().for_each(|s| *s /= middle);
            let error = self.error(group, &squares, &by, team);
            if error < best.0 {
                best = (error, if step == 0 { vec![1.0; by.len()] } else { by });
            }
        }
        best.1
    }

    /// `Σ E[x_j²] (w_j − round(w_j s_j) / s_j)²` over some rows of all matrices.
    fn error(&self, group: &Group, squares: &[f32], by: &[f32], team: &mut Team) -> f64 {
        const SAMPLE: usize = 64;
        let scaled: Vec<f32> = squares.iter().zip(by).map(|(x2, s)| x2 / (s * s)).collect();
        let mut error = 0.0;
        for slot in &group.slots {
            let stride = slot.weight.rows.div_ceil(SAMPLE);
            let rows: Vec<usize> = (0..slot.weight.rows).step_by(stride).collect();
            let data = rows.iter().flat_map(|&i| slot.weight.row(i).iter().zip(by).map(|(w, s)| w * s)).collect();
            let weight = crate::matrix::Matrix::new(by.len(), data);
            let scales = scales(&weight, &scaled, self.grid, team);
            let codes = nearest(&weight, &scales, self.grid);
            for (i, (w, code)) in weight.data.iter().zip(codes).enumerate() {
                let difference = w - self.grid.number(scales[i / GROUP], code);
                error += f64::from(scaled[i % by.len()] * difference * difference);
            }
        }
        error
    }
}
