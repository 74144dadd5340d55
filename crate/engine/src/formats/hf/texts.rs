//! The small files of a folder, as they lie there.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::formats::header::{Value, bad};
use crate::tokenizer::Files;

/// Files of a folder that are not weights, by their names.
#[derive(Clone, Debug, Default)]
pub struct Texts(BTreeMap<String, Vec<u8>>);

impl Texts {
    /// Sizes and settings of the model. Must be there.
    pub const CONFIG: &str = "config.json";
    /// Which tensor is in which file, where there are several.
    pub const INDEX: &str = "model.safetensors.index.json";
    /// The `tokenizers` library's description. Must be there.
    pub const TOKENIZER: &str = "tokenizer.json";
    /// How sentence-transformers makes one vector of a text's.
    pub const POOLING: &str = "1_Pooling/config.json";
    /// What sentence-transformers does, step by step.
    pub const MODULES: &str = "modules.json";

    /// All files that are read where they are present, those that decide most first.
    pub const NAMES: &[&str] = &[
        Texts::CONFIG,
        Texts::INDEX,
        Texts::MODULES,
        Texts::POOLING,
        "generation_config.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        Texts::TOKENIZER,
    ];

    /// Adds a file.
    pub fn insert(&mut self, name: &str, bytes: Vec<u8>) {
        self.0.insert(name.into(), bytes);
    }

    /// The bytes of the file called `name`, if it is there.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The file called `name` as JSON, if it is there.
    pub fn json(&self, name: &str) -> Result<Option<Json>> {
        self.get(name).map(|bytes| parse(bytes).map_err(|error| error.of(name))).transpose()
    }

    /// What the tokenizer is made from.
    pub fn tokenizer(&self) -> Files {
        let text = |name: &str| self.get(name).map(<[u8]>::to_vec);
        Files {
            tokenizer: text(Texts::TOKENIZER).unwrap_or_default(),
            tokenizer_config: text("tokenizer_config.json"),
            special_tokens_map: text("special_tokens_map.json"),
            generation_config: text("generation_config.json"),
            chat_template: text("chat_template.jinja"),
        }
    }

    /// Adds what sentence-transformers says of pooling: llama.cpp's number for it.
    pub fn pooling(&self, architecture: &str, metadata: &mut BTreeMap<String, Value>) -> Result<()> {
        if let Some(pooling) = self.json(Texts::POOLING)? {
            let kind = pooling_type(&pooling).map_err(|error| error.of(Texts::POOLING))?;
            metadata.insert(format!("{architecture}.pooling_type"), Value::Unsigned(kind));
        }
        if let Some(modules) = self.json(Texts::MODULES)? {
            let is = |module: &Json, kind: &str| module["type"].as_str().is_some_and(|name| name.ends_with(kind));
            let modules = modules.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(module) = modules.iter().find(|module| is(module, ".Dense")) {
                let what = format!("{} is a layer behind the pooling, which is not supported", module["path"]);
                return Err(bad("Dense", what).of(Texts::MODULES));
            }
        }
        Ok(())
    }
}

/// A text as JSON of some kind.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| Error::Json { what: error.to_string() })
}

/// Ways to pool: sentence-transformers' older flag, its newer name, llama.cpp's number.
const POOLINGS: &[(&str, &str, u64)] = &[
    ("pooling_mode_mean_tokens", "mean", 1),
    ("pooling_mode_cls_token", "cls", 2),
    ("pooling_mode_lasttoken", "lasttoken", 3),
];

fn pooling_type(pooling: &Json) -> Result<u64> {
    let named = |row: &&(&str, &str, u64)| pooling[row.0] == true || pooling["pooling_mode"] == row.1;
    let wanted: Vec<_> = POOLINGS.iter().filter(named).collect();
    let others = pooling.as_object().is_some_and(|fields| {
        let known = |name: &str| POOLINGS.iter().any(|row| row.0 == name);
        fields.iter().any(|(name, value)| name.starts_with("pooling_mode_") && *value == true && !known(name))
    });
    match wanted.as_slice() {
        [row] if !others => Ok(row.2),
        _ => Err(bad("pooling_mode", "not supported; either mean, cls or lasttoken is")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooling(text: &str, modules: &str) -> Result<BTreeMap<String, Value>> {
        let mut texts = Texts::default();
        texts.insert(Texts::POOLING, text.into());
        texts.insert(Texts::MODULES, modules.into());
        let mut metadata = BTreeMap::new();
        texts.pooling("bert", &mut metadata).map(|()| metadata)
    }

    #[test]
    fn sentence_transformers_say_how_they_pool() {
        let modules = r#"[{"type":"sentence_transformers.models.Normalize","path":"2_Normalize"}]"#;
        for (text, kind) in [
            (r#"{"pooling_mode_cls_token":false,"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":false}"#, 1),
            (r#"{"pooling_mode_cls_token":true}"#, 2),
            (r#"{"pooling_mode":"lasttoken"}"#, 3),
        ] {
            let metadata = pooling(text, modules).unwrap();
            assert_eq!(metadata["bert.pooling_type"], Value::Unsigned(kind));
        }
    }

    #[test]
    fn what_is_not_computed_is_refused() {
        for text in [
            r#"{"pooling_mode_max_tokens":true}"#,
            r#"{"pooling_mode_max_tokens":true,"pooling_mode_mean_tokens":true}"#,
            r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true}"#,
            "[]",
            "{",
        ] {
            let error = pooling(text, "[]").unwrap_err();
            assert!(error.to_string().starts_with(Texts::POOLING), "{error}");
        }
        let dense = r#"[{"type":"sentence_transformers.models.Dense","path":"2_Dense"}]"#;
        let error = pooling(r#"{"pooling_mode":"cls"}"#, dense).unwrap_err();
        assert!(error.to_string().contains("2_Dense"), "{error}");
    }
}
