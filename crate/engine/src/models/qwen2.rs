//! Qwen 2 and 2.5: a Llama whose queries, keys and values have biases. Yang et al. 2024, arXiv:2407.10671.

use super::decoder::{self, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::{Program, RopePairs};

pub fn program(keys: Keys) -> Result<Program> {
    decoder::program(keys, |b, config| {
        let rope = keys.rope(b, config, RopePairs::Halves, 10_000.0)?;
        Style::windowed(keys, config, rope)
    })
}
