//! GPT-2: learned positions, layer norms, biases, GELU, the embedding table as its head. Radford et al. 2019, "Language Models are
//! Unsupervised Multitask Learners"; GGUF names by llama.cpp.

use super::keys::{Keys, plain_attention};
use crate::error::Result;
use crate::program::{Activation, Builder, Config, Op, Program};

pub fn program(keys: Keys) -> Result<Program> {
    let config = keys.config()?;
    let Config { dim, hidden_dim, head_dim, n_heads, max_seq, .. } = config;
    let mut b = Builder::new(keys.header, "gpt2");
    let table = keys.table(&mut b, &config)?;
    let positions = Some(b.matrix("position_embd.weight", max_seq, dim)?);
    let mut ops = vec![Op::Embed { table, scale: 1.0, positions, kind: None }];
    for layer in 0..config.n_layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        ops.push(Op::NormLinear {
            norm: Some(keys.layer_norm(&mut b, &name("attn_norm"), dim)?),
            linears: keys.qkv(&mut b, &config, layer)?,
            activation: Activation::None,
        });
        ops.push(plain_attention(layer, head_dim, true));
        ops.push(Op::LinearAdd { linear: b.linear(&name("attn_output"), dim, n_heads * head_dim)?, post_norm: None });
        ops.push(Op::NormLinear {
            norm: Some(keys.layer_norm(&mut b, &name("ffn_norm"), dim)?),
            linears: vec![b.linear(&name("ffn_up"), hidden_dim, dim)?],
            activation: Activation::Gelu,
        });
        ops.push(Op::LinearAdd { linear: b.linear(&name("ffn_down"), dim, hidden_dim)?, post_norm: None });
    }
    let norm = keys.layer_norm(&mut b, "output_norm", dim)?;
    ops.push(keys.head(&mut b, &config, norm, table)?);
    Ok(Program { config, weights: b.finish(), ops })
}
