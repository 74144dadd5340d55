//! Gates: what a compressed model must hold to be called verified. A recipe names them, `evaluate` measures, and the file says what came
//! of it.
//!
//! ```json
//! {"version": 1, "gates": {"kl": 0.05, "same_top": 0.88}, "steps": []}
//! ```

use hearth_engine::formats::Value;
use serde::{Deserialize, Serialize};

use crate::evaluate::Quality;
use crate::model::Model;

/// What must hold; what is not said need not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// At most this divergence, nats a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// At least this share of positions with the same likeliest token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_top: Option<f64>,
    /// At most so many times the original's perplexity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity_ratio: Option<f64>,
}

/// A gate, and what was found at it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Passage {
    /// What recipes call it.
    pub gate: &'static str,
    /// What was asked for.
    pub wanted: f64,
    /// What was found.
    pub found: f64,
    /// Whether that is good enough.
    pub passed: bool,
}

impl Gates {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Gates::default()
    }

    /// What a model does at each. What is no number passes nowhere.
    pub fn check(&self, quality: &Quality) -> Vec<Passage> {
        let at_most = |gate, wanted: Option<f64>, found: f64| {
            wanted.map(|wanted| Passage { gate, wanted, found, passed: found <= wanted })
        };
        let same_top = |wanted| {
            let found = quality.same_top.value;
            Passage { gate: "same_top", wanted, found, passed: found >= wanted }
        };
        let passages = [
            at_most("kl", self.kl, quality.kl.value),
            self.same_top.map(same_top),
            at_most("perplexity_ratio", self.perplexity_ratio, quality.perplexity_ratio.value),
        ];
        passages.into_iter().flatten().collect()
    }

    /// Checks a model and writes into it what was found, by which protocol, and whether it is verified; that only if there are gates.
    pub fn verify(&self, model: &mut Model, quality: &Quality, protocol: &str) -> Vec<Passage> {
        let passages = self.check(quality);
        let mut say = |key: &str, value| model.header.metadata.insert(format!("hearth.{key}"), value);
        say("kl_mean", Value::Float(quality.kl.value));
        say("top1", Value::Float(quality.same_top.value));
        say("protocol", Value::String(protocol.to_owned()));
        if !self.is_none() {
            say("verified", Value::Bool(passages.iter().all(|passage| passage.passed)));
        }
        passages
    }
}
