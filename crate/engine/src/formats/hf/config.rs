//! `config.json` to the keys of GGUF.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::families::Family;
use super::fields::Fields;
use super::texts::parse;
use crate::error::Result;
use crate::formats::header::{Value, bad};

/// A field of `config.json`, and the key of GGUF that says the same.
type Key = (&'static [&'static str], &'static str);

const COUNTS: &[Key] = &[
    (&["num_hidden_layers", "n_layer"], "block_count"),
    (&["max_position_embeddings", "n_positions"], "context_length"),
    (&["hidden_size", "n_embd"], "embedding_length"),
    (&["intermediate_size", "n_inner"], "feed_forward_length"),
    (&["num_attention_heads", "n_head"], "attention.head_count"),
    (&["num_key_value_heads"], "attention.head_count_kv"),
    (&["head_dim"], "attention.key_length"),
    (&["head_dim"], "attention.value_length"),
    (&["vocab_size"], "vocab_size"),
    (&["no_rope_layer_interval"], "no_rope_layer_interval"),
];

const NUMBERS: &[Key] = &[
    (&["rms_norm_eps"], "attention.layer_norm_rms_epsilon"),
    (&["layer_norm_eps", "layer_norm_epsilon"], "attention.layer_norm_epsilon"),
    (&["attn_logit_softcapping"], "attn_logit_softcapping"),
    (&["final_logit_softcapping"], "final_logit_softcapping"),
];

/// Names that `transformers` has for one and the same activation.
const ACTIVATIONS: &[(&str, &[&str])] = &[
    ("silu", &["silu", "swish"]),
    ("gelu", &["gelu", "gelu_python"]),
    ("gelu_tanh", &["gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate"]),
];

/// More layers than this are damage.
const MAX_LAYERS: u64 = 1 << 16;

/// The fields of `config.json`, those of its `text_config` in front, and the family's defaults behind them.
#[derive(Clone, Debug)]
pub struct Config {
    family: &'static Family,
    fields: Map<String, Json>,
    tied: bool,
}

impl Config {
    /// Reads the file. Errors if it is no configuration, or one of a family we do not know, or says what we do not compute.
    pub fn new(text: &[u8]) -> Result<Config> {
        let mut fields: Map<String, Json> = parse(text)?;
        if let Some(Json::Object(text)) = fields.remove("text_config") {
            fields.extend(text);
        }
        let model_type = fields.get("model_type").and_then(Json::as_str).unwrap_or_default().to_owned();
        let family = Family::of(&model_type).ok_or_else(|| {
            bad("model_type", format!("\"{model_type}\" is not supported; supported are {}", Family::types()))
        })?;
        if let Some(quantized) = fields.get("quantization_config").filter(|value| !value.is_null()) {
            let method = quantized["quant_method"].as_str().unwrap_or("an unknown method");
            let what = format!("weights quantized by {method} are not supported; take the original or a GGUF file");
            return Err(bad("quantization_config", what));
        }
        for &(field, expected) in family.fixed {
            let found = fields.get(field).filter(|value| !value.is_null()).map(Json::to_string);
            if let Some(found) = found.filter(|found| found != expected) {
                return Err(bad(field, format!("{found} is not supported; {expected} is")));
            }
        }
        let defaults: Map<String, Json> = serde_json::from_str(family.defaults).expect("the table is JSON");
        for (field, value) in defaults {
            fields.entry(field).or_insert(value);
        }
        let mut config = Config { family, fields, tied: true };
        config.tied = config.fields().flag("tie_word_embeddings")?.unwrap_or(true);
        Ok(config)
    }

    /// The family.
    pub(super) fn family(&self) -> &'static Family {
        self.family
    }

    /// `general.architecture`.
    pub fn architecture(&self) -> &'static str {
        self.family.architecture
    }

    /// Whether the embedding table is the head as well.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// The key of GGUF called `name` for this architecture.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture())
    }

    /// All fields, the defaults among them.
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields(&self.fields)
    }

    /// Numbers in a head.
    pub(super) fn head_dim(&self) -> Result<u64> {
        let own = self.fields();
        match (own.count("head_dim")?, own.count("hidden_size")?, own.count("num_attention_heads")?) {
            (Some(head_dim), ..) => Ok(head_dim),
            (None, Some(dim), Some(heads)) if heads > 0 => Ok(dim / heads),
            _ => Err(bad("num_attention_heads", "missing or zero")),
        }
    }

    /// Everything but the rotation.
    pub fn metadata(&self) -> Result<BTreeMap<String, Value>> {
        let own = self.fields();
        let mut metadata = BTreeMap::new();
        metadata.insert("general.architecture".into(), Value::String(self.architecture().into()));
        for &(fields, key) in COUNTS {
            for field in fields {
                if let Some(value) = own.count(field)? {
                    metadata.insert(self.key(key), Value::Unsigned(value));
                }
            }
        }
        for &(fields, key) in NUMBERS {
            for field in fields {
                if let Some(value) = own.number(field)? {
                    metadata.insert(self.key(key), Value::Float(value));
                }
            }
        }
        if let Some(scalar) = own.number("query_pre_attn_scalar")? {
            metadata.insert(self.key("attention.scale"), Value::Float(1.0 / libm::sqrt(scalar)));
        }
        let activation = self.activation()?;
        if activation != self.family.activations[0] {
            metadata.insert("hearth.activation".into(), Value::String(activation.into()));
        }
        if self.family.permuted {
            metadata.insert("hearth.rope.halves".into(), Value::Bool(true));
        }
        self.windows(&mut metadata)?;
        if let Some(kinds) = own.count("type_vocab_size")? {
            metadata.insert("tokenizer.ggml.token_type_count".into(), Value::Unsigned(kinds));
            metadata.insert(self.key("attention.causal"), Value::Bool(false));
        }
        // GPT-2's feed-forward layer is four times as wide as the others, unless it says otherwise.
        if let Some(dim) = own.count("n_embd")? {
            metadata.entry(self.key("feed_forward_length")).or_insert(Value::Unsigned(dim.saturating_mul(4)));
        }
        Ok(metadata)
    }

    /// The name of the activation in [`ACTIVATIONS`].
    fn activation(&self) -> Result<&'static str> {
        let own = self.fields();
        let names = ["hidden_activation", "activation_function", "hidden_act"];
        let field = names.into_iter().find(|field| own.get(field).is_some()).unwrap_or("hidden_act");
        let found = own.get(field).and_then(Json::as_str).unwrap_or_default();
        let known = ACTIVATIONS.iter().find(|row| row.1.contains(&found)).map(|row| row.0);
        known.filter(|name| self.family.activations.contains(name)).ok_or_else(|| {
            let supported = self.family.activations.join(" or ");
            bad(field, format!("\"{found}\" is not supported in {}; {supported} is", self.architecture()))
        })
    }

    /// The window, and which layers see no more than it.
    fn windows(&self, metadata: &mut BTreeMap<String, Value>) -> Result<()> {
        let own = self.fields();
        // SmolLM3 lists the layers that know no positions, too: every so many.
        if let (Some(Json::Array(layers)), Some(interval)) =
            (own.get("no_rope_layers"), own.count("no_rope_layer_interval")?)
        {
            let turns = |layer: usize| u64::from(!(layer as u64 + 1).is_multiple_of(interval));
            if layers.iter().enumerate().any(|(layer, value)| value.as_u64() != Some(turns(layer))) {
                return Err(bad("no_rope_layers", format!("only one in every {interval} layers is supported")));
            }
        }
        if own.flag("use_sliding_window")? == Some(false) {
            return Ok(());
        }
        let Some(window) = own.count("sliding_window")? else { return Ok(()) };
        let layers = own.count("num_hidden_layers")?.unwrap_or_default();
        if layers > MAX_LAYERS {
            return Err(bad("num_hidden_layers", format!("{layers} is out of range")));
        }
        let pattern: Option<Vec<bool>> = if let Some(kinds) = own.get("layer_types") {
            let kinds = kinds.as_array().filter(|kinds| kinds.len() as u64 == layers);
            let kinds = kinds.ok_or_else(|| bad("layer_types", format!("{layers} kinds were expected")))?;
            Some(kinds.iter().map(slides).collect::<Result<_>>()?)
        } else if let Some(period) = own.count("sliding_window_pattern")? {
            Some((1..=layers).map(|layer| !layer.is_multiple_of(period)).collect())
        } else {
            own.count("max_window_layers")?.map(|first| (0..layers).map(|layer| layer >= first).collect())
        };
        if let Some(pattern) = pattern {
            metadata.insert(self.key("attention.sliding_window_pattern"), Value::Bools(pattern));
        }
        metadata.insert(self.key("attention.sliding_window"), Value::Unsigned(window));
        Ok(())
    }
}

fn slides(kind: &Json) -> Result<bool> {
    match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(bad("layer_types", format!("{kind} is not supported; full_attention and sliding_attention are"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The metadata of a configuration without the architecture's name in front.
    fn metadata(text: &str) -> BTreeMap<String, Value> {
        let config = Config::new(text.as_bytes()).unwrap();
        let prefix = format!("{}.", config.architecture());
        let short = |(key, value): (String, Value)| (key.strip_prefix(&prefix).unwrap_or(&key).to_owned(), value);
        config.metadata().unwrap().into_iter().map(short).collect()
    }

    fn has(metadata: &BTreeMap<String, Value>, counts: &[(&str, u64)]) {
        for &(key, count) in counts {
            assert_eq!(metadata.get(key), Some(&Value::Unsigned(count)), "{key}");
        }
    }

    #[test]
    fn fields_have_llama_cpps_keys() {
        let llama = metadata(
            r#"{"model_type": "llama", "num_hidden_layers": 16, "hidden_size": 2048, "intermediate_size": 8192,
                "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 131072,
                "rms_norm_eps": 1e-05, "vocab_size": 128256, "tie_word_embeddings": true}"#,
        );
        let counts = [
            ("block_count", 16),
            ("embedding_length", 2048),
            ("feed_forward_length", 8192),
            ("attention.head_count", 32),
            ("attention.head_count_kv", 8),
            ("attention.key_length", 64),
            ("context_length", 131_072),
        ];
        has(&llama, &counts);
        assert_eq!(llama["attention.layer_norm_rms_epsilon"], Value::Float(1e-5));
        assert_eq!(llama["hearth.rope.halves"], Value::Bool(true));
        let gpt2 = metadata(
            r#"{"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "n_inner": null, "n_positions": 1024}"#,
        );
        has(
            &gpt2,
            &[
                ("block_count", 12),
                ("feed_forward_length", 3072),
                ("attention.head_count", 12),
                ("context_length", 1024),
            ],
        );
        assert_eq!(gpt2["attention.layer_norm_epsilon"], Value::Float(1e-5));
        let bert = metadata(
            r#"{"model_type": "bert", "num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12}"#,
        );
        has(&bert, &[("block_count", 6), ("context_length", 512), ("tokenizer.ggml.token_type_count", 2)]);
        assert_eq!(
            (&bert["attention.causal"], &bert["attention.layer_norm_epsilon"]),
            (&Value::Bool(false), &Value::Float(1e-12))
        );
    }

    #[test]
    fn what_a_configuration_leaves_out_is_as_transformers_has_it() {
        // Gemma 3 4B, which says no more than this of its text.
        let gemma3 = metadata(
            r#"{"model_type": "gemma3", "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
                "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024}, "vision_config": {"hidden_size": 1152}}"#,
        );
        let counts = [
            ("embedding_length", 2560),
            ("attention.head_count", 8),
            ("attention.head_count_kv", 4),
            ("attention.key_length", 256),
            ("attention.sliding_window", 1024),
        ];
        has(&gemma3, &counts);
        assert_eq!(gemma3["attention.scale"], Value::Float(1.0 / 16.0));
        let gemma2 = metadata(r#"{"model_type": "gemma2", "num_hidden_layers": 4}"#);
        assert_eq!(gemma2["attn_logit_softcapping"], Value::Float(50.0));
        assert_eq!(gemma2["final_logit_softcapping"], Value::Float(30.0));
        let none = metadata(r#"{"model_type": "gemma2", "attn_logit_softcapping": null}"#);
        assert!(!none.contains_key("attn_logit_softcapping"), "null is said, and none");
    }

    #[test]
    fn windows_are_said_layer_by_layer() {
        let pattern = |text: &str| metadata(text).remove("attention.sliding_window_pattern");
        let (slides, sees) = (true, false);
        let every_third = Some(Value::Bools(vec![slides, slides, sees, slides]));
        assert_eq!(
            pattern(r#"{"model_type": "gemma3_text", "num_hidden_layers": 4, "sliding_window_pattern": 3}"#),
            every_third
        );
        let kinds = r#"["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]"#;
        let listed = format!(r#"{{"model_type": "gemma3_text", "num_hidden_layers": 4, "layer_types": {kinds}}}"#);
        assert_eq!(pattern(&listed), every_third);
        let gemma2 = pattern(r#"{"model_type": "gemma2", "num_hidden_layers": 3}"#);
        assert_eq!(gemma2, Some(Value::Bools(vec![slides, sees, slides])));
        let qwen2 = |used| {
            format!(
                r#"{{"model_type": "qwen2", "num_hidden_layers": 3, "use_sliding_window": {used}, "max_window_layers": 1}}"#
            )
        };
        assert_eq!(pattern(&qwen2(true)), Some(Value::Bools(vec![sees, slides, slides])));
        assert!(!metadata(&qwen2(false)).contains_key("attention.sliding_window"));
        // Mistral's first version has one in all layers, the later ones have none.
        assert_eq!(metadata(r#"{"model_type": "mistral"}"#)["attention.sliding_window"], Value::Unsigned(4096));
        assert!(
            !metadata(r#"{"model_type": "mistral", "sliding_window": null}"#).contains_key("attention.sliding_window")
        );
    }
}
