//! Llama and its like (Mistral, TinyLlama, SmolLM2): the plain decoder. Touvron et al. 2023, arXiv:2302.13971.

use super::decoder::{self, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::Program;

pub fn program(keys: Keys) -> Result<Program> {
    decoder::program(keys, |b, config| {
        let rope = keys.rope(b, config, keys.permuted_pairs()?, 10_000.0)?;
        Style::windowed(keys, config, rope)
    })
}
