//! SentencePiece's normaliser, compiled: a trie of byte sequences and what each is replaced by.
//!
//! ```text
//! u32 size of the trie in bytes │ trie: u32 units │ replacements, each ended by a zero byte
//! unit: bits 0–7 label, 8 has a value, 9 wide base, 10–30 base; or, where a value is kept, bits 0–30 its place
//! ```
//!
//! The trie is an XOR-compressed double array: the child of a node for a byte lies at `node ^ base ^ byte` and repeats the byte
//! as its label. Kanda et al. 2017, "Compressed double-array tries"; Darts-clone. A damaged trie may lead anywhere, so that every
//! step is checked.

use unicode_segmentation::UnicodeSegmentation;

use super::growth;
use crate::error::{Error, Result};

/// The compiled map.
#[derive(Clone)]
pub struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    pub fn new(bytes: &[u8]) -> Result<Charsmap> {
        let damaged = || Error::Tokenizer("the precompiled charsmap is damaged".into());
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (trie, replacements) = rest.split_at_checked(u32::from_le_bytes(*size) as usize).ok_or_else(damaged)?;
        let (units, left_over) = trie.as_chunks::<4>();
        if units.is_empty() || !left_over.is_empty() {
            return Err(damaged());
        }
        let replacements = str::from_utf8(replacements).map_err(|_| damaged())?.to_owned();
        Ok(Charsmap { units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(), replacements })
    }

    /// Calls `found` with the length of every prefix of `text` that the map knows, and what replaces it.
    fn prefixes<'a>(&'a self, text: &[u8], mut found: impl FnMut(usize, &'a str)) {
        let base = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
        let mut node = base(self.units[0]);
        for (i, &byte) in text.iter().enumerate() {
            node ^= usize::from(byte);
            let Some(&unit) = self.units.get(node) else { return };
            if byte == 0 || unit & (1 << 31 | 0xff) != u32::from(byte) {
                return;
            }
            node ^= base(unit);
            if unit >> 8 & 1 == 1 {
                let place = self.units.get(node).map(|unit| (unit & !(1 << 31)) as usize);
                let replacement = place.and_then(|place| self.replacements.get(place..)).unwrap_or_default();
                found(i + 1, replacement.split('\0').next().unwrap_or_default());
            }
        }
    }

    /// The longest known prefix of `text`: its length in bytes and what replaces it.
    fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let mut longest = None;
        self.prefixes(text.as_bytes(), |len, replacement| longest = Some((len, replacement)));
        longest
    }

    /// SentencePiece's way: at every place the longest known prefix is replaced.
    pub fn next<'a>(&'a self, text: &'a str) -> (usize, &'a str) {
        let character = || text.chars().next().map_or(0, char::len_utf8);
        let known = self.longest(text).filter(|(len, _)| text.is_char_boundary(*len));
        known.unwrap_or_else(|| (character(), &text[..character()]))
    }

    /// Hugging Face's way: what a grapheme (of up to five bytes) begins with stands for all of it; else each character goes by
    /// itself. The shortest known prefix counts. Errors beyond `limit` bytes.
    pub fn by_graphemes(&self, text: &str, limit: usize) -> Result<String> {
        let shortest = |part: &str| {
            let mut shortest = None;
            self.prefixes(part.as_bytes(), |_, replacement| shortest = shortest.or(Some(replacement)));
            shortest
        };
        let mut normalized = String::with_capacity(text.len());
        for grapheme in text.graphemes(true) {
            growth::check(normalized.len(), limit)?;
            if let Some(replacement) = (grapheme.len() < 6).then(|| shortest(grapheme)).flatten() {
                normalized.push_str(replacement);
                continue;
            }
            for (start, c) in grapheme.char_indices() {
                let part = &grapheme[start..start + c.len_utf8()];
                normalized.push_str(shortest(part).unwrap_or(part));
            }
        }
        Ok(normalized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map that makes "x" of "a" and nothing else: the root's base is 1, so that "a" lies at 1 ^ 0x61 = 0x60; its base, 2,
    /// leads to 0x62, which holds the place 0.
    pub fn map() -> Vec<u8> {
        let mut units = vec![0u32; 256];
        units[0] = 1 << 10;
        units[0x60] = 2 << 10 | 1 << 8 | 0x61;
        units[0x62] = 1 << 31;
        let trie = units.iter().flat_map(|unit| unit.to_le_bytes());
        (units.len() as u32 * 4).to_le_bytes().into_iter().chain(trie).chain(*b"xy\0").collect()
    }

    #[test]
    fn known_prefixes_are_replaced() {
        let map = Charsmap::new(&map()).unwrap();
        assert_eq!(map.next("ab"), (1, "xy"));
        assert_eq!(map.next("éa"), (2, "é"));
        assert!(map.by_graphemes(&"a".repeat(60), 99).is_err());
        assert_eq!(map.by_graphemes("banane\u{301}", 99).unwrap(), "bxynxyne\u{301}");
    }

    #[test]
    fn damage_is_told_or_harmless() {
        for bytes in [&b""[..], &[0; 4], &[255; 4], &[4, 0, 0, 0, 1], &[5, 0, 0, 0, 1, 2, 3, 4, 5]] {
            assert!(Charsmap::new(bytes).is_err(), "{bytes:?}");
        }
        let mut wild = map();
        for i in 4..wild.len() - 3 {
            wild[i] ^= 0xff;
            Charsmap::new(&wild).unwrap().by_graphemes("banana \0 é炉🔥", 99).unwrap();
        }
    }
}
