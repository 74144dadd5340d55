//! How llama.cpp prepares a text for the unigram model (SentencePiece's normaliser, `nmt_nfkc` and the like): its compiled map,
//! then spaces become U+2581, runs of them one, and the text begins with one.

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind};

use super::charsmap::Charsmap;
use super::{SPACE, growth};
use crate::error::{Error, Result};

/// What a file's metadata say of spaces.
pub struct Spaces {
    map: Option<Charsmap>,
    /// Pieces that the user defined are left as they are.
    verbatim: AhoCorasick,
    add_prefix: bool,
    merge: bool,
}

impl Spaces {
    pub fn new(map: Option<Charsmap>, verbatim: &[&str], add_prefix: bool, merge: bool) -> Result<Spaces> {
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostLongest).start_kind(aho_corasick::StartKind::Anchored);
        let verbatim = builder.build(verbatim).map_err(|error| Error::Tokenizer(format!("user tokens: {error}")))?;
        Ok(Spaces { map, verbatim, add_prefix, merge })
    }

    /// The next bit of a text: how many bytes it takes and what it becomes.
    fn next<'a>(&'a self, text: &'a str) -> (usize, &'a str) {
        if let Some(found) = self.verbatim.find(Input::new(text).anchored(Anchored::Yes)) {
            return (found.end(), &text[..found.end()]);
        }
        let character = text.chars().next().map_or(0, char::len_utf8);
        self.map.as_ref().map_or((character, &text[..character]), |map| map.next(text))
    }

    /// The text as the model wants it. Errors beyond `limit` bytes.
    pub fn normalize(&self, text: &str, limit: usize) -> Result<String> {
        let mut normalized = String::with_capacity(text.len() + SPACE.len());
        let (mut prefixed, mut in_word) = (false, false);
        let mut rest = text;
        while !rest.is_empty() {
            let (taken, written) = self.next(rest);
            rest = &rest[taken..];
            growth::check(normalized.len() + written.len(), limit)?;
            for c in written.chars() {
                if c == ' ' {
                    in_word = false;
                    normalized.push_str(if self.merge { "" } else { SPACE });
                    continue;
                }
                if !in_word && ((self.add_prefix && !prefixed) || self.merge) {
                    normalized.push_str(SPACE);
                    prefixed = true;
                }
                in_word = true;
                normalized.push(c);
            }
        }
        Ok(normalized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_are_merged_and_prefixed() {
        let normalize =
            |add_prefix, merge, text| Spaces::new(None, &[], add_prefix, merge).unwrap().normalize(text, 99).unwrap();
        assert_eq!(normalize(true, true, "  a  b "), "▁a▁b");
        assert_eq!(normalize(true, false, " a  b "), "▁▁a▁▁b▁");
        assert_eq!(normalize(false, false, "a b"), "a▁b");
        assert_eq!(normalize(true, true, "  "), "");
    }
}
