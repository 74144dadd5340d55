//! The unigram model: of all ways to cut a text into pieces, the one whose scores (log-probabilities) add up highest, found
//! position by position (Viterbi). Kudo 2018, arXiv:1804.10959.
//!
//! `best[end] = max over pieces text[start..end] of best[start] + score(piece)`

use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};

/// How much below the worst score an unknown character counts.
pub const UNKNOWN_PENALTY: f64 = 10.0;

/// Vocabulary with scores.
pub struct Unigram {
    vocabulary: Vocabulary,
    scores: Vec<f64>,
    /// Ids in order of their text: all pieces that begin alike are neighbours, which serves as a trie.
    sorted: Vec<u32>,
    unknown: Option<u32>,
    unknown_score: f64,
    bytes: [Option<u32>; 256],
}

/// The best way to come to a position: from where, by which piece.
#[derive(Clone, Copy)]
struct Step {
    score: f64,
    start: usize,
    id: Option<u32>,
}

const UNREACHED: usize = usize::MAX;

impl Unigram {
    /// `usable` tells which pieces a text may be cut into; with `byte_fallback`, unknown characters are spelled in `<0xNN>`.
    pub fn new(
        vocabulary: Vocabulary,
        scores: Vec<f64>,
        usable: impl Fn(u32) -> bool,
        unknown: Option<u32>,
        unknown_score: f64,
        byte_fallback: bool,
    ) -> Result<Unigram> {
        if scores.len() != vocabulary.len() {
            return Err(Error::Tokenizer(format!("{} pieces but {} scores", vocabulary.len(), scores.len())));
        }
        if let Some(id) = unknown.filter(|&id| id as usize >= scores.len()) {
            return Err(Error::Tokenizer(format!("the unknown token {id} is not in the vocabulary")));
        }
        let text = |id: u32| vocabulary.piece(id).unwrap_or_default();
        // Of two pieces with the same text the later counts.
        let chosen = |id: u32| usable(id) && vocabulary.id(text(id)) == Some(id);
        let mut sorted: Vec<u32> = (0..scores.len() as u32).filter(|&id| chosen(id)).collect();
        sorted.sort_unstable_by_key(|&id| text(id));
        let bytes = if byte_fallback { vocabulary.byte_ids() } else { [None; 256] };
        Ok(Unigram { vocabulary, scores, sorted, unknown, unknown_score, bytes })
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Calls `found` with length and id of every piece that `text` begins with.
    fn prefixes(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let piece = |id: u32| self.vocabulary.piece(id).unwrap_or_default().as_bytes();
        let mut among: &[u32] = &self.sorted;
        for (depth, &byte) in text.iter().enumerate() {
            // All of `among` begin with text[..depth] and are longer.
            let start = among.partition_point(|&id| piece(id)[depth] < byte);
            let end = start + among[start..].partition_point(|&id| piece(id)[depth] == byte);
            among = &among[start..end];
            if let Some((&first, longer)) = among.split_first()
                && piece(first).len() == depth + 1
            {
                found(depth + 1, first);
                among = longer;
            }
            if among.is_empty() {
                return;
            }
        }
    }

    /// Appends the tokens of a text.
    pub fn tokenize(&self, text: &str, tokens: &mut Vec<u32>) -> Result<()> {
        let mut best = vec![Step { score: 0.0, start: UNREACHED, id: None }; text.len() + 1];
        for (start, c) in text.char_indices() {
            let so_far = best[start].score;
            let mut character_found = false;
            let mut offer = |end: usize, score: f64, id: Option<u32>| {
                if best[end].start == UNREACHED || so_far + score > best[end].score {
                    best[end] = Step { score: so_far + score, start, id };
                }
            };
            self.prefixes(&text.as_bytes()[start..], |len, id| {
                character_found |= len == c.len_utf8();
                offer(start + len, self.scores[id as usize], Some(id));
            });
            if !character_found {
                offer(start + c.len_utf8(), self.unknown_score, None);
            }
        }
        let (mut pieces, mut end) = (Vec::new(), text.len());
        while end > 0 {
            let Step { start, id, .. } = best[end];
            // The unknown piece itself counts as unknown, wherever it was found.
            pieces.push((start..end, id.filter(|&id| Some(id) != self.unknown)));
            end = start;
        }
        pieces.reverse();
        // Neighbouring unknown characters are one.
        for known in pieces.chunk_by(|a, b| a.1.is_none() && b.1.is_none()) {
            let range = known[0].0.start..known[known.len() - 1].0.end;
            match known[0].1 {
                Some(id) => tokens.push(id),
                None => self.emit_unknown(&text[range], tokens)?,
            }
        }
        Ok(())
    }

    fn emit_unknown(&self, text: &str, tokens: &mut Vec<u32>) -> Result<()> {
        // Joined, unknown characters may be a piece after all.
        if let Some(id) = self.vocabulary.id(text) {
            tokens.push(id);
            return Ok(());
        }
        let bytes = text.bytes().map(|byte| self.bytes[usize::from(byte)]);
        if bytes.clone().all(|id| id.is_some()) {
            tokens.extend(bytes.flatten());
            return Ok(());
        }
        let missing = || Error::Tokenizer(format!("{text:?} is not in the vocabulary, and there is no unknown token"));
        tokens.push(self.unknown.ok_or_else(missing)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::formats::gguf::Strings;

    fn model(pieces: &[(&str, f64)], byte_fallback: bool) -> Unigram {
        let mut strings = Strings::default();
        pieces.iter().for_each(|(piece, _)| strings.push(piece));
        let scores = pieces.iter().map(|piece| piece.1).collect();
        Unigram::new(Vocabulary::new(Arc::new(strings)), scores, |_| true, Some(0), -20.0, byte_fallback).unwrap()
    }

    fn ids(model: &Unigram, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        model.tokenize(text, &mut tokens).unwrap();
        tokens
    }

    #[test]
    fn the_best_sum_wins_and_unknowns_join() {
        let model = model(&[("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -1.5), ("abc", -9.0), ("c", -1.0)], false);
        assert_eq!(ids(&model, "abc"), [3, 5]);
        assert_eq!(ids(&model, "a炉火b"), [1, 0, 2]);
        assert_eq!(ids(&model, ""), [0u32; 0]);
    }

    #[test]
    fn unknown_characters_are_spelled_where_they_can_be() {
        let model = model(&[("<unk>", 0.0), ("a", -1.0), ("<0xC3>", 0.0), ("<0xA9>", 0.0)], true);
        assert_eq!(ids(&model, "aé"), [1, 2, 3]);
        assert_eq!(ids(&model, "炉"), [0]);
    }
}
