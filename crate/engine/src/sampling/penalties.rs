//! Makes recent tokens less likely: `logit / r` (or `logit · r` if negative), then `− n · f − p`, for a token that was said n times
//! in the window, with the repetition, frequency and presence penalties r, f, p.

use super::candidates::Candidates;
use super::options::Sampling;

pub fn penalties(sampling: &Sampling, tokens: &[u32], candidates: &mut Candidates) {
    if !sampling.penalises() {
        return;
    }
    let mut recent = sampling.recent(tokens).to_vec();
    recent.sort_unstable();
    for same in recent.chunk_by(|a, b| a == b) {
        let Some(candidate) = candidates.of(same[0]) else { continue };
        let logit = &mut candidate.logit;
        *logit = if *logit > 0.0 { *logit / sampling.repetition_penalty } else { *logit * sampling.repetition_penalty };
        *logit -= same.len() as f32 * sampling.frequency_penalty + sampling.presence_penalty;
    }
}
