//! A tokenizer from the metadata of a GGUF file (`tokenizer.ggml.*`), as llama.cpp reads them.
//!
//! | `tokenizer.ggml.model` | is | words |
//! | --- | --- | --- |
//! | `gpt2` | byte-level BPE by rank | `tokenizer.ggml.pre`, see `chains` |
//! | `llama` | SentencePiece BPE by score | none: spaces are U+2581 |
//! | `t5` | SentencePiece unigram | none |
//! | `bert` | WordPiece, U+2581 begins words | BERT's |

use std::sync::Arc;

use tokenizers::normalizers::{BertNormalizer, NFC, Prepend};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

use super::bpe::{self, Bpe};
use super::charsmap::Charsmap;
use super::decoder::{Decoder, Stage};
use super::frame::Frame;
use super::pattern::literal;
use super::sentencepiece::SentencePiece;
use super::stream::Characters;
use super::unigram::{UNKNOWN_PENALTY, Unigram};
use super::unigram_text::Spaces;
use super::vocabulary::Vocabulary;
use super::wordpiece::{Mark, WordPiece};
use super::{Model, Parts, SPACE, SpecialTokens, added, chains, normal, split};
use crate::error::{Error, Result};
use crate::formats::gguf::{Header, Strings, Value};

/// What `tokenizer.ggml.token_type` says of a token.
mod kind {
    pub const NORMAL: i32 = 1;
    pub const UNKNOWN: i32 = 2;
    pub const CONTROL: i32 = 3;
    pub const USER_DEFINED: i32 = 4;
    pub const UNUSED: i32 = 5;
}

/// The metadata under way to becoming a tokenizer.
struct Metadata<'a> {
    header: &'a Header,
    vocab: Arc<Strings>,
    kinds: Vec<i32>,
    tokens: SpecialTokens,
}

/// What `build` needs to know of a kind of model that its steps do not tell.
struct Built {
    model: Model,
    normalizers: Vec<normal::Step>,
    splits: Vec<split::Step>,
    stage: Stage,
    add_bos: bool,
    add_eos: bool,
}

/// Reads everything.
pub fn build(header: &Header) -> Result<Parts> {
    let Some(Value::Strings(vocab)) = header.metadata.get("tokenizer.ggml.tokens") else {
        return Err(missing("tokenizer.ggml.tokens"));
    };
    let kinds = match header.metadata.get("tokenizer.ggml.token_type") {
        Some(Value::Integers(kinds)) if kinds.len() == vocab.len() => kinds.clone(),
        None => vec![kind::NORMAL; vocab.len()],
        _ => {
            let what = format!("{} numbers were expected", vocab.len());
            return Err(Error::Metadata { key: "tokenizer.ggml.token_type".into(), what });
        }
    };
    let model = header.string("tokenizer.ggml.model")?.ok_or_else(|| missing("tokenizer.ggml.model"))?;
    let tokens = special_tokens(header, model, vocab.len())?;
    let metadata = Metadata { header, vocab: Arc::new(vocab.clone()), kinds, tokens };
    let built = match model {
        "gpt2" => metadata.byte_level()?,
        "llama" => metadata.sentencepiece()?,
        "t5" => metadata.unigram()?,
        "bert" => metadata.wordpiece()?,
        other => {
            let what = format!(
                "\"{other}\" is not supported; gpt2 (byte-level BPE), llama (SentencePiece), t5 (unigram) and bert (WordPiece) are"
            );
            return Err(Error::Metadata { key: "tokenizer.ggml.model".into(), what });
        }
    };
    let flag = |key: &str, otherwise: bool| Ok::<_, Error>(header.bool(key)?.unwrap_or(otherwise));
    let only_if = |wanted: bool, id: Option<u32>| id.filter(|_| wanted);
    let bos = only_if(flag("tokenizer.ggml.add_bos_token", built.add_bos)?, metadata.tokens.bos);
    let eos = only_if(flag("tokenizer.ggml.add_eos_token", built.add_eos)?, metadata.tokens.eos);
    let frame = match model {
        "bert" => {
            let sep = only_if(flag("tokenizer.ggml.add_sep_token", true)?, metadata.tokens.sep);
            Frame::around(as_list(&bos), as_list(&sep), as_list(&sep))
        }
        _ => Frame::around(as_list(&bos), &[], as_list(&eos)),
    };
    let mut ends: Vec<u32> = metadata.tokens.eos.into_iter().collect();
    for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        ends.extend(token_id(header, key, vocab.len())?);
    }
    Ok(Parts {
        added: added::Added::new(metadata.added())?,
        normalizers: built.normalizers,
        splits: built.splits,
        model: built.model,
        frame,
        decoder: Decoder::new(vec![built.stage]),
        raw_added: true,
        tokens: metadata.tokens,
        ends,
        chat_template: header.string("tokenizer.chat_template")?.map(str::to_owned),
    })
}

fn as_list(id: &Option<u32>) -> &[u32] {
    id.as_slice()
}

fn missing(key: &str) -> Error {
    Error::Metadata { key: key.into(), what: "missing".into() }
}

fn token_id(header: &Header, key: &str, vocab_size: usize) -> Result<Option<u32>> {
    Ok(header.uint(key)?.filter(|&id| id < vocab_size).map(|id| id as u32))
}

/// The special tokens by their keys, or where a kind of model has them when its file does not tell.
fn special_tokens(header: &Header, model: &str, vocab_size: usize) -> Result<SpecialTokens> {
    let find = |key: &str, usual: Option<u32>| -> Result<Option<u32>> {
        let told = token_id(header, &format!("tokenizer.ggml.{key}_token_id"), vocab_size)?;
        Ok(told.or(usual.filter(|&id| (id as usize) < vocab_size)))
    };
    // bos, eos, unknown, separator, padding, mask
    let usual = match model {
        "llama" => [Some(1), Some(2), Some(0), None, None, None],
        "bert" => [Some(101), None, Some(100), Some(102), Some(0), Some(103)],
        "t5" => [None, Some(1), Some(2), None, Some(0), None],
        _ => [None; 6],
    };
    // Two spellings of one key: files and llama.cpp write "seperator".
    let sep = find("seperator", None)?.or(find("separator", usual[3])?);
    Ok(SpecialTokens {
        bos: find("cls", None)?.filter(|_| model == "bert").or(find("bos", usual[0])?),
        eos: find("eos", usual[1])?,
        unknown: find("unknown", usual[2])?,
        sep,
        pad: find("padding", usual[4])?,
        mask: find("mask", usual[5])?,
    })
}

impl Metadata<'_> {
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary::new(self.vocab.clone())
    }

    fn scores(&self) -> Result<&Vec<f32>> {
        match self.header.metadata.get("tokenizer.ggml.scores") {
            Some(Value::Floats(scores)) => Ok(scores),
            _ => Err(missing("tokenizer.ggml.scores")),
        }
    }

    /// Control tokens and what the user defined. Phi 3's take the white space behind them along, which only the model's name
    /// tells.
    fn added(&self) -> Vec<added::Token> {
        let name = self.header.string("general.name").ok().flatten().unwrap_or_default().to_lowercase();
        let phi_3 = name.contains("phi-3") || name.contains("phi3");
        let tokens = self.vocab.iter().zip(&self.kinds).enumerate().filter_map(|(id, (text, kind))| {
            let special = match *kind {
                kind::UNKNOWN | kind::CONTROL => true,
                kind::USER_DEFINED => false,
                _ => return None,
            };
            let rstrip = phi_3 && !["<unk>", "<s>", "<|endoftext|>"].contains(&text);
            let token = added::Token { id: id as u32, text: text.to_owned(), special, rstrip, ..Default::default() };
            Some(token).filter(|token| !token.text.is_empty())
        });
        tokens.collect()
    }

    fn byte_level(&self) -> Result<Built> {
        let Some(Value::Strings(merges)) = self.header.metadata.get("tokenizer.ggml.merges") else {
            return Err(missing("tokenizer.ggml.merges"));
        };
        // The first character of a merge may be a space.
        let pair = |merge: &'_ str| -> Option<usize> {
            let first = merge.chars().next()?.len_utf8();
            Some(first + merge[first..].find(' ')?)
        };
        if merges.iter().any(|merge| pair(merge).is_none()) {
            return Err(Error::Tokenizer("a merge is not two pieces".into()));
        }
        let pairs = (0..merges.len()).map(|i| {
            let merge = merges.get(i).unwrap_or_default();
            let space = pair(merge).unwrap_or_default();
            (&merge[..space], &merge[space + 1..])
        });
        let name = self.header.string("tokenizer.ggml.pre")?.unwrap_or("default");
        let chain = chains::find(name).ok_or_else(|| {
            let names: Vec<&str> = chains::CHAINS.iter().flat_map(|chain| chain.names).copied().collect();
            let what = format!("\"{name}\" is not supported; {} are", names.join(", "));
            Error::Metadata { key: "tokenizer.ggml.pre".into(), what }
        })?;
        let options = bpe::Options { whole_words: chain.whole_words, ..bpe::Options::default() };
        let mut splits = Vec::new();
        for expression in chain.expressions {
            splits.push(split::Step::isolated(expression)?);
        }
        splits.push(split::Step::bytes());
        let composed = self.header.bool("tokenizer.ggml.normalizer.nfc")?.unwrap_or(false);
        Ok(Built {
            model: Model::Bpe(Bpe::new(self.vocabulary(), pairs, options)?),
            normalizers: if composed { vec![normal::Step::Plain(NFC.into())] } else { Vec::new() },
            splits,
            stage: Stage::ByteLevel { characters: Characters::default() },
            add_bos: chain.add_bos,
            add_eos: false,
        })
    }

    fn sentencepiece(&self) -> Result<Built> {
        let model = SentencePiece::new(self.vocabulary(), self.scores()?.clone(), self.tokens.unknown)?;
        let mut normalizers = vec![normal::Step::Replace(literal(" ")?, SPACE.into())];
        if self.header.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
            normalizers.insert(0, normal::Step::Plain(Prepend::new(SPACE.into()).into()));
        }
        Ok(Built {
            model: Model::SentencePiece(model),
            normalizers,
            splits: Vec::new(),
            stage: Stage::Spaces { characters: Characters::default() },
            add_bos: true,
            add_eos: false,
        })
    }

    fn unigram(&self) -> Result<Built> {
        let kinds = &self.kinds;
        let is = |id: usize, wanted: &[i32]| wanted.contains(&kinds[id]);
        let scores = self.scores()?.iter().zip(kinds);
        let lowest = scores.clone().filter(|(_, kind)| **kind == kind::NORMAL).map(|(score, _)| f64::from(*score));
        let lowest = lowest.fold(f64::INFINITY, f64::min);
        // What the user defined is certain.
        let certain = |kind: i32, score: f32| if kind == kind::USER_DEFINED { 0.0 } else { f64::from(score) };
        let model = Unigram::new(
            self.vocabulary(),
            scores.map(|(score, kind)| certain(*kind, *score)).collect(),
            |id| is(id as usize, &[kind::NORMAL, kind::USER_DEFINED, kind::UNUSED]),
            self.tokens.unknown,
            lowest - UNKNOWN_PENALTY,
            false,
        )?;
        let map = match self.header.metadata.get("tokenizer.ggml.precompiled_charsmap") {
            None => None,
            Some(Value::Integers(bytes)) => {
                Some(Charsmap::new(&bytes.iter().map(|&byte| byte as u8).collect::<Vec<_>>())?)
            }
            Some(_) => {
                let what = "a list of bytes was expected".into();
                return Err(Error::Metadata { key: "tokenizer.ggml.precompiled_charsmap".into(), what });
            }
        };
        let users = self.vocab.iter().enumerate().filter(|(id, _)| is(*id, &[kind::USER_DEFINED]));
        let users: Vec<&str> = users.map(|(_, text)| text).filter(|text| !text.is_empty()).collect();
        let add_prefix = self.header.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        let merge = self.header.bool("tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false);
        Ok(Built {
            model: Model::Unigram(model),
            normalizers: vec![normal::Step::Unigram(Spaces::new(map, &users, add_prefix, merge)?)],
            splits: Vec::new(),
            stage: Stage::Spaces { characters: Characters::default() },
            add_bos: false,
            add_eos: true,
        })
    }

    fn wordpiece(&self) -> Result<Built> {
        let unknown = self.tokens.unknown.ok_or_else(|| missing("tokenizer.ggml.unknown_token_id"))?;
        let mark = Mark::Beginning(SPACE.into());
        let lowercase = self.header.bool("tokenizer.ggml.normalizer.lowercase")?.unwrap_or(true);
        let strip_accents = self.header.bool("tokenizer.ggml.normalizer.strip_accents")?.unwrap_or(lowercase);
        let normalizer = BertNormalizer::new(true, true, Some(strip_accents), lowercase);
        Ok(Built {
            model: Model::WordPiece(WordPiece::new(self.vocabulary(), mark, unknown, usize::MAX)),
            normalizers: vec![normal::Step::Plain(normalizer.into())],
            splits: vec![split::Step::Plain(BertPreTokenizer.into())],
            stage: Stage::Spaces { characters: Characters::default() },
            add_bos: true,
            add_eos: false,
        })
    }
}
