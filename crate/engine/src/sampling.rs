//! From logits to a token: repetition penalty, then greedy choice or top-k, top-p, min-p, temperature, in llama.cpp's order.
//!
//! Drawing is by the Gumbel-max trick (Maddison et al. 2014, arXiv:1411.0030): the largest sum of logit and noise wins. The noise
//! depends on seed, position and token alone, so any executor that chooses tokens itself draws the same ones, in any order.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How to choose tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Keeps the k likeliest tokens; 0 keeps all. Fan et al. 2018, arXiv:1805.04833.
    pub top_k: usize,
    /// Keeps the likeliest tokens that together have this probability. Holtzman et al. 2019, arXiv:1904.09751.
    pub top_p: f32,
    /// Drops tokens less likely than this times the likeliest. Nguyen et al. 2024, arXiv:2407.01082.
    pub min_p: f32,
    /// Divides (or multiplies, if negative) the logits of recent tokens; 1 is off. Keskar et al. 2019, arXiv:1909.05858.
    pub repetition_penalty: f32,
    /// How many tokens count as recent.
    pub repetition_window: usize,
    /// Same seed, same text.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.7,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.1,
            repetition_window: 64,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Always the likeliest token, nothing penalised.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, repetition_penalty: 1.0, ..Sampling::default() }
    }

    /// Errors, naming the field, if a value is out of its range.
    pub fn check(&self) -> Result<()> {
        let in_range = |name, value: f32, low: f32, high: f32| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(Error::InvalidInput(format!("{name} is {value}; it goes from {low} to {high}"))),
        };
        in_range("temperature", self.temperature, 0.0, 100.0)?;
        in_range("top_p", self.top_p, 0.0, 1.0)?;
        in_range("min_p", self.min_p, 0.0, 1.0)?;
        in_range("repetition_penalty", self.repetition_penalty, 0.01, 100.0)
    }

    /// The seed in 32 bits, which is what the noise is made from.
    pub fn seed(&self) -> u32 {
        (self.seed ^ self.seed >> 32) as u32
    }
}

/// A candidate: token and logit, later token and probability.
type Candidate = (u32, f32);

/// Draws tokens.
pub struct Sampler {
    sampling: Sampling,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// For an answer.
    pub fn new(sampling: Sampling) -> Sampler {
        Sampler { sampling, candidates: Vec::new() }
    }

    /// Chooses the token after `tokens`, the last ones of which may be penalised, by `logits: [V]`.
    pub fn sample(&mut self, logits: &[f32], tokens: &[u32]) -> u32 {
        let s = &self.sampling;
        let recent = &tokens[tokens.len().saturating_sub(s.repetition_window)..];
        let penalised = s.repetition_penalty != 1.0 && !recent.is_empty();
        if s.temperature == 0.0 && !penalised {
            return argmax(logits.iter().copied());
        }
        self.candidates.clear();
        self.candidates.extend(logits.iter().enumerate().map(|(id, &logit)| (id as u32, logit)));
        if penalised {
            for (i, &token) in recent.iter().enumerate() {
                if recent[..i].contains(&token) {
                    continue;
                }
                let logit = &mut self.candidates[token as usize].1;
                *logit = if *logit > 0.0 { *logit / s.repetition_penalty } else { *logit * s.repetition_penalty };
            }
        }
        if s.temperature == 0.0 {
            return argmax(self.candidates.iter().map(|candidate| candidate.1));
        }
        keep_top_k(&mut self.candidates, s.top_k);
        probabilities(&mut self.candidates, 1.0);
        keep_top_p(&mut self.candidates, s.top_p);
        keep_min_p(&mut self.candidates, s.min_p);
        // Logarithms are logits again, up to a constant, which is the same for all.
        let position = tokens.len() as u32;
        let race = |&(token, p): &Candidate| (token, libm::logf(p) / s.temperature + gumbel(s.seed(), position, token));
        let first = self.candidates.iter().map(race).min_by(likelier_first);
        first.expect("the likeliest is always kept").0
    }
}

/// The index of the largest number; the first of equals. NaN never wins.
pub fn argmax(numbers: impl Iterator<Item = f32>) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, number) in numbers.enumerate() {
        if number > best.1 {
            best = (i as u32, number);
        }
    }
    best.0
}

fn likelier_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Sorts, after dropping all but the `k` largest (all are kept for 0).
fn keep_top_k(candidates: &mut Vec<Candidate>, k: usize) {
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, likelier_first);
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(likelier_first);
}

/// Softmax of logits over `temperature`; the first candidate is the largest.
fn probabilities(candidates: &mut [Candidate], temperature: f32) {
    let max = candidates[0].1;
    candidates.iter_mut().for_each(|candidate| candidate.1 = ((candidate.1 - max) / temperature).exp());
    let sum: f32 = candidates.iter().map(|candidate| candidate.1).sum();
    candidates.iter_mut().for_each(|candidate| candidate.1 /= sum);
}

fn keep_top_p(candidates: &mut Vec<Candidate>, p: f32) {
    let mut sum = 0.0;
    let enough = candidates.iter().position(|candidate| {
        sum += candidate.1;
        sum >= p
    });
    candidates.truncate(enough.map_or(candidates.len(), |last| last + 1));
}

fn keep_min_p(candidates: &mut Vec<Candidate>, p: f32) {
    let least = candidates[0].1 * p;
    let unlikely = candidates.iter().position(|candidate| candidate.1 < least);
    candidates.truncate(unlikely.unwrap_or(candidates.len()).max(1));
}

/// PCG-RXS-M-XS (O'Neill 2014; Jarzynski & Olano 2020, "Hash Functions for GPU Rendering").
fn hash(x: u32) -> u32 {
    let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = (state >> ((state >> 28) + 4) ^ state).wrapping_mul(277_803_737);
    word >> 22 ^ word
}

/// −ln(−ln(1 − v)) for a v that is evenly spread over the unit interval.
fn gumbel(seed: u32, position: u32, token: u32) -> f32 {
    let bits = hash(token.wrapping_add(hash(position.wrapping_add(hash(seed)))));
    let v = ((bits >> 8) as f32 + 0.5) * (1.0 / 16_777_216.0);
    -libm::logf(-libm::log1pf(-v))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, -2.0, 2.0, 0.0];

    fn drawn(sampling: Sampling) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..2000).map(|position| sampler.sample(&LOGITS, &[0; 2000][..position])).collect()
    }

    fn plain() -> Sampling {
        Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, ..Sampling::default() }
    }

    #[test]
    fn frequencies_follow_softmax() {
        let drawn = drawn(plain());
        let sum: f32 = LOGITS.iter().map(|logit| logit.exp()).sum();
        for (id, logit) in LOGITS.iter().enumerate() {
            let share = drawn.iter().filter(|&&token| token == id as u32).count() as f32 / 2000.0;
            assert!((share - logit.exp() / sum).abs() < 0.03, "{id}: {share}");
        }
    }

    #[test]
    fn each_filter_keeps_what_it_says() {
        let kept = |sampling| {
            let mut kept = drawn(sampling);
            kept.sort_unstable();
            kept.dedup();
            kept
        };
        assert_eq!(kept(Sampling { top_k: 2, ..plain() }), [1, 3]);
        assert_eq!(kept(Sampling { top_p: 0.8, ..plain() }), [1, 3]);
        assert_eq!(kept(Sampling { top_p: 0.0, ..plain() }), [1]);
        assert_eq!(kept(Sampling { min_p: 0.1, ..plain() }), [0, 1, 3]);
        assert_eq!(kept(Sampling { temperature: 0.0, ..plain() }), [1]);
    }

    #[test]
    fn seeds_repeat_and_differ() {
        assert_eq!(drawn(plain()), drawn(plain()));
        assert_ne!(drawn(plain()), drawn(Sampling { seed: 1, ..plain() }));
    }

    #[test]
    fn recent_tokens_are_penalised_once() {
        let sampling = Sampling { repetition_penalty: 1.4, repetition_window: 3, ..Sampling::greedy() };
        let mut sampler = Sampler::new(sampling);
        assert_eq!(sampler.sample(&LOGITS, &[]), 1);
        assert_eq!(sampler.sample(&LOGITS, &[1, 1, 1]), 1);
        assert_eq!(sampler.sample(&[1.0, 3.0, 0.0, 2.5, 0.0], &[1, 1, 1]), 3);
        assert_eq!(sampler.sample(&[1.0, 3.0, 0.0, 2.5, 0.0], &[1, 0, 0, 0]), 1);
    }

    #[test]
    fn odd_values_are_named() {
        let error = Sampling { top_p: 1.5, ..plain() }.check().unwrap_err();
        assert_eq!(error.to_string(), "top_p is 1.5; it goes from 0 to 1");
        assert!(Sampling { temperature: f32::NAN, ..plain() }.check().is_err());
    }
}
