//! The files a Hugging Face repository keeps its tokenizer in, as they came; and the same in a GGUF file's metadata, whole, for
//! models that are made of such a repository. `tokenizer.huggingface.json` is GGUF's name for the first, `tokenizer.chat_template`
//! for the last; the others are our own.

use crate::error::{Error, Result};
use crate::formats::{Header, Value};

const TOKENIZER: &str = "tokenizer.huggingface.json";
const TOKENIZER_CONFIG: &str = "hearth.tokenizer_config";
const SPECIAL_TOKENS_MAP: &str = "hearth.special_tokens_map";
const GENERATION_CONFIG: &str = "hearth.generation_config";
const CHAT_TEMPLATE: &str = "tokenizer.chat_template";

/// Raw bytes of each file; only `tokenizer.json` must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// `tokenizer.json`: vocabulary, merges and every step around them.
    pub tokenizer: Vec<u8>,
    /// `tokenizer_config.json`: names of the special tokens, often the chat template.
    pub tokenizer_config: Option<Vec<u8>>,
    /// `special_tokens_map.json`: names of the special tokens, in older repositories.
    pub special_tokens_map: Option<Vec<u8>>,
    /// `generation_config.json`: the tokens that end an answer.
    pub generation_config: Option<Vec<u8>>,
    /// `chat_template.jinja`: the chat template; it goes before the one in `tokenizer_config.json`.
    pub chat_template: Option<Vec<u8>>,
}

impl Files {
    /// Those in a header, if it has them and no tokenizer in GGUF's own way.
    pub fn of(header: &Header) -> Option<Files> {
        let text = |key: &str| match header.metadata.get(key) {
            Some(Value::String(text)) => Some(text.clone().into_bytes()),
            _ => None,
        };
        let own = header.metadata.contains_key("tokenizer.ggml.model");
        text(TOKENIZER).filter(|_| !own).map(|tokenizer| Files {
            tokenizer,
            tokenizer_config: text(TOKENIZER_CONFIG),
            special_tokens_map: text(SPECIAL_TOKENS_MAP),
            generation_config: text(GENERATION_CONFIG),
            chat_template: text(CHAT_TEMPLATE),
        })
    }

    /// Puts them into a header. Errors where one is no text.
    pub fn keep(self, header: &mut Header) -> Result<()> {
        let Files { tokenizer, tokenizer_config, special_tokens_map, generation_config, chat_template } = self;
        let named = [
            (TOKENIZER, Some(tokenizer)),
            (TOKENIZER_CONFIG, tokenizer_config),
            (SPECIAL_TOKENS_MAP, special_tokens_map),
            (GENERATION_CONFIG, generation_config),
            (CHAT_TEMPLATE, chat_template),
        ];
        for (key, bytes) in named {
            let Some(bytes) = bytes else { continue };
            let text = String::from_utf8(bytes).map_err(|error| Error::Json { what: format!("{key}: {error}") })?;
            header.metadata.insert(key.into(), Value::String(text));
        }
        Ok(())
    }
}
