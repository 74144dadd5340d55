//! Low rank: every matrix becomes a product of two thin ones; see [`svd`](crate::svd).
//!
//! A product of rank `r` has `r (out + in)` numbers. The share to save is the same for every matrix, or ranks are allotted by one
//! budget: a rank is worth what it holds of its matrix's energy for each number that it costs, and a matrix whose ranks would cost
//! more than itself stays as it is. Files have the two, and they are multiplied with one after the other; steps that come later in
//! the pass and change a matrix make it whole again, only `quantize` leaves it as it is.

use std::cell::RefCell;
use std::collections::BTreeMap;

use hearth_engine::cpu::team::Team;
use hearth_engine::quant::Format;

use super::{Kind, Opt, Spec};
use crate::Watch;
use crate::error::Result;
use crate::layer::Layer;
use crate::matrix::Matrix;
use crate::model::Model;
use crate::pass::{self, LayerMethod, Method, Needs};
use crate::svd::{Factors, energies, whitener};

pub const SPEC: Spec = Spec {
    name: "lowrank",
    does: "Makes each matrix a product of two thin ones.",
    options: &[
        Opt { name: "share", does: "Of numbers to save.", kind: Kind::Number { min: 0.0, max: 0.95, default: 0.2 } },
        Opt {
            name: "rank",
            does: "Of every matrix, instead of a share; 0: by the share.",
            kind: Kind::Number { min: 0.0, max: 65536.0, default: 0.0 },
        },
        Opt { name: "whitened", does: "What inputs are like counts.", kind: Kind::Flag { default: true } },
        Opt {
            name: "allocation",
            does: "The same share of every matrix, or more where less is lost.",
            kind: Kind::Choice { of: &["even", "energy"], default: "energy" },
        },
        Opt {
            name: "factors",
            does: "The format of the thin ones; whole: they are multiplied out, as other programs read it.",
            kind: Kind::Choice { of: &["F16", "Q8_0", "Q5_0", "Q4_0", "whole"], default: "F16" },
        },
    ],
    make: |options| {
        let size = match options.number("rank") as usize {
            0 if options.number("share") == 0.0 => Size::Whole,
            0 if options.choice("allocation") == "even" => Size::Share(options.number("share")),
            0 => Size::Budget(options.number("share"), BTreeMap::new()),
            rank => Size::Rank(rank),
        };
        let factors = Format::from_name(options.choice("factors"));
        Method::layer(LowRank { size, whitened: options.flag("whitened"), factors })
    },
};

/// How large the products are.
enum Size {
    /// Matrices stay as they are.
    Whole,
    /// Of this rank.
    Rank(usize),
    /// Smaller than the matrix by this share.
    Share(f64),
    /// All together smaller by this share; ranks by tensor, where it does not stay as it is, once they are allotted.
    Budget(f64, BTreeMap<String, usize>),
}

struct LowRank {
    size: Size,
    whitened: bool,
    /// None: the product.
    factors: Option<Format>,
}

impl LowRank {
    /// The rank of a matrix that does not stay as it is: whole blocks of the factors' format.
    fn rank(&self, name: &str, weight: &Matrix) -> Option<usize> {
        let (numbers, each) = (weight.rows * weight.cols, weight.rows + weight.cols);
        let rank = match &self.size {
            Size::Whole => return None,
            Size::Rank(rank) => *rank,
            Size::Share(share) => ((1.0 - share) * numbers as f64) as usize / each,
            Size::Budget(_, ranks) => *ranks.get(name)?,
        };
        let block = self.factors.map_or(1, Format::block_len);
        Some((rank / block * block).max(block.min(rank)).max(1))
    }
}

impl LayerMethod for LowRank {
    fn needs(&self) -> Needs {
        if self.whitened { Needs::Hessian } else { Needs::Nothing }
    }

    fn prepare(&mut self, model: &Model, texts: &[Vec<u32>], team: &mut Team, watch: &mut Watch) -> Result<()> {
        let Size::Budget(share, ranks) = &mut self.size else { return Ok(()) };
        let spectra = RefCell::default();
        let look = Look { whitened: self.whitened, spectra: &spectra };
        pass::run(&mut model.clone(), &mut [Box::new(look)], texts, team, watch)?;
        *ranks = allot(&spectra.into_inner(), 1.0 - *share);
        Ok(())
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        for group in &mut layer.groups {
            let l = if self.whitened { whitener(&group.statistics, team) } else { None };
            for slot in &mut group.slots {
                if let Some(rank) = self.rank(&slot.name, &slot.weight) {
                    let factors = Factors::of(&slot.weight, l.as_ref(), rank, team);
                    match self.factors {
                        Some(format) if slot.alone => slot.factor(&factors, format, team)?,
                        Some(_) => {
                            *slot.change() = factors.product(team);
                            let name = &slot.name;
                            layer
                                .notes
                                .push(format!("{name} is multiplied out: it holds several matrices, and no factors"));
                        }
                        None => *slot.change() = factors.product(team),
                    }
                }
            }
        }
        Ok(())
    }
}

/// The energies of a matrix's ranks.
struct Spectrum {
    name: String,
    rows: usize,
    cols: usize,
    /// Descending.
    energies: Vec<f64>,
}

impl Spectrum {
    /// Numbers of a product of this rank, or the matrix's own where those are fewer.
    fn cost(&self, rank: usize) -> usize {
        (rank * (self.rows + self.cols)).min(self.rows * self.cols)
    }
}

/// Ranks of the matrices that do not stay as they are, so that all together have at most this share of their numbers: one each,
/// then those worth most, as long as they can be paid.
fn allot(spectra: &[Spectrum], share: f64) -> BTreeMap<String, usize> {
    let mut worths: Vec<(f64, usize)> = Vec::new();
    for (i, s) in spectra.iter().enumerate() {
        let all = s.energies.iter().sum::<f64>().max(f64::MIN_POSITIVE) * (s.rows + s.cols) as f64;
        worths.extend(s.energies.iter().skip(1).map(|energy| (energy / all, i)));
    }
    worths.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut ranks = vec![1; spectra.len()];
    let mut left = share * spectra.iter().map(|s| (s.rows * s.cols) as f64).sum::<f64>();
    left -= spectra.iter().map(|s| s.cost(1) as f64).sum::<f64>();
    for (_, i) in worths {
        let more = (spectra[i].cost(ranks[i] + 1) - spectra[i].cost(ranks[i])) as f64;
        if more <= left {
            (ranks[i], left) = (ranks[i] + 1, left - more);
        }
    }
    let smaller = spectra.iter().zip(ranks).filter(|(s, rank)| s.cost(*rank) < s.rows * s.cols);
    smaller.map(|(s, rank)| (s.name.clone(), rank)).collect()
}

/// Only looks at the matrices.
struct Look<'a> {
    whitened: bool,
    spectra: &'a RefCell<Vec<Spectrum>>,
}

impl LayerMethod for Look<'_> {
    fn needs(&self) -> Needs {
        if self.whitened { Needs::Hessian } else { Needs::Nothing }
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        for group in &layer.groups {
            let l = if self.whitened { whitener(&group.statistics, team) } else { None };
            for slot in &group.slots {
                let (name, weight) = (slot.name.clone(), &slot.weight);
                let energies = energies(weight, l.as_ref(), team);
                self.spectra.borrow_mut().push(Spectrum { name, rows: weight.rows, cols: weight.cols, energies });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_go_where_they_hold_most() {
        let spectrum = |name: &str, falls: f64| Spectrum {
            name: name.into(),
            rows: 100,
            cols: 300,
            energies: (0..100).map(|i| libm::exp(-falls * f64::from(i))).collect(),
        };
        let spectra = [spectrum("steep", 0.5), spectrum("slow", 0.02), spectrum("flat", 0.0)];
        let cost = |share: f64| {
            let ranks = allot(&spectra, share);
            let cost: usize = spectra.iter().map(|s| ranks.get(&s.name).map_or(30_000, |rank| rank * 400)).sum();
            assert!(cost as f64 <= share * 90_000.0, "{share}: {ranks:?}");
            (ranks, cost)
        };
        let (ranks, used) = cost(0.5);
        assert!(ranks["steep"] < 20 && ranks["steep"] < ranks["slow"], "{ranks:?}");
        assert!(used as f64 > 0.5 * 90_000.0 - 400.0);
        // With most of the budget, what is flat stays as it is.
        let (ranks, _) = cost(0.75);
        assert!(!ranks.contains_key("flat") && ranks.contains_key("steep"), "{ranks:?}");
        assert!(allot(&spectra, 1.0).is_empty());
    }
}
