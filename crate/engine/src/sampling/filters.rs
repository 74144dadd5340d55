//! The steps of the chain that drop candidates. Each is off by a value that its field's docs name, and then takes no time.

use super::candidates::{Candidate, Candidates};
use super::noise;
use super::options::Sampling;

/// `logit ≥ max − n σ`. The others stay, with probability zero, for whoever counts candidates.
pub fn top_n_sigma(sampling: &Sampling, _: &[u32], candidates: &mut Candidates) {
    if sampling.top_n_sigma <= 0.0 || candidates.list.len() < 2 {
        return;
    }
    let finite = || candidates.list.iter().map(|candidate| candidate.logit).filter(|logit| *logit != f32::NEG_INFINITY);
    let count = finite().count() as f32;
    let mean = finite().sum::<f32>() / count;
    let deviation = (finite().map(|logit| (logit - mean) * (logit - mean)).sum::<f32>() / count).sqrt();
    let least = candidates.largest() - sampling.top_n_sigma * deviation;
    for candidate in &mut candidates.list {
        if candidate.logit < least {
            candidate.logit = f32::NEG_INFINITY;
        }
    }
}

/// The k largest.
pub fn top_k(sampling: &Sampling, _: &[u32], candidates: &mut Candidates) {
    if sampling.top_k > 0 {
        candidates.keep_likeliest(sampling.top_k);
    }
}

/// Those whose surprise `−ln p` is nearest to the entropy, until they have more than the wanted probability.
pub fn typical_p(sampling: &Sampling, _: &[u32], candidates: &mut Candidates) {
    if sampling.typical_p >= 1.0 {
        return;
    }
    candidates.sort();
    candidates.softmax();
    let entropy = candidates.entropy();
    let odd = |candidate: &Candidate| (-libm::logf(candidate.p) - entropy).abs();
    let mut order: Vec<(f32, Candidate)> =
        candidates.list.iter().map(|candidate| (odd(candidate), *candidate)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let list: Vec<Candidate> = order.into_iter().map(|(_, candidate)| candidate).collect();
    let enough = until(&list, sampling.min_keep, |sum| sum > sampling.typical_p);
    candidates.keep(list[..enough].to_vec());
}

/// The likeliest, until they have the wanted probability.
pub fn top_p(sampling: &Sampling, _: &[u32], candidates: &mut Candidates) {
    if sampling.top_p >= 1.0 {
        return;
    }
    candidates.sort();
    candidates.softmax();
    let enough = until(&candidates.list, sampling.min_keep, |sum| sum >= sampling.top_p);
    candidates.list.truncate(enough);
}

/// `logit ≥ max + ln p`.
pub fn min_p(sampling: &Sampling, _: &[u32], candidates: &mut Candidates) {
    if sampling.min_p <= 0.0 {
        return;
    }
    let least = candidates.largest() + libm::logf(sampling.min_p);
    let min_keep = sampling.min_keep.max(1);
    match candidates.list.iter().filter(|candidate| candidate.logit >= least).count() >= min_keep {
        true => candidates.list.retain(|candidate| candidate.logit >= least),
        false => candidates.keep_likeliest(min_keep),
    }
}

/// Drops all but the least likely of the top choices, when the coin says so.
pub fn xtc(sampling: &Sampling, tokens: &[u32], candidates: &mut Candidates) {
    if !sampling.excludes() || candidates.list.len() < 2 {
        return;
    }
    if noise::coin(sampling.seed(), tokens.len() as u32) > sampling.xtc_probability {
        return;
    }
    candidates.sort();
    candidates.softmax();
    let top = candidates.list.iter().take_while(|candidate| candidate.p >= sampling.xtc_threshold).count();
    let dropped = top.saturating_sub(1);
    if candidates.list.len() - dropped >= sampling.min_keep {
        candidates.list.drain(..dropped);
    }
}

/// How many of the first candidates it takes until the sum of their probabilities is `enough`, but `min_keep` at least.
fn until(list: &[Candidate], min_keep: usize, enough: impl Fn(f32) -> bool) -> usize {
    let mut sum = 0.0;
    let last = list.iter().enumerate().position(|(i, candidate)| {
        sum += candidate.p;
        enough(sum) && i + 1 >= min_keep
    });
    last.map_or(list.len(), |last| last + 1)
}
