//! Fewer channels between the two halves of a feed-forward part: everything stays dense, so the model is smaller and faster on any
//! device, and its file a standard one.
//!
//! A channel scores by what it adds to the output, `‖down_c‖² · E[a_c²]`. The kept ones `K` then make up for the dropped ones `D`,
//! by least squares over the calibration text: with `H = E[a aᵀ]`, `down_K += down_D · H_DK · (H_KK + λI)⁻¹`.

use hearth_engine::cpu::team::Team;
use hearth_engine::formats::Value;
use hearth_engine::program::Activation;

use super::{Kind, Opt, Spec};
use crate::cholesky::{factor, invert_lower};
use crate::error::{Error, Result};
use crate::gptq::{DAMPING, damping_for};
use crate::layer::{Group, Layer, Source};
use crate::matrix::{Matrix, times};
use crate::model::Model;
use crate::pass::{LayerMethod, Method, Needs};
use crate::statistics::damp;

/// Widths are multiples of this: a block of most formats.
const UNIT: usize = 32;

pub const SPEC: Spec = Spec {
    name: "channels",
    does: "Drops the channels of feed-forward parts that add least.",
    options: &[
        Opt { name: "share", does: "Of channels to drop.", kind: Kind::Number { min: 0.0, max: 0.9, default: 0.2 } },
        Opt { name: "recover", does: "Lets the kept ones make up for them.", kind: Kind::Flag { default: true } },
    ],
    make: |options| Method::layer(Channels { share: options.number("share"), recover: options.flag("recover") }),
};

struct Channels {
    share: f64,
    recover: bool,
}

impl Channels {
    /// Channels that are left of so many: all, if none are to go.
    fn left(&self, width: usize) -> usize {
        let left = (1.0 - self.share) * width as f64 / UNIT as f64;
        if self.share == 0.0 { width } else { ((left.round() as usize).max(1) * UNIT).min(width) }
    }
}

impl LayerMethod for Channels {
    fn needs(&self) -> Needs {
        Needs::Hessian
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        let [.., up, down] = layer.groups.as_mut_slice() else { return Err(unfit()) };
        let Source::Activation(activation) = down.source else { return Err(unfit()) };
        let makers = if activation.is_gated() { 2 } else { 1 };
        let width = down.slots[0].weight.cols;
        let whole = up.slots.len() == makers && up.slots.iter().all(|slot| slot.weight.rows == width);
        if activation == Activation::None || !whole {
            return Err(unfit());
        }
        let left = self.left(width);
        if left >= width {
            return Ok(());
        }
        let hessian = down.statistics.hessian().expect("it was asked for");
        let matrix = &down.slots[0].weight;
        let mut scores: Vec<(f32, usize)> = (0..width)
            .map(|c| (matrix.iter().map(|row| row[c] * row[c]).sum::<f32>() * hessian.row(c)[c], c))
            .collect();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut kept: Vec<usize> = scores[..left].iter().map(|(_, c)| *c).collect();
        let mut dropped: Vec<usize> = scores[left..].iter().map(|(_, c)| *c).collect();
        kept.sort_unstable();
        dropped.sort_unstable();
        let mut narrow = matrix.columns(&kept);
        if self.recover {
            let damping = damping_for(down.statistics.tokens, width, DAMPING);
            let more = make_up(matrix, &hessian, [&kept, &dropped], damping, team);
            narrow.data.iter_mut().zip(more.data).for_each(|(w, more)| *w += more);
        }
        *down.slots[0].change() = narrow;
        down.statistics.keep(&kept);
        for slot in &mut up.slots {
            let rows = kept.iter().flat_map(|&c| slot.weight.row(c)).copied().collect();
            let cols = slot.weight.cols;
            *slot.change() = Matrix::new(cols, rows);
        }
        keep_biases(up, &kept);
        Ok(())
    }

    fn rest(&self, model: &mut Model) -> Result<()> {
        let architecture = model.header.string("general.architecture")?.unwrap_or_default().to_owned();
        let key = format!("{architecture}.feed_forward_length");
        let width = model.header.uint(&key)?.ok_or_else(unfit)?;
        model.header.metadata.insert(key, Value::Unsigned(self.left(width) as u64));
        Ok(())
    }
}

fn keep_biases(group: &mut Group, kept: &[usize]) {
    for bias in group.biases.iter_mut().flatten() {
        bias.numbers = kept.iter().map(|&c| bias.numbers[c]).collect();
        bias.changed = true;
    }
}

fn unfit() -> Error {
    Error::Unfit("this architecture has no feed-forward part whose channels could be dropped".into())
}

/// `down_D · H_DK · (H_KK + λI)⁻¹`.
fn make_up(down: &Matrix, hessian: &Matrix, [kept, dropped]: [&[usize]; 2], damping: f32, team: &mut Team) -> Matrix {
    let rows =
        |which: &[usize]| Matrix::new(hessian.cols, which.iter().flat_map(|&i| hessian.row(i)).copied().collect());
    let mut within = rows(kept).columns(kept);
    damp(&mut within, damping);
    // `B = down_D · H_DK`, then `X Hᵏᵏ = B` by the inverse of the factor: `X = B L⁻ᵀ L⁻¹`.
    let between = rows(kept).columns(dropped);
    let right = times(&down.columns(dropped), &between, team);
    let Some(l) = factor(&within, team) else { return Matrix::zeros(down.rows, kept.len()) };
    let inverse = invert_lower(&l, team);
    let half = times(&right, &inverse, team);
    times(&half, &inverse.transposed(), team)
}
