//! Gemma 2: norms before and after each half, soft-capped scores and logits, every other layer with a sliding window, GELU gate,
//! embeddings scaled by √D. Gemma Team 2024, arXiv:2408.00118.

use super::decoder::{self, Sight, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::{Activation, Program, RopePairs};

pub fn program(keys: Keys) -> Result<Program> {
    let window = keys.uint("attention.sliding_window")?;
    let slides = keys.slides(|layer| layer % 2 == 0)?;
    decoder::program(keys, |b, config| {
        let rope = keys.rope(b, config, RopePairs::Halves, 10_000.0)?;
        Ok(Style {
            embed_scale: (config.dim as f32).sqrt(),
            post_norms: true,
            activation: Activation::GatedGelu,
            // The 27B model alone scales by the width per head of the residual stream.
            scale: keys.attention_scale(config, config.n_layers == 46)?,
            sight: Box::new(move |layer| Sight { rope: Some(rope), window: slides(layer).then_some(window) }),
            ..Style::plain(config, rope, None)
        })
    })
}
