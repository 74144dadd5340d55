//! How much each matrix matters: what the model's predictions lose for an error of a matrix's output, and what that error is in
//! each format. The divergence of a mix of formats is about the sum over its matrices, `KL ≈ Σ a · t(format)`, as long as errors are
//! small (the "linearity theorem" of HIGGS, Malinovskii et al. 2024, arXiv:2411.17525).
//!
//! - `t` is the relative error of a token's output, `E[‖(W − Q) x‖² / ‖W x‖²]`. Rounding errors of different inputs have nothing to do
//!   with each other, so that it is `Σ_j s_j ‖(W − Q)_j‖²` with `s_j = E[x_j² / ‖W x‖²]`. (By the energy of all tokens together, which a
//!   few enormous ones make up, it told less of what is lost.)
//! - `a` is measured: the matrix gets noise as large as 4-bit rounding's, everything behind it sees that, and `a = KL / t`. The
//!   noised copies of a text share all layers before the noise.
//!
//! Where not every layer is measured, `a` of the others lies between those of the nearest ones that are, in logarithms.

use std::collections::BTreeMap;

use hearth_engine::cpu::team::Team;
use hearth_engine::program::Program;
use hearth_engine::quant::Format;
use serde::Serialize;

use crate::elementwise::log_sum_exp;
use crate::error::{Error, Result};
use crate::evaluate::divergence;
use crate::grid::{GROUP, Grid};
use crate::layer::{Layer, Slot};
use crate::matrix::{Matrix, Packed, times};
use crate::methods::{fitting, nearest, scales};
use crate::model::{Model, TABLES, decode, encode};
use crate::statistics::Statistics;
use crate::walk::{Head, Stage, embed, layers};
use crate::{Progress, Watch};

/// Noise beside the numbers it is added to, as standard deviations: about that of rounding to 4 bits.
const NOISE: f32 = 0.1;

/// Rows of a matrix of which formats' errors are found; from more, so many are taken at equal distances.
const SAMPLE: usize = 64;

/// Positions whose logits are made at a time.
const BATCH: usize = 64;

/// Layers that lie between two measured ones where not all are: see [`Plan::coarse`].
const COARSE: usize = 8;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Formats whose errors are found.
    pub formats: Vec<Format>,
    /// The first two layers, the last one, and of the others each so-manieth are measured. 1 is all.
    pub every: usize,
}

impl Plan {
    /// A few layers.
    pub fn coarse(formats: &[Format]) -> Plan {
        Plan { formats: formats.to_vec(), every: COARSE }
    }

    /// All layers.
    pub fn full(formats: &[Format]) -> Plan {
        Plan { formats: formats.to_vec(), every: 1 }
    }

    fn measures(&self, layer: usize, layers: usize) -> bool {
        layer < 2 || layer + 1 == layers || layer.is_multiple_of(self.every)
    }
}

/// What was found of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Map {
    /// Its layers.
    pub layers: usize,
    /// Tokens that were read.
    pub tokens: usize,
    /// Its matrices: tables first, then those of each layer.
    pub tensors: Vec<Tensor>,
}

/// What was found of a matrix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its layer; none of a table.
    pub layer: Option<usize>,
    /// What it is in every layer: `attn_q`, `ffn_down`; or `token_embd`.
    pub kind: String,
    /// Numbers in it.
    pub numbers: usize,
    /// Whether `sensitivity` was measured, and not taken from neighbours.
    pub measured: bool,
    /// Nats a token for a relative error of 1, as if what holds for small errors held there.
    pub sensitivity: f64,
    /// Relative error of its output by format.
    pub errors: BTreeMap<&'static str, f64>,
    /// Bytes by format.
    pub bytes: BTreeMap<&'static str, usize>,
}

impl Tensor {
    /// The divergence that is expected of a format. Panics if the map does not know it.
    pub fn cost(&self, format: Format) -> f64 {
        self.sensitivity * self.errors[format.name()]
    }
}

impl Map {
    /// The divergence that is expected where each matrix has the format that `format` says. Panics where the map does not know it.
    pub fn predicted(&self, format: impl Fn(&Tensor) -> Format) -> f64 {
        self.tensors.iter().map(|tensor| tensor.cost(format(tensor))).sum()
    }
}

/// Copies of the texts in which one matrix has noise.
struct Branch {
    tensor: usize,
    /// The relative error of its output.
    error: f64,
    streams: Vec<Matrix>,
}

/// Maps a model by some texts: a few hundred tokens will do. Of a model that predicts nothing, divergence is `1 − cosine` of hidden
/// states. Errors where something is no number; also if `watch` says so.
pub fn map(model: &Model, texts: &[Vec<u32>], plan: &Plan, team: &mut Team, watch: &mut Watch) -> Result<Map> {
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
    if longest < 2 {
        return Err(Error::TooShort { what: "the text to measure sensitivity with", tokens: longest, needed: 2 });
    }
    let program = model.program(longest)?;
    let stages = layers(&program);
    let mut tell = |done| watch(Progress { what: "measuring", done, of: stages.len() + 1 });
    let mut clean: Vec<Matrix> = texts.iter().map(|tokens| embed(model, &program, tokens)).collect();
    let (mut tensors, mut branches) = (Vec::new(), Vec::new());
    for name in TABLES.iter().filter(|name| model.tensor(name).is_some()) {
        let (shaken, program, error) = shaken(model, &program, name)?;
        let streams = texts.iter().map(|tokens| embed(&shaken, &program, tokens)).collect();
        branches.push(Branch { tensor: tensors.len(), error, streams });
        tensors.push(table(model, name, &plan.formats, team)?);
    }
    let tables = branches.len();
    for (index, ops) in stages.iter().enumerate() {
        let mut stage = Stage::new(model, &program, ops.clone(), longest);
        for x in branches.iter_mut().flat_map(|branch| &mut branch.streams) {
            tell(index)?;
            stage.run(x, team, &mut |_, _| {});
        }
        let before = clean.clone();
        let mut inputs: BTreeMap<usize, Vec<Matrix>> = BTreeMap::new();
        for x in &mut clean {
            stage.run(x, team, &mut |op, input| inputs.entry(op).or_default().push(input.clone()));
        }
        for group in Layer::open(model, &program, index, ops.clone(), BTreeMap::new()).groups {
            let inputs = &inputs[&group.op];
            let mut statistics = Statistics::new(inputs[0].cols, false);
            inputs.iter().for_each(|input| statistics.see(input, team));
            let squares = statistics.mean_squares();
            for slot in group.slots {
                tell(index)?;
                let shares = shares(inputs, &slot.weight, team);
                let mut tensor = found(&slot, index, &squares, &shares, &plan.formats, team)?;
                if plan.measures(index, stages.len()) {
                    let mut noised = slot.weight;
                    let error = shake(&mut noised, &slot.name, &shares);
                    let own = exchange(&mut stage, &program, &slot.name, &noised);
                    let mut streams = before.clone();
                    streams.iter_mut().for_each(|x| stage.run(x, team, &mut |_, _| {}));
                    own.into_iter().for_each(|(id, matrix)| drop(stage.swap(id, matrix)));
                    branches.push(Branch { tensor: tensors.len(), error, streams });
                    tensor.measured = true;
                }
                tensors.push(tensor);
            }
        }
    }
    let head = Head::new(model, &program);
    for (i, name) in TABLES.iter().filter(|name| model.tensor(name).is_some()).enumerate() {
        let (shaken, program, error) = shaken(model, &program, name)?;
        let other = Head::new(&shaken, &program);
        tell(stages.len())?;
        let lost = losses(&clean, [&head, &other], &branches[i..i + 1], team, &mut || tell(stages.len()))?[0];
        tensors[i].sensitivity = if error == 0.0 { 0.0 } else { lost / error };
    }
    let branches = &branches[tables..];
    let lost = losses(&clean, [&head, &head], branches, team, &mut || tell(stages.len()))?;
    for (branch, lost) in branches.iter().zip(lost) {
        tensors[branch.tensor].sensitivity = if branch.error == 0.0 { 0.0 } else { lost / branch.error };
    }
    if let Some(tensor) = tensors.iter().find(|tensor| !tensor.sensitivity.is_finite()) {
        return Err(Error::Unfit(format!("{} makes numbers that are none: it cannot be measured", tensor.name)));
    }
    interpolate(&mut tensors);
    Ok(Map { layers: stages.len(), tokens: texts.iter().map(Vec::len).sum(), tensors })
}

/// What is known of a layer's matrix before anything is measured: scales are chosen by `squares`, errors weigh by `shares`.
fn found(
    slot: &Slot,
    layer: usize,
    squares: &[f32],
    shares: &[f32],
    formats: &[Format],
    team: &mut Team,
) -> Result<Tensor> {
    let kind = slot.name.splitn(3, '.').nth(2).unwrap_or(&slot.name).trim_end_matches(".weight").to_owned();
    let mut tensor = Tensor {
        name: slot.name.clone(),
        layer: Some(layer),
        kind,
        numbers: slot.weight.data.len(),
        measured: false,
        sensitivity: 0.0,
        errors: BTreeMap::new(),
        bytes: BTreeMap::new(),
    };
    // Errors are found on some rows, and grow to all as the rows' own weight does.
    let sample = sample(&slot.weight);
    let all = weighed(&slot.weight, shares) / weighed(&sample, shares).max(f64::MIN_POSITIVE);
    for format in fitting_all(formats, slot.weight.cols) {
        let mut rounded = match Grid::of(format) {
            Some(grid) => {
                let scales = scales(&sample, squares, grid, team);
                let codes = nearest(&sample, &scales, grid);
                let groups = scales.iter().zip(codes.chunks_exact(GROUP));
                let data = groups.flat_map(|(&scale, codes)| codes.iter().map(move |&code| grid.number(scale, code)));
                Matrix::new(sample.cols, data.collect())
            }
            None => there_and_back(&slot.name, format, &sample)?,
        };
        rounded.data.iter_mut().zip(&sample.data).for_each(|(q, w)| *q = w - *q);
        tensor.errors.insert(format.name(), all * weighed(&rounded, shares));
        tensor.bytes.insert(format.name(), slot.weight.rows * format.row_bytes(slot.weight.cols).expect("it fits"));
    }
    Ok(tensor)
}

/// The same of a table, whose rows are outputs themselves: its error is that of its numbers.
fn table(model: &Model, name: &str, formats: &[Format], team: &mut Team) -> Result<Tensor> {
    let info = model.tensor(name).expect("a table of the model");
    let (rows, cols) = (info.rows(), info.cols());
    let slot =
        Slot { name: name.into(), weight: sample(&model.matrix(name)), changed: false, stored: None, alone: true };
    let ones = vec![1.0; cols];
    let energy = weighed(&slot.weight, &ones).max(f64::MIN_POSITIVE);
    let mut tensor = found(&slot, 0, &ones, &ones, &[], team)?;
    (tensor.layer, tensor.measured, tensor.numbers) = (None, true, rows * cols);
    tensor.kind = name.trim_end_matches(".weight").to_owned();
    for format in fitting_all(formats, cols) {
        // As they will be stored: to the nearest.
        let mut rounded = there_and_back(name, format, &slot.weight)?;
        rounded.data.iter_mut().zip(&slot.weight.data).for_each(|(q, w)| *q = w - *q);
        tensor.errors.insert(format.name(), weighed(&rounded, &ones) / energy);
        tensor.bytes.insert(format.name(), rows * format.row_bytes(cols).expect("it fits"));
    }
    Ok(tensor)
}

/// Of these formats those whose blocks rows of `cols` numbers are made of, or what stands for the first of them.
fn fitting_all(formats: &[Format], cols: usize) -> Vec<Format> {
    let fit: Vec<Format> = formats.iter().copied().filter(|format| format.row_bytes(cols).is_some()).collect();
    match formats.first() {
        Some(&first) if fit.is_empty() => vec![fitting(first, cols)],
        _ => fit,
    }
}

/// What numbers become in a format.
fn there_and_back(name: &str, format: Format, numbers: &Matrix) -> Result<Matrix> {
    let bytes = encode(format, numbers).map_err(|error| Error::Unfit(format!("{name}: {error}")))?;
    Ok(decode(format, numbers.cols, &bytes))
}

/// Some rows.
fn sample(weight: &Matrix) -> Matrix {
    let step = weight.rows.div_ceil(SAMPLE);
    Matrix::new(weight.cols, weight.iter().step_by(step).flatten().copied().collect())
}

/// `E[x_j² / ‖W x‖²]` of each input: what an error of 1 in it is beside a token's output.
fn shares(inputs: &[Matrix], weight: &Matrix, team: &mut Team) -> Vec<f32> {
    let mut shares = vec![0.0_f64; weight.cols];
    for input in inputs {
        for (x, y) in input.iter().zip(times(input, weight, team).iter()) {
            let energy = y.iter().map(|y| y * y).sum::<f32>();
            if energy > 0.0 {
                shares.iter_mut().zip(x).for_each(|(share, x)| *share += f64::from(x * x / energy));
            }
        }
    }
    let tokens: usize = inputs.iter().map(|input| input.rows).sum();
    shares.into_iter().map(|share| (share / tokens as f64) as f32).collect()
}

/// `Σ_j s_j Σ_i e_ij²`.
fn weighed(errors: &Matrix, shares: &[f32]) -> f64 {
    errors.iter().map(|row| f64::from(row.iter().zip(shares).map(|(e, s)| e * e * s).sum::<f32>())).sum()
}

/// Adds noise to a matrix, from a seed of its name, as large beside the numbers of a group as [`NOISE`] says. Returns the noise's
/// `Σ_j s_j Σ_i e_ij²`.
fn shake(weight: &mut Matrix, name: &str, shares: &[f32]) -> f64 {
    let seed = name.bytes().fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut energy = 0.0;
    for row in weight.data.chunks_exact_mut(weight.cols) {
        for (group, shares) in row.chunks_mut(GROUP).zip(shares.chunks(GROUP)) {
            let size = NOISE * (group.iter().map(|w| w * w).sum::<f32>() / group.len() as f32).sqrt();
            for (w, share) in group.iter_mut().zip(shares) {
                let noise = size * normal(&mut random);
                *w += noise;
                energy += f64::from(noise * noise * share);
            }
        }
    }
    energy
}

/// About normally distributed, mean 0 and variance 1: the sum of twelve.
fn normal(random: &mut fastrand::Rng) -> f32 {
    (0..12).map(|_| random.f32()).sum::<f32>() - 6.0
}

/// What of a model is outside its layers, with noise in one table; the program for it; and the relative error of the table.
fn shaken(model: &Model, program: &Program, name: &str) -> Result<(Model, Program, f64)> {
    let outside = model.header.tensors.iter().zip(&model.data);
    let data = outside.map(|(info, bytes)| if info.name.starts_with("blk.") { Vec::new() } else { bytes.clone() });
    let mut shaken = Model { header: model.header.clone(), data: data.collect() };
    let mut table = model.matrix(name);
    let ones = vec![1.0; table.cols];
    let energy = weighed(&table, &ones).max(f64::MIN_POSITIVE);
    let error = shake(&mut table, name, &ones) / energy;
    shaken.store(name, Format::F16, &table)?;
    let mut program = program.clone();
    shaken.refresh(&mut program);
    Ok((shaken, program, error))
}

/// Takes these numbers for a tensor's; gives back what the stage had.
fn exchange(stage: &mut Stage, program: &Program, name: &str, numbers: &Matrix) -> Vec<(usize, Packed)> {
    let parts = program.weights.iter().enumerate().filter(|(_, weight)| weight.name == name);
    let part = |(id, weight): (usize, &hearth_engine::program::Weight)| {
        let first = weight.first_row * numbers.cols;
        let matrix = Packed::of(weight.rows, weight.cols, &numbers.data[first..][..weight.rows * weight.cols]);
        (id, stage.swap(id, matrix))
    };
    parts.map(part).collect()
}

/// The mean divergence of each branch from the clean texts, by its own head.
fn losses(
    clean: &[Matrix],
    [head, other]: [&Head; 2],
    branches: &[Branch],
    team: &mut Team,
    tell: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<f64>> {
    let mut losses = vec![0.0; branches.len()];
    for (i, text) in clean.iter().enumerate() {
        for first in (0..text.rows).step_by(BATCH) {
            let batch = |x: &Matrix| {
                let end = (first + BATCH).min(x.rows);
                Matrix::new(x.cols, x.data[first * x.cols..end * x.cols].to_vec())
            };
            let said = says(head, &batch(text), team);
            for (branch, loss) in branches.iter().zip(&mut losses) {
                tell()?;
                let other = says(other, &batch(&branch.streams[i]), team);
                *loss += said.iter().zip(other.iter()).map(|(p, q)| apart(p, q, head.says())).sum::<f64>();
            }
        }
    }
    let count: usize = clean.iter().map(|text| text.rows).sum();
    losses.iter_mut().for_each(|loss| *loss /= count as f64);
    Ok(losses)
}

/// Logits, or hidden states of a model that has none.
fn says(head: &Head, x: &Matrix, team: &mut Team) -> Matrix {
    let hidden = head.hidden(x, team);
    if head.says() { head.logits(&hidden, team) } else { hidden }
}

/// How far two rows are from each other: their divergence as logits, or `1 − cosine`.
fn apart(p: &[f32], q: &[f32], logits: bool) -> f64 {
    if logits {
        return divergence(p, q, [log_sum_exp(p), log_sum_exp(q)]);
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    1.0 - dot(p, q) / (dot(p, p) * dot(q, q)).sqrt().max(f64::MIN_POSITIVE)
}

/// Gives matrices that were not measured what those of their kind say.
fn interpolate(tensors: &mut [Tensor]) {
    let known: Vec<(usize, String, f64)> = tensors
        .iter()
        .filter(|tensor| tensor.measured)
        .filter_map(|tensor| Some((tensor.layer?, tensor.kind.clone(), tensor.sensitivity)))
        .collect();
    for tensor in tensors.iter_mut().filter(|tensor| !tensor.measured) {
        let Some(layer) = tensor.layer else { continue };
        let kind = || known.iter().filter(|(_, kind, _)| *kind == tensor.kind);
        let (before, after) = (kind().rfind(|(other, ..)| *other < layer), kind().find(|(other, ..)| *other > layer));
        tensor.sensitivity = match (before, after) {
            (Some(&(a, _, low)), Some(&(b, _, high))) if low > 0.0 && high > 0.0 => {
                let share = (layer - a) as f64 / (b - a) as f64;
                libm::exp(libm::log(low) * (1.0 - share) + libm::log(high) * share)
            }
            (Some((_, _, one)), _) | (None, Some((_, _, one))) => *one,
            (None, None) => 0.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_lies_between_its_neighbours() {
        let tensor = |layer, measured, sensitivity| Tensor {
            name: format!("blk.{layer}.attn_q.weight"),
            layer: Some(layer),
            kind: "attn_q".into(),
            numbers: 1,
            measured,
            sensitivity,
            errors: BTreeMap::new(),
            bytes: BTreeMap::new(),
        };
        let mut tensors: Vec<Tensor> = (0..6).map(|layer| tensor(layer, false, 0.0)).collect();
        (tensors[1].measured, tensors[1].sensitivity) = (true, 8.0);
        (tensors[4].measured, tensors[4].sensitivity) = (true, 1.0);
        interpolate(&mut tensors);
        let found: Vec<f64> = tensors.iter().map(|tensor| tensor.sensitivity).collect();
        for (found, expected) in found.iter().zip([8.0, 8.0, 4.0, 2.0, 1.0, 1.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn noise_is_as_large_as_it_says() {
        let mut random = fastrand::Rng::with_seed(3);
        let numbers: Vec<f64> = (0..40_000).map(|_| f64::from(normal(&mut random))).collect();
        let mean = |f: fn(f64) -> f64| numbers.iter().map(|x| f(*x)).sum::<f64>() / numbers.len() as f64;
        assert!(mean(|x| x).abs() < 0.02 && (mean(|x| x * x) - 1.0).abs() < 0.03);
    }
}
