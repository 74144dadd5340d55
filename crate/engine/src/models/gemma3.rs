//! Gemma 3, text: norms before and after each half, normed query and key heads, five layers in six with a sliding window,
//! GELU gate, embeddings scaled by √D. Gemma Team 2025, arXiv:2503.19786; GGUF names by llama.cpp.

use super::{Architecture, Keys};
use crate::error::Result;
use crate::formats::gguf::Header;
use crate::program::{Activation, Builder, Norm, Op, Program, Rope, RopePairs};

/// Every sixth layer sees all positions, unless the file says otherwise.
const PATTERN: usize = 6;

pub fn program(header: &Header) -> Result<Program> {
    let keys = Keys { header, architecture: Architecture::Gemma3 };
    let config = keys.config()?;
    let (dim, hidden, head_dim) = (config.dim, config.hidden_dim, config.head_dim);
    let (q_dim, kv_dim) = (config.n_heads * head_dim, config.n_kv_heads * head_dim);
    let eps = keys.positive_or("attention.layer_norm_rms_epsilon", 1e-6)?;
    let window = keys.uint("attention.sliding_window")?;
    let global = Rope {
        pairs: RopePairs::Halves,
        dims: head_dim,
        theta: keys.positive_or("rope.freq_base", 1_000_000.0)?,
        scale: keys.rope_scale()?,
        divisors: None,
    };
    let local = Rope { theta: keys.positive_or("rope.freq_base_swa", 10_000.0)?, scale: 1.0, ..global };
    // The 27B model alone scales by the width per head of the residual stream.
    let scale = if config.n_layers == 62 { dim / config.n_heads } else { head_dim } as f32;
    let scale = keys.positive_or("attention.scale", 1.0 / scale.sqrt())?;

    let mut b = Builder::new(header, "gemma3");
    let table = b.matrix("token_embd.weight", config.vocab_size, dim)?;
    let mut ops = vec![Op::Embed { table, scale: (dim as f32).sqrt() }];
    for layer in 0..config.n_layers {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let slides = keys.slides(layer, layer % PATTERN != PATTERN - 1)?;
        ops.push(Op::NormLinear {
            norm: Norm { weight: b.vector(&name("attn_norm"), dim)?, eps },
            linears: vec![
                b.matrix(&name("attn_q"), q_dim, dim)?,
                b.matrix(&name("attn_k"), kv_dim, dim)?,
                b.matrix(&name("attn_v"), kv_dim, dim)?,
            ],
            activation: Activation::None,
        });
        ops.push(Op::Attention {
            layer,
            q_norm: Some(Norm { weight: b.vector(&name("attn_q_norm"), head_dim)?, eps }),
            k_norm: Some(Norm { weight: b.vector(&name("attn_k_norm"), head_dim)?, eps }),
            rope: if slides { local } else { global },
            window: slides.then_some(window),
            scale,
        });
        ops.push(Op::LinearAdd {
            linear: b.matrix(&name("attn_output"), dim, q_dim)?,
            post_norm: Some(Norm { weight: b.vector(&name("post_attention_norm"), dim)?, eps }),
        });
        ops.push(Op::NormLinear {
            norm: Norm { weight: b.vector(&name("ffn_norm"), dim)?, eps },
            linears: vec![b.matrix(&name("ffn_gate"), hidden, dim)?, b.matrix(&name("ffn_up"), hidden, dim)?],
            activation: Activation::GatedGelu,
        });
        ops.push(Op::LinearAdd {
            linear: b.matrix(&name("ffn_down"), dim, hidden)?,
            post_norm: Some(Norm { weight: b.vector(&name("post_ffw_norm"), dim)?, eps }),
        });
    }
    let norm = Norm { weight: b.vector("output_norm.weight", dim)?, eps };
    let linear = match b.has("output.weight") {
        true => b.matrix("output.weight", config.vocab_size, dim)?,
        false => table,
    };
    ops.push(Op::Head { norm, linear });
    Ok(Program { config, weights: b.finish(), ops })
}
