//! The tokens of a tokenizer as a trie of bytes. What a grammar allows is found by walking it: where no text may begin with some bytes,
//! all tokens that do are left out at once.
//!
//! Made once, when the first constraint is asked for. Measured, built and with what building left behind: 10 MB for SmolLM2's 49 152
//! tokens, 62 MB and a second for Gemma's 262 144. llguidance's own four kinds of tokens to be kept apart, instead of one, made that 18 and
//! 112 MB, and masks no faster; none at all made the masks of a JSON text five times slower.

use std::sync::Arc;

use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory, api::ParserLimits};

use super::{Grammar, Guided};
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Tokens of this kind may stand in most texts between quotes: kept apart, they are allowed or not without looking.
const ANY: &str = r#"[^"\\\x00-\x1F\x7F]+"#;
/// Longer tokens are never allowed; the trie's nodes have room for 1024 bytes.
const MAX_TOKEN: usize = 256;
/// Bytes of all tokens: the trie's nodes have room for 2^22.
const MAX_BYTES: usize = 4_000_000;

/// What a grammar may cost.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2000,
        initial_lexer_fuel: 500_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        // One or two KB each.
        max_lexer_states: 20_000,
        max_grammar_size: 100_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}

/// A tokenizer's tokens, ready for constraints.
pub struct Vocabulary {
    factory: ParserFactory,
    /// Control tokens that have a text to be found by in grammars of ours.
    controls: Vec<(String, TokenId)>,
    vocab_size: usize,
}

impl Vocabulary {
    /// The tokens of `tokenizer`.
    pub fn new(tokenizer: &Tokenizer) -> Result<Vocabulary> {
        let tokens = 0..tokenizer.vocab_size() as u32;
        let is_control = |token| tokenizer.is_special(token) || tokenizer.is_end(token);
        let words = tokens.clone().map(|token| match is_control(token) {
            // No text: it may come only where a grammar names it.
            true => [&[TokTrie::SPECIAL_TOKEN_MARKER], tokenizer.piece(token).as_bytes()].concat(),
            false => tokenizer.bytes(token),
        });
        let controls = tokens.clone().filter(|token| is_control(*token));
        let controls = controls.map(|token| (tokenizer.piece(token).to_owned(), token)).collect();
        Vocabulary::from_words(words.collect(), tokenizer.ends(), controls)
    }

    /// Tokens by their bytes; `ends` end an answer.
    pub(super) fn from_words(
        mut words: Vec<Vec<u8>>,
        ends: &[u32],
        controls: Vec<(String, TokenId)>,
    ) -> Result<Vocabulary> {
        let vocab_size = words.len();
        for word in &mut words {
            // A byte that no text has would be taken for the mark of a control token.
            if word.len() > MAX_TOKEN || word == &[TokTrie::SPECIAL_TOKEN_MARKER] {
                word.clear();
            }
        }
        let bytes: usize = words.iter().map(Vec::len).sum();
        if bytes > MAX_BYTES || vocab_size > MAX_BYTES {
            return Err(Error::Grammar(format!("the tokens have {bytes} bytes, more than {MAX_BYTES}")));
        }
        // A vocabulary without end tokens gets one that no mask shows.
        let ends = match ends {
            [] => {
                words.push(Vec::new());
                vec![vocab_size as u32]
            }
            ends => ends.to_vec(),
        };
        let info = TokRxInfo {
            vocab_size: words.len() as u32,
            tok_eos: ends[0],
            tok_bos: None,
            tok_pad: None,
            tok_unk: None,
            tok_end_of_turn: None,
        };
        let trie = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        drop(words);
        let tokens: TokEnv = Arc::new(Tokens(trie));
        let mut factory =
            ParserFactory::new(&tokens, InferenceCapabilities::default(), &[ANY.to_owned()]).map_err(refused)?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Vocabulary { factory, controls, vocab_size })
    }

    /// A constraint that lets through what `grammar` says. Errors if that is nothing, cannot be read, or is too much work.
    pub fn constrain(&self, grammar: &Grammar) -> Result<Guided> {
        let parser = self.factory.create_parser(grammar.compile(self)?).map_err(refused)?;
        Guided::new(Matcher::new(Ok(parser)), self.vocab_size)
    }

    /// The control token of this text.
    pub(super) fn control(&self, text: &str) -> Option<TokenId> {
        self.controls.iter().find(|(known, _)| known == text).map(|(_, token)| *token)
    }
}

/// What llguidance says, in a line.
pub(super) fn refused(error: impl std::fmt::Display) -> Error {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let line = match first {
        "NoExtensionBias" => "no answer in this model's tokens fits it".to_owned(),
        "LexerTooComplex" | "ParserTooComplex" => "it is too much work".to_owned(),
        // Where a regular expression is wrong stands first, what is wrong further down.
        _ => match text.lines().find_map(|line| line.trim().strip_prefix("error: ")) {
            Some(what) => format!("{first} {what}"),
            None => first.to_owned(),
        },
    };
    Error::Grammar(line.chars().take(400).collect())
}

/// The trie, whose tokens are all there is to know: nothing is tokenized, as no token is forced.
struct Tokens(TokTrie);

impl TokenizerEnv for Tokens {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.0.greedy_tokenize(bytes)
    }

    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}
