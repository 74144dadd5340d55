//! Makes recent tokens less likely: `logit / r` (or `logit · r` if negative), then `− n · f − p`, for a token that was said n times
//! in the window, with the repetition, frequency and presence penalties r, f, p.

use std::collections::HashMap;

use super::candidates::Candidates;
use super::options::Sampling;

pub fn penalties(sampling: &Sampling, tokens: &[u32], candidates: &mut Candidates) {
    if !sampling.penalises() {
        return;
    }
    let mut counts: HashMap<u32, f32> = HashMap::new();
    for &token in sampling.recent(tokens) {
        *counts.entry(token).or_default() += 1.0;
    }
    for candidate in &mut candidates.list {
        let Some(count) = counts.get(&candidate.token) else { continue };
        let logit = &mut candidate.logit;
        *logit = if *logit > 0.0 { *logit / sampling.repetition_penalty } else { *logit * sampling.repetition_penalty };
        *logit -= count * sampling.frequency_penalty + sampling.presence_penalty;
    }
}
