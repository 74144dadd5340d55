//! Pruning: numbers that matter least become zero.
//!
//! - `magnitude`: the smallest; Han et al. 2015, arXiv:1506.02626.
//! - `wanda`: the smallest `|w| · sqrt(E[x²])`; Sun et al. 2023, arXiv:2306.11695.
//! - `obs`: by what others can make up for; see [`obs`](crate::obs).

use hearth_engine::cpu::divide::Rows;
use hearth_engine::cpu::team::Team;

use super::{Kind, Opt, Spec};
use crate::error::{Error, Result};
use crate::gptq::{self, Spread};
use crate::layer::Layer;
use crate::matrix::Matrix;
use crate::obs;
use crate::pass::{LayerMethod, Method, Needs};
use crate::pattern::{PATTERNS, Pattern, rounds};

pub const SPEC: Spec = Spec {
    name: "prune",
    does: "Makes the numbers zero that matter least.",
    options: &[
        Opt {
            name: "score",
            does: "What matters.",
            kind: Kind::Choice { of: &["magnitude", "wanda", "obs"], default: "obs" },
        },
        Opt {
            name: "pattern",
            does: "Where zeros may be.",
            kind: Kind::Choice { of: &["free", "blocks_of_4", "blocks_of_16", "2:4", "16:32"], default: "free" },
        },
        Opt {
            name: "share",
            does: "Of zeros; 2:4 and 16:32 are half.",
            kind: Kind::Number { min: 0.0, max: 0.95, default: 0.5 },
        },
        Opt { name: "rounds", does: "In so many steps.", kind: Kind::Number { min: 1.0, max: 16.0, default: 1.0 } },
        Opt {
            name: "schedule",
            does: "How much in each.",
            kind: Kind::Choice { of: &["constant", "polynomial"], default: "polynomial" },
        },
    ],
    make: |options| {
        let pattern = options.choice("pattern");
        let (_, pattern) = PATTERNS.iter().find(|(name, _)| *name == pattern).expect("the choices are patterns");
        let share = pattern.share(options.number("share"));
        Method::layer(Prune {
            score: match options.choice("score") {
                "magnitude" => Score::Magnitude,
                "wanda" => Score::Wanda,
                _ => Score::Obs,
            },
            pattern: *pattern,
            shares: rounds(share, options.number("rounds") as usize, options.choice("schedule") == "polynomial"),
        })
    },
};

#[derive(Clone, Copy, PartialEq)]
enum Score {
    Magnitude,
    Wanda,
    Obs,
}

struct Prune {
    score: Score,
    pattern: Pattern,
    /// After each round.
    shares: Vec<f64>,
}

impl LayerMethod for Prune {
    fn needs(&self) -> Needs {
        match self.score {
            Score::Magnitude => Needs::Nothing,
            Score::Wanda => Needs::Squares,
            Score::Obs => Needs::Hessian,
        }
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        for group in &mut layer.groups {
            let spread = group.statistics.hessian().filter(|_| self.score == Score::Obs).map(|hessian| {
                // Blocks and groups are of neighbours.
                let by_energy = self.pattern == Pattern::Free;
                Spread::new(&hessian, group.statistics.tokens, gptq::DAMPING, by_energy, team)
            });
            let squares = match self.score {
                Score::Wanda => group.statistics.mean_squares(),
                _ => Vec::new(),
            };
            for slot in &mut group.slots {
                let (cols, unit) = (slot.weight.cols, self.pattern.unit());
                if !cols.is_multiple_of(unit) {
                    return Err(Error::Unfit(format!(
                        "{} has rows of {cols}, which are no multiple of {unit}: take another pattern",
                        slot.name
                    )));
                }
                for &share in &self.shares {
                    match &spread {
                        Some(spread) => *slot.change() = obs::prune(&slot.weight, self.pattern, share, spread, team),
                        None => remove(slot.change(), self.pattern, share, &squares, team),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Makes the smallest of each row zero; `squares` weigh the inputs, if there are any.
pub fn remove(weight: &mut Matrix, pattern: Pattern, share: f64, squares: &[f32], team: &mut Team) {
    let rows = weight.rows;
    team.each(Rows::new(&mut weight.data, rows), |_, row| {
        let scores: Vec<f32> = match squares {
            [] => row.iter().map(|w| w.abs()).collect(),
            _ => row.iter().zip(squares).map(|(w, x2)| w.abs() * x2.sqrt()).collect(),
        };
        row.iter_mut().zip(pattern.zeros(&scores, share)).filter(|(_, zero)| *zero).for_each(|(w, _)| *w = 0.0);
    });
}
