//! What is done to a text before it is cut: Unicode forms, lower case, spaces into U+2581. The steps are those of the
//! `tokenizers` crate, but for the two that a damaged file could make panic or run without end.

use fancy_regex::Regex;
use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

use super::charsmap::Charsmap;
use super::{growth, tokenizer_error, unigram_text};
use crate::error::Result;

/// One step.
pub enum Step {
    Plain(NormalizerWrapper),
    Replace(Regex, String),
    Charsmap(Charsmap),
    /// What llama.cpp does before the unigram model.
    Unigram(unigram_text::Spaces),
}

/// Applies all steps in turn.
pub fn apply(steps: &[Step], text: &mut NormalizedString) -> Result<()> {
    let limit = growth::limit(text.get().len());
    for step in steps {
        match step {
            Step::Plain(step) => step.normalize(text).map_err(tokenizer_error)?,
            Step::Replace(pattern, content) => {
                let matches = pattern.find_iter(text.get()).count();
                growth::check(text.get().len() + matches * content.len(), limit)?;
                text.replace(pattern, content).map_err(tokenizer_error)?;
            }
            Step::Charsmap(map) => set(text, &map.by_graphemes(text.get(), limit)?),
            Step::Unigram(spaces) => set(text, &spaces.normalize(text.get(), limit)?),
        }
        growth::check(text.get().len(), limit)?;
    }
    Ok(())
}

/// Replaces the whole text; where it began in the original is kept.
fn set(text: &mut NormalizedString, new: &str) {
    let (old_count, new_count) = (text.get().chars().count(), new.chars().count());
    if new_count == 0 {
        text.clear();
        return;
    }
    // A character in place of each, the surplus inserted, and a lack taken away behind the last.
    let change = |i: usize| match i {
        _ if i >= old_count => 1,
        _ if i + 1 == new_count => new_count as isize - old_count as isize,
        _ => 0,
    };
    text.transform(new.chars().enumerate().map(|(i, c)| (c, change(i))), 0);
}

#[cfg(test)]
mod tests {
    use super::super::pattern::literal;
    use super::*;

    #[test]
    fn a_text_is_set_whole() {
        for (old, new) in [("abc", "xy"), ("abc", "wxyz"), ("é", "é"), ("ab", ""), ("abcd", "炉")] {
            let mut text = NormalizedString::from(old);
            set(&mut text, new);
            assert_eq!(text.get(), new);
        }
    }

    #[test]
    fn texts_do_not_grow_without_end() {
        let double = || Step::Replace(literal("a").unwrap(), "aa".into());
        let steps: Vec<Step> = (0..40).map(|_| double()).collect();
        assert_eq!(apply(&steps, &mut NormalizedString::from("aaa")).unwrap_err().code(), "tokenizer");
        let mut text = NormalizedString::from("aba");
        apply(&steps[..2], &mut text).unwrap();
        assert_eq!(text.get(), "aaaabaaaa");
    }
}
