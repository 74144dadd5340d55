//! Qwen 3: a Llama with normed query and key heads. Yang et al. 2025, arXiv:2505.09388.

use super::decoder::{self, Sight, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::{Program, RopePairs};

pub fn program(keys: Keys) -> Result<Program> {
    // Few have windows, and GGUF does not tell of them.
    let window = keys.uint_if_any("attention.sliding_window")?;
    let slides = keys.slides(|_| false)?;
    decoder::program(keys, |b, config| {
        let rope = keys.rope(b, config, RopePairs::Halves, 1_000_000.0)?;
        let sight = move |layer| Sight { rope: Some(rope), window: window.filter(|_| slides(layer)) };
        Ok(Style { head_norms: true, sight: Box::new(sight), ..Style::plain(config, rope, None) })
    })
}
