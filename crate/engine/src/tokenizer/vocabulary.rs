//! A list of pieces, found by number and by text. The text is kept once: the table holds numbers only, and looks their text
//! up in the list, so that a vocabulary of 262,144 pieces costs some 6 MB.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::formats::gguf::Strings;

/// Pieces by id and by text.
pub struct Vocabulary {
    pieces: Arc<Strings>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    longest: usize,
}

impl Vocabulary {
    /// Over the pieces in order of their ids. An empty one is a hole in the numbering and is never found; of two with the
    /// same text the later is.
    pub fn new(pieces: Arc<Strings>) -> Vocabulary {
        let hasher = DefaultHashBuilder::default();
        let text = |id: u32| pieces.get(id as usize).unwrap_or_default();
        let mut table: HashTable<u32> = HashTable::with_capacity(pieces.len());
        let mut longest = 0;
        for id in 0..pieces.len() as u32 {
            let piece = text(id);
            longest = longest.max(piece.len());
            if piece.is_empty() {
                continue;
            }
            let hash = hasher.hash_one(piece);
            match table.find_mut(hash, |&other| text(other) == piece) {
                Some(other) => *other = id,
                None => drop(table.insert_unique(hash, id, |&id| hasher.hash_one(text(id)))),
            }
        }
        Vocabulary { pieces, table, hasher, longest }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Bytes of the longest piece.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The text of an id; empty in a hole.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize)
    }

    /// The id of a text.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.table.find(self.hasher.hash_one(piece), |&id| self.piece(id) == Some(piece)).copied()
    }

    /// The ids of the 256 pieces `<0x00>` to `<0xFF>`, where there are such.
    pub fn byte_ids(&self) -> [Option<u32>; 256] {
        std::array::from_fn(|byte| self.id(&format!("<0x{byte:02X}>")))
    }
}

/// The byte that a piece such as `<0x0A>` stands for.
pub fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_both_ways() {
        let mut pieces = Strings::default();
        ["a", "", "<0x0A>", "a"].iter().for_each(|piece| pieces.push(piece));
        let vocabulary = Vocabulary::new(Arc::new(pieces));
        assert_eq!((vocabulary.id("a"), vocabulary.id(""), vocabulary.id("b")), (Some(3), None, None));
        assert_eq!((vocabulary.piece(0), vocabulary.piece(1), vocabulary.piece(4)), (Some("a"), Some(""), None));
        assert_eq!((vocabulary.byte_ids()[10], vocabulary.byte_ids()[11]), (Some(2), None));
    }

    #[test]
    fn bytes_have_two_digits() {
        assert_eq!(byte_of("<0x0A>"), Some(10));
        assert_eq!([byte_of("<div>"), byte_of("<0xA>"), byte_of("<0x00A>")], [None; 3]);
    }
}
