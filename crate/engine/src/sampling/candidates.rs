//! The tokens that may still be chosen, from which each step of the chain takes some away.

use std::cmp::Ordering;

/// A token that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// Its logit, as far as the chain has come.
    pub logit: f32,
    /// Its probability among those left, as of the last softmax.
    pub p: f32,
}

/// The candidates. There is always one; what is certainly not chosen may be among them with a logit of negative infinity.
#[derive(Default)]
pub struct Candidates {
    /// In no order, unless `sorted`.
    pub list: Vec<Candidate>,
    /// The likeliest comes first; of equals, the smaller token.
    sorted: bool,
}

pub(super) fn likelier_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

impl Candidates {
    /// Those of `logits: [V]`.
    pub fn fill(&mut self, logits: &[f32]) {
        self.list.clear();
        self.list.extend((0..).zip(logits).map(|(token, &logit)| Candidate { token, logit, p: 0.0 }));
        self.sorted = false;
    }

    /// The candidate `token`, if it is one. To be asked before anything has brought them into another order than that of tokens.
    pub fn of(&mut self, token: u32) -> Option<&mut Candidate> {
        let at = self.list.binary_search_by_key(&token, |candidate| candidate.token).ok()?;
        Some(&mut self.list[at])
    }

    /// The likeliest first.
    pub fn sort(&mut self) {
        if !std::mem::replace(&mut self.sorted, true) {
            self.list.sort_unstable_by(likelier_first);
        }
    }

    /// Sorts, after dropping all but the `k` likeliest.
    pub fn keep_likeliest(&mut self, k: usize) {
        if !self.sorted && k < self.list.len() {
            self.list.select_nth_unstable_by(k - 1, likelier_first);
        }
        self.list.truncate(k);
        self.sort();
    }

    /// Keeps these, which may leave them in another order.
    pub fn keep(&mut self, kept: Vec<Candidate>) {
        self.list = kept;
        self.sorted = false;
    }

    /// The largest logit.
    pub fn largest(&self) -> f32 {
        match self.sorted {
            true => self.list[0].logit,
            false => self.list.iter().map(|candidate| candidate.logit).fold(f32::NEG_INFINITY, f32::max),
        }
    }

    /// `p = exp(logit) / Σ exp(logit)`.
    pub fn softmax(&mut self) {
        let largest = self.largest();
        let mut sum = 0.0;
        for candidate in &mut self.list {
            candidate.p = libm::expf(candidate.logit - largest);
            sum += candidate.p;
        }
        self.list.iter_mut().for_each(|candidate| candidate.p /= sum);
    }

    /// `-Σ p ln p`, in nats, of the last softmax.
    pub fn entropy(&self) -> f32 {
        let possible = self.list.iter().map(|candidate| candidate.p).filter(|p| *p > 0.0);
        possible.map(|p| -p * libm::logf(p)).sum()
    }
}
