//! DeciLM and Nemotron: a Llama of layers that differ. Feed-forward parts have widths of their own, and a layer may do without
//! attention. Bercovich et al. 2024, arXiv:2411.19146; GGUF names by llama.cpp.
//!
//! Sizes are lists with a number for each layer. Heads are as many in all layers that attend: what else there is ("linear" attention,
//! attention without a feed-forward part, which llama.cpp passes over) is refused.

use super::decoder::{self, Style};
use super::keys::Keys;
use crate::error::Result;
use crate::formats::bad;
use crate::program::{Program, RopePairs};

pub fn program(keys: Keys) -> Result<Program> {
    decoder::program(keys, |b, config| {
        let [heads, kv_heads, widths] =
            ["attention.head_count", "attention.head_count_kv", "feed_forward_length"].map(|name| keys.sizes(name));
        let (heads, kv_heads, widths) = (heads?, kv_heads?, widths?);
        for layer in 0..config.n_layers {
            let found = (heads.of(layer), kv_heads.of(layer));
            if found.0 != 0 && found != (config.n_heads, config.n_kv_heads) {
                let what = format!("layer {layer} has {} and {} heads: other layers have more", found.0, found.1);
                return Err(bad("deci.attention.head_count", what));
            }
            if found.0 != 0 && widths.of(layer) == 0 {
                let what = format!("layer {layer} attends and has no feed-forward part, which is not supported");
                return Err(bad("deci.feed_forward_length", what));
            }
        }
        let rope = keys.rope(b, config, RopePairs::Neighbours, 10_000.0)?;
        Ok(Style::plain(config, rope, None))
    })
}
