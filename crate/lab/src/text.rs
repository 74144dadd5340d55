//! Texts for calibration and for tests: how they are cut, and that they are not the same.

use std::collections::HashSet;

use hearth_engine::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Tokens of a passage: long enough that two texts share none by chance.
const PASSAGE: usize = 24;

/// Passages of the test text, of a hundred, that may be known from calibration: quotations, licences, headings.
const TOLERATED: usize = 5;

/// A text cut into sequences of `length` tokens, at most `most` tokens in all; what is left over at the end is left out, unless
/// there is nothing else. Errors if it has fewer than `needed` tokens.
pub fn sequences(
    what: &'static str,
    tokens: &[u32],
    length: usize,
    most: usize,
    needed: usize,
) -> Result<Vec<Vec<u32>>> {
    if tokens.len() < needed {
        return Err(Error::TooShort { what, tokens: tokens.len(), needed });
    }
    let count = (tokens.len().min(most) / length).max(1);
    Ok(tokens.chunks(length).take(count).map(<[u32]>::to_vec).collect())
}

/// Errors if the test text repeats the calibration text.
pub fn check_disjoint(calibration: &[u32], test: &[u32]) -> Result<()> {
    let known: HashSet<&[u32]> = calibration.windows(PASSAGE).collect();
    let passages = test.chunks_exact(PASSAGE).len();
    let shared = test.chunks_exact(PASSAGE).filter(|passage| known.contains(passage)).count();
    match 100 * shared > TOLERATED * passages {
        true => Err(Error::SameText { shared, passages }),
        false => Ok(()),
    }
}

/// A stretch of text as a model reads it, and the positions whose predictions count: position `p` predicts `tokens[p + 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// What is read.
    pub tokens: Vec<u32>,
    /// Which predictions count.
    pub scored: std::ops::Range<usize>,
}

/// How a text is cut for perplexity. Figures of different protocols cannot be compared.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Protocol {
    /// What it is called.
    pub name: &'static str,
    /// What it does, for people.
    pub does: &'static str,
    #[serde(skip)]
    cut: fn(&[u32], Option<u32>, usize) -> Vec<Window>,
}

/// Those there are; the first is the default.
pub const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "llama.cpp",
        does: "windows side by side, the first token of each the beginning of text; second halves count",
        cut: halves,
    },
    Protocol { name: "disjoint", does: "windows side by side; all positions count", cut: disjoint },
    Protocol {
        name: "sliding",
        does: "windows that overlap by half; what the one before has not counted counts",
        cut: sliding,
    },
];

impl Protocol {
    /// The protocol of a name.
    pub fn find(name: &str) -> Result<&'static Protocol> {
        let names = || PROTOCOLS.iter().map(|protocol| protocol.name).collect::<Vec<_>>().join(", ");
        let found = PROTOCOLS.iter().find(|protocol| protocol.name == name);
        found.ok_or_else(|| Error::Recipe(format!("there is no protocol {name}; there are {}", names())))
    }

    /// The windows of a text: of `context` tokens, `begin` in front where the model wants a beginning. Errors if there are none.
    pub fn windows(&self, tokens: &[u32], begin: Option<u32>, context: usize) -> Result<Vec<Window>> {
        let windows = (self.cut)(tokens, begin, context.max(4));
        match windows.is_empty() {
            true => Err(Error::TooShort { what: "the test text", tokens: tokens.len(), needed: context }),
            false => Ok(windows),
        }
    }
}

/// What models are tested with, on page and command line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Test {
    /// The name of a protocol.
    pub protocol: String,
    /// Tokens of a window.
    pub context: usize,
    /// At most so many tokens of the text.
    pub tokens: usize,
}

impl Default for Test {
    fn default() -> Test {
        Test { protocol: PROTOCOLS[0].name.into(), context: 512, tokens: 8192 }
    }
}

impl Test {
    /// The windows of a text for models with this tokenizer. Errors if it is too short, or repeats the text that calibrated.
    pub fn windows(&self, tokenizer: &Tokenizer, text: &str, calibration: Option<&str>) -> Result<Vec<Window>> {
        let mut tokens = tokenizer.encode(text)?;
        tokens.truncate(self.tokens);
        if let Some(calibration) = calibration {
            check_disjoint(&tokenizer.encode(calibration)?, &tokens)?;
        }
        // What is put in front of every text, if anything is.
        let begin = tokenizer.encode("")?.first().copied();
        Protocol::find(&self.protocol)?.windows(&tokens, begin, self.context)
    }
}

/// llama.cpp's `perplexity`.
fn halves(tokens: &[u32], begin: Option<u32>, context: usize) -> Vec<Window> {
    let cut = |chunk: &[u32]| {
        let mut tokens = chunk.to_vec();
        if let Some(begin) = begin {
            tokens[0] = begin;
        }
        Window { tokens, scored: context / 2..context - 1 }
    };
    tokens.chunks_exact(context).map(cut).collect()
}

/// As in the papers of GPTQ and its like.
fn disjoint(tokens: &[u32], _: Option<u32>, context: usize) -> Vec<Window> {
    tokens
        .chunks(context)
        .filter(|chunk| chunk.len() > 1)
        .map(|chunk| Window { tokens: chunk.to_vec(), scored: 0..chunk.len() - 1 })
        .collect()
}

/// As in Hugging Face's guide, with a stride of half the window.
fn sliding(tokens: &[u32], _: Option<u32>, context: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    let (mut start, mut counted) = (0, 1);
    while counted < tokens.len() {
        let end = (start + context).min(tokens.len());
        windows.push(Window { tokens: tokens[start..end].to_vec(), scored: counted - 1 - start..end - 1 - start });
        (start, counted) = (start + context / 2, end);
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prediction_counts_once_where_it_should() {
        let tokens: Vec<u32> = (100..1100).collect();
        let cut = |name: &str| Protocol::find(name).unwrap().windows(&tokens, Some(1), 64).unwrap();
        for name in ["disjoint", "sliding"] {
            let mut predicted: Vec<u32> =
                cut(name).iter().flat_map(|w| w.scored.clone().map(|p| w.tokens[p + 1])).collect();
            let all = predicted.len();
            predicted.dedup();
            assert_eq!(all, predicted.len(), "{name}");
            // Of windows side by side, the first token of each follows nothing.
            assert_eq!(all, if name == "sliding" { 999 } else { 1000 - 16 }, "{name}");
        }
        let halves = cut("llama.cpp");
        assert_eq!(halves.len(), 15);
        assert!(halves.iter().all(|w| w.tokens[0] == 1 && w.scored == (32..63)));
    }

    #[test]
    fn a_test_text_that_calibrated_is_refused() {
        let text: Vec<u32> = (0..2000).collect();
        let other: Vec<u32> = (5000..7000).collect();
        assert!(check_disjoint(&text, &other).is_ok());
        assert!(check_disjoint(&text, &text[7..]).is_err());
        let half = [&other[..1000], &text[..1000]].concat();
        assert!(check_disjoint(&text, &half).is_err());
        assert!(check_disjoint(&[], &other).is_ok());
    }
}
