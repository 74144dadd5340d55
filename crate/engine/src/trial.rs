//! A rehearsal: what a session says to a fixed run of tokens and how fast, so that two executors of one model can be compared
//! before one is trusted with the conversation.

use crate::cpu::team::Clock;
use crate::error::{Error, Result};
use crate::executor::{Executor, Logits};
use crate::generate::Session;
use crate::sampling::{Sampler, Sampling, argmax};

/// Tokens of the prompt, of smaller runs behind it, and tokens made for the clock. An executor may have other kernels for each.
const RUNS: (usize, [usize; 2], usize) = (40, [12, 3], 8);

/// Draws that are compared with those of a [`Sampler`], and how many may differ: logits may be as near as the last digits of two
/// logarithms.
const DRAWS: (u64, usize) = (3, 1);

/// How far logits may be apart that differ only in the order of sums.
const SAME: f32 = 1e-2;

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Logits of the last token of the prompt, of each smaller run, and of a single token behind them, `[4, V]`.
    pub logits: Vec<f32>,
    /// Prompt tokens read a second.
    pub prompt_per_second: f64,
    /// Tokens made a second.
    pub decode_per_second: f64,
}

impl Session {
    /// Rehearses. Forgets the conversation. Errors also if the executor contradicts itself: if its paths give different logits, or
    /// it chooses other tokens than its logits say.
    pub async fn trial(&mut self, clock: Clock) -> Result<Trial> {
        self.reset();
        let vocab_size = self.config().vocab_size;
        let (prompt, few, made) = RUNS;
        let all = prompt + few.iter().sum::<usize>();
        let tokens: Vec<u32> = (0..all + 1).map(|i| ((i * 7919 + 13) % vocab_size) as u32).collect();
        let executor = &mut *self.executor;
        let mut logits = Vec::new();
        for run in [prompt, few[0], few[1], 1] {
            let behind = executor.cached();
            logits.extend_from_slice(executor.forward(&tokens[behind..behind + run], Logits::Last).await?);
        }
        let last = &logits[logits.len() - vocab_size..];
        for path in 0..executor.paths() {
            executor.truncate(all);
            executor.force_path(Some(path));
            let apart = executor.forward(&tokens[all..], Logits::Last).await.map(|found| relative_error(found, last));
            executor.force_path(None);
            let apart = apart?;
            if apart.is_nan() || apart > SAME {
                return Err(Error::Gpu(format!("its logits depend on how attention is split, by {apart:.1e}")));
            }
        }
        check_choices(executor, &tokens, last).await?;

        executor.truncate(0);
        let start = clock();
        executor.forward(&tokens[..prompt], Logits::Last).await?;
        let read = clock();
        let mut last = tokens[prompt];
        for left in (0..made).rev() {
            let chosen = match executor.choose(&[last], &Sampling::greedy(), left) {
                Some(choice) => Some(choice.await?),
                None => None,
            };
            last = match chosen {
                Some(token) => token,
                None => argmax(executor.forward(&[last], Logits::Last).await?.iter().copied()),
            };
        }
        let per_second = |tokens: usize, milliseconds: f64| tokens as f64 / milliseconds.max(1e-3) * 1000.0;
        let prompt_per_second = per_second(prompt, read - start);
        let decode_per_second = per_second(made, clock() - read);
        self.reset();
        Ok(Trial { logits, prompt_per_second, decode_per_second })
    }
}

fn relative_error(a: &[f32], b: &[f32]) -> f32 {
    let square = |(a, b): (&f32, &f32)| (a - b) * (a - b);
    (a.iter().zip(b).map(square).sum::<f32>() / b.iter().map(|b| b * b).sum::<f32>()).sqrt()
}

/// Errors unless the executor chooses the tokens behind `tokens` that its `logits: [V]` say, if it chooses at all.
async fn check_choices(executor: &mut dyn Executor, tokens: &[u32], logits: &[f32]) -> Result<()> {
    let drawn = (0..DRAWS.0).map(|seed| Sampling { seed, ..Sampling::default() });
    let mut others = 0;
    for (i, sampling) in std::iter::once(Sampling::greedy()).chain(drawn).enumerate() {
        executor.truncate(tokens.len() - 1);
        let Some(choice) = executor.choose(&tokens[tokens.len() - 1..], &sampling, 0) else { return Ok(()) };
        let same = choice.await? == Sampler::new(sampling).sample(logits, tokens, None)?;
        others += usize::from(!same);
        if (i == 0 && !same) || others > DRAWS.1 {
            return Err(Error::Gpu("it chose other tokens than its logits say".into()));
        }
    }
    Ok(())
}
