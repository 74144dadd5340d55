//! SentencePiece BPE as llama.cpp runs it: characters merge, best-scored neighbours first, as long as the joined text is a
//! piece; what is no piece in the end is spelled in `<0xNN>` bytes. Kudo & Richardson 2018, arXiv:1808.06226.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::{NormalizerWrapper, Token, TokenizerImpl};

use super::{Pieces, kind, tokenizer_error};
use crate::error::{Error, Result};
use crate::formats::gguf::{Header, Strings, Value};

/// U+2581, which stands for a space.
pub const SPACE: &str = "▁";

/// Vocabulary with scores. The table holds numbers only; their text is looked up in `vocab`.
pub struct SentencePiece {
    vocab: Arc<Strings>,
    scores: Vec<f32>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    unknown: Option<u32>,
}

type Built<PT, P, D> = TokenizerImpl<Pieces, NormalizerWrapper, PT, P, D>;

pub fn build<PT, P, D>(header: &Header, vocab: Arc<Strings>, kinds: &[i32]) -> Result<Built<PT, P, D>>
where
    PT: tokenizers::PreTokenizer,
    P: tokenizers::PostProcessor,
    D: tokenizers::Decoder,
{
    let Some(Value::Floats(scores)) = header.metadata.get("tokenizer.ggml.scores") else {
        return Err(Error::Metadata { key: "tokenizer.ggml.scores".into(), what: "missing".into() });
    };
    if scores.len() != vocab.len() {
        return Err(Error::Tokenizer(format!("{} pieces but {} scores", vocab.len(), scores.len())));
    }
    let unknown = kinds.iter().position(|&kind| kind == kind::UNKNOWN).map(|id| id as u32);
    let model = SentencePiece::new(vocab, scores.clone(), unknown);
    let mut normalizers: Vec<NormalizerWrapper> = vec![Replace::new(" ", SPACE).map_err(tokenizer_error)?.into()];
    if header.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
        normalizers.insert(0, Prepend::new(SPACE.into()).into());
    }
    let mut tokenizer = TokenizerImpl::new(Pieces::SentencePiece(model));
    tokenizer.with_normalizer(Some(Sequence::new(normalizers))).map_err(tokenizer_error)?;
    Ok(tokenizer)
}

/// The byte that a piece such as `<0x0A>` stands for.
pub fn byte_of(piece: &str) -> Option<u8> {
    u8::from_str_radix(piece.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
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
    fn new(vocab: Arc<Strings>, scores: Vec<f32>, unknown: Option<u32>) -> SentencePiece {
        let hasher = DefaultHashBuilder::default();
        let mut table = HashTable::with_capacity(vocab.len());
        let hash = |id: u32| hasher.hash_one(vocab.get(id as usize).unwrap_or_default());
        for id in 0..vocab.len() as u32 {
            table.insert_unique(hash(id), id, |&id| hash(id));
        }
        SentencePiece { vocab, scores, table, hasher, unknown }
    }

    pub fn len(&self) -> usize {
        self.vocab.len()
    }

    pub fn piece(&self, id: u32) -> Option<&str> {
        self.vocab.get(id as usize)
    }

    pub fn id(&self, piece: &str) -> Option<u32> {
        self.table.find(self.hasher.hash_one(piece), |&id| self.piece(id) == Some(piece)).copied()
    }

    pub fn tokenize(&self, text: &str) -> Vec<Token> {
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
        let mut tokens = Vec::new();
        for symbol in symbols.iter().filter(|symbol| symbol.start < symbol.end) {
            self.emit(&text[symbol.start..symbol.end], symbol.start, &mut tokens);
        }
        tokens
    }

    fn merge(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Merge> {
        let joined = &text[symbols[left].start..symbols[right].end];
        let id = self.id(joined)?;
        Some(Merge { score: self.scores[id as usize], left, right, len: joined.len() })
    }

    fn emit(&self, piece: &str, start: usize, tokens: &mut Vec<Token>) {
        if let Some(id) = self.id(piece) {
            tokens.push(Token::new(id, piece.to_owned(), (start, start + piece.len())));
            return;
        }
        for (i, byte) in piece.bytes().enumerate() {
            let name = format!("<0x{byte:02X}>");
            if let Some(id) = self.id(&name).or(self.unknown) {
                tokens.push(Token::new(id, name, (start + i, start + i + 1)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(pieces: &[(&str, f32)]) -> SentencePiece {
        let mut vocab = Strings::default();
        pieces.iter().for_each(|(piece, _)| vocab.push(piece));
        SentencePiece::new(Arc::new(vocab), pieces.iter().map(|piece| piece.1).collect(), None)
    }

    fn pieces(model: &SentencePiece, text: &str) -> Vec<String> {
        model.tokenize(text).into_iter().map(|token| token.value).collect()
    }

    #[test]
    fn best_score_merges_first_then_leftmost() {
        let model = model(&[("a", 0.0), ("b", 0.0), ("ab", -2.0), ("ba", -1.0), ("aba", -3.0), ("aa", -4.0)]);
        assert_eq!(pieces(&model, "aba"), ["aba"]);
        assert_eq!(pieces(&model, "abab"), ["aba", "b"]);
        assert_eq!(pieces(&model, "aaa"), ["aa", "a"]);
        assert_eq!(pieces(&model, ""), [""; 0]);
    }

    #[test]
    fn what_is_no_piece_becomes_bytes() {
        let model = model(&[("a", 0.0), ("<0xE7>", 0.0), ("<0x82>", 0.0), ("<0x89>", 0.0)]);
        assert_eq!(pieces(&model, "a炉"), ["a", "<0xE7>", "<0x82>", "<0x89>"]);
        assert_eq!(byte_of("<0x0A>"), Some(10));
        assert_eq!(byte_of("<div>"), None);
    }
}
