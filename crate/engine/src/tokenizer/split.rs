//! Cutting a text into words, which the model then encodes one by one. The steps are those of the `tokenizers` crate, but for
//! the one with a regular expression, which could run without end.

use fancy_regex::Regex;
use tokenizers::pattern::Invert;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper};

use super::pattern::regex;
use super::{growth, tokenizer_error};
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
    let limit = growth::limit(length(text));
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
        // A step makes four bytes of one, at most.
        growth::check(length(text), limit)?;
    }
    Ok(())
}

/// Bytes of all parts.
fn length(text: &PreTokenizedString) -> usize {
    let parts = text.get_splits(OffsetReferential::Normalized, OffsetType::None);
    parts.iter().map(|(part, _, _)| part.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_do_not_grow_without_end() {
        let cut = |count: usize| {
            let steps: Vec<Step> = (0..count).map(|_| Step::bytes()).collect();
            apply(&steps, &mut PreTokenizedString::from("é".repeat(1000)))
        };
        cut(2).unwrap();
        assert_eq!(cut(40).unwrap_err().code(), "tokenizer");
    }
}
