//! Several answers to one prompt, to choose from.

use serde::Serialize;

use super::{Finish, Options, Session};
use crate::error::Result;

/// One of several answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Continuation {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Its text.
    pub text: String,
    /// Why it ended; none if nothing was to be made.
    pub finish: Option<Finish>,
}

impl Session {
    /// `n` answers to `prompt`, drawn with the seeds `seed`, `seed + 1`, …; the prompt is read once, all but the first find it in
    /// the cache.
    pub async fn continuations(&mut self, prompt: &[u32], options: &Options, n: usize) -> Result<Vec<Continuation>> {
        let mut all = Vec::new();
        for i in 0..n {
            let mut options = options.clone();
            options.sampling.seed = options.sampling.seed.wrapping_add(i as u64);
            self.start(prompt, options)?;
            let mut made = Continuation { tokens: Vec::new(), text: String::new(), finish: None };
            while let Some(step) = self.step().await? {
                made.tokens.extend(step.token);
                made.text += &step.text;
                made.finish = step.finish;
            }
            all.push(made);
        }
        Ok(all)
    }
}
