//! Cutting a text into words, which the model then encodes one by one. The steps are those of the `tokenizers` crate, but for
//! the one with a regular expression, which could run without end.

use fancy_regex::Regex;
use tokenizers::pattern::Invert;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{PreTokenizedString, PreTokenizer, PreTokenizerWrapper};

use super::pattern::regex;
use super::tokenizer_error;
use crate::error::Result;

/// GPT-2's words, with the last alternative that Hugging Face adds.
pub const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// One step.
pub enum Step {
    Plain(PreTokenizerWrapper),
    Regex {
        pattern: Regex,
        behavior: SplitDelimiterBehavior,
        invert: bool,
    },
    /// A space before every part that begins with none.
    SpaceBefore,
}

impl Step {
    /// Cuts at both ends of every match.
    pub fn isolated(source: &str) -> Result<Step> {
        Ok(Step::Regex { pattern: regex(source)?, behavior: SplitDelimiterBehavior::Isolated, invert: false })
    }

    /// Writes bytes as characters.
    pub fn bytes() -> Step {
        Step::Plain(ByteLevel::new(false, false, false).into())
    }
}

/// Applies all steps in turn.
pub fn apply(steps: &[Step], text: &mut PreTokenizedString) -> Result<()> {
    for step in steps {
        let done = match step {
            Step::Plain(step) => step.pre_tokenize(text),
            Step::Regex { pattern, behavior, invert: false } => text.split(|_, part| part.split(pattern, *behavior)),
            Step::SpaceBefore => text.split(|_, mut part| {
                if !part.get().starts_with(' ') {
                    part.prepend(" ");
                }
                Ok([part])
            }),
            Step::Regex { pattern, behavior, .. } => text.split(|_, part| part.split(Invert(pattern), *behavior)),
        };
        done.map_err(tokenizer_error)?;
    }
    Ok(())
}
