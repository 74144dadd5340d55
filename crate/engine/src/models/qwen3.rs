//! Qwen 3: a Llama with normed query and key heads. Yang et al. 2025, arXiv:2505.09388.

use super::decoder::{self, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::{Program, RopePairs};

pub fn program(keys: Keys) -> Result<Program> {
    decoder::program(keys, |b, config| {
        let rope = keys.rope(b, config, RopePairs::Halves, 1_000_000.0)?;
        Ok(Style { head_norms: true, ..Style::windowed(keys, config, rope)? })
    })
}
