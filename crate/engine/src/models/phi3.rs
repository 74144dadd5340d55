//! Phi 3, 3.5 and 4-mini: a Llama whose queries, keys and values are one matrix, gate and up another, some with a sliding window
//! and LongRoPE. Abdin et al. 2024, arXiv:2404.14219; Ding et al. 2024, arXiv:2402.13753.

use super::decoder::{self, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::program::{Program, RopePairs};

pub fn program(keys: Keys) -> Result<Program> {
    decoder::program(keys, |b, config| {
        let rope = keys.rope(b, config, RopePairs::Halves, 10_000.0)?;
        Ok(Style::plain(config, rope, keys.uint_if_any("attention.sliding_window")?))
    })
}
