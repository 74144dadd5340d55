//! An original that has read a test text, and how far others are from it: decoders by what they say, encoders by their vectors.

use hearth_engine::cpu::team::Team;
use hearth_engine::tokenizer::Tokenizer;
use serde::Serialize;

use crate::Watch;
use crate::encoder::{self, Likeness, vectors};
use crate::error::Result;
use crate::evaluate::{Quality, Reading, compare, read};
use crate::matrix::Matrix;
use crate::model::Model;
use crate::text::{Test, Window, check_disjoint};

/// The original's words or vectors over a test text.
pub struct Reference {
    test: Text,
    own: Own,
}

/// What is to be read.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    /// Is predicted, or becomes vectors.
    pub test: &'a str,
    /// What calibrated, to make sure that it is another.
    pub calibration: Option<&'a str>,
}

/// A text, ready to be read.
#[derive(PartialEq)]
enum Text {
    /// By a model that says what comes next.
    Windows(Vec<Window>),
    /// By one that makes vectors: a paragraph each.
    Passages(Vec<String>),
}

/// What the original made of it.
enum Own {
    Words(Reading),
    Vectors(Matrix),
}

/// How far another model is from the original.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Distance {
    /// Of what it says.
    Quality(Quality),
    /// Of its vectors.
    Likeness(Likeness),
}

impl Reference {
    /// An original and its test text. Takes what `known` has read already, if it is of this original and the same text. Errors if the
    /// text is too short, or repeats the one that calibrated; also if `watch` says so.
    pub fn read(
        original: &Model,
        tokenizer: &Tokenizer,
        texts: Texts,
        how: &Test,
        known: Option<Reference>,
        team: &mut Team,
        watch: &mut Watch,
    ) -> Result<Reference> {
        let Texts { test: text, calibration } = texts;
        let test = if original.program(1)?.config.encoder {
            if let Some(calibration) = calibration {
                check_disjoint(&tokenizer.encode(calibration)?, &tokenizer.encode(text)?)?;
            }
            Text::Passages(encoder::texts(text).into_iter().map(str::to_owned).collect())
        } else {
            Text::Windows(how.windows(tokenizer, text, calibration)?)
        };
        if let Some(known) = known.filter(|known| known.test == test) {
            return Ok(known);
        }
        let own = match &test {
            Text::Windows(windows) => Own::Words(read(original, windows, team, watch)?),
            Text::Passages(passages) => Own::Vectors(vectors(original, passages, team, watch)?),
        };
        Ok(Reference { test, own })
    }

    /// How far a model is from the original. Errors where it is another model.
    pub fn distance(&self, model: &Model, team: &mut Team, watch: &mut Watch) -> Result<Distance> {
        Ok(match (&self.test, &self.own) {
            (Text::Windows(windows), Own::Words(own)) => {
                let other = read(model, windows, team, watch)?;
                Distance::Quality(Quality::of(&compare(own, &other, windows, team, watch)?))
            }
            (Text::Passages(passages), Own::Vectors(own)) => {
                Distance::Likeness(encoder::compare(own, &vectors(model, passages, team, watch)?)?)
            }
            _ => unreachable!("a text is read as it was cut"),
        })
    }

    /// How far the original is from itself: not at all. Tells its perplexity.
    pub fn itself(&self, team: &mut Team, watch: &mut Watch) -> Result<Distance> {
        Ok(match (&self.test, &self.own) {
            (Text::Windows(windows), Own::Words(own)) => {
                Distance::Quality(Quality::of(&compare(own, own, windows, team, watch)?))
            }
            (_, Own::Vectors(own)) => Distance::Likeness(encoder::compare(own, own)?),
            _ => unreachable!("a text is read as it was cut"),
        })
    }
}
