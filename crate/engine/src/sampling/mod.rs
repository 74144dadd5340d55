//! From logits to a token, in llama.cpp's order (its `common/sampling.cpp`) and with its probabilities:
//!
//! ```text
//! what a constraint forbids is out ─ logit bias ─┬─ CHAIN ──────────────────────────────────────────────┬─ draw
//!                                                └─ fixed temperature ─ Mirostat, if it is asked for ───┘
//! ```
//!
//! The draw is our own, see [`noise`]. `tests/fixtures/make_sampling.py` asks llama.cpp what is left of some dozens of logits and
//! with what probability.

mod bias;
mod candidates;
mod filters;
mod mirostat;
pub mod noise;
mod options;
mod penalties;
mod temperature;

pub use bias::LogitBias;
pub use candidates::Candidate;
pub use options::Sampling;

use crate::constraint::allows;
use crate::error::{Error, Result};
use candidates::{Candidates, likelier_first};
use mirostat::Mirostat;

/// A step of the chain: what is asked for, the tokens so far, and what is left of the candidates.
type Step = fn(&Sampling, &[u32], &mut Candidates);

/// All steps in order.
const CHAIN: &[Step] = &[
    penalties::penalties,
    filters::top_n_sigma,
    filters::top_k,
    filters::typical_p,
    filters::top_p,
    filters::min_p,
    filters::xtc,
    temperature::temperature,
];

/// The steps before Mirostat.
const MIROSTAT_CHAIN: &[Step] = &[temperature::fixed_temperature];

/// Draws the tokens of an answer.
pub struct Sampler {
    sampling: Sampling,
    candidates: Candidates,
    mirostat: Mirostat,
}

impl Sampler {
    /// For an answer.
    pub fn new(sampling: Sampling) -> Sampler {
        Sampler { mirostat: Mirostat::new(&sampling), sampling, candidates: Candidates::default() }
    }

    /// Chooses the token after `tokens`, the last ones of which may be penalised, by `logits: [V]`, among those that have a bit in
    /// the mask `allowed` (see [`Constraint::mask`](crate::constraint::Constraint::mask)). Errors if no token can be chosen.
    pub fn sample(&mut self, logits: &[f32], tokens: &[u32], allowed: Option<&[u32]>) -> Result<u32> {
        if self.sampling.is_largest() {
            return largest(logits, allowed);
        }
        self.apply(logits, tokens, allowed)?;
        let (seed, position) = (self.sampling.seed(), tokens.len() as u32);
        let most = self.candidates.largest();
        let race = |c: &Candidate| Candidate { logit: c.logit - most + noise::gumbel(seed, position, c.token), ..*c };
        let first = self.candidates.list.iter().map(race).min_by(likelier_first).expect("one is always kept");
        self.chose(first.token);
        Ok(first.token)
    }

    /// What [`Sampler::sample`] would draw from: the tokens that are left and their probabilities. Whoever draws by himself says
    /// what, see [`Sampler::chose`].
    pub fn candidates(&mut self, logits: &[f32], tokens: &[u32], allowed: Option<&[u32]>) -> Result<&[Candidate]> {
        self.apply(logits, tokens, allowed)?;
        self.candidates.softmax();
        self.candidates.list.retain(|candidate| candidate.p > 0.0);
        Ok(&self.candidates.list)
    }

    /// This one of the candidates was chosen, from which Mirostat learns.
    pub fn chose(&mut self, token: u32) {
        if self.sampling.mirostat_tau > 0.0 {
            self.candidates.softmax();
            let chosen = self.candidates.list.iter().find(|candidate| candidate.token == token);
            self.mirostat.learn(&self.sampling, chosen.map_or(1.0, |candidate| candidate.p));
        }
    }

    /// Runs the chain.
    fn apply(&mut self, logits: &[f32], tokens: &[u32], allowed: Option<&[u32]>) -> Result<()> {
        let Sampler { sampling, candidates, mirostat } = self;
        candidates.fill(logits);
        if let Some(allowed) = allowed {
            candidates.list.retain(|candidate| allows(allowed, candidate.token));
        }
        sampling.logit_bias.add(candidates);
        // Logits that are no numbers are a broken model's, and as good as any.
        if candidates.list.iter().all(|candidate| candidate.logit == f32::NEG_INFINITY) {
            return Err(Error::NothingAllowed);
        }
        let steers = sampling.mirostat_tau > 0.0;
        let chain = if steers { MIROSTAT_CHAIN } else { CHAIN };
        chain.iter().for_each(|step| step(sampling, tokens, candidates));
        if steers {
            mirostat.filter(candidates);
        }
        Ok(())
    }

    /// How it chooses.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// Draws with this seed from now on.
    pub fn reseed(&mut self, seed: u64) {
        self.sampling.seed = seed;
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

/// The largest logit that is allowed.
fn largest(logits: &[f32], allowed: Option<&[u32]>) -> Result<u32> {
    let Some(mask) = allowed else { return Ok(argmax(logits.iter().copied())) };
    let possible = (0..).zip(logits).filter(|(token, _)| allows(mask, *token));
    let all = possible.map(|(token, &logit)| Candidate { token, logit, p: 0.0 });
    all.min_by(likelier_first).map(|first| first.token).ok_or(Error::NothingAllowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, -2.0, 2.0, 0.0];

    fn drawn(sampling: Sampling) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..2000).map(|position| sampler.sample(&LOGITS, &[0; 2000][..position], None).unwrap()).collect()
    }

    fn share(drawn: &[u32], token: u32) -> f32 {
        drawn.iter().filter(|&&other| other == token).count() as f32 / drawn.len() as f32
    }

    #[test]
    fn frequencies_follow_softmax() {
        let drawn = drawn(Sampling::unfiltered());
        let sum: f32 = LOGITS.iter().map(|logit| logit.exp()).sum();
        for (id, logit) in LOGITS.iter().enumerate() {
            let share = share(&drawn, id as u32);
            assert!((share - logit.exp() / sum).abs() < 0.03, "{id}: {share}");
        }
    }

    /// The chain may give the right probabilities and the draw still not follow them.
    #[test]
    fn frequencies_follow_the_whole_chain() {
        for sampling in [
            Sampling { xtc_probability: 0.4, xtc_threshold: 0.2, ..Sampling::unfiltered() },
            Sampling { dynatemp_range: 0.8, typical_p: 0.9, ..Sampling::unfiltered() },
            Sampling {
                frequency_penalty: 0.002,
                presence_penalty: 1.0,
                repetition_window: -1,
                ..Sampling::unfiltered()
            },
        ] {
            let drawn = drawn(sampling.clone());
            let mut expected = [0.0; 5];
            let mut sampler = Sampler::new(sampling.clone());
            for position in 0..2000 {
                for candidate in sampler.candidates(&LOGITS, &[0; 2000][..position], None).unwrap() {
                    expected[candidate.token as usize] += candidate.p / 2000.0;
                }
            }
            for (id, expected) in expected.into_iter().enumerate() {
                let share = share(&drawn, id as u32);
                assert!((share - expected).abs() < 0.03, "{sampling:?} {id}: {share}, not {expected}");
            }
        }
    }

    #[test]
    fn top_choices_are_excluded_as_often_as_asked() {
        let sampling = Sampling { xtc_probability: 0.3, xtc_threshold: 0.2, top_k: 2, ..Sampling::unfiltered() };
        let mut sampler = Sampler::new(sampling);
        let excluded =
            (0..2000).filter(|&position| sampler.candidates(&LOGITS, &[0; 2000][..position], None).unwrap().len() == 1);
        let share = excluded.count() as f32 / 2000.0;
        assert!((share - 0.3).abs() < 0.03, "{share}");
    }

    #[test]
    fn each_filter_keeps_what_it_says() {
        let kept = |sampling| {
            let mut kept = drawn(sampling);
            kept.sort_unstable();
            kept.dedup();
            kept
        };
        let plain = Sampling::unfiltered;
        assert_eq!(kept(Sampling { top_k: 2, ..plain() }), [1, 3]);
        assert_eq!(kept(Sampling { top_p: 0.8, ..plain() }), [1, 3]);
        assert_eq!(kept(Sampling { top_p: 0.0, ..plain() }), [1]);
        assert_eq!(kept(Sampling { top_p: 0.0, min_keep: 3, ..plain() }), [0, 1, 3]);
        assert_eq!(kept(Sampling { min_p: 0.1, ..plain() }), [0, 1, 3]);
        assert_eq!(kept(Sampling { min_p: 1.0, min_keep: 2, ..plain() }), [1, 3]);
        assert_eq!(kept(Sampling { top_n_sigma: 1.0, ..plain() }), [1, 3]);
        // The likeliest is too likely: 0.46 nats where 0.97 are expected, against 1.46.
        assert_eq!(kept(Sampling { typical_p: 0.1, ..plain() }), [3]);
        assert_eq!(kept(Sampling { xtc_probability: 1.0, xtc_threshold: 0.2, top_k: 3, ..plain() }), [0, 3]);
        assert_eq!(kept(Sampling { temperature: 0.0, ..plain() }), [1]);
        assert_eq!(kept(Sampling { logit_bias: LogitBias(vec![(1, f32::NEG_INFINITY)]), top_k: 2, ..plain() }), [0, 3]);
    }

    #[test]
    fn seeds_repeat_and_differ() {
        assert_eq!(drawn(Sampling::unfiltered()), drawn(Sampling::unfiltered()));
        assert_ne!(drawn(Sampling::unfiltered()), drawn(Sampling { seed: 1, ..Sampling::unfiltered() }));
    }

    #[test]
    fn recent_tokens_are_penalised_once() {
        let sampling = Sampling { repetition_penalty: 1.4, repetition_window: 3, ..Sampling::greedy() };
        let mut sampler = Sampler::new(sampling);
        let mut sample = |logits: &[f32], tokens: &[u32]| sampler.sample(logits, tokens, None).unwrap();
        assert_eq!(sample(&LOGITS, &[]), 1);
        assert_eq!(sample(&LOGITS, &[1, 1, 1]), 1);
        assert_eq!(sample(&[1.0, 3.0, 0.0, 2.5, 0.0], &[1, 1, 1]), 3);
        assert_eq!(sample(&[1.0, 3.0, 0.0, 2.5, 0.0], &[1, 0, 0, 0]), 1);
    }

    #[test]
    fn what_is_not_allowed_is_out_before_everything_else() {
        for sampling in [Sampling::greedy(), Sampling { top_k: 1, ..Sampling::default() }] {
            let mut sampler = Sampler::new(sampling);
            assert_eq!(sampler.sample(&LOGITS, &[], Some(&[0b11101])).unwrap(), 3);
            assert_eq!(sampler.sample(&LOGITS, &[], Some(&[0b10000])).unwrap(), 4);
            for none in [&[0b100000][..], &[]] {
                assert_eq!(sampler.sample(&LOGITS, &[], Some(none)).unwrap_err().code(), "nothing_allowed");
            }
        }
        let bias = LogitBias((0..5).map(|token| (token, f32::NEG_INFINITY)).collect());
        let mut sampler = Sampler::new(Sampling { logit_bias: bias, ..Sampling::default() });
        assert_eq!(sampler.sample(&LOGITS, &[], None).unwrap_err().code(), "nothing_allowed");
    }

    #[test]
    fn logits_that_are_no_numbers_do_not_panic() {
        for logits in [[f32::NAN; 3], [f32::INFINITY, f32::NAN, 1.0], [f32::NEG_INFINITY, f32::NAN, f32::NAN]] {
            for sampling in [
                Sampling::greedy(),
                Sampling::default(),
                Sampling { top_n_sigma: 1.0, typical_p: 0.5, dynatemp_range: 0.5, ..Sampling::unfiltered() },
                Sampling { xtc_probability: 1.0, min_p: 0.0, ..Sampling::default() },
                Sampling { mirostat_tau: 2.0, ..Sampling::unfiltered() },
            ] {
                let token = Sampler::new(sampling).sample(&logits, &[0], None).unwrap();
                assert!(token < 3);
            }
        }
    }
}
