//! `config.json` to the keys of GGUF.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::families::Family;
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
        let Json::Object(mut fields) = parse(text)? else {
            return Err(bad("config.json", "an object was expected"));
        };
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
        config.tied = config.flag("tie_word_embeddings")?.unwrap_or(true);
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

    /// A field that is there and not null.
    pub(super) fn field(&self, name: &str) -> Option<&Json> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A count.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>> {
        self.field(name).map(|value| count(name, value)).transpose()
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>> {
        self.field(name).map(|value| number(name, value)).transpose()
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.field(name).map(|value| value.as_bool().ok_or_else(|| bad(name, "a flag was expected"))).transpose()
    }

    /// Numbers in a head.
    pub(super) fn head_dim(&self) -> Result<u64> {
        match (self.count("head_dim")?, self.count("hidden_size")?, self.count("num_attention_heads")?) {
            (Some(head_dim), ..) => Ok(head_dim),
            (None, Some(dim), Some(heads)) if heads > 0 => Ok(dim / heads),
            _ => Err(bad("num_attention_heads", "missing or zero")),
        }
    }

    /// Everything but the rotation.
    pub fn metadata(&self) -> Result<BTreeMap<String, Value>> {
        let mut metadata = BTreeMap::new();
        metadata.insert("general.architecture".into(), Value::String(self.architecture().into()));
        for &(fields, key) in COUNTS {
            for field in fields {
                if let Some(value) = self.count(field)? {
                    metadata.insert(self.key(key), Value::Unsigned(value));
                }
            }
        }
        for &(fields, key) in NUMBERS {
            for field in fields {
                if let Some(value) = self.number(field)? {
                    metadata.insert(self.key(key), Value::Float(value));
                }
            }
        }
        if let Some(scalar) = self.number("query_pre_attn_scalar")? {
            metadata.insert(self.key("attention.scale"), Value::Float(1.0 / libm::sqrt(scalar)));
        }
        self.check_activation()?;
        if self.family.permuted {
            metadata.insert("hearth.rope.halves".into(), Value::Bool(true));
        }
        self.windows(&mut metadata)?;
        if let Some(kinds) = self.count("type_vocab_size")? {
            metadata.insert("tokenizer.ggml.token_type_count".into(), Value::Unsigned(kinds));
            metadata.insert(self.key("attention.causal"), Value::Bool(false));
        }
        // GPT-2's feed-forward layer is four times as wide as the others, unless it says otherwise.
        if let Some(dim) = self.count("n_embd")? {
            metadata.entry(self.key("feed_forward_length")).or_insert(Value::Unsigned(dim.saturating_mul(4)));
        }
        Ok(metadata)
    }

    fn check_activation(&self) -> Result<()> {
        let fields = ["hidden_activation", "activation_function", "hidden_act"];
        let field = fields.into_iter().find(|field| self.field(field).is_some()).unwrap_or("hidden_act");
        let found = self.field(field).and_then(Json::as_str).unwrap_or_default();
        let known = ACTIVATIONS.iter().find(|row| row.1.contains(&found)).map(|row| row.0);
        match known.is_some_and(|name| self.family.activations.contains(&name)) {
            true => Ok(()),
            false => {
                let supported = self.family.activations.join(", ");
                Err(bad(field, format!("\"{found}\" is not supported in {}; {supported} is", self.architecture())))
            }
        }
    }

    /// The window, and which layers see no more than it.
    fn windows(&self, metadata: &mut BTreeMap<String, Value>) -> Result<()> {
        // SmolLM3 lists the layers that know no positions, too: every so many.
        if let (Some(Json::Array(layers)), Some(interval)) =
            (self.field("no_rope_layers"), self.count("no_rope_layer_interval")?)
        {
            let turns = |layer: usize| u64::from(!(layer as u64 + 1).is_multiple_of(interval));
            if layers.iter().enumerate().any(|(layer, value)| value.as_u64() != Some(turns(layer))) {
                return Err(bad("no_rope_layers", format!("only one in every {interval} layers is supported")));
            }
        }
        if self.flag("use_sliding_window")? == Some(false) {
            return Ok(());
        }
        let Some(window) = self.count("sliding_window")? else { return Ok(()) };
        let layers = self.count("num_hidden_layers")?.unwrap_or_default();
        if layers > MAX_LAYERS {
            return Err(bad("num_hidden_layers", format!("{layers} is out of range")));
        }
        let pattern: Option<Vec<bool>> = if let Some(kinds) = self.field("layer_types") {
            let kinds = kinds.as_array().filter(|kinds| kinds.len() as u64 == layers);
            let kinds = kinds.ok_or_else(|| bad("layer_types", format!("{layers} kinds were expected")))?;
            Some(kinds.iter().map(slides).collect::<Result<_>>()?)
        } else if let Some(period) = self.count("sliding_window_pattern")? {
            Some((1..=layers).map(|layer| !layer.is_multiple_of(period)).collect())
        } else {
            self.count("max_window_layers")?.map(|first| (0..layers).map(|layer| layer >= first).collect())
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

/// `value` as a count, also where Python wrote it with a point.
pub(super) fn count(name: &str, value: &Json) -> Result<u64> {
    let whole =
        |number: f64| (number >= 0.0 && number <= 2f64.powi(53) && number.fract() == 0.0).then_some(number as u64);
    let count = value.as_u64().or_else(|| value.as_f64().and_then(whole));
    count.ok_or_else(|| bad(name, format!("{value} is not a count")))
}

/// `value` as a number.
pub(super) fn number(name: &str, value: &Json) -> Result<f64> {
    value.as_f64().ok_or_else(|| bad(name, format!("{value} is not a number")))
}

/// `value` as a list of numbers.
pub(super) fn numbers(name: &str, value: &Json) -> Result<Vec<f32>> {
    let values = value.as_array().ok_or_else(|| bad(name, "a list was expected"))?;
    values.iter().map(|value| number(name, value).map(|number| number as f32)).collect()
}
