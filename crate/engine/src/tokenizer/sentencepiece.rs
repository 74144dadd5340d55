//! SentencePiece BPE as llama.cpp runs it: characters merge, best-scored neighbours first, as long as the joined text is a
//! piece; what is no piece in the end is spelled in `<0xNN>` bytes. Kudo & Richardson 2018, arXiv:1808.06226.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};

/// Vocabulary with scores.
pub struct SentencePiece {
    vocabulary: Vocabulary,
    scores: Vec<f32>,
    unknown: Option<u32>,
    bytes: [Option<u32>; 256],
}

/// A stretch of the text on its way to becoming a token; `end == start` once it was merged into its left neighbour.
struct Symbol {
    start: usize,
    end: usize,
    prev: Option<usize>,
    next: Option<usize>,
}

/// Two neighbours that would make a piece: best score first, then leftmost.
#[derive(PartialEq)]
struct Merge {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Eq for Merge {}

impl PartialOrd for Merge {
    fn partial_cmp(&self, other: &Merge) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Merge {
    fn cmp(&self, other: &Merge) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl SentencePiece {
    pub fn new(vocabulary: Vocabulary, scores: Vec<f32>, unknown: Option<u32>) -> Result<SentencePiece> {
        if scores.len() != vocabulary.len() {
            return Err(Error::Tokenizer(format!("{} pieces but {} scores", vocabulary.len(), scores.len())));
        }
        let bytes = vocabulary.byte_ids();
        Ok(SentencePiece { vocabulary, scores, unknown, bytes })
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Appends the tokens of a text.
    pub fn tokenize(&self, text: &str, tokens: &mut Vec<u32>) {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(i, (start, c))| Symbol {
                start,
                end: start + c.len_utf8(),
                prev: i.checked_sub(1),
                next: Some(i + 1),
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.next = None;
        }
        let mut merges = BinaryHeap::new();
        for right in 1..symbols.len() {
            merges.extend(self.merge(text, &symbols, right - 1, right));
        }
        while let Some(Merge { left, right, len, .. }) = merges.pop() {
            // Stale if either half has changed since.
            let (start, end) = (symbols[left].start, symbols[right].end);
            let gone = |i: usize| symbols[i].start == symbols[i].end;
            if gone(left) || gone(right) || end - start != len {
                continue;
            }
            let next = symbols[right].next;
            symbols[left].end = end;
            symbols[left].next = next;
            symbols[right].start = end;
            if let Some(next) = next {
                symbols[next].prev = Some(left);
                merges.extend(self.merge(text, &symbols, left, next));
            }
            if let Some(prev) = symbols[left].prev {
                merges.extend(self.merge(text, &symbols, prev, left));
            }
        }
        for symbol in symbols.iter().filter(|symbol| symbol.start < symbol.end) {
            self.emit(&text[symbol.start..symbol.end], tokens);
        }
    }

    fn merge(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Merge> {
        let joined = &text[symbols[left].start..symbols[right].end];
        let id = self.vocabulary.id(joined)?;
        Some(Merge { score: self.scores[id as usize], left, right, len: joined.len() })
    }

    fn emit(&self, piece: &str, tokens: &mut Vec<u32>) {
        match self.vocabulary.id(piece) {
            Some(id) => tokens.push(id),
            None => tokens.extend(piece.bytes().filter_map(|byte| self.bytes[usize::from(byte)].or(self.unknown))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::formats::gguf::Strings;

    fn pieces(vocabulary: &[(&str, f32)], text: &str) -> Vec<String> {
        let mut strings = Strings::default();
        vocabulary.iter().for_each(|(piece, _)| strings.push(piece));
        let scores = vocabulary.iter().map(|piece| piece.1).collect();
        let model = SentencePiece::new(Vocabulary::new(Arc::new(strings)), scores, None).unwrap();
        let mut tokens = Vec::new();
        model.tokenize(text, &mut tokens);
        tokens.into_iter().map(|id| vocabulary[id as usize].0.to_owned()).collect()
    }

    #[test]
    fn best_score_merges_first_then_leftmost() {
        let model = [("a", 0.0), ("b", 0.0), ("ab", -2.0), ("ba", -1.0), ("aba", -3.0), ("aa", -4.0)];
        assert_eq!(pieces(&model, "aba"), ["aba"]);
        assert_eq!(pieces(&model, "abab"), ["aba", "b"]);
        assert_eq!(pieces(&model, "aaa"), ["aa", "a"]);
        assert_eq!(pieces(&model, ""), [""; 0]);
    }

    #[test]
    fn what_is_no_piece_becomes_bytes() {
        let model = [("a", 0.0), ("<0xE7>", 0.0), ("<0x82>", 0.0), ("<0x89>", 0.0)];
        assert_eq!(pieces(&model, "a炉"), ["a", "<0xE7>", "<0x82>", "<0x89>"]);
    }
}
