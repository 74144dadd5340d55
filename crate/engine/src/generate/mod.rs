//! A model and its conversation: prompt in, tokens out, a step at a time.
//!
//! A step is one token, or one piece of the prompt, so whoever calls can stop, draw, or read a clock between any two. What the
//! cache already holds of a prompt is not computed again.

mod answer;
pub mod logprobs;
mod options;
mod saved;
pub mod shift;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

pub use logprobs::{Logprob, Logprobs};
pub use options::{Finish, Guesses, MOST_LOGPROBS, Options, Step};

use crate::constraint::Constraint;
use crate::cpu::team::Clock;
use crate::error::{Error, Result};
use crate::executor::{Executor, Logits, OpTime, Tuning};
use crate::program::Config;
use crate::tokenizer::Tokenizer;
use answer::{Answer, Chosen};
use logprobs::log_softmax;
use saved::Saved;

/// Prompt tokens in a step.
const CHUNK: usize = 64;

/// A model in use.
pub struct Session {
    tokenizer: Rc<Tokenizer>,
    pub(crate) executor: Box<dyn Executor>,
    /// Which model it is, see [`crate::fingerprint`].
    fingerprint: u64,
    context: usize,
    /// Tokens of the conversation; the executor has cached a first part of them.
    tokens: Vec<u32>,
    answer: Option<Answer>,
    guesses: Guesses,
}

impl Session {
    /// A session over a loaded model of this [fingerprint](crate::fingerprint).
    pub fn new(tokenizer: Tokenizer, executor: Box<dyn Executor>, fingerprint: u64) -> Session {
        let context = executor.program().config.context;
        let guesses = Guesses::default();
        let tokenizer = Rc::new(tokenizer);
        Session { tokenizer, executor, fingerprint, context, tokens: Vec::new(), answer: None, guesses }
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

    /// The model's tokenizer; a clone of it is of use while the session is away in a step.
    pub fn tokenizer(&self) -> &Rc<Tokenizer> {
        &self.tokenizer
    }

    /// Positions the context holds.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Tokens of the conversation so far, prompt and answer, without those that a [`shift`] forgot.
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
        self.start_constrained(prompt, options, None)
    }

    /// Begins an answer that `constraint` lets through; of a resumed one it is told the beginning first. See [`Session::start`].
    pub fn start_constrained(
        &mut self,
        prompt: &[u32],
        options: Options,
        constraint: Option<Box<dyn Constraint>>,
    ) -> Result<usize> {
        self.check_writes()?;
        options.check(self.config().vocab_size)?;
        let made = options.resume.min(prompt.len());
        // What was made behind the prompt may have been more than the context holds.
        let given = if options.shift { prompt.len() - made } else { prompt.len() };
        self.check(prompt, given, self.context - 1)?;
        let mut answer = Answer::new(options, constraint, &prompt[prompt.len() - made..], &self.tokenizer)?;
        let (tokens, shifts) = shift::replay(prompt, made, self.context, answer.options.keep);
        answer.reseed(shifts);
        let same = tokens.iter().zip(&self.tokens).take_while(|(a, b)| a == b).count();
        // The last token is always run: its logits are the first choice.
        self.executor.truncate(same.min(tokens.len() - 1));
        self.tokens = tokens;
        self.guesses = Guesses::default();
        self.answer = Some(answer);
        Ok(self.tokens.len() - self.executor.cached())
    }

    /// Errors if the model writes no texts.
    fn check_writes(&self) -> Result<()> {
        match self.config().encoder {
            true => {
                Err(Error::InvalidInput("this model is an encoder: it makes vectors of texts and writes none".into()))
            }
            false => Ok(()),
        }
    }

    /// Errors unless `tokens` can be run: some, all in the vocabulary, and `count` of them at once, at most `most`.
    pub(crate) fn check(&self, tokens: &[u32], count: usize, most: usize) -> Result<()> {
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if count > most {
            return Err(Error::PromptTooLong { prompt: count, context: self.context });
        }
        match tokens.iter().find(|&&token| token as usize >= self.config().vocab_size) {
            Some(token) => Err(Error::InvalidInput(format!("token {token} is not in the vocabulary"))),
            None => Ok(()),
        }
    }

    /// Goes on: reads a piece of the prompt or makes a token. `None` when no answer is in the making; an error ends it.
    pub async fn step(&mut self) -> Result<Option<Step>> {
        let Some(mut answer) = self.answer.take() else { return Ok(None) };
        if answer.made >= answer.options.max_tokens {
            return Ok(Some(answer.end(None, Finish::Length)));
        }
        if self.tokens.len() == self.context {
            if !answer.options.shift {
                return Ok(Some(answer.end(None, Finish::Context)));
            }
            self.executor.truncate(shift::shift(&mut self.tokens, answer.options.keep));
            answer.reseed(1);
        }
        let pending = self.tokens.get(self.executor.cached()..).unwrap_or_default();
        if pending.len() > CHUNK {
            let prompt_left = pending.len() - CHUNK;
            self.executor.forward(&pending[..CHUNK], Logits::None).await?;
            self.answer = Some(answer);
            return Ok(Some(Step { token: None, text: String::new(), logprobs: None, prompt_left, finish: None }));
        }
        let chosen = match answer.ready.pop_front() {
            Some(chosen) => chosen,
            None => self.choose(&mut answer).await?,
        };
        answer.made += 1;
        if self.tokenizer.is_end(chosen.token) && !answer.options.ignore_eos {
            return Ok(Some(answer.end(Some(chosen), Finish::End)));
        }
        self.tokens.push(chosen.token);
        let step = answer.take(&self.tokenizer, chosen)?;
        if step.finish.is_none() {
            self.answer = Some(answer);
        }
        Ok(Some(step))
    }

    /// Runs what is pending and chooses the token after it. Guessed ones behind it that the model chooses too are ready then.
    async fn choose(&mut self, answer: &mut Answer) -> Result<Chosen> {
        let cached = self.executor.cached();
        let known = self.tokens.len();
        let vocab_size = self.config().vocab_size;
        let room = (answer.options.max_tokens - answer.made).min(self.context - known) - 1;
        let constrained = answer.constraint.is_some();
        if !constrained && answer.options.logprobs.is_none() {
            let sampling = answer.sampler.sampling();
            if let Some(choice) = self.executor.choose(&self.tokens[cached..], sampling, room) {
                return Ok(Chosen { token: choice.await?, logprobs: None });
            }
        }
        let guess = match answer.options.lookup && !constrained && known - cached == 1 {
            true => answer.lookup.guess(&self.tokens, room),
            false => Vec::new(),
        };
        if guess.is_empty() {
            let mut run = self.executor.forward(&self.tokens[cached..], Logits::Last);
            // Where it answers later, it has begun, and the mask is made meanwhile.
            let begun = poll_fn(|context| Poll::Ready(run.as_mut().poll(context))).await;
            let allowed = answer.constraint.as_mut().map_or(Ok(None), |constraint| constraint.mask());
            let logits = match begun {
                Poll::Ready(logits) => logits?,
                Poll::Pending => run.await?,
            };
            let token = answer.sampler.sample(logits, &self.tokens, allowed?)?;
            return Ok(answer.chosen(logits, token, &self.tokenizer));
        }
        let all = [&self.tokens[..], &guess].concat();
        let logits = self.executor.forward(&all[cached..], Logits::All).await?;
        let mut right = 0;
        for (i, logits) in logits.chunks_exact(vocab_size).enumerate() {
            let token = answer.sampler.sample(logits, &all[..known + i], None)?;
            let chosen = answer.chosen(logits, token, &self.tokenizer);
            answer.ready.push_back(chosen);
            if guess.get(i) != Some(&token) {
                break;
            }
            right += 1;
        }
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

    /// The conversation as bytes that [`Session::restore`] takes, with what is cached of it. An answer in the making is not saved:
    /// [`Options::resume`] goes on with it.
    pub async fn save(&mut self) -> Result<Vec<u8>> {
        // A step that failed may have left more.
        self.executor.truncate(self.tokens.len());
        let (model, format, cached) = (self.fingerprint, &self.cache_format(), self.executor.cached());
        let cache = &self.executor.save().await?;
        Ok(Saved { model, format, tokens: self.tokens.clone(), cached, cache }.write())
    }

    /// The conversation as bytes that [`Session::restore`] takes, without what is cached: also where the executor has failed.
    pub fn save_tokens(&self) -> Vec<u8> {
        // The cache of no executor is of this format.
        Saved { model: self.fingerprint, format: "", tokens: self.tokens.clone(), cached: 0, cache: &[] }.write()
    }

    /// Reads a piece of the conversation that is not cached yet, such as a restored one's: all but the last token, with which an
    /// answer begins. Returns how many tokens are left to read.
    pub async fn read(&mut self) -> Result<usize> {
        let (cached, end) = (self.executor.cached(), self.tokens.len().min(self.context).saturating_sub(1));
        let piece = cached..end.min(cached + CHUNK);
        if !piece.is_empty() {
            self.executor.forward(&self.tokens[piece.clone()], Logits::None).await?;
        }
        Ok(end - piece.end)
    }

    /// How keys and values lie, and how the keys were turned.
    fn cache_format(&self) -> String {
        format!("{}, {}", self.executor.cache_format(), self.executor.program().rotations())
    }

    /// Takes up a saved conversation in place of this one: the next answer whose prompt begins with its tokens goes on from there,
    /// bit by bit as if it had not been saved. An executor that caches in another way, a smaller context, or one whose room made
    /// rotations others, keeps the tokens and reads them again. Errors if the bytes are damaged or another model's, and leaves the
    /// conversation as it was.
    pub fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let saved = Saved::read(saved, self.fingerprint, self.config().vocab_size)?;
        if saved.format == self.cache_format() && saved.cached < self.context {
            self.executor.restore(&saved.tokens[..saved.cached], saved.cache)?;
        } else {
            self.executor.truncate(0);
        }
        self.stop();
        self.tokens = saved.tokens;
        Ok(())
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
        self.check_writes()?;
        self.check(tokens, tokens.len(), self.context)?;
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
        self.check_writes()?;
        self.check(tokens, tokens.len(), self.context)?;
        self.stop();
        let same = tokens.iter().zip(&self.tokens).take_while(|(a, b)| a == b).count();
        self.executor.truncate(same.min(tokens.len() - 1));
        self.tokens = tokens.to_vec();
        let cached = self.executor.cached();
        Ok(self.executor.forward(&tokens[cached..], Logits::Last).await?.to_vec())
    }

    /// Runs tokens and returns the logits of them all, `[T, V]`: for tests that compare executors.
    pub async fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.check(tokens, tokens.len(), self.context)?;
        self.reset();
        let logits = self.executor.forward(tokens, Logits::All).await?.to_vec();
        self.reset();
        Ok(logits)
    }
}
