//! What is added to the logits of single tokens. Written as a map or as a list of pairs; what takes a token out is a very negative
//! number, or, since JSON has no infinity, `"-inf"` or `false`:
//!
//! ```json
//! {"17": 2.5, "42": "-inf"}    [[17, 2.5], [42, false]]
//! ```
//!
//! The first is how OpenAI writes it, the second is llama.cpp's.

use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::candidates::Candidates;
use crate::error::{Error, Result};

/// Tokens and what is added to their logits, negative infinity to take them out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogitBias(pub Vec<(u32, f32)>);

impl LogitBias {
    /// Whether no token has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Errors if one is not a number, or infinite and positive: such tokens would all be certain.
    pub fn check(&self) -> Result<()> {
        match self.0.iter().find(|(_, bias)| bias.is_nan() || *bias == f32::INFINITY) {
            Some((token, bias)) => {
                Err(Error::InvalidInput(format!("logit_bias of token {token} is {bias}; a number or -inf is needed")))
            }
            None => Ok(()),
        }
    }

    /// Errors if one is of a token that a vocabulary of `vocab_size` does not have.
    pub fn check_tokens(&self, vocab_size: usize) -> Result<()> {
        match self.0.iter().find(|(token, _)| *token as usize >= vocab_size) {
            Some((token, _)) => {
                Err(Error::InvalidInput(format!("logit_bias: token {token} is not in the vocabulary of {vocab_size}")))
            }
            None => Ok(()),
        }
    }

    /// Adds them.
    pub(super) fn add(&self, candidates: &mut Candidates) {
        for &(token, bias) in &self.0 {
            if let Some(candidate) = candidates.of(token) {
                candidate.logit += bias;
            }
        }
    }
}

/// A number, or a word for negative infinity.
struct Bias(f32);

impl<'de> Deserialize<'de> for Bias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bias, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Bias;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, \"-inf\" or false")
            }

            fn visit_f64<E>(self, bias: f64) -> Result<Bias, E> {
                Ok(Bias(bias as f32))
            }

            fn visit_i64<E>(self, bias: i64) -> Result<Bias, E> {
                Ok(Bias(bias as f32))
            }

            fn visit_u64<E>(self, bias: u64) -> Result<Bias, E> {
                Ok(Bias(bias as f32))
            }

            fn visit_bool<E: serde::de::Error>(self, bias: bool) -> Result<Bias, E> {
                match bias {
                    false => Ok(Bias(f32::NEG_INFINITY)),
                    true => Err(E::invalid_value(serde::de::Unexpected::Bool(true), &self)),
                }
            }

            fn visit_str<E: serde::de::Error>(self, bias: &str) -> Result<Bias, E> {
                bias.parse().map(Bias).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(bias), &self))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

impl<'de> Deserialize<'de> for LogitBias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LogitBias, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = LogitBias;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("biases by token: {\"17\": 2.5} or [[17, 2.5]]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LogitBias, A::Error> {
                let mut biases = Vec::new();
                while let Some((token, Bias(bias))) = map.next_entry::<String, Bias>()? {
                    let token = token.parse().map_err(|_| A::Error::custom(format!("\"{token}\" is no token")))?;
                    biases.push((token, bias));
                }
                Ok(LogitBias(biases))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LogitBias, A::Error> {
                let mut biases = Vec::new();
                while let Some((token, Bias(bias))) = list.next_element()? {
                    biases.push((token, bias));
                }
                Ok(LogitBias(biases))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

impl Serialize for LogitBias {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (token, bias) in &self.0 {
            match bias.is_finite() {
                true => map.serialize_entry(&token.to_string(), bias)?,
                false => map.serialize_entry(&token.to_string(), &bias.to_string())?,
            }
        }
        map.end()
    }
}
