//! The files a Hugging Face repository keeps its tokenizer in, as they came.

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
