//! Text to tokens and back, from the metadata of a GGUF file, on the `tokenizers` crate.
//!
//! - `byte_level`: byte-level BPE (`tokenizer.ggml.model` = "gpt2"), the crate's own model.
//! - `sentencepiece`: SentencePiece BPE ("llama"), a model of ours for that crate: it keeps Gemma's vocabulary
//!   once, as one text. The crate's own would keep it twice, string by string, and half a million merges besides: some
//!   60 MB, counted from its types, which would break the limit on memory while loading.
//! - `stream`: tokens to whole characters.

mod byte_level;
mod sentencepiece;
pub mod stream;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{
    AddedToken, DecoderWrapper, Model, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Token,
    TokenizerImpl,
};

use crate::chat::family::is_marker;
use crate::chat::{Message, Origin, RenderOptions, Template};
use crate::constraint::Vocabulary;
use crate::error::{Error, Result};
use crate::formats::gguf::{Header, Strings, Value};

/// What `tokenizer.ggml.token_type` says of a token.
mod kind {
    pub const UNKNOWN: i32 = 2;
    pub const CONTROL: i32 = 3;
    pub const USER_DEFINED: i32 = 4;
    pub const BYTE: i32 = 6;
}

/// Tokens that end an answer in some family of models, whatever the file's own end token is.
const END_TEXTS: &[&str] =
    &["<|im_end|>", "<|endoftext|>", "<end_of_turn>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "</s>", "<eos>"];

/// A tokenizer, its special tokens and its chat template.
pub struct Tokenizer {
    inner: TokenizerImpl<Pieces, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>,
    vocab: Arc<Strings>,
    kinds: Vec<i32>,
    byte_level: bool,
    bos: Option<u32>,
    add_bos: bool,
    ends: Vec<u32>,
    template: Result<Template, String>,
    vocabulary: OnceLock<Result<Vocabulary, String>>,
}

/// The two kinds of model in one type.
enum Pieces {
    ByteLevel(Box<BPE>),
    SentencePiece(sentencepiece::SentencePiece),
}

impl Tokenizer {
    /// Builds the tokenizer that the metadata describes.
    pub fn from_header(header: &Header) -> Result<Tokenizer> {
        let missing = |key: &str| Error::Metadata { key: key.into(), what: "missing".into() };
        let Some(Value::Strings(vocab)) = header.metadata.get("tokenizer.ggml.tokens") else {
            return Err(missing("tokenizer.ggml.tokens"));
        };
        let vocab = Arc::new(vocab.clone());
        let kinds = match header.metadata.get("tokenizer.ggml.token_type") {
            Some(Value::Integers(kinds)) if kinds.len() == vocab.len() => kinds.clone(),
            None => vec![1; vocab.len()],
            _ => {
                let what = format!("{} numbers were expected", vocab.len());
                return Err(Error::Metadata { key: "tokenizer.ggml.token_type".into(), what });
            }
        };
        let model = header.string("tokenizer.ggml.model")?.ok_or_else(|| missing("tokenizer.ggml.model"))?;
        let (mut inner, byte_level) = match model {
            "gpt2" => (byte_level::build(header, &vocab)?, true),
            "llama" => (sentencepiece::build(header, vocab.clone(), &kinds)?, false),
            other => {
                let what = format!("\"{other}\" is not supported; gpt2 (byte-level BPE) and llama (SentencePiece) are");
                return Err(Error::Metadata { key: "tokenizer.ggml.model".into(), what });
            }
        };
        let special = |kind: i32| matches!(kind, kind::UNKNOWN | kind::CONTROL | kind::USER_DEFINED);
        let texts = vocab.iter().zip(&kinds).filter(|(_, kind)| special(**kind)).map(|(text, _)| text);
        inner
            .add_special_tokens(texts.filter(|text| !text.is_empty()).map(|text| AddedToken::from(text, true)))
            .map_err(tokenizer_error)?;

        let token = |key: &str| -> Result<Option<u32>> {
            let id = header.uint(&format!("tokenizer.ggml.{key}_token_id"))?;
            Ok(id.filter(|&id| id < vocab.len()).map(|id| id as u32))
        };
        let (bos, eos) = (token("bos")?, token("eos")?);
        let mut ends: Vec<u32> = [eos, token("eot")?].into_iter().flatten().collect();
        for (id, text) in vocab.iter().enumerate() {
            if special(kinds[id]) && END_TEXTS.contains(&text) && !ends.contains(&(id as u32)) {
                ends.push(id as u32);
            }
        }
        let text = |id: Option<u32>| id.and_then(|id| vocab.get(id as usize)).unwrap_or_default().to_owned();
        let special_texts: HashSet<&str> =
            vocab.iter().zip(&kinds).filter(|(_, kind)| special(**kind)).map(|(text, _)| text).collect();
        let template = match header.string("tokenizer.chat_template")? {
            Some(source) => Template::new(source, text(bos), text(eos)),
            None => Template::default_for(|token| special_texts.contains(token), text(bos), text(eos)),
        };
        // A template that does not compile is told when it is needed: plain prompts work without.
        let template = template.map_err(|error| match error {
            Error::Template(what) => what,
            other => other.to_string(),
        });
        let add_bos =
            header.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(!byte_level || byte_level::is_llama_3(header)?);
        let vocabulary = OnceLock::new();
        Ok(Tokenizer { inner, kinds, byte_level, bos, add_bos, ends, template, vocab, vocabulary })
    }

    /// Number of tokens, V.
    pub fn vocab_size(&self) -> usize {
        self.vocab.len()
    }

    /// The tokens of `text`, special ones recognised; begins with the begin-of-text token if the model wants one.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(tokenizer_error)?;
        let ids = encoding.get_ids();
        let bos = self.bos.filter(|bos| self.add_bos && ids.first() != Some(bos));
        Ok(bos.into_iter().chain(ids.iter().copied()).collect())
    }

    /// The bytes a token stands for; control tokens stand for none, but for those that mark reasoning and calls of tools. May be part of a character: see [`stream`].
    pub fn bytes(&self, token: u32) -> Vec<u8> {
        let Some(text) = self.vocab.get(token as usize) else { return Vec::new() };
        match self.kinds[token as usize] {
            kind::CONTROL if is_marker(text) => text.as_bytes().to_vec(),
            kind::CONTROL | kind::UNKNOWN => Vec::new(),
            kind::USER_DEFINED => text.as_bytes().to_vec(),
            kind::BYTE => sentencepiece::byte_of(text).into_iter().collect(),
            _ if self.byte_level => byte_level::bytes(text),
            _ => text.replace(sentencepiece::SPACE, " ").into_bytes(),
        }
    }

    /// The token as the vocabulary writes it, special or not.
    pub fn piece(&self, token: u32) -> &str {
        self.vocab.get(token as usize).unwrap_or_default()
    }

    /// Whether `token` ends an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The tokens that end an answer.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Whether `token` is no text: it begins, ends or separates texts.
    pub fn is_control(&self, token: u32) -> bool {
        self.kinds.get(token as usize).is_some_and(|kind| matches!(*kind, kind::CONTROL | kind::UNKNOWN))
    }

    /// The tokens as constraints need them: made when first asked for.
    pub fn vocabulary(&self) -> Result<&Vocabulary> {
        let made = self.vocabulary.get_or_init(|| Vocabulary::new(self).map_err(|error| error.to_string()));
        made.as_ref().map_err(|what| Error::Tokenizer(what.clone()))
    }

    /// Whether the file has a chat template: instruction-tuned models do, base models do not.
    pub fn has_template(&self) -> bool {
        self.template.as_ref().map_or(true, |template| template.origin() == Origin::File)
    }

    /// The chat template: the file's, or one that fits its vocabulary.
    pub fn template(&self) -> Result<&Template> {
        self.template.as_ref().map_err(|what| Error::Template(what.clone()))
    }

    /// The conversation as one prompt, ready for the answer.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        self.template()?.render(messages, &RenderOptions::default())
    }
}

fn tokenizer_error(error: impl std::fmt::Display) -> Error {
    Error::Tokenizer(error.to_string())
}

impl Model for Pieces {
    type Trainer = BpeTrainer;

    fn tokenize(&self, sequence: &str) -> tokenizers::Result<Vec<Token>> {
        match self {
            Pieces::ByteLevel(bpe) => bpe.tokenize(sequence),
            Pieces::SentencePiece(model) => Ok(model.tokenize(sequence)),
        }
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Pieces::ByteLevel(bpe) => bpe.token_to_id(token),
            Pieces::SentencePiece(model) => model.id(token),
        }
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        match self {
            Pieces::ByteLevel(bpe) => bpe.id_to_token(id),
            Pieces::SentencePiece(model) => model.piece(id).map(str::to_owned),
        }
    }

    fn get_vocab(&self) -> std::collections::HashMap<String, u32> {
        (0..self.get_vocab_size() as u32).filter_map(|id| Some((self.id_to_token(id)?, id))).collect()
    }

    fn get_vocab_size(&self) -> usize {
        match self {
            Pieces::ByteLevel(bpe) => bpe.get_vocab_size(),
            Pieces::SentencePiece(model) => model.len(),
        }
    }

    fn save(&self, _: &Path, _: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("the engine has no file system".into())
    }

    fn get_trainer(&self) -> BpeTrainer {
        BpeTrainer::default()
    }
}
