//! A tokenizer from a Hugging Face `tokenizer.json`.
//!
//! The file lists the steps of encoding and decoding, which are short, and a vocabulary with merges, which is long: Gemma's has
//! 33 MB. The long part is read piece by piece straight into the form it is kept in, so that loading takes little memory beyond
//! the file itself; the short parts are kept as text until their size is known to be small.
//!
//! ```text
//! { added_tokens, normalizer, pre_tokenizer, model: { type, vocab, merges, ... }, post_processor, decoder }
//! ```

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokenizers::NormalizedString;

use super::bpe::{self, Bpe};
use super::long::{Merges, Pieces};
use super::unigram::{UNKNOWN_PENALTY, Unigram};
use super::vocabulary::Vocabulary;
use super::wordpiece::{Mark, WordPiece};
use super::{Model, Parts, added, config, normal, steps};
use crate::error::{Error, Result};
use crate::tokenizer::Files;

/// Ids below this are believed: sixteen times the largest vocabulary we know.
pub const MAX_IDS: usize = 1 << 22;

/// Bytes that the text of a step may have; the largest we know, a compiled normaliser, has half a megabyte.
const MAX_STEP: usize = 4 << 20;

#[derive(Deserialize)]
struct File<'a> {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(borrow)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow)]
    post_processor: Option<&'a RawValue>,
    #[serde(borrow)]
    decoder: Option<&'a RawValue>,
    model: RawModel,
}

#[derive(Deserialize)]
struct AddedToken {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: Option<bool>,
    #[serde(default)]
    special: bool,
}

/// All kinds of model in one: which fields count depends on `type`, which may come last.
#[derive(Deserialize)]
struct RawModel {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: Pieces,
    merges: Option<Merges>,
    unk_token: Option<String>,
    unk_id: Option<usize>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
    max_input_chars_per_word: Option<usize>,
}

/// Reads everything.
pub fn build(files: &Files) -> Result<Parts> {
    let text = str::from_utf8(&files.tokenizer)
        .map_err(|error| Error::Tokenizer(format!("tokenizer.json is not text: {error}")))?;
    let file: File = serde_json::from_str(text).map_err(json_error("tokenizer.json"))?;
    let mut normalizers = Vec::new();
    if let Some(step) = short(file.normalizer, "normalizer")? {
        steps::normalizer(&step, &mut normalizers)?;
    }
    let mut splits = Vec::new();
    if let Some(step) = short(file.pre_tokenizer, "pre_tokenizer")? {
        steps::pre_tokenizer(&step, &mut splits)?;
    }
    let frame = steps::post_processor(short(file.post_processor, "post_processor")?.as_ref())?;
    let decoder = steps::decoder(short(file.decoder, "decoder")?.as_ref())?;
    let (model, pieces) = model(file.model)?;
    let added = added_tokens(file.added_tokens, &model, pieces, &normalizers)?;
    let find = |text: &str| {
        let token = added.iter().find(|token| token.text == text).map(|token| token.id);
        token.or_else(|| model.vocabulary().id(text))
    };
    let config = config::read(files, find)?;
    Ok(Parts {
        normalizers,
        splits,
        frame,
        decoder,
        raw_added: false,
        tokens: config.tokens,
        ends: config.ends,
        chat_template: config.chat_template,
        added,
        model,
    })
}

/// Words for what is wrong with the JSON of a file.
pub fn json_error(file: &str) -> impl Fn(serde_json::Error) -> Error {
    move |error| Error::Tokenizer(format!("{file}: {error}"))
}

/// A step, parsed if it is of a size that steps have.
fn short(step: Option<&RawValue>, name: &str) -> Result<Option<serde_json::Value>> {
    let Some(text) = step.map(RawValue::get) else { return Ok(None) };
    if text.len() > MAX_STEP {
        return Err(Error::Tokenizer(format!("tokenizer.json: the {name} has {} bytes", text.len())));
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(json_error("tokenizer.json"))?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// The model and how many pieces it has.
fn model(raw: RawModel) -> Result<(Model, usize)> {
    let (count, merges) = (raw.vocab.count(), raw.merges.unwrap_or_default());
    let (pieces, scores) = raw.vocab.in_order()?;
    let vocabulary = Vocabulary::new(Arc::new(pieces));
    let unknown = raw.unk_token.as_deref();
    // Files from before 2022 do not tell.
    let guessed = match (&scores, merges.is_empty()) {
        (Some(_), _) => "Unigram",
        (None, false) => "BPE",
        (None, true) => "WordPiece",
    };
    let kind = raw.kind.as_deref().unwrap_or(guessed);
    let model = match (kind, scores) {
        ("BPE", None) => {
            let options = bpe::Options {
                unknown: unknown.map(|text| known(&vocabulary, text)).transpose()?,
                fuse_unknown: raw.fuse_unk.unwrap_or(false),
                byte_fallback: raw.byte_fallback.unwrap_or(false),
                prefix: raw.continuing_subword_prefix.unwrap_or_default(),
                suffix: raw.end_of_word_suffix.unwrap_or_default(),
                whole_words: raw.ignore_merges.unwrap_or(false),
                later_merge_wins: true,
            };
            Model::Bpe(Bpe::new(vocabulary, merges.pairs(), options)?)
        }
        ("Unigram", Some(scores)) => {
            let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
            let unknown = raw.unk_id.map(|id| u32::try_from(id).unwrap_or(u32::MAX));
            let byte_fallback = raw.byte_fallback.unwrap_or(false);
            Model::Unigram(Unigram::new(
                vocabulary,
                scores,
                |_| true,
                unknown,
                lowest - UNKNOWN_PENALTY,
                byte_fallback,
            )?)
        }
        ("WordPiece", None) => {
            let unknown = known(&vocabulary, unknown.unwrap_or("[UNK]"))?;
            let prefix = raw.continuing_subword_prefix.unwrap_or_else(|| "##".into());
            let longest = raw.max_input_chars_per_word.unwrap_or(100);
            Model::WordPiece(WordPiece::new(vocabulary, Mark::Continuation(prefix), unknown, longest))
        }
        ("BPE" | "Unigram" | "WordPiece", _) => {
            return Err(Error::Tokenizer(format!("tokenizer.json: this is no vocabulary of a {kind} model")));
        }
        (other, _) => {
            let what = format!("tokenizer.json: the model {other:?} is not supported; BPE, Unigram and WordPiece are");
            return Err(Error::Tokenizer(what));
        }
    };
    Ok((model, count))
}

fn known(vocabulary: &Vocabulary, text: &str) -> Result<u32> {
    let missing = || Error::Tokenizer(format!("tokenizer.json: the unknown token {text:?} is not in the vocabulary"));
    vocabulary.id(text).ok_or_else(missing)
}

/// Added tokens have the ids of their texts in the vocabulary, or the next that are free; what the file says of ids is not
/// asked.
fn added_tokens(
    listed: Vec<AddedToken>,
    model: &Model,
    pieces: usize,
    normalizers: &[normal::Step],
) -> Result<added::Added> {
    let mut tokens: Vec<added::Token> = Vec::with_capacity(listed.len());
    let mut places = hashbrown::HashMap::new();
    let mut next = pieces as u32;
    for token in listed.into_iter().filter(|token| !token.content.is_empty()) {
        let before: Option<usize> = places.get(&token.content).copied();
        let id = before.map(|place| tokens[place].id).or_else(|| model.vocabulary().id(&token.content));
        let id = id.unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        let normalized = match token.normalized.unwrap_or(!token.special) {
            true => {
                let mut text = NormalizedString::from(token.content.as_str());
                normal::apply(normalizers, &mut text)?;
                Some(text.get().to_owned())
            }
            false => None,
        };
        let token = added::Token {
            id,
            text: token.content,
            special: token.special,
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            normalized,
        };
        match before {
            Some(place) => tokens[place] = token,
            None => {
                places.insert(token.text.clone(), tokens.len());
                tokens.push(token);
            }
        }
    }
    added::Added::new(tokens)
}
