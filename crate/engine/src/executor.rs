//! What every executor of a [`Program`] offers: take weights row by row, run tokens, forget.

use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::cpu::team::Clock;
use crate::error::{Error, Result};
use crate::program::{Program, WeightId};
use crate::sampling::Sampling;

/// Which positions' logits a run should give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// None: the run only fills the cache.
    None,
    /// The last token's, `[V]`.
    Last,
    /// All tokens', `[T, V]`.
    All,
}

/// What was found best on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuning {
    /// Name of the kernel.
    pub kernel: String,
    /// Number of threads.
    pub threads: usize,
}

/// The logits of a run: there at once, or, where another device makes them, later.
pub type Run<'a> = Pin<Box<dyn Future<Output = Result<&'a [f32]>> + 'a>>;

/// What an operation of a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OpTime {
    /// Which kind of operation.
    pub op: &'static str,
    /// How many there are of it.
    pub dispatches: usize,
    /// Of all of them together.
    pub microseconds: f64,
}

/// Operations' times: there at once, or later.
pub type Times<'a> = Pin<Box<dyn Future<Output = Result<Vec<OpTime>>> + 'a>>;

/// Keys and values as bytes: there at once, or later.
pub type Cache<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + 'a>>;

/// A token that an executor chose: there at once, or later.
pub type Choice<'a> = Pin<Box<dyn Future<Output = Result<u32>> + 'a>>;

/// Errors unless `cache` is as long as the keys and values of `positions`, each of so many bytes.
pub fn check_length(cache: &[u8], positions: usize, position_bytes: usize) -> Result<()> {
    match positions.checked_mul(position_bytes) {
        Some(expected) if expected == cache.len() => Ok(()),
        _ => {
            let what = format!("{positions} positions do not take {} bytes of keys and values", cache.len());
            Err(Error::SessionDamaged { what })
        }
    }
}

/// Runs a program.
pub trait Executor {
    /// What it runs.
    fn program(&self) -> &Program;

    /// Takes rows of a weight as the file stores them; `first_row` and the count are multiples of
    /// [`ROW_RUN`](crate::formats::gguf::ROW_RUN) except at the weight's end.
    fn load_rows(&mut self, weight: WeightId, first_row: usize, bytes: &[u8]) -> Result<()>;

    /// Runs `tokens` behind the cached positions and appends them to the cache. Returns logits as asked.
    /// Panics if a token is outside the vocabulary: callers check.
    fn forward<'a>(&'a mut self, tokens: &'a [u32], logits: Logits) -> Run<'a>;

    /// Runs `tokens` as [`Executor::forward`] does and chooses the one after them, so that logits need not travel; `None` if this
    /// executor leaves choosing to [`Sampler`](crate::sampling::Sampler), as all do with what is not
    /// [plain](Sampling::is_plain). Up to `more` tokens may be asked for after this one, each
    /// behind the one before: it may begin with them.
    fn choose<'a>(&'a mut self, _tokens: &'a [u32], _sampling: &Sampling, _more: usize) -> Option<Choice<'a>> {
        None
    }

    /// In how many ways it runs single tokens; which one, depends on how many are cached.
    fn paths(&self) -> usize {
        1
    }

    /// Runs single tokens in this way from now on, or again as it sees fit.
    fn force_path(&mut self, _path: Option<usize>) {}

    /// What each kind of operation takes when `tokens` are run behind an empty cache, by the device's own clock; nothing where it
    /// has none. Leaves the cache empty.
    fn profile(&mut self, _tokens: usize) -> Times<'_> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Number of cached positions, S.
    fn cached(&self) -> usize;

    /// Bytes that the keys and values of a position take.
    fn cache_bytes(&self) -> usize;

    /// Forgets all cached positions from `len` on.
    fn truncate(&mut self, len: usize);

    /// How keys and values lie in what [`Executor::save`] gives: an executor that says the same takes them back.
    fn cache_format(&self) -> &'static str;

    /// The keys and values of the cached positions.
    fn save(&mut self) -> Cache<'_>;

    /// Takes `tokens` and their keys and values, as saved, in place of all cached positions. Errors, and leaves the cache as it was,
    /// if `cache` has another length than so many positions take, or memory is refused.
    fn restore(&mut self, tokens: &[u32], cache: &[u8]) -> Result<()>;

    /// Finds by timing what suits this device, with `threads` threads or, if `fewer` may do, with the best number up to that.
    /// `None` if there is nothing to choose. Leaves kernel, threads and conversation as they were.
    fn tune(&mut self, _clock: Clock, _threads: usize, _fewer: bool) -> Result<Option<Tuning>> {
        Ok(None)
    }

    /// Uses what was found, as far as this build and the threads there are allow. Returns what is used.
    fn apply(&mut self, _tuning: &Tuning) -> Tuning {
        Tuning { kernel: "naive".into(), threads: 1 }
    }
}
