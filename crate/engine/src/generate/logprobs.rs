//! How likely tokens are, by the model alone: before biases, penalties, constraints and temperature, as OpenAI and llama.cpp's
//! server tell it.

use serde::Serialize;

use crate::tokenizer::Tokenizer;

/// A token and how likely it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Logprob {
    /// The token.
    pub id: u32,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// The bytes of text it stands for; may be a part of a character.
    pub bytes: Vec<u8>,
}

/// How likely the token of a step was, and what else could have been said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Logprobs {
    /// The token that was chosen.
    #[serde(flatten)]
    pub chosen: Logprob,
    /// The likeliest tokens, the likeliest first.
    pub top: Vec<Logprob>,
}

impl Logprobs {
    /// Of `token` and the `n` likeliest by `logits: [V]`.
    pub fn new(logits: &[f32], token: u32, n: usize, tokenizer: &Tokenizer) -> Logprobs {
        let mut logs = vec![0.0; logits.len()];
        log_softmax(logits, &mut logs);
        let told = |(id, logprob)| Logprob { id, logprob, bytes: tokenizer.bytes(id) };
        Logprobs {
            chosen: told((token, logs[token as usize])),
            top: likeliest(&logs, n).into_iter().map(told).collect(),
        }
    }
}

/// The natural logarithms of the probabilities of `logits: [V]`.
pub fn log_softmax(logits: &[f32], out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
    let log_sum = sum.ln() as f32;
    out.iter_mut().zip(logits).for_each(|(out, logit)| *out = logit - max - log_sum);
}

/// The `n` likeliest tokens, the likeliest first and of equals the smaller one, with their numbers.
pub fn likeliest(logs: &[f32], n: usize) -> Vec<(u32, f32)> {
    let likelier = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut all: Vec<(u32, f32)> = (0..).zip(logs.iter().copied()).collect();
    if n > 0 && n < all.len() {
        all.select_nth_unstable_by(n - 1, likelier);
    }
    all.truncate(n);
    all.sort_unstable_by(likelier);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_softmax_sums_to_one() {
        let mut out = [0.0; 3];
        log_softmax(&[1000.0, 1001.0, 999.0], &mut out);
        let sum: f32 = out.iter().map(|log| log.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }

    #[test]
    fn the_likeliest_come_in_order() {
        let logs = [-3.0, -1.0, -2.0, -1.0];
        assert_eq!(likeliest(&logs, 3), [(1, -1.0), (3, -1.0), (2, -2.0)]);
        assert_eq!(likeliest(&logs, 9).len(), 4);
        assert!(likeliest(&logs, 0).is_empty());
    }
}
