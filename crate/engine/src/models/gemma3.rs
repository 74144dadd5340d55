//! Gemma 3, text: norms before and after each half, normed query and key heads, five layers in six with a sliding window,
//! GELU gate, embeddings scaled by √D. Gemma Team 2025, arXiv:2503.19786.

use super::decoder::{self, Sight, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::{Activation, Program, Rope, RopePairs, Stretch};

pub fn program(keys: Keys) -> Result<Program> {
    let window = keys.uint("attention.sliding_window")?;
    let slides = keys.slides(|layer| layer % 6 != 5)?;
    decoder::program(keys, |b, config| {
        let global = keys.rope(b, config, RopePairs::Halves, 1_000_000.0)?;
        let theta = keys.positive_or("rope.freq_base_swa", 10_000.0)?;
        let stretch = Stretch::Linear { factor: 1.0 };
        let local = Rope { theta, stretch, magnitude: 1.0, divisors: None, ..global };
        Ok(Style {
            embed_scale: (config.dim as f32).sqrt(),
            head_norms: true,
            post_norms: true,
            activation: Activation::GatedGelu,
            // The 27B model alone scales by the width per head of the residual stream.
            scale: keys.attention_scale(config, config.n_layers == 62)?,
            sight: Box::new(move |layer| match slides(layer) {
                true => Sight { rope: Some(local), window: Some(window) },
                false => Sight { rope: Some(global), window: None },
            }),
        })
    })
}
