//! Llama and its like (Mistral, TinyLlama, SmolLM2): the plain decoder. Touvron et al. 2023, arXiv:2302.13971.

use super::decoder::{self, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::{Program, RopePairs};

pub fn program(keys: Keys) -> Result<Program> {
    decoder::program(keys, |b, config| {
        // Llama's converters permute heads for this; Hugging Face's own files have halves.
        let rope = keys.rope(b, config, keys.pairs(RopePairs::Neighbours)?, 10_000.0)?;
        Ok(Style::plain(config, rope, keys.uint_if_any("attention.sliding_window")?))
    })
}
