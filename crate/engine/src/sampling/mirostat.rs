//! Mirostat 2: drops what surprises more than `mu` bits and moves `mu` after each token, so that the surprise of an answer comes
//! near `tau` (Basu et al. 2020, arXiv:2007.14966):
//!
//! ```text
//! keep −log₂ p ≤ mu        mu −= eta · (−log₂ p(token) − tau)        mu = 2 tau at first
//! ```
//!
//! `mu` belongs to an answer: one that was interrupted and goes on elsewhere begins with a new one.

use super::candidates::Candidates;
use super::options::Sampling;

pub struct Mirostat {
    mu: f32,
}

impl Mirostat {
    pub fn new(sampling: &Sampling) -> Mirostat {
        Mirostat { mu: 2.0 * sampling.mirostat_tau }
    }

    /// Keeps the likeliest at least.
    pub fn filter(&self, candidates: &mut Candidates) {
        candidates.sort();
        candidates.softmax();
        let expected = candidates.list.iter().take_while(|candidate| -libm::log2f(candidate.p) <= self.mu).count();
        candidates.list.truncate(expected.max(1));
    }

    /// A token of probability `p` among those kept was chosen.
    pub fn learn(&mut self, sampling: &Sampling, p: f32) {
        self.mu -= sampling.mirostat_eta * (-libm::log2f(p) - sampling.mirostat_tau);
    }
}
