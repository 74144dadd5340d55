//! Llama and its like (SmolLM2): pre-norm decoder, grouped queries, rotary positions, SiLU gate.
//! Touvron et al. 2023, arXiv:2302.13971; GGUF names by llama.cpp.

use super::{Architecture, Keys};
use crate::error::Result;
use crate::formats::gguf::Header;
use crate::program::{Activation, Builder, Norm, Op, Program, Rope};

pub fn program(header: &Header) -> Result<Program> {
    let keys = Keys { header, architecture: Architecture::Llama };
    let config = keys.config()?;
    let (dim, hidden) = (config.dim, config.hidden_dim);
    let (q_dim, kv_dim) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
    let eps = keys.positive_or("attention.layer_norm_rms_epsilon", 1e-5)?;
    let mut b = Builder::new(header, "llama");
    let dims = keys.rope_dims(config.head_dim)?;
    let rope = Rope {
        pairs: keys.rope_pairs()?,
        dims,
        theta: keys.positive_or("rope.freq_base", 10_000.0)?,
        scale: keys.rope_scale()?,
        divisors: match b.has("rope_freqs.weight") {
            true => Some(b.vector("rope_freqs.weight", dims / 2)?),
            false => None,
        },
    };

    let table = b.matrix("token_embd.weight", config.vocab_size, dim)?;
    let mut ops = vec![Op::Embed { table, scale: 1.0 }];
    for layer in 0..config.n_layers {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        ops.push(Op::NormLinear {
            norm: Norm { weight: b.vector(&name("attn_norm"), dim)?, eps },
            linears: vec![
                b.matrix(&name("attn_q"), q_dim, dim)?,
                b.matrix(&name("attn_k"), kv_dim, dim)?,
                b.matrix(&name("attn_v"), kv_dim, dim)?,
            ],
            activation: Activation::None,
        });
        let scale = 1.0 / (config.head_dim as f32).sqrt();
        ops.push(Op::Attention { layer, q_norm: None, k_norm: None, rope, window: None, scale });
        ops.push(Op::LinearAdd { linear: b.matrix(&name("attn_output"), dim, q_dim)?, post_norm: None });
        ops.push(Op::NormLinear {
            norm: Norm { weight: b.vector(&name("ffn_norm"), dim)?, eps },
            linears: vec![b.matrix(&name("ffn_gate"), hidden, dim)?, b.matrix(&name("ffn_up"), hidden, dim)?],
            activation: Activation::GatedSilu,
        });
        ops.push(Op::LinearAdd { linear: b.matrix(&name("ffn_down"), dim, hidden)?, post_norm: None });
    }
    let norm = Norm { weight: b.vector("output_norm.weight", dim)?, eps };
    let linear = match b.has("output.weight") {
        true => b.matrix("output.weight", config.vocab_size, dim)?,
        false => table,
    };
    ops.push(Op::Head { norm, linear });
    Ok(Program { config, weights: b.finish(), ops })
}
