//! A model and its conversation: prompt in, tokens out, a step at a time.
//!
//! A step is one token, or one piece of the prompt, so whoever calls can stop, draw, or read a clock between any two. What the
//! cache already holds of a prompt is not computed again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::cpu::team::Clock;
use crate::error::{Error, Result};
use crate::executor::{Executor, Logits, OpTime, Tuning};
use crate::lookup::Lookup;
use crate::program::Config;
use crate::sampling::{Sampler, Sampling};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::stream::Characters;

/// Prompt tokens in a step.
const CHUNK: usize = 64;

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
    /// Guess ahead by what was said before, see [`Lookup`]. Changes the speed, not the answer. An executor that chooses tokens
    /// itself does not.
    pub lookup: bool,
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
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model said so.
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
    /// Prompt tokens still to read.
    pub prompt_left: usize,
    /// Set by the last step.
    pub finish: Option<Finish>,
}

/// A model in use.
pub struct Session {
    tokenizer: Tokenizer,
    pub(crate) executor: Box<dyn Executor>,
    context: usize,
    /// Tokens of the conversation; the executor has cached a first part of them.
    tokens: Vec<u32>,
    answer: Option<Answer>,
    guesses: Guesses,
}

/// What guessing ahead came to in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Guesses {
    /// Tokens guessed.
    pub guessed: usize,
    /// Those the model chose too: each saved a pass of its own.
    pub right: usize,
}

/// An answer in the making.
struct Answer {
    options: Options,
    sampler: Sampler,
    characters: Characters,
    /// Text held back because a stop text may begin in it.
    held: String,
    made: usize,
    lookup: Lookup,
    /// Tokens that are chosen and not yet told of.
    ready: VecDeque<u32>,
}

impl Answer {
    /// The text that `token` makes certain, and whether a stop text is complete.
    fn tell(&mut self, tokenizer: &Tokenizer, token: u32) -> (String, bool) {
        self.held += &self.characters.push(&tokenizer.bytes(token));
        release(&mut self.held, &self.options.stop)
    }
}

impl Session {
    /// A session over a loaded model that holds `context` positions at most (and at most what the model was made for).
    pub fn new(tokenizer: Tokenizer, executor: Box<dyn Executor>, context: usize) -> Session {
        let context = context.clamp(2, executor.program().config.max_seq.max(2));
        Session { tokenizer, executor, context, tokens: Vec::new(), answer: None, guesses: Guesses::default() }
    }

    /// The model's sizes.
    pub fn config(&self) -> &Config {
        &self.executor.program().config
    }

    /// Bytes of weights that making a token reads, see [`Program::weight_bytes`](crate::program::Program::weight_bytes).
    pub fn weight_bytes(&self) -> usize {
        self.executor.program().weight_bytes()
    }

    /// Bytes of the keys and values that a token adds to the conversation.
    pub fn cache_bytes(&self) -> usize {
        self.executor.cache_bytes()
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Positions the context holds.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Tokens of the conversation so far, prompt and answer.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// What this device does the model's work best with, see [`Executor::tune`].
    pub fn tune(&mut self, clock: Clock, threads: usize, fewer: bool) -> Result<Option<Tuning>> {
        self.executor.tune(clock, threads, fewer)
    }

    /// What each kind of operation takes in a run of `tokens`, see [`Executor::profile`]. Forgets the conversation.
    pub async fn profile(&mut self, tokens: usize) -> Result<Vec<OpTime>> {
        self.reset();
        self.executor.profile(tokens).await
    }

    /// Uses what was found; returns what is used.
    pub fn apply(&mut self, tuning: &Tuning) -> Tuning {
        self.executor.apply(tuning)
    }

    /// Begins an answer to `prompt`; [`Session::step`] makes it. Returns how many prompt tokens have to be read, those the
    /// cache holds from before not counted. Errors leave the conversation as it was.
    pub fn start(&mut self, prompt: &[u32], options: Options) -> Result<usize> {
        options.sampling.check()?;
        self.check(prompt, self.context - 1)?;
        let same = prompt.iter().zip(&self.tokens).take_while(|(a, b)| a == b).count();
        // The last prompt token is always run: its logits are the first choice.
        self.executor.truncate(same.min(prompt.len() - 1));
        self.tokens = prompt.to_vec();
        self.guesses = Guesses::default();
        let made = options.resume.min(prompt.len());
        let mut answer = Answer {
            sampler: Sampler::new(options.sampling.clone()),
            options,
            characters: Characters::default(),
            held: String::new(),
            made,
            lookup: Lookup::default(),
            ready: VecDeque::new(),
        };
        for &token in &prompt[prompt.len() - made..] {
            answer.tell(&self.tokenizer, token);
        }
        self.answer = Some(answer);
        Ok(prompt.len() - self.executor.cached())
    }

    /// Errors unless `tokens` can be run: some, at most `most`, all in the vocabulary.
    pub(crate) fn check(&self, tokens: &[u32], most: usize) -> Result<()> {
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if tokens.len() > most {
            return Err(Error::PromptTooLong { prompt: tokens.len(), context: self.context });
        }
        match tokens.iter().find(|&&token| token as usize >= self.config().vocab_size) {
            Some(token) => Err(Error::InvalidInput(format!("token {token} is not in the vocabulary"))),
            None => Ok(()),
        }
    }

    /// Goes on: reads a piece of the prompt or makes a token. `None` when no answer is in the making.
    pub async fn step(&mut self) -> Result<Option<Step>> {
        let Some(mut answer) = self.answer.take() else { return Ok(None) };
        let pending = self.tokens.get(self.executor.cached()..).unwrap_or_default();
        if pending.len() > CHUNK {
            let left = pending.len() - CHUNK;
            self.executor.forward(&pending[..CHUNK], Logits::None).await?;
            self.answer = Some(answer);
            return Ok(Some(Step { token: None, text: String::new(), prompt_left: left, finish: None }));
        }
        let finish = match (answer.made, self.tokens.len()) {
            (made, _) if made >= answer.options.max_tokens => Some(Finish::Length),
            (_, len) if len == self.context => Some(Finish::Context),
            _ => None,
        };
        if finish.is_some() {
            let text = std::mem::take(&mut answer.held) + &answer.characters.finish();
            return Ok(Some(Step { token: None, text, prompt_left: 0, finish }));
        }
        let token = match answer.ready.pop_front() {
            Some(token) => token,
            None => self.choose(&mut answer).await?,
        };
        answer.made += 1;
        if self.tokenizer.is_end(token) && !answer.options.ignore_eos {
            let text = std::mem::take(&mut answer.held) + &answer.characters.finish();
            return Ok(Some(Step { token: Some(token), text, prompt_left: 0, finish: Some(Finish::End) }));
        }
        self.tokens.push(token);
        let (text, stopped) = answer.tell(&self.tokenizer, token);
        if !stopped {
            self.answer = Some(answer);
        }
        Ok(Some(Step { token: Some(token), text, prompt_left: 0, finish: stopped.then_some(Finish::Stop) }))
    }

    /// Runs what is pending and chooses the token after it. Guessed ones behind it that the model chooses too are ready then.
    async fn choose(&mut self, answer: &mut Answer) -> Result<u32> {
        let cached = self.executor.cached();
        let known = self.tokens.len();
        let vocab_size = self.config().vocab_size;
        let room = (answer.options.max_tokens - answer.made).min(self.context - known) - 1;
        if let Some(choice) = self.executor.choose(&self.tokens[cached..], &answer.options.sampling, room) {
            return choice.await;
        }
        let guess = match answer.options.lookup && known - cached == 1 {
            true => answer.lookup.guess(&self.tokens, room),
            false => Vec::new(),
        };
        if guess.is_empty() {
            let logits = self.executor.forward(&self.tokens[cached..], Logits::Last).await?;
            return Ok(answer.sampler.sample(logits, &self.tokens));
        }
        let run: Vec<u32> = self.tokens[cached..].iter().chain(&guess).copied().collect();
        let logits = self.executor.forward(&run, Logits::All).await?;
        self.tokens.extend(&guess);
        let mut right = 0;
        for (i, logits) in logits.chunks_exact(vocab_size).enumerate() {
            let token = answer.sampler.sample(logits, &self.tokens[..known + i]);
            answer.ready.push_back(token);
            if guess.get(i) != Some(&token) {
                break;
            }
            right += 1;
        }
        self.tokens.truncate(known);
        self.executor.truncate(known + right);
        answer.lookup.learn(guess.len(), right);
        self.guesses.guessed += guess.len();
        self.guesses.right += right;
        Ok(answer.ready.pop_front().expect("a token for every row of logits"))
    }

    /// What guessing ahead came to in the last answer.
    pub fn guesses(&self) -> Guesses {
        self.guesses
    }

    /// Gives up the answer in the making; the conversation keeps what was made.
    pub fn stop(&mut self) {
        self.answer = None;
    }

    /// Forgets the conversation.
    pub fn reset(&mut self) {
        self.stop();
        self.tokens.clear();
        self.executor.truncate(0);
    }

    /// The natural logarithms of the probabilities of every token at each position of `tokens`, given to `each` as
    /// `(position, log-probabilities of the token after it)`. Forgets the conversation.
    pub async fn score(&mut self, tokens: &[u32], mut each: impl FnMut(usize, &[f32])) -> Result<()> {
        self.check(tokens, self.context)?;
        self.reset();
        let mut log_probs = vec![0.0; self.config().vocab_size];
        for (chunk, part) in tokens.chunks(CHUNK).enumerate() {
            let logits = self.executor.forward(part, Logits::All).await?;
            for (i, logits) in logits.chunks_exact(log_probs.len()).enumerate() {
                log_softmax(logits, &mut log_probs);
                each(chunk * CHUNK + i, &log_probs);
            }
        }
        self.reset();
        Ok(())
    }

    /// The logits of what follows `tokens`, `[V]`: what the cache already holds of them is not computed again.
    pub async fn next_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.check(tokens, self.context)?;
        self.stop();
        let same = tokens.iter().zip(&self.tokens).take_while(|(a, b)| a == b).count();
        self.executor.truncate(same.min(tokens.len() - 1));
        self.tokens = tokens.to_vec();
        let cached = self.executor.cached();
        Ok(self.executor.forward(&tokens[cached..], Logits::Last).await?.to_vec())
    }

    /// Runs tokens and returns the logits of them all, `[T, V]`: for tests that compare executors.
    pub async fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.check(tokens, self.context)?;
        self.reset();
        let logits = self.executor.forward(tokens, Logits::All).await?.to_vec();
        self.reset();
        Ok(logits)
    }
}

fn log_softmax(logits: &[f32], out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
    let log_sum = sum.ln() as f32;
    out.iter_mut().zip(logits).for_each(|(out, logit)| *out = logit - max - log_sum);
}

/// Takes from `held` the text that can no longer be part of a stop text; true if one is complete, whose own text is dropped.
fn release(held: &mut String, stops: &[String]) -> (String, bool) {
    let stops = || stops.iter().filter(|stop| !stop.is_empty());
    if let Some(at) = stops().filter_map(|stop| held.find(stop.as_str())).min() {
        held.truncate(at);
        return (std::mem::take(held), true);
    }
    let mut starts: VecDeque<usize> = held.char_indices().map(|(at, _)| at).collect();
    while let Some(&at) = starts.front() {
        if stops().any(|stop| stop.starts_with(&held[at..])) {
            let rest = held.split_off(at);
            return (std::mem::replace(held, rest), false);
        }
        starts.pop_front();
    }
    (std::mem::take(held), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_texts_are_held_back_and_cut() {
        let stops = ["\nUser:".to_owned(), "END".to_owned()];
        let mut held = String::new();
        let mut said = String::new();
        let mut stopped = false;
        for piece in ["E", "NE", "hi\n", "Us", "e it\nUs", "er: x"] {
            held += piece;
            let (text, stop) = release(&mut held, &stops);
            said += &text;
            stopped = stop;
            assert!(!said.contains("\nUser"));
        }
        assert!(stopped);
        assert_eq!(said, "ENEhi\nUse it");
    }

    #[test]
    fn without_stops_nothing_is_held() {
        let mut held = "text".to_owned();
        assert_eq!(release(&mut held, &[String::new()]), ("text".into(), false));
    }

    #[test]
    fn log_softmax_sums_to_one() {
        let mut out = [0.0; 3];
        log_softmax(&[1000.0, 1001.0, 999.0], &mut out);
        let sum: f32 = out.iter().map(|log| log.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
}
