//! The rotation of positions: `rope_theta` and `rope_scaling`, or `rope_parameters` as transformers 5 has it, to the keys and
//! tensors of GGUF. What the kinds of scaling compute is in transformers' `modeling_rope_utils.py`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::config::Config;
use super::fields::Fields;
use crate::error::Result;
use crate::formats::header::{Value, bad};

/// A tensor that no file has: its name and numbers.
type Made = (&'static str, Vec<f32>);

/// The scaling of one kind of layers.
struct Scaling<'a> {
    config: &'a Config,
    fields: Fields<'a>,
}

/// Adds the keys; gives the tensors.
pub fn describe(config: &Config, metadata: &mut BTreeMap<String, Value>) -> Result<Vec<Made>> {
    if !config.family().rotates {
        return Ok(Vec::new());
    }
    let none = Map::new();
    let object = |field: &str| config.fields().object(field);
    let all = object("rope_parameters").or_else(|| object("rope_scaling")).unwrap_or(Fields(&none));
    // Gemma 3 has a set for each kind of layer.
    let scaling = Scaling { config, fields: all.object("full_attention").unwrap_or(all) };
    let mut put = |name: &str, value: Value| metadata.insert(config.key(name), value);

    put("rope.freq_base", Value::Float(scaling.theta("rope_theta")?));
    if config.fields().get("rope_local_base_freq").is_some() {
        let local = Scaling { config, fields: all.object("sliding_attention").unwrap_or(Fields(&none)) };
        if local.kind()? != "default" {
            return Err(bad("rope_type", "scaling in layers with a window is not supported"));
        }
        put("rope.freq_base_swa", Value::Float(local.theta("rope_local_base_freq")?));
    }
    let dims = scaling.dims()?;
    if let Some(dims) = dims {
        put("rope.dimension_count", Value::Unsigned(dims));
    }
    let turning = dims.map_or_else(|| config.head_dim(), Ok)?;
    let kind = scaling.kind()?;
    match kind.as_str() {
        "default" => Ok(Vec::new()),
        "linear" => {
            put("rope.scaling.type", Value::String(kind));
            put("rope.scaling.factor", Value::Float(scaling.need("factor")?));
            Ok(Vec::new())
        }
        "dynamic" | "yarn" | "llama3" => scaling.stretched(&kind, metadata).map(|()| Vec::new()),
        "longrope" => scaling.longrope(turning, metadata),
        _ => {
            let what = format!("\"{kind}\" is not supported; default, linear, dynamic, yarn, llama3 and longrope are");
            Err(bad("rope_type", what))
        }
    }
}

impl Scaling<'_> {
    /// A number above zero that must be there.
    fn need(&self, name: &str) -> Result<f64> {
        let value = self.fields.number(name)?.ok_or_else(|| bad(name, "missing from the scaling of positions"))?;
        if value > 0.0 { Ok(value) } else { Err(bad(name, format!("{value} is out of range"))) }
    }

    fn kind(&self) -> Result<String> {
        let name = self.fields.get("rope_type").or_else(|| self.fields.get("type"));
        let name = name.map_or(Some("default"), Json::as_str).ok_or_else(|| bad("rope_type", "a name was expected"))?;
        Ok(match name {
            "su" => "longrope",
            // Phi-3's first configurations.
            "yarn" if self.config.architecture() == "phi3" => "longrope",
            other => other,
        }
        .into())
    }

    fn theta(&self, outside: &str) -> Result<f64> {
        match self.fields.number("rope_theta")? {
            Some(theta) => Ok(theta),
            None => self.config.fields().number(outside)?.ok_or_else(|| bad(outside, "missing")),
        }
    }

    /// Numbers of a head that turn, if not all do.
    fn dims(&self) -> Result<Option<u64>> {
        let name = "partial_rotary_factor";
        let share =
            self.fields.number(name)?.map_or_else(|| self.config.fields().number(name), |share| Ok(Some(share)))?;
        share.map(|share| Ok((self.config.head_dim()? as f64 * share) as u64)).transpose()
    }

    /// Positions the model knew before it was stretched.
    fn original(&self) -> Result<u64> {
        let name = "original_max_position_embeddings";
        let found = match (self.config.fields().count(name)?, self.fields.count(name)?) {
            (Some(outside), _) => Some(outside),
            (None, Some(own)) => Some(own),
            (None, None) => self.config.fields().count("max_position_embeddings")?,
        };
        found.filter(|&positions| positions > 1).ok_or_else(|| bad(name, "missing or too small"))
    }

    /// How much longer contexts have become, where it is not said.
    fn stretch(&self) -> Result<f64> {
        match self.fields.number("factor")? {
            Some(factor) => Ok(factor),
            None => {
                let now = self.config.fields().count("max_position_embeddings")?.unwrap_or_default();
                Ok(now as f64 / self.original()? as f64)
            }
        }
    }

    /// NTK scaling by the context's length, YaRN (Peng et al. 2023, arXiv:2309.00071), and Llama 3.1's way.
    fn stretched(&self, kind: &str, metadata: &mut BTreeMap<String, Value>) -> Result<()> {
        let factor = if kind == "yarn" { self.stretch()? } else { self.need("factor")? };
        // NTK scaling begins where the model's own positions end.
        let original = match kind {
            "dynamic" => self.config.fields().count("max_position_embeddings")?.unwrap_or_default(),
            _ => self.original()?,
        };
        let mut put =
            |name: &str, value: Value| metadata.insert(self.config.key(&format!("rope.scaling.{name}")), value);
        put("type", Value::String(kind.into()));
        put("factor", Value::Float(factor));
        put("original_context_length", Value::Unsigned(original));
        if kind == "llama3" {
            for name in ["low_freq_factor", "high_freq_factor"] {
                put(name, Value::Float(self.need(name)?));
            }
        }
        if kind == "yarn" {
            for (name, key) in [("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")] {
                if let Some(value) = self.fields.number(name)? {
                    put(key, Value::Float(value));
                }
            }
            // In GGUF it is a factor on what YaRN has by itself.
            let usual = magnitude(factor, 1.0);
            let (scale, all) = (self.fields.number("mscale")?, self.fields.number("mscale_all_dim")?);
            let attention = match (self.fields.number("attention_factor")?, scale, all) {
                (Some(attention), ..) => attention,
                (None, Some(scale), Some(all)) if scale != 0.0 && all != 0.0 => {
                    magnitude(factor, scale) / magnitude(factor, all)
                }
                _ => usual,
            };
            put("attn_factor", Value::Float(attention / usual));
            if let Some(whole) = self.fields.flag("truncate")? {
                metadata.insert("hearth.rope.truncate".into(), Value::Bool(whole));
            }
        }
        Ok(())
    }

    /// Ding et al. 2024, arXiv:2402.13753.
    fn longrope(&self, dims: u64, metadata: &mut BTreeMap<String, Value>) -> Result<Vec<Made>> {
        let original = self.original()?;
        let factor = self.stretch()?;
        let attention = match self.fields.number("attention_factor")? {
            Some(attention) => attention,
            None if factor <= 1.0 => 1.0,
            None => libm::sqrt(1.0 + libm::log(factor) / libm::log(original as f64)),
        };
        let mut put =
            |name: &str, value: Value| metadata.insert(self.config.key(&format!("rope.scaling.{name}")), value);
        put("type", Value::String("longrope".into()));
        put("original_context_length", Value::Unsigned(original));
        put("attn_factor", Value::Float(attention));
        let factors = |name: &str| {
            let missing = || bad(name, format!("{} numbers were expected", dims / 2));
            let numbers = self.fields.numbers(name)?.ok_or_else(missing)?;
            if numbers.len() as u64 == dims / 2 { Ok(numbers) } else { Err(missing()) }
        };
        Ok(vec![
            ("rope_factors_long.weight", factors("long_factor")?),
            ("rope_factors_short.weight", factors("short_factor")?),
        ])
    }
}

/// What YaRN multiplies cosines and sines by.
fn magnitude(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * libm::log(factor) + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(fields: &str) -> Result<(BTreeMap<String, Value>, Vec<Made>)> {
        let text = format!(
            r#"{{"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "max_position_embeddings": 131072, {fields}}}"#
        );
        let config = Config::new(text.as_bytes())?;
        let mut metadata = BTreeMap::new();
        let made = describe(&config, &mut metadata)?;
        Ok((metadata, made))
    }

    fn number(metadata: &BTreeMap<String, Value>, key: &str) -> f64 {
        match metadata.get(key) {
            Some(Value::Float(value)) => *value,
            Some(Value::Unsigned(value)) => *value as f64,
            other => panic!("{key} is {other:?}"),
        }
    }

    #[test]
    fn old_and_new_spellings_say_the_same() {
        for fields in [
            r#""rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4}"#,
            r#""rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 4.0}"#,
            r#""rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}"#,
        ] {
            let (metadata, made) = described(&format!(r#""model_type": "llama", {fields}"#)).unwrap();
            assert_eq!(metadata["llama.rope.scaling.type"], Value::String("linear".into()), "{fields}");
            assert_eq!(number(&metadata, "llama.rope.scaling.factor"), 4.0);
            assert_eq!(number(&metadata, "llama.rope.freq_base"), 5e5);
            assert!(made.is_empty());
        }
        let (metadata, _) = described(r#""model_type": "llama", "rope_scaling": null"#).unwrap();
        assert_eq!(number(&metadata, "llama.rope.freq_base"), 1e4);
        assert!(!metadata.contains_key("llama.rope.scaling.type"));
    }

    #[test]
    fn gemma3_turns_layers_with_a_window_otherwise() {
        for fields in [
            r#""rope_theta": 2e6, "rope_local_base_freq": 3e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0}"#,
            r#""rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 3e4}}"#,
        ] {
            let (metadata, _) = described(&format!(r#""model_type": "gemma3_text", {fields}"#)).unwrap();
            assert_eq!(number(&metadata, "gemma3.rope.freq_base"), 2e6, "{fields}");
            assert_eq!(number(&metadata, "gemma3.rope.freq_base_swa"), 3e4, "{fields}");
            assert_eq!(number(&metadata, "gemma3.rope.scaling.factor"), 8.0);
        }
        let (metadata, _) = described(r#""model_type": "gemma3_text""#).unwrap();
        assert_eq!(
            (number(&metadata, "gemma3.rope.freq_base"), number(&metadata, "gemma3.rope.freq_base_swa")),
            (1e6, 1e4)
        );
    }

    #[test]
    fn llama3_has_its_own_factors() {
        let (metadata, _) = described(
            r#""model_type": "llama", "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#,
        )
        .unwrap();
        let found = ["factor", "low_freq_factor", "high_freq_factor", "original_context_length"]
            .map(|name| number(&metadata, &format!("llama.rope.scaling.{name}")));
        assert_eq!(found, [32.0, 1.0, 4.0, 8192.0]);
    }

    #[test]
    fn yarn_and_longrope_scale_what_turns() {
        let yarn = |more: &str| {
            described(&format!(
                r#""model_type": "qwen2", "rope_scaling": {{"type": "yarn", "factor": 4.0, "beta_fast": 16,
                    "original_max_position_embeddings": 32768 {more}}}"#
            ))
        };
        let (metadata, _) = yarn("").unwrap();
        assert_eq!(number(&metadata, "qwen2.rope.scaling.original_context_length"), 32768.0);
        assert_eq!(number(&metadata, "qwen2.rope.scaling.yarn_beta_fast"), 16.0);
        assert_eq!(number(&metadata, "qwen2.rope.scaling.attn_factor"), 1.0);
        assert!(!metadata.contains_key("hearth.rope.truncate"));
        assert_eq!(yarn(r#", "truncate": false"#).unwrap().0["hearth.rope.truncate"], Value::Bool(false));
        let usual = 0.1 * 4f64.ln() + 1.0;
        for (more, attention) in [
            (r#", "attention_factor": 1.5"#, 1.5),
            (r#", "mscale": 2, "mscale_all_dim": 1"#, (0.2 * 4f64.ln() + 1.0) / usual),
        ] {
            let found = number(&yarn(more).unwrap().0, "qwen2.rope.scaling.attn_factor");
            assert!((found * usual - attention).abs() < 1e-12, "{found}");
        }

        let factors = |x: f32| format!("{:?}", [x; 6]);
        let phi3 = |kind: &str, short: &str| {
            described(&format!(
                r#""model_type": "phi3", "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75,
                    "rope_scaling": {{"type": "{kind}", "long_factor": {}, "short_factor": {short}}}"#,
                factors(2.5)
            ))
        };
        for kind in ["longrope", "su", "yarn"] {
            let (metadata, made) = phi3(kind, &factors(1.25)).unwrap();
            assert_eq!(number(&metadata, "phi3.rope.dimension_count"), 12.0);
            assert_eq!(number(&metadata, "phi3.rope.scaling.original_context_length"), 4096.0);
            let expected = (1.0 + 32f64.ln() / 4096f64.ln()).sqrt();
            assert!((number(&metadata, "phi3.rope.scaling.attn_factor") - expected).abs() < 1e-12);
            assert_eq!(made[0], ("rope_factors_long.weight", vec![2.5; 6]));
            assert_eq!(made[1], ("rope_factors_short.weight", vec![1.25; 6]));
        }
        assert!(phi3("longrope", "[1.0]").unwrap_err().to_string().contains("6 numbers"));
    }

    #[test]
    fn what_is_not_computed_is_refused() {
        for (scaling, word) in [
            (r#"{"type": "mrope"}"#, "mrope"),
            (r#"{"type": "linear"}"#, "factor"),
            (r#"{"type": "linear", "factor": 0}"#, "out of range"),
            (r#"{"type": 3}"#, "rope_type"),
            (r#"{"type": "llama3", "factor": 8}"#, "low_freq_factor"),
            (r#"{"type": "yarn", "factor": 8, "truncate": 3}"#, "truncate"),
        ] {
            let error = described(&format!(r#""model_type": "llama", "rope_scaling": {scaling}"#)).unwrap_err();
            assert_eq!(error.code(), "bad_metadata");
            assert!(error.to_string().contains(word), "{error}");
        }
        let (metadata, _) =
            described(r#""model_type": "llama", "rope_scaling": {"type": "dynamic", "factor": 2}"#).unwrap();
        assert_eq!(number(&metadata, "llama.rope.scaling.original_context_length"), 131_072.0);
    }
}
