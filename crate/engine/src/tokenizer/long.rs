//! The long parts of a `tokenizer.json`, vocabulary and merges, as they are read: each list of texts is one text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::json::MAX_IDS;
use crate::error::{Error, Result};
use crate::formats::gguf::Strings;

/// A vocabulary: `{"piece": id, ...}`, or `[["piece", score], ...]` in order of the ids.
#[derive(Debug, Default)]
pub struct Pieces {
    texts: Strings,
    /// In a map, the id of each text.
    ids: Vec<u32>,
    /// In a list, the score of each text.
    scores: Option<Vec<f64>>,
}

impl Pieces {
    /// Number of pieces.
    pub fn count(&self) -> usize {
        self.texts.len()
    }

    /// The pieces in order of their ids, empty where an id is missing; and their scores, if they have any.
    pub fn in_order(self) -> Result<(Strings, Option<Vec<f64>>)> {
        if self.scores.is_some() || self.ids.iter().enumerate().all(|(i, &id)| i as u32 == id) {
            return Ok((self.texts, self.scores));
        }
        let mut order: Vec<u32> = (0..self.ids.len() as u32).collect();
        // Stable: of two pieces with one id, the later in the file is the later here.
        order.sort_by_key(|&i| self.ids[i as usize]);
        let mut pieces = Strings::default();
        for i in order {
            let (id, text) = (self.ids[i as usize] as usize, self.texts.get(i as usize).unwrap_or_default());
            if pieces.len() > id {
                let other = pieces.get(id).unwrap_or_default();
                return Err(Error::Tokenizer(format!("tokenizer.json: {other:?} and {text:?} have the same id {id}")));
            }
            while pieces.len() < id {
                pieces.push("");
            }
            pieces.push(text);
        }
        Ok((pieces, None))
    }
}

/// Whether `text` still fits: positions are 32 bits.
fn push<E: serde::de::Error>(texts: &mut Strings, text: &str) -> Result<(), E> {
    if texts.len() >= 2 * MAX_IDS {
        return Err(E::custom(format!("more than {} texts in one list", 2 * MAX_IDS)));
    }
    texts.push(text);
    Ok(())
}

impl<'de> Deserialize<'de> for Pieces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pieces, D::Error> {
        deserializer.deserialize_any(PiecesVisitor)
    }
}

struct PiecesVisitor;

impl<'de> Visitor<'de> for PiecesVisitor {
    type Value = Pieces;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a vocabulary: pieces with ids, or a list of pieces with scores")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pieces, A::Error> {
        let mut pieces = Pieces::default();
        while let Some((text, id)) = map.next_entry::<String, u64>()? {
            if id >= MAX_IDS as u64 {
                return Err(A::Error::custom(format!("the piece {text:?} has the id {id}, beyond any vocabulary")));
            }
            push(&mut pieces.texts, &text)?;
            pieces.ids.push(id as u32);
        }
        Ok(pieces)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Pieces, A::Error> {
        let (mut pieces, mut scores) = (Pieces::default(), Vec::new());
        while let Some((text, score)) = list.next_element::<(String, f64)>()? {
            push(&mut pieces.texts, &text)?;
            scores.push(score);
        }
        pieces.scores = Some(scores);
        Ok(pieces)
    }
}

/// Merges, `["a", "b"]` or `"a b"` each, left and right in turn.
#[derive(Debug, Default)]
pub struct Merges {
    halves: Strings,
}

impl Merges {
    pub fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    /// Left and right of each.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let half = |i: usize| self.halves.get(i).unwrap_or_default();
        (0..self.halves.len() / 2).map(move |i| (half(2 * i), half(2 * i + 1)))
    }
}

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Merges, D::Error> {
        deserializer.deserialize_seq(MergesVisitor)
    }
}

struct MergesVisitor;

impl<'de> Visitor<'de> for MergesVisitor {
    type Value = Merges;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of merges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merges, A::Error> {
        let mut merges = Merges::default();
        while let Some(Merge(left, right)) = list.next_element()? {
            push(&mut merges.halves, &left)?;
            push(&mut merges.halves, &right)?;
        }
        Ok(merges)
    }
}

struct Merge(String, String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Merge, D::Error> {
        deserializer.deserialize_any(MergeVisitor)
    }
}

struct MergeVisitor;

impl<'de> Visitor<'de> for MergeVisitor {
    type Value = Merge;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a merge: two texts, or one with a space between")
    }

    fn visit_str<E: serde::de::Error>(self, merge: &str) -> Result<Merge, E> {
        let halves = merge.split_once(' ').filter(|(_, right)| !right.contains(' '));
        let (left, right) = halves.ok_or_else(|| E::custom(format!("the merge {merge:?} is not two pieces")))?;
        Ok(Merge(left.into(), right.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Merge, A::Error> {
        let missing = || A::Error::custom("a merge is not two pieces");
        let left = pair.next_element()?.ok_or_else(missing)?;
        let right = pair.next_element()?.ok_or_else(missing)?;
        match pair.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(Merge(left, right)),
            Some(_) => Err(missing()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_of_their_ids() {
        let read = |json: &str| serde_json::from_str::<Pieces>(json).unwrap().in_order();
        let list = |strings: &Strings| strings.iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(list(&read(r#"{"b": 3, "a": 0}"#).unwrap().0), ["a", "", "", "b"]);
        let (pieces, scores) = read(r#"[["a", -1.5], ["b", 0]]"#).unwrap();
        assert_eq!((list(&pieces), scores), (vec!["a".into(), "b".into()], Some(vec![-1.5, 0.0])));
        assert!(read(r#"{"b": 0, "a": 0}"#).is_err());
    }

    #[test]
    fn merges_come_in_both_writings() {
        let merges: Merges = serde_json::from_str(r#"["a b", ["c d", "e"]]"#).unwrap();
        assert_eq!(merges.pairs().collect::<Vec<_>>(), [("a", "b"), ("c d", "e")]);
        for bad in [r#"["a"]"#, r#"["a b c"]"#, r#"[["a"]]"#, r#"[["a", "b", "c"]]"#, "[1]", "1"] {
            assert!(serde_json::from_str::<Merges>(bad).is_err(), "{bad}");
        }
    }
}
