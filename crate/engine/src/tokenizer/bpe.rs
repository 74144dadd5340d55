//! Byte-pair encoding: a word's characters merge, the neighbours of lowest rank first, until no pair is in the list of merges.
//! Sennrich et al. 2016, arXiv:1508.07909. A heap of candidates keeps a word of n characters at O(n log n).
//!
//! Merges are kept as numbers, `(left, right) → into`; their place in the list is their rank. Gemma's 514,906 cost 11 MB so.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};

/// How words are written before they merge, and what becomes of characters that are no piece.
#[derive(Default)]
pub struct Options {
    /// The piece for what is none; without it that is left out.
    pub unknown: Option<u32>,
    /// Whether neighbouring unknown characters become one token.
    pub fuse_unknown: bool,
    /// Whether unknown characters are spelled in `<0xNN>` pieces first.
    pub byte_fallback: bool,
    /// Stands before every character but a word's first.
    pub prefix: String,
    /// Stands behind a word's last character.
    pub suffix: String,
    /// Whether a word that is a piece needs no merging.
    pub whole_words: bool,
    /// Which of two equal merges counts: the earlier for llama.cpp, the later for Hugging Face.
    pub later_merge_wins: bool,
}

/// Vocabulary and merges.
pub struct Bpe {
    vocabulary: Vocabulary,
    merges: Merges,
    options: Options,
    bytes: [Option<u32>; 256],
}

#[derive(Clone, Copy)]
struct Merge {
    left: u32,
    right: u32,
    into: u32,
}

/// Merges in order of rank, found by their pair.
#[derive(Default)]
struct Merges {
    list: Vec<Merge>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Merges {
    fn push(&mut self, merge: Merge, later_wins: bool) {
        let rank = self.list.len() as u32;
        self.list.push(merge);
        let (list, hasher) = (&self.list, &self.hasher);
        let pair = |rank: u32| (list[rank as usize].left, list[rank as usize].right);
        let hash = hasher.hash_one(pair(rank));
        match self.table.find_mut(hash, |&other| pair(other) == pair(rank)) {
            Some(other) if later_wins => *other = rank,
            Some(_) => {}
            None => drop(self.table.insert_unique(hash, rank, |&rank| hasher.hash_one(pair(rank)))),
        }
    }

    /// Rank and result of merging two pieces.
    fn find(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let pair = |rank: u32| (self.list[rank as usize].left, self.list[rank as usize].right);
        let rank = *self.table.find(self.hasher.hash_one((left, right)), |&rank| pair(rank) == (left, right))?;
        Some((rank, self.list[rank as usize].into))
    }
}

/// A piece of a word; `id` is [`GONE`] once it was merged into its left neighbour.
struct Symbol {
    id: u32,
    prev: usize,
    next: usize,
}

const GONE: u32 = u32::MAX;
const END: usize = usize::MAX;

impl Bpe {
    /// `merges` are pairs of texts in order of rank; each half and their union must be pieces.
    pub fn new<'a>(
        vocabulary: Vocabulary,
        merges: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
        options: Options,
    ) -> Result<Bpe> {
        let mut known = Merges { list: Vec::with_capacity(merges.len()), ..Merges::default() };
        let mut joined = String::new();
        for (left, right) in merges {
            joined.clear();
            joined.push_str(left);
            joined.push_str(right.strip_prefix(options.prefix.as_str()).unwrap_or(right));
            let ids = (vocabulary.id(left), vocabulary.id(right), vocabulary.id(&joined));
            let (Some(left), Some(right), Some(into)) = ids else {
                return Err(Error::Tokenizer(format!(
                    "merging {left:?} and {right:?} makes no piece of the vocabulary"
                )));
            };
            known.push(Merge { left, right, into }, options.later_merge_wins);
        }
        let bytes = if options.byte_fallback { vocabulary.byte_ids() } else { [None; 256] };
        Ok(Bpe { vocabulary, merges: known, options, bytes })
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Appends the tokens of a word.
    pub fn tokenize(&self, word: &str, tokens: &mut Vec<u32>) {
        if let Some(id) = self.vocabulary.id(word).filter(|_| self.options.whole_words) {
            return tokens.push(id);
        }
        let mut symbols = self.symbols(word);
        let mut candidates = BinaryHeap::new();
        let candidate = |symbols: &[Symbol], left: usize, right: usize| {
            let (rank, into) = self.merges.find(symbols[left].id, symbols[right].id)?;
            Some(Reverse((rank, left, into)))
        };
        for right in 1..symbols.len() {
            candidates.extend(candidate(&symbols, right - 1, right));
        }
        while let Some(Reverse((_, left, into))) = candidates.pop() {
            let right = symbols[left].next;
            // Stale if either half has changed since.
            let still = symbols[left].id != GONE
                && right != END
                && self.merges.find(symbols[left].id, symbols[right].id).is_some_and(|found| found.1 == into);
            if !still {
                continue;
            }
            let (prev, next) = (symbols[left].prev, symbols[right].next);
            symbols[left].id = into;
            symbols[left].next = next;
            symbols[right].id = GONE;
            if next != END {
                symbols[next].prev = left;
                candidates.extend(candidate(&symbols, left, next));
            }
            if prev != END {
                candidates.extend(candidate(&symbols, prev, left));
            }
        }
        tokens.extend(symbols.iter().map(|symbol| symbol.id).filter(|&id| id != GONE));
    }

    /// The pieces a word starts from: its characters, or what stands for those that are no piece.
    fn symbols(&self, word: &str) -> Vec<Symbol> {
        let mut ids = Vec::with_capacity(word.len());
        let mut written = String::new();
        let mut unknown_before = false;
        for (start, c) in word.char_indices() {
            let end = start + c.len_utf8();
            let (first, last) = (start == 0, end == word.len());
            written.clear();
            written.push_str(if first { "" } else { &self.options.prefix });
            written.push(c);
            written.push_str(if last { &self.options.suffix } else { "" });
            if let Some(id) = self.vocabulary.id(&written) {
                ids.push(id);
                unknown_before = false;
                continue;
            }
            let bytes = written.bytes().map(|byte| self.bytes[usize::from(byte)]);
            if bytes.clone().all(|id| id.is_some()) {
                // Unknown characters on both sides of bytes are still neighbours to the reference.
                let at = if unknown_before { ids.len() - 1 } else { ids.len() };
                ids.splice(at..at, bytes.flatten());
            } else if let Some(unknown) = self.options.unknown {
                if !(unknown_before && self.options.fuse_unknown) {
                    ids.push(unknown);
                }
                unknown_before = true;
            }
        }
        let last = ids.len().wrapping_sub(1);
        let linked = ids.into_iter().enumerate().map(|(i, id)| Symbol {
            id,
            prev: if i == 0 { END } else { i - 1 },
            next: if i == last { END } else { i + 1 },
        });
        linked.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::formats::gguf::Strings;

    fn pieces(vocabulary: &[&str], merges: &[(&str, &str)], options: Options, word: &str) -> Vec<String> {
        let mut strings = Strings::default();
        vocabulary.iter().for_each(|piece| strings.push(piece));
        let model = Bpe::new(Vocabulary::new(Arc::new(strings)), merges.iter().copied(), options).unwrap();
        let mut tokens = Vec::new();
        model.tokenize(word, &mut tokens);
        tokens.into_iter().map(|id| vocabulary[id as usize].to_owned()).collect()
    }

    const VOCABULARY: &[&str] = &["?", "a", "b", "c", "ab", "bc", "abc", "cb", "<0xC3>", "<0xA9>"];

    #[test]
    fn the_lowest_rank_merges_first_then_the_leftmost() {
        let merges = [("b", "c"), ("a", "b"), ("a", "bc")];
        let found = |word| pieces(VOCABULARY, &merges, Options::default(), word);
        assert_eq!(found("abc"), ["abc"]);
        assert_eq!(found("abab"), ["ab", "ab"]);
        assert_eq!(found("bcbc"), ["bc", "bc"]);
        assert_eq!(found("axb"), ["ab"]);
        assert_eq!(found(""), [""; 0]);
        let whole = Options { whole_words: true, ..Options::default() };
        assert_eq!(pieces(VOCABULARY, &[], whole, "cb"), ["cb"]);
    }

    #[test]
    fn of_equal_merges_the_earlier_or_the_later_counts() {
        let merges = [("a", "b"), ("b", "c"), ("a", "b")];
        for (later_merge_wins, cut) in [(false, ["ab", "c"]), (true, ["a", "bc"])] {
            assert_eq!(pieces(VOCABULARY, &merges, Options { later_merge_wins, ..Options::default() }, "abc"), cut);
        }
    }

    #[test]
    fn unknown_characters_are_spelled_or_marked() {
        let options = |fuse_unknown, byte_fallback| Options {
            unknown: Some(0),
            fuse_unknown,
            byte_fallback,
            ..Options::default()
        };
        let found = |fuse, bytes| pieces(VOCABULARY, &[], options(fuse, bytes), "axyéa").join("");
        assert_eq!(found(false, false), "a???a");
        assert_eq!(found(true, false), "a?a");
        assert_eq!(found(true, true), "a<0xC3><0xA9>?a");
    }

    #[test]
    fn merges_of_strangers_are_refused() {
        let mut strings = Strings::default();
        ["ab", "cd"].iter().for_each(|piece| strings.push(piece));
        let strings = Arc::new(strings);
        for merge in [("ab", "cd"), ("ab", "xyz"), ("x", "ab")] {
            let built = Bpe::new(Vocabulary::new(strings.clone()), [merge].into_iter(), Options::default());
            assert_eq!(built.err().unwrap().code(), "tokenizer");
        }
    }
}
