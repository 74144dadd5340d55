//! The decoder that most families share: pre-norm, grouped queries, rotary positions, gated feed-forward part. A [`Style`] says
//! what a family does in its own way; GGUF names by llama.cpp.

use super::keys::Keys;
use crate::error::Result;
use crate::program::{Activation, Builder, Config, Op, Program, Rope};

/// Where a layer's tokens stand to each other.
pub struct Sight {
    /// The rotation of its heads.
    pub rope: Option<Rope>,
    /// How many positions it sees; all, if `None`.
    pub window: Option<usize>,
}

/// What is particular to a family.
pub struct Style {
    /// Factor on the embeddings.
    pub embed_scale: f32,
    /// Whether query and key heads are normed.
    pub head_norms: bool,
    /// Whether the products of each half are normed before they are added.
    pub post_norms: bool,
    /// Of the feed-forward part.
    pub activation: Activation,
    /// Factor on the scores of attention.
    pub scale: f32,
    /// Of each layer.
    pub sight: Box<dyn Fn(usize) -> Sight>,
}

impl Style {
    /// Llama's.
    pub fn plain(config: &Config, rope: Rope, window: Option<usize>) -> Style {
        Style {
            embed_scale: 1.0,
            head_norms: false,
            post_norms: false,
            activation: Activation::GatedSilu,
            scale: 1.0 / (config.head_dim as f32).sqrt(),
            sight: Box::new(move |_| Sight { rope: Some(rope), window }),
        }
    }
}

/// The program of a model in this style.
pub fn program(keys: Keys, style: impl FnOnce(&mut Builder, &Config) -> Result<Style>) -> Result<Program> {
    let config = keys.config()?;
    let Config { dim, head_dim, .. } = config;
    let (heads, widths) = (keys.sizes("attention.head_count")?, keys.sizes("feed_forward_length")?);
    let mut builder = Builder::new(keys.header, keys.architecture.name());
    let b = &mut builder;
    let style = style(b, &config)?;
    let post_norm = |b: &mut Builder, name: String| match style.post_norms {
        true => keys.rms(b, &name, dim).map(Some),
        false => Ok(None),
    };
    let head_norm = |b: &mut Builder, name: String| match style.head_norms {
        true => keys.rms(b, &name, head_dim).map(Some),
        false => Ok(None),
    };

    let table = keys.table(b, &config)?;
    let mut ops = vec![Op::Embed { table, scale: style.embed_scale, positions: None, kind: None }];
    let mut caches = 0;
    for layer in 0..config.n_layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        if heads.of(layer) > 0 {
            let Sight { rope, window } = (style.sight)(layer);
            ops.push(Op::NormLinear {
                norm: Some(keys.rms(b, &name("attn_norm"), dim)?),
                linears: keys.qkv(b, &config, layer)?,
                activation: Activation::None,
            });
            ops.push(Op::Attention {
                layer: caches,
                q_norm: head_norm(b, name("attn_q_norm"))?,
                k_norm: head_norm(b, name("attn_k_norm"))?,
                rope,
                causal: true,
                window,
                scale: style.scale,
                softcap: keys.positive_if_any("attn_logit_softcapping")?,
            });
            ops.push(Op::LinearAdd {
                linear: b.linear(&name("attn_output"), dim, config.n_heads * head_dim)?,
                post_norm: post_norm(b, name("post_attention_norm"))?,
            });
            caches += 1;
        }
        let width = widths.of(layer);
        if width == 0 {
            continue;
        }
        ops.push(Op::NormLinear {
            norm: Some(keys.rms(b, &name("ffn_norm"), dim)?),
            linears: keys.gate_and_up(b, [width, dim], layer)?,
            activation: style.activation,
        });
        ops.push(Op::LinearAdd {
            linear: b.linear(&name("ffn_down"), dim, width)?,
            post_norm: post_norm(b, name("post_ffw_norm"))?,
        });
    }
    let norm = keys.rms(b, "output_norm", dim)?;
    ops.push(keys.head(b, &config, norm, table)?);
    Ok(Program { config, weights: builder.finish(), ops })
}
