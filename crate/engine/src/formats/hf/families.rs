//! The families of models we can tell of in GGUF's words, a table each: names, changes, and what `transformers` assumes where
//! `config.json` is silent (its `configuration_*.py`).
//!
//! To add one: a `Family` here and a line in `TABLE`; the page in `crate::models` then reads it like a GGUF file.

use super::Change;

/// Names of `transformers` and those of GGUF.
type Names = &'static [(&'static str, &'static str)];

/// A family of models as `transformers` writes it.
#[derive(Debug)]
pub struct Family {
    /// `model_type` in `config.json`.
    pub types: &'static [&'static str],
    /// `general.architecture` in GGUF.
    pub architecture: &'static str,
    /// What fields are where they are absent, as JSON.
    pub defaults: &'static str,
    /// What stands in front of tensor names, or of some.
    pub prefixes: &'static [&'static str],
    /// What stands in front of a layer's number.
    pub layer: &'static str,
    /// Names within a layer, here and in GGUF.
    pub in_layer: &'static [Names],
    /// Names outside of layers, here and in GGUF.
    pub outside: Names,
    /// How the names of tensors that nobody needs begin.
    pub skipped: &'static [&'static str],
    /// How the names of tensors that change end, and how they do.
    pub changes: &'static [(&'static str, Change)],
    /// The activations that its page computes; the first, unless `hearth.activation` names another.
    pub activations: &'static [&'static str],
    /// Whether positions are rotations.
    pub rotates: bool,
    /// Whether GGUF has queries and keys permuted so that neighbours turn together.
    pub permuted: bool,
    /// Fields that must be as they are here, since nothing else is computed.
    pub fixed: &'static [(&'static str, &'static str)],
}

/// The matrices of a layer, and the norms of heads where there are any.
const PROJECTIONS: Names = &[
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

const LLAMA: Family = Family {
    types: &["llama"],
    architecture: "llama",
    defaults: r#"{"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 10000.0,
        "tie_word_embeddings": false}"#,
    prefixes: &["model."],
    layer: "layers.",
    in_layer: &[PROJECTIONS, &[("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")]],
    outside: &[("embed_tokens", "token_embd"), ("norm", "output_norm"), ("lm_head", "output")],
    skipped: &[],
    changes: &[],
    activations: &["silu"],
    rotates: true,
    permuted: true,
    fixed: &[],
};

const MISTRAL: Family = Family {
    types: &["mistral"],
    defaults: r#"{"max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 10000.0,
        "tie_word_embeddings": false, "num_key_value_heads": 8, "sliding_window": 4096}"#,
    ..LLAMA
};

const SMOLLM3: Family = Family {
    types: &["smollm3"],
    architecture: "smollm3",
    defaults: r#"{"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 2000000.0,
        "num_key_value_heads": 4, "tie_word_embeddings": true, "no_rope_layer_interval": 4, "use_sliding_window": false}"#,
    fixed: &[("use_sliding_window", "false")],
    ..LLAMA
};

const QWEN2: Family = Family {
    types: &["qwen2"],
    architecture: "qwen2",
    defaults: r#"{"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 10000.0,
        "tie_word_embeddings": false, "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28}"#,
    permuted: false,
    ..LLAMA
};

const QWEN3: Family = Family {
    types: &["qwen3"],
    architecture: "qwen3",
    defaults: r#"{"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 10000.0,
        "tie_word_embeddings": false, "head_dim": 128, "use_sliding_window": false, "sliding_window": 4096,
        "max_window_layers": 28}"#,
    ..QWEN2
};

const GEMMA2: Family = Family {
    types: &["gemma2"],
    architecture: "gemma2",
    defaults: r#"{"vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "rope_theta": 10000.0,
        "query_pre_attn_scalar": 256, "sliding_window": 4096, "sliding_window_pattern": 2,
        "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0}"#,
    in_layer: &[
        PROJECTIONS,
        &[
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "post_attention_norm"),
            ("pre_feedforward_layernorm", "ffn_norm"),
            ("post_feedforward_layernorm", "post_ffw_norm"),
        ],
    ],
    changes: &[("norm.weight", Change::PlusOne)],
    activations: &["gelu_tanh"],
    permuted: false,
    fixed: &[("use_bidirectional_attention", "false")],
    ..LLAMA
};

const GEMMA3: Family = Family {
    types: &["gemma3_text", "gemma3"],
    architecture: "gemma3",
    defaults: r#"{"vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0, "query_pre_attn_scalar": 256, "sliding_window": 4096,
        "sliding_window_pattern": 6}"#,
    prefixes: &["model.language_model.", "language_model.model.", "language_model.", "model."],
    // Of the models that see: what they see with.
    skipped: &["vision_tower.", "multi_modal_projector."],
    ..GEMMA2
};

const PHI3: Family = Family {
    types: &["phi3"],
    architecture: "phi3",
    defaults: r#"{"max_position_embeddings": 4096, "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
        "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": false}"#,
    in_layer: &[&[
        ("input_layernorm", "attn_norm"),
        ("self_attn.qkv_proj", "attn_qkv"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ]],
    permuted: false,
    ..LLAMA
};

const GPT2: Family = Family {
    types: &["gpt2"],
    architecture: "gpt2",
    defaults: r#"{"n_positions": 1024, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new",
        "tie_word_embeddings": true}"#,
    prefixes: &["transformer."],
    layer: "h.",
    in_layer: &[&[
        ("ln_1", "attn_norm"),
        ("attn.c_attn", "attn_qkv"),
        ("attn.c_proj", "attn_output"),
        ("ln_2", "ffn_norm"),
        ("mlp.c_fc", "ffn_up"),
        ("mlp.c_proj", "ffn_down"),
    ]],
    outside: &[("wte", "token_embd"), ("wpe", "position_embd"), ("ln_f", "output_norm"), ("lm_head", "output")],
    skipped: &[],
    changes: &[
        ("c_attn.weight", Change::Transpose),
        ("c_proj.weight", Change::Transpose),
        ("c_fc.weight", Change::Transpose),
    ],
    activations: &["gelu_tanh"],
    rotates: false,
    permuted: false,
    fixed: &[
        ("scale_attn_weights", "true"),
        ("scale_attn_by_inverse_layer_idx", "false"),
        ("add_cross_attention", "false"),
    ],
};

const BERT: Family = Family {
    types: &["bert"],
    architecture: "bert",
    defaults: r#"{"max_position_embeddings": 512, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "type_vocab_size": 2,
        "tie_word_embeddings": true}"#,
    prefixes: &["bert."],
    layer: "encoder.layer.",
    in_layer: &[&[
        ("attention.self.query", "attn_q"),
        ("attention.self.key", "attn_k"),
        ("attention.self.value", "attn_v"),
        ("attention.output.dense", "attn_output"),
        ("attention.output.LayerNorm", "attn_output_norm"),
        ("intermediate.dense", "ffn_up"),
        ("output.dense", "ffn_down"),
        ("output.LayerNorm", "layer_output_norm"),
    ]],
    outside: &[
        ("embeddings.word_embeddings", "token_embd"),
        ("embeddings.position_embeddings", "position_embd"),
        ("embeddings.token_type_embeddings", "token_types"),
        ("embeddings.LayerNorm", "token_embd_norm"),
        ("cls.predictions.transform.dense", "mlm_dense"),
        ("cls.predictions.transform.LayerNorm", "mlm_norm"),
        ("cls.predictions.decoder", "mlm_output"),
        ("cls.predictions", "mlm_output"),
    ],
    // The decoder's bias is `cls.predictions.bias` once more.
    skipped: &["embeddings.position_ids", "pooler.", "cls.seq_relationship.", "cls.predictions.decoder.bias"],
    changes: &[],
    activations: &["gelu", "gelu_tanh"],
    rotates: false,
    permuted: false,
    fixed: &[("position_embedding_type", "\"absolute\""), ("is_decoder", "false"), ("add_cross_attention", "false")],
};

const TABLE: &[&Family] = &[&LLAMA, &MISTRAL, &SMOLLM3, &QWEN2, &QWEN3, &GEMMA2, &GEMMA3, &PHI3, &GPT2, &BERT];

impl Family {
    /// The family of a `model_type`.
    pub fn of(model_type: &str) -> Option<&'static Family> {
        TABLE.iter().copied().find(|family| family.types.contains(&model_type))
    }

    /// All `model_type`s, comma-separated, for error messages.
    pub fn types() -> String {
        TABLE.iter().flat_map(|family| family.types).copied().collect::<Vec<_>>().join(", ")
    }

    /// What happens to the numbers of the tensor `name`.
    pub fn change(&self, name: &str) -> Change {
        self.changes.iter().find(|row| name.ends_with(row.0)).map_or(Change::None, |row| row.1)
    }
}
