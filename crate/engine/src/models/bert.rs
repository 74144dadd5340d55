//! BERT and encoders built like it (MiniLM, BGE, E5): every token sees all others, learned positions, norms after each half, GELU.
//! Devlin et al. 2018, arXiv:1810.04805; GGUF names by llama.cpp, which has none for the masked-language head: `mlm_*` are ours.

use super::keys::{Keys, plain_attention};
use crate::error::Result;
use crate::program::{Activation, Builder, Config, Linear, Op, Program};

pub fn program(keys: Keys) -> Result<Program> {
    let config = keys.config()?;
    let Config { dim, hidden_dim, head_dim, n_heads, max_seq, vocab_size, .. } = config;
    let mut b = Builder::new(keys.header, "bert");
    let table = keys.table(&mut b, &config)?;
    let positions = Some(b.matrix("position_embd.weight", max_seq, dim)?);
    let kinds = keys.rows_of("token_types.weight");
    let kind = kinds.map(|kinds| b.rows("token_types.weight", [kinds, dim], 0..1)).transpose()?;
    // Which GELU, GGUF does not say: the exact one, in all that are about.
    let gelu = match keys.header.string("hearth.activation")? {
        Some("gelu_tanh") => Activation::Gelu,
        _ => Activation::GeluErf,
    };
    let mut ops = vec![
        Op::Embed { table, scale: 1.0, positions, kind },
        Op::Norm { norm: keys.layer_norm(&mut b, "token_embd_norm", dim)? },
    ];
    for layer in 0..config.n_layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        ops.push(Op::NormLinear {
            norm: None,
            linears: keys.qkv(&mut b, &config, layer)?,
            activation: Activation::None,
        });
        ops.push(plain_attention(layer, head_dim, false));
        ops.push(Op::LinearAdd { linear: b.linear(&name("attn_output"), dim, n_heads * head_dim)?, post_norm: None });
        ops.push(Op::Norm { norm: keys.layer_norm(&mut b, &name("attn_output_norm"), dim)? });
        ops.push(Op::NormLinear {
            norm: None,
            linears: vec![b.linear(&name("ffn_up"), hidden_dim, dim)?],
            activation: gelu,
        });
        ops.push(Op::LinearAdd { linear: b.linear(&name("ffn_down"), dim, hidden_dim)?, post_norm: None });
        ops.push(Op::Norm { norm: keys.layer_norm(&mut b, &name("layer_output_norm"), dim)? });
    }
    ops.push(match b.has("mlm_dense.weight") {
        true => Op::Head {
            transform: Some((b.linear("mlm_dense", dim, dim)?, gelu)),
            norm: Some(keys.layer_norm(&mut b, "mlm_norm", dim)?),
            linear: Some(Linear {
                weight: table,
                bias: b.vector_if_any("mlm_output.bias", vocab_size)?,
                low_rank: None,
            }),
            softcap: None,
        },
        false => Op::Head { transform: None, norm: None, linear: None, softcap: None },
    });
    Ok(Program { config, weights: b.finish(), ops })
}
