//! Which numbers of a matrix become zero: any, whole blocks of neighbours, or a fixed count of each group.

use std::ops::Range;

/// Where zeros may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// Anywhere; a share of each row.
    Free,
    /// Whole blocks of so many neighbours; a share of each row's blocks.
    Blocks(usize),
    /// So many of each group of so many neighbours.
    Groups {
        /// Zeros of a group.
        zeros: usize,
        /// Numbers of a group.
        of: usize,
    },
}

/// Patterns by the names that recipes give them.
pub const PATTERNS: &[(&str, Pattern)] = &[
    ("free", Pattern::Free),
    ("blocks_of_4", Pattern::Blocks(4)),
    ("blocks_of_16", Pattern::Blocks(16)),
    ("2:4", Pattern::Groups { zeros: 2, of: 4 }),
    ("16:32", Pattern::Groups { zeros: 16, of: 32 }),
];

impl Pattern {
    /// Numbers that must be decided together: a row's length must be a multiple of it.
    pub fn unit(self) -> usize {
        match self {
            Pattern::Free => 1,
            Pattern::Blocks(of) | Pattern::Groups { of, .. } => of,
        }
    }

    /// The share of zeros: that of the pattern, if it has one.
    pub fn share(self, wanted: f64) -> f64 {
        match self {
            Pattern::Groups { zeros, of } => zeros as f64 / of as f64,
            _ => wanted,
        }
    }

    /// Which of these neighbours become zero, those of the least scores first: of so large a share, where the pattern leaves that
    /// open. Of equal scores, the first. Panics unless they are whole units.
    pub fn zeros(self, scores: &[f32], share: f64) -> Vec<bool> {
        let mut zeros = vec![false; scores.len()];
        let least = |scores: &[f32], count: usize| {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            order.truncate(count);
            order
        };
        match self {
            Pattern::Free => {
                let count = (share * scores.len() as f64).round() as usize;
                least(scores, count).into_iter().for_each(|i| zeros[i] = true);
            }
            Pattern::Blocks(of) => {
                let sums: Vec<f32> = scores.chunks_exact(of).map(|block| block.iter().sum()).collect();
                let count = (share * sums.len() as f64).round() as usize;
                least(&sums, count).into_iter().for_each(|i| zeros[i * of..(i + 1) * of].fill(true));
            }
            Pattern::Groups { zeros: count, of } => {
                for (first, group) in (0..).step_by(of).zip(scores.chunks_exact(of)) {
                    least(group, count).into_iter().for_each(|i| zeros[first + i] = true);
                }
            }
        }
        zeros
    }

    /// Errors, in words, unless a row of zeros and others is of this pattern.
    pub fn check(self, row: &[f32]) -> Result<(), String> {
        let wrong = |range: Range<usize>| {
            Err(format!("numbers {} to {} of a row are not of the pattern", range.start, range.end))
        };
        match self {
            Pattern::Free => Ok(()),
            Pattern::Blocks(of) => {
                // A block is empty, or whole but for numbers that were zero before.
                let mixed = |block: &&[f32]| block.contains(&0.0) && block.iter().any(|x| *x != 0.0);
                let first = row.chunks_exact(of).position(|block| mixed(&block));
                first.map_or(Ok(()), |i| wrong(i * of..(i + 1) * of))
            }
            Pattern::Groups { zeros, of } => {
                let full = |group: &[f32]| group.iter().filter(|x| **x == 0.0).count() < zeros;
                let first = row.chunks_exact(of).position(full);
                first.map_or(Ok(()), |i| wrong(i * of..(i + 1) * of))
            }
        }
    }
}

/// The share of zeros after each of so many rounds: all at once, or TFMOT's `PolynomialDecay` with its power of 3, which takes the
/// most at first. Zhu & Gupta 2017, arXiv:1710.01878.
pub fn rounds(share: f64, rounds: usize, polynomial: bool) -> Vec<f64> {
    let at = |round: usize| {
        let left = 1.0 - round as f64 / rounds as f64;
        if polynomial { share * (1.0 - left.powi(3)) } else { share * (1.0 - left) }
    };
    (1..=rounds).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_become_zero_as_the_pattern_says() {
        let scores: Vec<f32> = (0..64).map(|i| ((i * 29) % 64) as f32).collect();
        for (name, pattern) in PATTERNS {
            let zeros = pattern.zeros(&scores, 0.5);
            assert_eq!(zeros.iter().filter(|zero| **zero).count(), 32, "{name}");
            let row: Vec<f32> = zeros.iter().map(|&zero| f32::from(!zero)).collect();
            pattern.check(&row).unwrap();
            if *name == "free" {
                assert!(zeros.iter().zip(&scores).all(|(&zero, &score)| zero == (score < 32.0)));
                continue;
            }
            // A zero that is filled breaks it.
            let filled = zeros.iter().position(|zero| *zero).expect("half are zeros");
            let mut row = row;
            row[filled] = 1.0;
            assert!(pattern.check(&row).is_err(), "{name}");
        }
    }

    #[test]
    fn schedules_end_where_they_should() {
        assert_eq!(rounds(0.5, 1, true), [0.5]);
        let (even, fast) = (rounds(0.8, 4, false), rounds(0.8, 4, true));
        assert!((even[0] - 0.2).abs() < 1e-12 && (even[3] - 0.8).abs() < 1e-12 && (fast[3] - 0.8).abs() < 1e-12);
        assert!(fast[0] > 0.4 && fast.is_sorted());
    }
}
