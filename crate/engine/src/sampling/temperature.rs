//! Divides the logits, by the same number everywhere or by one that grows with how unsure the model is.

use super::candidates::Candidates;
use super::options::Sampling;

/// By `t − r + 2 r (H / ln n)^e` for the entropy H of n candidates, if there is a range r; a temperature below zero is zero.
pub fn temperature(sampling: &Sampling, tokens: &[u32], candidates: &mut Candidates) {
    let range = sampling.dynatemp_range;
    if range <= 0.0 {
        return fixed_temperature(sampling, tokens, candidates);
    }
    if candidates.list.len() < 2 {
        return;
    }
    candidates.sort();
    candidates.softmax();
    let unsure = candidates.entropy() / libm::logf(candidates.list.len() as f32);
    let (low, high) = ((sampling.temperature - range).max(0.0), sampling.temperature + range);
    divide(candidates, low + (high - low) * libm::powf(unsure, sampling.dynatemp_exponent));
}

/// By `t`.
pub fn fixed_temperature(sampling: &Sampling, _: &[u32], candidates: &mut Candidates) {
    divide(candidates, sampling.temperature);
}

/// Keeps the largest for zero.
fn divide(candidates: &mut Candidates, temperature: f32) {
    match temperature > 0.0 {
        true => candidates.list.iter_mut().for_each(|candidate| candidate.logit /= temperature),
        false => candidates.keep_likeliest(1),
    }
}
