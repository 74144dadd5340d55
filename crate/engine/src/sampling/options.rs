//! How tokens are chosen: what may be asked for, what is asked for by default, and what makes no sense.

use serde::{Deserialize, Serialize};

use super::bias::LogitBias;
use crate::error::{Error, Result};

/// How to choose tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the likeliest token that is left.
    pub temperature: f32,
    /// The temperature goes from `temperature - dynatemp_range`, where the model is sure, to `temperature + dynatemp_range`, where
    /// it is not; 0 is off.
    pub dynatemp_range: f32,
    /// Bends the way between the two; 1 is straight.
    pub dynatemp_exponent: f32,
    /// Keeps the k likeliest tokens; 0 keeps all. Fan et al. 2018, arXiv:1805.04833.
    pub top_k: usize,
    /// Keeps the likeliest tokens that together have this probability. Holtzman et al. 2019, arXiv:1904.09751.
    pub top_p: f32,
    /// Drops tokens less likely than this times the likeliest. Nguyen et al. 2024, arXiv:2407.01082.
    pub min_p: f32,
    /// Keeps the tokens whose surprise is nearest to the expected one and that together have this probability; 1 is off. Meister et
    /// al. 2022, arXiv:2202.00666.
    pub typical_p: f32,
    /// Keeps tokens whose logits are within so many standard deviations of the largest; 0 is off. Tang et al. 2024,
    /// arXiv:2411.07641.
    pub top_n_sigma: f32,
    /// How often all tokens but the last that reach `xtc_threshold` are dropped: Exclude Top Choices (p-e-w 2024); 0 is never.
    pub xtc_probability: f32,
    /// The probability that top choices have at least; above 0.5 there can be no two, and nothing is dropped.
    pub xtc_threshold: f32,
    /// top-p, min-p, typical-p and XTC leave at least so many tokens.
    pub min_keep: usize,
    /// The surprise, in bits, that answers are steered to by Mirostat 2; 0 is off. Then it alone drops tokens, and of everything
    /// else only `logit_bias`, `temperature` and `seed` count, as in llama.cpp. Basu et al. 2020, arXiv:2007.14966.
    pub mirostat_tau: f32,
    /// How fast it learns.
    pub mirostat_eta: f32,
    /// Divides (or multiplies, if negative) the logits of recent tokens; 1 is off. Keskar et al. 2019, arXiv:1909.05858.
    pub repetition_penalty: f32,
    /// Subtracted from a recent token's logit each time it was said.
    pub frequency_penalty: f32,
    /// Subtracted from a recent token's logit, however often it was said.
    pub presence_penalty: f32,
    /// How many tokens count as recent, those of the prompt too; -1 is all, 0 none.
    pub repetition_window: i32,
    /// Added to the logits of these tokens before anything else.
    pub logit_bias: LogitBias,
    /// Same seed, same text. Other programs say other things with the same seed: see [`super::noise`].
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.7,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            min_keep: 0,
            mirostat_tau: 0.0,
            mirostat_eta: 0.1,
            repetition_penalty: 1.1,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            repetition_window: 64,
            logit_bias: LogitBias::default(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// Always the likeliest token, nothing penalised.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, repetition_penalty: 1.0, ..Sampling::default() }
    }

    /// Every token by its probability: nothing penalised, dropped or heated.
    pub fn unfiltered() -> Sampling {
        Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Sampling::greedy() }
    }

    /// Errors, naming the field, if a value is out of its range.
    pub fn check(&self) -> Result<()> {
        for (name, value, low, high) in [
            ("temperature", self.temperature, 0.0, 100.0),
            ("dynatemp_range", self.dynatemp_range, 0.0, 100.0),
            ("dynatemp_exponent", self.dynatemp_exponent, 0.0, 100.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("typical_p", self.typical_p, 0.0, 1.0),
            ("top_n_sigma", self.top_n_sigma, 0.0, 1000.0),
            ("xtc_probability", self.xtc_probability, 0.0, 1.0),
            ("xtc_threshold", self.xtc_threshold, 0.0, 1.0),
            ("mirostat_tau", self.mirostat_tau, 0.0, 100.0),
            ("mirostat_eta", self.mirostat_eta, 0.0, 1.0),
            ("repetition_penalty", self.repetition_penalty, 0.01, 100.0),
            ("frequency_penalty", self.frequency_penalty, -100.0, 100.0),
            ("presence_penalty", self.presence_penalty, -100.0, 100.0),
        ] {
            if !(low..=high).contains(&value) {
                return Err(Error::InvalidInput(format!("{name} is {value}; it goes from {low} to {high}")));
            }
        }
        if self.repetition_window < -1 {
            let window = self.repetition_window;
            return Err(Error::InvalidInput(format!("repetition_window is {window}; -1 is all tokens, 0 none")));
        }
        self.logit_bias.check()
    }

    /// Whether only temperature, top-k, top-p, min-p and the repetition penalty are asked for: what an executor that chooses by
    /// itself must know.
    pub fn is_plain(&self) -> bool {
        let penalised = self.frequency_penalty != 0.0 || self.presence_penalty != 0.0;
        !(self.dynatemp_range > 0.0
            || self.typical_p < 1.0
            || self.top_n_sigma > 0.0
            || self.excludes()
            || self.min_keep > 1
            || self.mirostat_tau > 0.0
            || (penalised && self.repetition_window != 0)
            || !self.logit_bias.is_empty())
    }

    /// Whether the largest logit is the choice, and nothing else matters.
    pub(super) fn is_largest(&self) -> bool {
        self.temperature == 0.0 && self.is_plain() && !self.penalises()
    }

    /// Whether any token may be penalised.
    pub(super) fn penalises(&self) -> bool {
        let off = self.repetition_penalty == 1.0 && self.frequency_penalty == 0.0 && self.presence_penalty == 0.0;
        self.repetition_window != 0 && !off
    }

    /// Whether top choices may be excluded.
    pub(super) fn excludes(&self) -> bool {
        self.xtc_probability > 0.0 && self.xtc_threshold <= 0.5
    }

    /// The last of `tokens` that count as recent.
    pub(super) fn recent<'a>(&self, tokens: &'a [u32]) -> &'a [u32] {
        // All of them for -1.
        let window = usize::try_from(self.repetition_window).unwrap_or(usize::MAX);
        &tokens[tokens.len().saturating_sub(window)..]
    }

    /// The seed in 32 bits, which is what the noise is made from.
    pub fn seed(&self) -> u32 {
        (self.seed ^ self.seed >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_values_are_named() {
        let error = Sampling { top_p: 1.5, ..Sampling::unfiltered() }.check().unwrap_err();
        assert_eq!(error.to_string(), "top_p is 1.5; it goes from 0 to 1");
        assert!(Sampling { temperature: f32::NAN, ..Sampling::unfiltered() }.check().is_err());
        assert!(Sampling { repetition_window: -2, ..Sampling::unfiltered() }.check().is_err());
        assert!(Sampling { logit_bias: LogitBias(vec![(1, f32::NAN)]), ..Sampling::unfiltered() }.check().is_err());
        Sampling { repetition_window: -1, ..Sampling::default() }.check().unwrap();
    }

    #[test]
    fn what_needs_logits_is_not_plain() {
        assert!(Sampling::default().is_plain() && Sampling::greedy().is_plain() && Sampling::unfiltered().is_plain());
        for other in [
            Sampling { dynatemp_range: 0.5, ..Sampling::default() },
            Sampling { typical_p: 0.5, ..Sampling::default() },
            Sampling { top_n_sigma: 1.0, ..Sampling::default() },
            Sampling { xtc_probability: 0.5, ..Sampling::default() },
            Sampling { min_keep: 2, ..Sampling::default() },
            Sampling { mirostat_tau: 5.0, ..Sampling::default() },
            Sampling { frequency_penalty: 0.1, ..Sampling::default() },
            Sampling { presence_penalty: -0.1, ..Sampling::default() },
            Sampling { logit_bias: LogitBias(vec![(1, 2.0)]), ..Sampling::default() },
        ] {
            assert!(!other.is_plain(), "{other:?}");
        }
    }
}
