//! What is asked of an answer, and what its steps bring.

use serde::{Deserialize, Serialize};

use super::logprobs::Logprobs;
use crate::error::{Error, Result};
use crate::sampling::Sampling;

/// Likeliest tokens that may be told with each token at most.
pub const MOST_LOGPROBS: usize = 20;

/// How an answer is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Longest answer.
    pub max_tokens: usize,
    /// How tokens are chosen.
    #[serde(flatten)]
    pub sampling: Sampling,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// So many tokens at the prompt's end are the answer's beginning, made and told of before: it goes on behind them, as if it
    /// had not been interrupted.
    pub resume: usize,
    /// Go on after the model's own end token.
    pub ignore_eos: bool,
    /// Guess ahead by what was said before, see [`Lookup`](crate::lookup::Lookup). Changes the speed, not the answer. Where an
    /// executor chooses tokens itself, and under a constraint, nothing is guessed.
    pub lookup: bool,
    /// Tell each token's log-probability and this many of the likeliest tokens, at most [`MOST_LOGPROBS`].
    pub logprobs: Option<usize>,
    /// Forget the oldest half when the context is full, and go on, see [`shift`](super::shift). Else the answer ends.
    pub shift: bool,
    /// So many tokens at the conversation's beginning are never forgotten; one is always kept.
    pub keep: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_tokens: 512,
            sampling: Sampling::default(),
            stop: Vec::new(),
            resume: 0,
            ignore_eos: false,
            lookup: true,
            logprobs: None,
            shift: false,
            keep: 4,
        }
    }
}

impl Options {
    /// Errors, naming the field, if a value is out of its range.
    pub fn check(&self, vocab_size: usize) -> Result<()> {
        self.sampling.check()?;
        self.sampling.logit_bias.check_tokens(vocab_size)?;
        match self.logprobs {
            Some(n) if n > MOST_LOGPROBS => {
                Err(Error::InvalidInput(format!("logprobs is {n}; it goes from 0 to {MOST_LOGPROBS}")))
            }
            _ => Ok(()),
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model said so, or nothing may follow what a constraint has let through.
    End,
    /// A stop text appeared.
    Stop,
    /// `max_tokens` were made.
    Length,
    /// The context is full.
    Context,
}

/// What a step brought.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The new token; none while the prompt is read.
    pub token: Option<u32>,
    /// Text that is now certain: may lag behind while a character or a stop text is incomplete.
    pub text: String,
    /// How likely the token was, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Logprobs>,
    /// Prompt tokens still to read; after a shift, tokens still to read again.
    pub prompt_left: usize,
    /// Set by the last step.
    pub finish: Option<Finish>,
}

/// What guessing ahead came to in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Guesses {
    /// Tokens guessed.
    pub guessed: usize,
    /// Those the model chose too: each saved a pass of its own.
    pub right: usize,
}
