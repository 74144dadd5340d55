//! Qwen 2 and 2.5: a Llama whose queries, keys and values have biases. Yang et al. 2024, arXiv:2407.10671.

use super::decoder::{self, Sight, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::{Program, RopePairs};

pub fn program(keys: Keys) -> Result<Program> {
    // Few have windows, and GGUF does not tell of them.
    let window = keys.uint_if_any("attention.sliding_window")?;
    let slides = keys.slides(|_| false)?;
    decoder::program(keys, |b, config| {
        let rope = keys.rope(b, config, RopePairs::Halves, 10_000.0)?;
        let sight = move |layer| Sight { rope: Some(rope), window: window.filter(|_| slides(layer)) };
        Ok(Style { sight: Box::new(sight), ..Style::plain(config, rope, None) })
    })
}
