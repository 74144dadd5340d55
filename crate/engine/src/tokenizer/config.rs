//! What the small files beside `tokenizer.json` tell: which tokens are special, which end an answer, and the chat template.

use serde::Deserialize;

use super::json::json_error;
use super::{Files, SpecialTokens};
use crate::error::Result;

/// What was found.
pub struct Config {
    pub tokens: SpecialTokens,
    pub ends: Vec<u32>,
    pub chat_template: Option<String>,
}

/// `tokenizer_config.json`, and `special_tokens_map.json`, which has some of the same.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    bos_token: Option<Name>,
    eos_token: Option<Name>,
    unk_token: Option<Name>,
    sep_token: Option<Name>,
    pad_token: Option<Name>,
    cls_token: Option<Name>,
    mask_token: Option<Name>,
    chat_template: Option<Templates>,
}

/// A token's text, plain or as an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Object {
        content: String,
    },
    /// Nothing that names a token.
    Other(serde::de::IgnoredAny),
}

impl Name {
    fn text(&self) -> Option<&str> {
        match self {
            Name::Text(text) | Name::Object { content: text } => Some(text),
            Name::Other(_) => None,
        }
    }
}

/// One template, or several with names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Several(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl Templates {
    /// The only one, or the one called "default", or the first.
    fn chosen(self) -> Option<String> {
        match self {
            Templates::One(template) => Some(template),
            Templates::Several(list) => {
                let default = list.iter().position(|named| named.name == "default").unwrap_or(0);
                list.into_iter().nth(default).map(|named| named.template)
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Generation {
    bos_token_id: Option<u32>,
    eos_token_id: Option<Ends>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ends {
    One(u32),
    Several(Vec<u32>),
}

fn parse<T: Default + for<'de> Deserialize<'de>>(bytes: &Option<Vec<u8>>, file: &str) -> Result<T> {
    let Some(bytes) = bytes else { return Ok(T::default()) };
    serde_json::from_slice(bytes).map_err(json_error(file))
}

/// Reads the files; `find` gives the id of a token's text.
pub fn read(files: &Files, find: impl Fn(&str) -> Option<u32>) -> Result<Config> {
    let config: Names = parse(&files.tokenizer_config, "tokenizer_config.json")?;
    let map: Names = parse(&files.special_tokens_map, "special_tokens_map.json")?;
    let generation: Generation = parse(&files.generation_config, "generation_config.json")?;
    let token = |name: fn(&Names) -> &Option<Name>| {
        let mut texts = [&config, &map].into_iter().filter_map(|names| name(names).as_ref()?.text());
        texts.find_map(&find)
    };
    let tokens = SpecialTokens {
        bos: token(|names| &names.bos_token).or(generation.bos_token_id).or(token(|names| &names.cls_token)),
        eos: token(|names| &names.eos_token),
        unknown: token(|names| &names.unk_token),
        sep: token(|names| &names.sep_token),
        pad: token(|names| &names.pad_token),
        mask: token(|names| &names.mask_token),
    };
    let mut ends = match generation.eos_token_id {
        Some(Ends::One(id)) => vec![id],
        Some(Ends::Several(ids)) => ids,
        None => Vec::new(),
    };
    ends.extend(tokens.eos);
    let jinja = files.chat_template.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let named = config.chat_template.and_then(Templates::chosen);
    Ok(Config { tokens, ends, chat_template: jinja.or(named) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(files: Files) -> Config {
        read(&files, |text| ["<s>", "</s>", "<unk>"].iter().position(|known| *known == text).map(|i| i as u32)).unwrap()
    }

    #[test]
    fn names_come_in_both_writings_and_files() {
        let files = Files {
            tokenizer_config: Some(br#"{"bos_token": {"content": "<s>"}, "eos_token": null, "unk_token": 5}"#.into()),
            special_tokens_map: Some(br#"{"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "[?]"}"#.into()),
            generation_config: Some(br#"{"eos_token_id": [7, 8]}"#.into()),
            ..Files::default()
        };
        let found = config(files);
        let tokens = [found.tokens.bos, found.tokens.eos, found.tokens.unknown, found.tokens.pad];
        assert_eq!((tokens, found.ends), ([Some(0), Some(1), Some(2), None], vec![7, 8, 1]));
    }

    #[test]
    fn the_chat_template_is_found_wherever_it_is() {
        let with = |json: &str| Files { tokenizer_config: Some(json.as_bytes().into()), ..Files::default() };
        let template = |files: Files| config(files).chat_template;
        assert_eq!(template(with(r#"{"chat_template": "a"}"#)).as_deref(), Some("a"));
        let several = r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#;
        assert_eq!(template(with(several)).as_deref(), Some("d"));
        assert_eq!(template(Files { chat_template: Some(b"own".into()), ..with(several) }).as_deref(), Some("own"));
        assert_eq!(template(with("{}")), None);
        assert!(read(&with("1"), |_| None).is_err());
    }
}
