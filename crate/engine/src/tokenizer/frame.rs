//! The special tokens around a text, `[CLS] A [SEP]`, and around two, `[CLS] A [SEP] B [SEP]`.

/// A place in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Special(u32),
    First,
    Second,
}

/// What stands around one text and around two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub single: Vec<Part>,
    pub pair: Vec<Part>,
}

impl Frame {
    /// `before A after`, and `before A between B after`.
    pub fn around(before: &[u32], between: &[u32], after: &[u32]) -> Frame {
        let special = |ids: &[u32]| ids.iter().map(|&id| Part::Special(id)).collect::<Vec<_>>();
        let (before, between, after) = (special(before), special(between), special(after));
        let single = [&before[..], &[Part::First], &after].concat();
        let pair = [&before[..], &[Part::First], &between, &[Part::Second], &after].concat();
        Frame { single, pair }
    }

    /// Fills in one text.
    pub fn one(&self, first: &[u32], special: bool) -> Vec<u32> {
        fill(&self.single, first, &[], special)
    }

    /// Fills in two.
    pub fn two(&self, first: &[u32], second: &[u32], special: bool) -> Vec<u32> {
        fill(&self.pair, first, second, special)
    }
}

fn fill(parts: &[Part], first: &[u32], second: &[u32], special: bool) -> Vec<u32> {
    let mut ids = Vec::with_capacity(first.len() + second.len() + parts.len());
    for part in parts {
        match part {
            Part::Special(id) if special => ids.push(*id),
            Part::Special(_) => {}
            Part::First => ids.extend_from_slice(first),
            Part::Second => ids.extend_from_slice(second),
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_two() {
        let bert = Frame::around(&[101], &[102], &[102]);
        assert_eq!(bert.one(&[1, 2], true), [101, 1, 2, 102]);
        assert_eq!(bert.one(&[1, 2], false), [1, 2]);
        assert_eq!(bert.two(&[1], &[2], true), [101, 1, 102, 2, 102]);
        assert_eq!(bert.two(&[1], &[2], false), [1, 2]);
    }
}
