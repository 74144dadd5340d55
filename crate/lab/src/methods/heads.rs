//! Fewer heads: a key and value head with all queries that read it, as many in every layer, so that the file is of the same family.
//!
//! Those go that add least to the stream, `E‖W_g o_g‖²` with `W_g` what the output matrix does with a group's heads. With `recover`
//! it is what is missing after the others have made up for it, `tr(W_g [H⁻¹]_gg⁻¹ W_gᵀ)`, and they do; see [`least_squares`].

use hearth_engine::cpu::team::Team;

use super::{Kind, Opt, Spec};
use crate::error::{Error, Result};
use crate::gptq::{DAMPING, damping_for};
use crate::layer::{Group, Layer, Source, Vector};
use crate::least_squares::{self, Inverse, block};
use crate::matrix::{Matrix, times};
use crate::model::Model;
use crate::pass::{LayerMethod, Method, Needs};
use crate::structure;

/// Families of which readers take the width of heads from the file, so that they need not be as wide as the stream together.
const FAMILIES: &[&str] = &["llama", "deci", "smollm3", "qwen3", "gemma2", "gemma3"];

pub const SPEC: Spec = Spec {
    name: "heads",
    does: "Drops the key and value heads that add least, with the queries that read them.",
    options: &[
        Opt { name: "drop", does: "Groups of each layer.", kind: Kind::Number { min: 0.0, max: 64.0, default: 1.0 } },
        Opt { name: "recover", does: "Lets the kept ones make up for them.", kind: Kind::Flag { default: true } },
    ],
    make: |options| Method::layer(Heads { drop: options.number("drop") as usize, recover: options.flag("recover") }),
};

struct Heads {
    drop: usize,
    recover: bool,
}

impl LayerMethod for Heads {
    fn needs(&self) -> Needs {
        Needs::Hessian
    }

    fn prepare(&mut self, model: &Model, _: &[Vec<u32>], _: &mut Team, _: &mut crate::Watch) -> Result<()> {
        let (family, config) = (structure::family(model)?, model.program(1)?.config);
        if self.drop > 0 && !FAMILIES.contains(&family.as_str()) {
            return Err(Error::Unfit(format!(
                "readers of {family} expect heads as wide as the stream together: drop layers or channels"
            )));
        }
        match config.n_kv_heads > self.drop {
            true => Ok(()),
            false => Err(Error::Unfit(format!(
                "layers have {} key and value heads, and one must stay: drop fewer",
                config.n_kv_heads
            ))),
        }
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        let Some(at) = layer.groups.iter().position(|group| group.source == Source::Attention) else { return Ok(()) };
        let [.., qkv, output] = &mut layer.groups[..=at] else { unreachable!("attention reads what was made for it") };
        if self.drop == 0 {
            return Ok(());
        }
        if qkv.slots.len() != 3 {
            return Err(Error::Unfit(format!(
                "{} is of all heads together: drop layers or channels",
                qkv.slots[0].name
            )));
        }
        let (e, share) = (layer.config.head_dim, layer.config.n_heads / layer.config.n_kv_heads);
        // The width of a group among queries and in the output's input.
        let wide = share * e;
        let mut groups: Vec<usize> = (0..layer.config.n_kv_heads).collect();
        for _ in 0..self.drop {
            let hessian = output.statistics.hessian().expect("it was asked for");
            let damping = damping_for(output.statistics.tokens, hessian.rows, DAMPING);
            let weight = &output.slots[0].weight;
            let losses = losses(weight, &hessian, wide, self.recover.then_some(damping), team);
            let worst = (0..losses.len()).reduce(|a, b| if losses[b] < losses[a] { b } else { a }).expect("some stay");
            let kept: Vec<usize> = (0..hessian.rows).filter(|i| i / wide != worst).collect();
            *output.slots[0].change() = match self.recover {
                true => least_squares::without(weight, &hessian, &kept, damping, team),
                false => weight.columns(&kept),
            };
            output.statistics.keep(&kept);
            groups.remove(worst);
        }
        for (i, width) in [wide, e, e].into_iter().enumerate() {
            let rows: Vec<usize> = groups.iter().flat_map(|g| g * width..(g + 1) * width).collect();
            keep_rows(qkv, i, &rows);
        }
        layer.config.n_kv_heads = groups.len();
        layer.config.n_heads = groups.len() * share;
        Ok(())
    }

    fn rest(&self, model: &mut Model) -> Result<()> {
        structure::settle(model)
    }
}

/// Of product `i` of a group only these rows stay.
fn keep_rows(group: &mut Group, i: usize, rows: &[usize]) {
    let slot = &mut group.slots[i];
    let data = rows.iter().flat_map(|&row| slot.weight.row(row)).copied().collect();
    *slot.change() = Matrix::new(slot.weight.cols, data);
    if let Some(Some(bias)) = group.biases.get_mut(i) {
        let numbers = rows.iter().map(|&row| bias.numbers[row]).collect();
        *bias = Vector { name: std::mem::take(&mut bias.name), numbers, changed: true };
    }
}

/// What each group of `wide` inputs adds to the output, or, damped, what of that the others cannot make up for.
fn losses(weight: &Matrix, hessian: &Matrix, wide: usize, damping: Option<f32>, team: &mut Team) -> Vec<f64> {
    let inverse = damping.map(|damping| Inverse::new(hessian, damping, team));
    let loss = |group: usize| {
        let inputs: Vec<usize> = (group * wide..(group + 1) * wide).collect();
        let own = weight.columns(&inputs);
        let product = match &inverse {
            Some(inverse) => Inverse::new(&inverse.block(&inputs, team), 0.0, team).solve(&own, team),
            None => times(&own, &block(hessian, &inputs, &inputs), team),
        };
        own.data.iter().zip(&product.data).map(|(w, p)| f64::from(w * p)).sum()
    };
    (0..hessian.rows / wide).map(loss).collect()
}
