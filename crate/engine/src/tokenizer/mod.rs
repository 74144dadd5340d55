//! Text to tokens and back, from the metadata of a GGUF file (`gguf`) or a Hugging Face `tokenizer.json` (`json`).
//!
//! ```text
//! text ─ added ─ normal ─ split ─┬─ bpe            merges by rank
//!       tokens   steps   into    ├─ sentencepiece  merges by score     ─ frame ─ ids
//!                        words   ├─ unigram        best sum of scores    [CLS] … [SEP]
//!                                └─ wordpiece      longest first
//! ids ─ pieces ─ decoder ─ stream ─ text
//! ```
//!
//! Normalisation and words are those of the `tokenizers` crate; the models are ours. They keep a vocabulary once, as one text, and
//! merges as numbers: the crate's would take some 200 MB for Gemma's 262,144 pieces and 514,906 merges, too much for a phone's
//! tab.

mod added;
mod bpe;
mod byte_level;
mod chains;
mod charsmap;
mod config;
mod decoder;
mod files;
mod frame;
mod gguf;
mod growth;
mod json;
mod long;
mod normal;
mod pattern;
mod sentencepiece;
mod split;
mod steps;
pub mod stream;
mod unigram;
mod unigram_text;
mod vocabulary;
mod wordpiece;

use std::sync::OnceLock;

use tokenizers::normalizer::Range;
use tokenizers::{NormalizedString, OffsetReferential, OffsetType, PreTokenizedString, Token};

pub use files::Files;

use crate::chat::family::is_marker;
use crate::chat::{self, Message, Origin, RenderOptions};
use crate::constraint;
use crate::error::{Error, Result};
use crate::formats::gguf::Header;
use added::{Added, Text};
use decoder::Decoder;
use frame::Frame;
use vocabulary::Vocabulary;

/// U+2581, which stands for a space.
const SPACE: &str = "▁";

/// Tokens that end an answer in some family of models, whatever the file's own end token is.
const END_TEXTS: &[&str] =
    &["<|im_end|>", "<|endoftext|>", "<end_of_turn>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "</s>", "<eos>"];

/// Tokens with a meaning of their own, where the files tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text; BERT's `[CLS]`.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Stands for what is not in the vocabulary.
    pub unknown: Option<u32>,
    /// Stands between two texts.
    pub sep: Option<u32>,
    /// Fills up.
    pub pad: Option<u32>,
    /// Stands for a hidden word.
    pub mask: Option<u32>,
}

/// The kinds of model.
enum Model {
    Bpe(bpe::Bpe),
    SentencePiece(sentencepiece::SentencePiece),
    Unigram(unigram::Unigram),
    WordPiece(wordpiece::WordPiece),
}

impl Model {
    fn vocabulary(&self) -> &Vocabulary {
        match self {
            Model::Bpe(model) => model.vocabulary(),
            Model::SentencePiece(model) => model.vocabulary(),
            Model::Unigram(model) => model.vocabulary(),
            Model::WordPiece(model) => model.vocabulary(),
        }
    }

    /// Appends the tokens of a word.
    fn tokenize(&self, word: &str, tokens: &mut Vec<u32>) -> Result<()> {
        match self {
            Model::Bpe(model) => model.tokenize(word, tokens),
            Model::SentencePiece(model) => model.tokenize(word, tokens),
            Model::Unigram(model) => model.tokenize(word, tokens)?,
            Model::WordPiece(model) => model.tokenize(word, tokens),
        }
        Ok(())
    }
}

/// What is read from either kind of file.
struct Parts {
    added: Added,
    normalizers: Vec<normal::Step>,
    splits: Vec<split::Step>,
    model: Model,
    frame: Frame,
    decoder: Decoder,
    /// Whether added tokens are text as they are, or go through the decoder like others.
    raw_added: bool,
    tokens: SpecialTokens,
    ends: Vec<u32>,
    chat_template: Option<String>,
}

/// A tokenizer, its special tokens and its chat template.
pub struct Tokenizer {
    parts: Parts,
    vocab_size: usize,
    template: Result<chat::Template, String>,
    words: OnceLock<Result<constraint::Vocabulary, String>>,
}

impl Tokenizer {
    /// Builds the tokenizer that a GGUF file's metadata describe, or bring along as [`Files`].
    pub fn from_header(header: &Header) -> Result<Tokenizer> {
        match Files::of(header) {
            Some(files) => Tokenizer::from_json(&files),
            None => Tokenizer::new(gguf::build(header)?),
        }
    }

    /// Builds the tokenizer of a Hugging Face repository.
    pub fn from_json(files: &Files) -> Result<Tokenizer> {
        Tokenizer::new(json::build(files)?)
    }

    fn new(mut parts: Parts) -> Result<Tokenizer> {
        let added = parts.added.iter().map(|token| token.id as usize + 1).max().unwrap_or(0);
        let vocab_size = parts.model.vocabulary().len().max(added);
        let special = |part: &frame::Part| match part {
            frame::Part::Special(id) => Some(*id),
            _ => None,
        };
        let places = parts.frame.single.iter().chain(&parts.frame.pair).filter_map(special);
        if let Some(id) = places.chain(parts.ends.iter().copied()).find(|&id| id as usize >= vocab_size) {
            return Err(Error::Tokenizer(format!("the special token {id} is outside the vocabulary of {vocab_size}")));
        }
        // Where it is no control token, "</s>" is HTML.
        let ends = |token: &&added::Token| token.special || token.text != "</s>";
        let well_known = parts.added.iter().filter(|token| END_TEXTS.contains(&token.text.as_str())).filter(ends);
        parts.ends.extend(well_known.map(|token| token.id));
        parts.ends.sort_unstable();
        parts.ends.dedup();
        let source = parts.chat_template.take();
        let mut tokenizer = Tokenizer { parts, vocab_size, template: Err(String::new()), words: OnceLock::new() };
        let text = |id: Option<u32>| id.map(|id| tokenizer.piece(id)).unwrap_or_default().to_owned();
        let (bos, eos) = (text(tokenizer.special_tokens().bos), text(tokenizer.special_tokens().eos));
        // A template that does not compile is told when it is needed: plain prompts work without.
        let special = |text: &str| tokenizer.parts.added.iter().any(|token| token.special && token.text == text);
        let template = match source {
            Some(source) => chat::Template::new(&source, bos, eos),
            None => chat::Template::default_for(special, bos, eos),
        };
        tokenizer.template = template.map_err(|error| match error {
            Error::Template(what) => what,
            other => other.to_string(),
        });
        Ok(tokenizer)
    }

    /// Leaves out added tokens that a model with `rows` embeddings has none for, such as the picture's in Gemma's models of text
    /// alone.
    pub fn within(mut self, rows: usize) -> Result<Tokenizer> {
        if self.vocab_size > rows {
            self.parts.added = self.parts.added.below(rows)?;
            self.vocab_size = self.parts.model.vocabulary().len().max(rows);
        }
        Ok(self)
    }

    /// Number of tokens, V.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Begin, end and the other tokens with a meaning of their own.
    pub fn special_tokens(&self) -> SpecialTokens {
        self.parts.tokens
    }

    /// The tokens of `text` for a model to continue, special ones recognised, with those around it that the model wants; a
    /// begin-of-text token that the text already has is not given twice.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode_with(text, true)?;
        if ids.len() > 1 && ids[0] == ids[1] && self.parts.tokens.bos == Some(ids[0]) {
            ids.remove(0);
        }
        Ok(ids)
    }

    /// The tokens of `text`, special ones recognised; with `special`, also those that stand around every text.
    pub fn encode_with(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        Ok(self.parts.frame.one(&self.ids(text)?, special))
    }

    /// The tokens of two texts that belong together, such as a question and a passage.
    pub fn encode_pair(&self, first: &str, second: &str, special: bool) -> Result<Vec<u32>> {
        Ok(self.parts.frame.two(&self.ids(first)?, &self.ids(second)?, special))
    }

    /// The tokens of `text` and nothing around it.
    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let Parts { added, normalizers, splits, model, .. } = &self.parts;
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, part| Ok(cut(added, part, Text::AsItCame))).map_err(tokenizer_error)?;
        let normalized = |_, mut part: NormalizedString| {
            normal::apply(normalizers, &mut part)?;
            Ok(cut(added, part, Text::Normalized))
        };
        pieces.split(normalized).map_err(tokenizer_error)?;
        split::apply(splits, &mut pieces)?;
        let mut ids = Vec::new();
        for (word, _, tokens) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            match tokens {
                Some(tokens) => ids.extend(tokens.iter().map(|token| token.id)),
                None => model.tokenize(word, &mut ids)?,
            }
        }
        Ok(ids)
    }

    /// The text of `ids`; without those tokens that stand for none if `skip_special`, else with their names.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut decoding = self.decoding(skip_special);
        let text: String = ids.iter().map(|&id| decoding.push(id)).collect();
        text + &decoding.finish()
    }

    /// Decodes token by token. What is given out together is what [`Tokenizer::decode`] gives.
    pub fn decoding(&self, skip_special: bool) -> Decoding<'_> {
        Decoding { tokenizer: self, decoder: self.parts.decoder.clone(), skip_special }
    }

    /// The bytes a token stands for in the middle of a text; control tokens stand for none, but for those that mark reasoning and
    /// calls of tools. May be part of a character: see [`stream`].
    pub fn bytes(&self, token: u32) -> Vec<u8> {
        match self.parts.added.get(token) {
            Some(added) if added.special && !is_marker(&added.text) => Vec::new(),
            Some(added) => added.text.as_bytes().to_vec(),
            None => self.parts.decoder.bytes(self.piece(token)),
        }
    }

    /// The token as the vocabulary writes it, special or not.
    pub fn piece(&self, token: u32) -> &str {
        let added = self.parts.added.get(token).map(|added| added.text.as_str());
        added.or_else(|| self.parts.model.vocabulary().piece(token)).unwrap_or_default()
    }

    /// Whether `token` is one that stands for no text.
    pub fn is_special(&self, token: u32) -> bool {
        self.parts.added.get(token).is_some_and(|added| added.special)
    }

    /// Whether `token` ends an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.parts.ends.contains(&token)
    }

    /// The tokens that end an answer.
    pub fn ends(&self) -> &[u32] {
        &self.parts.ends
    }

    /// The tokens as constraints need them: made when first asked for.
    pub fn words(&self) -> Result<&constraint::Vocabulary> {
        let made = self.words.get_or_init(|| constraint::Vocabulary::new(self).map_err(|error| error.to_string()));
        made.as_ref().map_err(|what| Error::Tokenizer(what.clone()))
    }

    /// Whether the file has a chat template: instruction-tuned models do, base models do not.
    pub fn has_template(&self) -> bool {
        self.template.as_ref().map_or(true, |template| template.origin() == Origin::File)
    }

    /// The chat template: the file's, or one that fits its vocabulary.
    pub fn template(&self) -> Result<&chat::Template> {
        self.template.as_ref().map_err(|what| Error::Template(what.clone()))
    }

    /// The conversation as one prompt, ready for the answer.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        self.template()?.render(messages, &RenderOptions::default())
    }
}

/// Tokens on their way to text.
pub struct Decoding<'a> {
    tokenizer: &'a Tokenizer,
    decoder: Decoder,
    skip_special: bool,
}

impl Decoding<'_> {
    /// Takes a token and returns the text that became certain: whole characters.
    pub fn push(&mut self, token: u32) -> String {
        let parts = &self.tokenizer.parts;
        match parts.added.get(token) {
            Some(added) if added.special && self.skip_special => String::new(),
            Some(added) if parts.raw_added => self.decoder.finish() + &added.text,
            Some(added) => self.decoder.push(added.normalized.as_deref().unwrap_or(&added.text)),
            None => match self.tokenizer.piece(token) {
                "" => String::new(),
                piece => self.decoder.push(piece),
            },
        }
    }

    /// What is left when no more tokens come.
    pub fn finish(&mut self) -> String {
        self.decoder.finish()
    }
}

/// Added tokens become tokens, the rest stays text.
fn cut(added: &Added, text: NormalizedString, which: Text) -> Vec<(NormalizedString, Option<Vec<Token>>)> {
    let parts = added.split(text.get(), which).into_iter();
    let cut = parts.filter_map(|(id, range)| {
        let tokens = id.map(|id| vec![Token::new(id, String::new(), (0, 0))]);
        Some((text.slice(Range::Normalized(range))?, tokens))
    });
    cut.collect()
}

fn tokenizer_error(error: impl std::fmt::Display) -> Error {
    let what = error.to_string();
    Error::Tokenizer(what.strip_prefix("tokenizer: ").map(str::to_owned).unwrap_or(what))
}
