//! Tensor names of `transformers` to those of GGUF.

use super::families::Family;

/// What becomes of a tensor.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// It has this name in GGUF.
    Tensor(String),
    /// Nobody needs it.
    Skip,
    /// The family has no such tensor.
    Unknown,
}

/// Endings of names: a tensor's own, GGUF's. BERT's norms once had other ones.
const ENDINGS: &[(&str, &str)] =
    &[(".weight", ".weight"), (".bias", ".bias"), (".gamma", ".weight"), (".beta", ".bias")];

/// What is computed from the configuration, or is a mask; some folders have it all the same.
const COMPUTED: &[&str] = &[".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"];

/// What becomes of the tensor called `name`.
pub fn target(family: &Family, name: &str) -> Target {
    let short = family.prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    if family.skipped.iter().any(|start| short.starts_with(start)) || COMPUTED.iter().any(|end| short.ends_with(end)) {
        return Target::Skip;
    }
    let known = || {
        let (module, ending) = ENDINGS.iter().find_map(|row| Some((short.strip_suffix(row.0)?, row.1)))?;
        match module.strip_prefix(family.layer) {
            None => {
                let name = family.outside.iter().find(|row| row.0 == module)?.1;
                Some(format!("{name}{ending}"))
            }
            Some(rest) => {
                let (layer, module) = rest.split_once('.')?;
                let layer: u16 = layer.parse().ok()?;
                let name = family.in_layer.iter().copied().flatten().find(|row| row.0 == module)?.1;
                Some(format!("blk.{layer}.{name}{ending}"))
            }
        }
    };
    known().map_or(Target::Unknown, Target::Tensor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(model_type: &str, names: &[(&str, &str)]) {
        let family = Family::of(model_type).unwrap();
        for (name, expected) in names {
            assert_eq!(target(family, name), Target::Tensor((*expected).into()), "{name}");
        }
    }

    #[test]
    fn decoders_have_llama_cpps_names() {
        for model_type in ["llama", "mistral", "smollm3", "qwen2", "qwen3"] {
            all(
                model_type,
                &[
                    ("model.embed_tokens.weight", "token_embd.weight"),
                    ("model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight"),
                    ("model.layers.11.self_attn.q_proj.weight", "blk.11.attn_q.weight"),
                    ("model.layers.11.self_attn.k_proj.bias", "blk.11.attn_k.bias"),
                    ("model.layers.11.self_attn.k_norm.weight", "blk.11.attn_k_norm.weight"),
                    ("model.layers.1.self_attn.o_proj.weight", "blk.1.attn_output.weight"),
                    ("model.layers.1.post_attention_layernorm.weight", "blk.1.ffn_norm.weight"),
                    ("model.layers.1.mlp.down_proj.weight", "blk.1.ffn_down.weight"),
                    ("model.norm.weight", "output_norm.weight"),
                    ("lm_head.weight", "output.weight"),
                    // A model without a head, as sentence-transformers saves it.
                    ("layers.1.self_attn.v_proj.weight", "blk.1.attn_v.weight"),
                ],
            );
        }
        all(
            "phi3",
            &[
                ("model.layers.3.self_attn.qkv_proj.weight", "blk.3.attn_qkv.weight"),
                ("model.layers.3.mlp.gate_up_proj.weight", "blk.3.ffn_up.weight"),
            ],
        );
    }

    #[test]
    fn gemmas_have_four_norms_a_layer() {
        for (model_type, prefix) in [
            ("gemma2", "model."),
            ("gemma3_text", "model."),
            ("gemma3", "language_model.model."),
            ("gemma3", "model.language_model."),
        ] {
            for (name, expected) in [
                ("layers.2.input_layernorm.weight", "blk.2.attn_norm.weight"),
                ("layers.2.post_attention_layernorm.weight", "blk.2.post_attention_norm.weight"),
                ("layers.2.pre_feedforward_layernorm.weight", "blk.2.ffn_norm.weight"),
                ("layers.2.post_feedforward_layernorm.weight", "blk.2.post_ffw_norm.weight"),
                ("norm.weight", "output_norm.weight"),
            ] {
                all(model_type, &[(&format!("{prefix}{name}"), expected)]);
            }
        }
        let gemma3 = Family::of("gemma3").unwrap();
        for name in ["vision_tower.vision_model.head.bias", "model.multi_modal_projector.mm_input_projection_weight"] {
            assert_eq!(target(gemma3, name), Target::Skip, "{name}");
        }
    }

    #[test]
    fn gpt2_and_bert_have_llama_cpps_names() {
        all(
            "gpt2",
            &[
                ("transformer.wte.weight", "token_embd.weight"),
                ("wpe.weight", "position_embd.weight"),
                ("h.0.attn.c_attn.weight", "blk.0.attn_qkv.weight"),
                ("transformer.h.0.attn.c_attn.bias", "blk.0.attn_qkv.bias"),
                ("h.0.ln_2.bias", "blk.0.ffn_norm.bias"),
                ("h.0.mlp.c_proj.weight", "blk.0.ffn_down.weight"),
                ("ln_f.weight", "output_norm.weight"),
            ],
        );
        all(
            "bert",
            &[
                ("bert.embeddings.word_embeddings.weight", "token_embd.weight"),
                ("embeddings.token_type_embeddings.weight", "token_types.weight"),
                ("embeddings.LayerNorm.gamma", "token_embd_norm.weight"),
                ("bert.encoder.layer.5.attention.self.value.bias", "blk.5.attn_v.bias"),
                ("bert.encoder.layer.5.attention.output.LayerNorm.beta", "blk.5.attn_output_norm.bias"),
                ("encoder.layer.5.intermediate.dense.weight", "blk.5.ffn_up.weight"),
                ("encoder.layer.5.output.LayerNorm.weight", "blk.5.layer_output_norm.weight"),
                ("cls.predictions.transform.dense.weight", "mlm_dense.weight"),
                ("cls.predictions.transform.LayerNorm.bias", "mlm_norm.bias"),
                ("cls.predictions.bias", "mlm_output.bias"),
                ("cls.predictions.decoder.weight", "mlm_output.weight"),
            ],
        );
        let (gpt2, bert) = (Family::of("gpt2").unwrap(), Family::of("bert").unwrap());
        for (family, name) in [
            (gpt2, "h.3.attn.bias"),
            (gpt2, "transformer.h.3.attn.masked_bias"),
            (bert, "bert.pooler.dense.weight"),
            (bert, "embeddings.position_ids"),
            (bert, "cls.seq_relationship.weight"),
            (bert, "cls.predictions.decoder.bias"),
        ] {
            assert_eq!(target(family, name), Target::Skip, "{name}");
        }
    }

    #[test]
    fn strangers_are_known_as_such() {
        let llama = Family::of("llama").unwrap();
        assert_eq!(target(llama, "model.layers.0.self_attn.rotary_emb.inv_freq"), Target::Skip);
        for name in [
            "model.layers.0.self_attn.q_proj.qweight",
            "model.layers.0.self_attn.q_proj.weight_scale",
            "model.layers.x.self_attn.q_proj.weight",
            "model.layers.0.block_sparse_moe.gate.weight",
            "score.weight",
        ] {
            assert_eq!(target(llama, name), Target::Unknown, "{name}");
        }
    }
}
