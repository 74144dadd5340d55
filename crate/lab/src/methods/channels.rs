//! Fewer channels between the two halves of a feed-forward part: everything stays dense, so the model is smaller and faster on any
//! device, and its file a standard one.
//!
//! With `H = E[a aᵀ]` of the channels, a channel scores
//! - by `energy`: what it adds to the output, `‖down_c‖² · H_cc`;
//! - by the `surgeon`: what the others cannot make up for, `‖down_c‖² / [H⁻¹]_cc`. Hassibi & Stork 1992; LeCun et al. 1989.
//!
//! The kept ones `K` make up for the dropped ones `D` by least squares over the calibration text, `down_K += down_D · H_DK · (H_KK +
//! λI)⁻¹`: after each round, where channels go in several.

use hearth_engine::cpu::team::Team;
use hearth_engine::program::Activation;

use super::{Kind, Opt, Spec};
use crate::error::{Error, Result};
use crate::gptq::{DAMPING, damping_for};
use crate::layer::{Group, Layer, Source};
use crate::least_squares::{self, Inverse};
use crate::matrix::Matrix;
use crate::model::Model;
use crate::pass::{LayerMethod, Method, Needs};
use crate::pattern::rounds;
use crate::statistics::Statistics;
use crate::structure;
use crate::walk::{Stage, embed, layers};
use crate::{Progress, Watch};

/// Widths are multiples of this: a block of most formats.
const UNIT: usize = 32;

pub const SPEC: Spec = Spec {
    name: "channels",
    does: "Drops the channels of feed-forward parts that add least.",
    options: &[
        Opt { name: "share", does: "Of channels to drop.", kind: Kind::Number { min: 0.0, max: 0.9, default: 0.2 } },
        Opt { name: "recover", does: "Lets the kept ones make up for them.", kind: Kind::Flag { default: true } },
        Opt {
            name: "score",
            does: "Which go: those that add least, or those that others can best make up for.",
            kind: Kind::Choice { of: &["energy", "surgeon"], default: "energy" },
        },
        Opt { name: "rounds", does: "In so many steps.", kind: Kind::Number { min: 1.0, max: 16.0, default: 1.0 } },
        Opt {
            name: "spread",
            does: "As many of each layer, or more where they add less to what passes (Llama's family only).",
            kind: Kind::Choice { of: &["uniform", "by_energy"], default: "uniform" },
        },
    ],
    make: |options| {
        Method::layer(Channels {
            shares: rounds(options.number("share"), options.number("rounds") as usize, true),
            recover: options.flag("recover"),
            surgeon: options.choice("score") == "surgeon",
            spread: options.choice("spread") == "by_energy",
            widths: Vec::new(),
        })
    },
};

struct Channels {
    /// After each round.
    shares: Vec<f64>,
    recover: bool,
    surgeon: bool,
    spread: bool,
    /// What is left of each layer, where they differ.
    widths: Vec<usize>,
}

impl Channels {
    fn share(&self) -> f64 {
        *self.shares.last().expect("there is a round")
    }

    /// Channels that are left of so many in a layer: all, if none are to go.
    fn left(&self, layer: usize, width: usize) -> usize {
        let left = (1.0 - self.share()) * width as f64 / UNIT as f64;
        match self.widths.get(layer) {
            Some(left) => *left,
            None if self.share() == 0.0 => width,
            None => ((left.round() as usize).max(1) * UNIT).min(width),
        }
    }

    /// The channels that stay, `left` of those of `down: [D, F]`, ascending.
    fn best(&self, down: &Matrix, statistics: &Statistics, left: usize, team: &mut Team) -> Vec<usize> {
        let mut sizes = vec![0.0_f32; down.cols];
        down.iter().for_each(|row| sizes.iter_mut().zip(row).for_each(|(sum, w)| *sum += w * w));
        let weights = match self.surgeon {
            true => {
                let hessian = statistics.hessian().expect("it was asked for");
                let inverse = Inverse::new(&hessian, damping(statistics, down), team).diagonal();
                inverse.iter().map(|x| 1.0 / x).collect()
            }
            false => statistics.mean_squares(),
        };
        let mut scores: Vec<(f32, usize)> = (0..down.cols).map(|c| (sizes[c] * weights[c], c)).collect();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut kept: Vec<usize> = scores[..left].iter().map(|(_, c)| *c).collect();
        kept.sort_unstable();
        kept
    }
}

impl LayerMethod for Channels {
    fn needs(&self) -> Needs {
        if self.recover || self.surgeon { Needs::Hessian } else { Needs::Squares }
    }

    fn prepare(&mut self, model: &Model, texts: &[Vec<u32>], team: &mut Team, watch: &mut Watch) -> Result<()> {
        if self.spread && self.share() > 0.0 {
            let family = structure::family(model)?;
            if family != "llama" && family != "deci" {
                let what = format!("layers of {family} must be equally wide: take a uniform spread");
                return Err(Error::Unfit(what));
            }
            self.widths = spread(self.share(), &energies(model, texts, team, watch)?)?;
        }
        Ok(())
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        let index = layer.index;
        let [.., up, down] = layer.groups.as_mut_slice() else { return Err(unfit()) };
        let Source::Activation(activation) = down.source else { return Err(unfit()) };
        let makers = if activation.is_gated() { 2 } else { 1 };
        let width = down.slots[0].weight.cols;
        let whole = up.slots.len() == makers && up.slots.iter().all(|slot| slot.weight.rows == width);
        if activation == Activation::None || !whole {
            return Err(unfit());
        }
        let left = self.left(index, width);
        for share in &self.shares {
            // The last round ends where all do.
            let now = width - ((width - left) as f64 * share / self.share().max(f64::MIN_POSITIVE)).round() as usize;
            if now < down.slots[0].weight.cols {
                self.narrow(up, down, now, team);
            }
        }
        Ok(())
    }

    fn rest(&self, model: &mut Model) -> Result<()> {
        structure::settle(model)
    }
}

impl Channels {
    /// Leaves so many channels between two groups.
    fn narrow(&self, up: &mut Group, down: &mut Group, left: usize, team: &mut Team) {
        let matrix = &down.slots[0].weight;
        let kept = self.best(matrix, &down.statistics, left, team);
        *down.slots[0].change() = match self.recover {
            true => {
                let hessian = down.statistics.hessian().expect("it was asked for");
                least_squares::without(matrix, &hessian, &kept, damping(&down.statistics, matrix), team)
            }
            false => matrix.columns(&kept),
        };
        down.statistics.keep(&kept);
        for slot in &mut up.slots {
            let rows = kept.iter().flat_map(|&c| slot.weight.row(c)).copied().collect();
            let cols = slot.weight.cols;
            *slot.change() = Matrix::new(cols, rows);
        }
        for bias in up.biases.iter_mut().flatten() {
            bias.numbers = kept.iter().map(|&c| bias.numbers[c]).collect();
            bias.changed = true;
        }
    }
}

/// What is added to the Hessian of a matrix's inputs.
fn damping(statistics: &Statistics, matrix: &Matrix) -> f32 {
    damping_for(statistics.tokens, matrix.cols, DAMPING)
}

fn unfit() -> Error {
    Error::Unfit("this architecture has no feed-forward part whose channels could be dropped".into())
}

/// What each channel of each layer adds, as a share of the stream's energy behind the layer: `‖down_c‖² · E[a_c² / ‖x‖²]`.
fn energies(model: &Model, texts: &[Vec<u32>], team: &mut Team, watch: &mut Watch) -> Result<Vec<Vec<f32>>> {
    let longest = texts.iter().map(Vec::len).max().unwrap_or(1);
    let program = model.program(longest)?;
    let mut streams: Vec<Matrix> = texts.iter().map(|text| embed(model, &program, text)).collect();
    let stages = layers(&program);
    let mut all = Vec::new();
    for (done, ops) in stages.iter().enumerate() {
        let stage = Stage::new(model, &program, ops.clone(), longest);
        let down = model.matrix(&format!("blk.{done}.ffn_down.weight"));
        let mut energies = vec![0.0_f32; down.cols];
        for x in &mut streams {
            watch(Progress { what: "weighing channels", done, of: stages.len() })?;
            let mut channels = Matrix::default();
            stage.run(x, team, &mut |op, input| {
                if op + 1 == ops.end {
                    channels = input.clone();
                }
            });
            for (a, x) in channels.iter().zip(x.iter()) {
                let size = x.iter().map(|x| x * x).sum::<f32>().max(f32::MIN_POSITIVE);
                energies.iter_mut().zip(a).for_each(|(sum, a)| *sum += a * a / size);
            }
        }
        for (c, energy) in energies.iter_mut().enumerate() {
            *energy *= down.iter().map(|row| row[c] * row[c]).sum::<f32>();
        }
        all.push(energies);
    }
    Ok(all)
}

/// What is left of each layer if a share of all channels goes, those first that add least, [`UNIT`] of a layer at a time; the last
/// of a layer stay.
fn spread(share: f64, energies: &[Vec<f32>]) -> Result<Vec<usize>> {
    let mut units = Vec::new();
    for (layer, energies) in energies.iter().enumerate() {
        if energies.len() % UNIT != 0 {
            let what =
                format!("layer {layer} is {} wide, no multiple of {UNIT}: take a uniform spread", energies.len());
            return Err(Error::Unfit(what));
        }
        let mut sorted = energies.clone();
        sorted.sort_by(f32::total_cmp);
        let all = sorted.chunks_exact(UNIT).take(energies.len() / UNIT - 1);
        units.extend(all.map(|unit| (unit.iter().sum::<f32>(), layer)));
    }
    units.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let total: usize = energies.iter().map(Vec::len).sum();
    let mut widths: Vec<usize> = energies.iter().map(Vec::len).collect();
    let gone = (share * total as f64 / UNIT as f64).round() as usize;
    units.iter().take(gone).for_each(|(_, layer)| widths[*layer] -= UNIT);
    Ok(widths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_adds_least_goes_first_wherever_it_is() {
        let layer = |scale: f32| (0..128).map(|c| scale * (1.0 + c as f32)).collect::<Vec<_>>();
        // A quarter of 384 is three units: all of the quiet layer but its last.
        assert_eq!(spread(0.25, &[layer(1.0), layer(0.001), layer(1.0)]).unwrap(), [128, 32, 128]);
        assert_eq!(spread(1.0 / 3.0, &[layer(1.0), layer(0.001), layer(2.0)]).unwrap(), [96, 32, 128]);
        assert!(spread(0.5, &[vec![1.0; 40]]).is_err());
    }
}
