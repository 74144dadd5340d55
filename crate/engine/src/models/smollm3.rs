//! SmolLM3: a Llama that, in every fourth layer, knows no positions. Bakouch et al. 2025, "SmolLM3: smol, multilingual,
//! long-context reasoner"; Yang et al. 2025, arXiv:2501.18795.

use super::decoder::{self, Sight, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::{Program, RopePairs};

pub fn program(keys: Keys) -> Result<Program> {
    decoder::program(keys, |b, config| {
        let rope = keys.rope(b, config, keys.pairs(RopePairs::Neighbours)?, 10_000.0)?;
        // GGUF has no key for it.
        let interval = keys.uint_or("no_rope_layer_interval", Some(4))?;
        let knows = move |layer: usize| !(layer + 1).is_multiple_of(interval);
        let sight = move |layer| Sight { rope: knows(layer).then_some(rope), window: None };
        Ok(Style { sight: Box::new(sight), ..Style::plain(config, rope, None) })
    })
}
