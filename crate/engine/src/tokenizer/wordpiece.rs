//! WordPiece: a word is cut greedily, the longest piece first; a word that cannot be cut so is one unknown token.
//! Schuster & Nakajima 2012; as BERT has it, Devlin et al. 2018, arXiv:1810.04805.

use super::vocabulary::Vocabulary;

/// How the vocabulary tells the beginning of a word from its continuation.
pub enum Mark {
    /// Written before every piece but a word's first: `##` in `tokenizer.json`.
    Continuation(String),
    /// Written before a word's first piece: U+2581 in GGUF.
    Beginning(String),
}

/// Longest piece that is looked for, in bytes: as long as a word of the usual 100 characters can be. Every end of it is looked for
/// at every place of a word, and one without bounds would take hours for a page without blanks.
const MAX_PIECE: usize = 400;

/// The vocabulary and how to read it.
pub struct WordPiece {
    vocabulary: Vocabulary,
    mark: Mark,
    unknown: u32,
    /// Words with more characters are unknown.
    max_characters: usize,
}

impl WordPiece {
    pub fn new(vocabulary: Vocabulary, mark: Mark, unknown: u32, max_characters: usize) -> WordPiece {
        WordPiece { vocabulary, mark, unknown, max_characters }
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Appends the tokens of a word.
    pub fn tokenize(&self, word: &str, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        if word.chars().count() > self.max_characters || !self.cut(word, tokens) {
            tokens.truncate(before);
            tokens.push(self.unknown);
        }
    }

    /// Whether the whole word could be cut. No piece is longer than the longest, so that long words cost O(n).
    fn cut(&self, word: &str, tokens: &mut Vec<u32>) -> bool {
        let mut written = String::new();
        let mut start = 0;
        while start < word.len() {
            let mark = match &self.mark {
                Mark::Continuation(mark) if start > 0 => mark,
                Mark::Beginning(mark) if start == 0 => mark,
                // What begins a word does not continue one.
                Mark::Beginning(mark) if word[start..].starts_with(mark) => return false,
                _ => "",
            };
            let mut end = word.floor_char_boundary((start + self.vocabulary.longest().min(MAX_PIECE)).min(word.len()));
            written.clear();
            written.push_str(mark);
            written.push_str(&word[start..end]);
            let id = loop {
                if end <= start {
                    return false;
                }
                if let Some(id) = self.vocabulary.id(&written) {
                    break id;
                }
                end -= written.pop().map_or(1, char::len_utf8);
            };
            tokens.push(id);
            start = end;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::formats::gguf::Strings;

    fn ids(pieces: &[&str], mark: Mark, word: &str) -> Vec<u32> {
        let mut strings = Strings::default();
        pieces.iter().for_each(|piece| strings.push(piece));
        let mut tokens = Vec::new();
        WordPiece::new(Vocabulary::new(Arc::new(strings)), mark, 0, 10).tokenize(word, &mut tokens);
        tokens
    }

    #[test]
    fn long_pieces_take_no_time() {
        let long = "a".repeat(20_000);
        let mark = || Mark::Beginning("▁".into());
        let mut strings = Strings::default();
        ["[UNK]", "▁a", "a", &long].iter().for_each(|piece| strings.push(piece));
        let mut tokens = Vec::new();
        WordPiece::new(Vocabulary::new(Arc::new(strings)), mark(), 0, usize::MAX).tokenize(&long, &mut tokens);
        assert_eq!((tokens.len(), tokens[0], tokens[19_999]), (20_000, 1, 2));
    }

    #[test]
    fn the_longest_piece_first_in_either_writing() {
        let hashes = ["[UNK]", "un", "##aff", "##able", "##affa", "##é"];
        let spaces = ["[UNK]", "▁un", "aff", "able", "affa", "é"];
        for (word, tokens) in [
            ("unaff", &[1, 2][..]),
            ("unaffable", &[0]),
            ("unable", &[1, 3]),
            ("uné", &[1, 5]),
            ("aff", &[0]),
            ("", &[]),
        ] {
            assert_eq!(ids(&hashes, Mark::Continuation("##".into()), word), tokens, "{word}");
            assert_eq!(ids(&spaces, Mark::Beginning("▁".into()), word), tokens, "{word}");
        }
        assert_eq!(ids(&spaces, Mark::Beginning("▁".into()), "un▁un"), [0]);
        assert_eq!(ids(&hashes, Mark::Continuation("##".into()), "unéééééééééé"), [0]);
    }
}
