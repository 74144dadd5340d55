//! Going on when the context is full: the first tokens stay, since attention leans on them whatever they say (Xiao et al. 2023,
//! "attention sinks", arXiv:2309.17453), the older half of the others is forgotten, and the rest moves up:
//!
//! ```text
//! full    │ keep │ older half │ newer half │
//! after   │ keep │ newer half │  room      │
//! ```
//!
//! What moved up is read again, at its new positions and without what was forgotten. So an answer after a shift is exactly the one
//! that a fresh conversation of these tokens would get, on every executor. That costs reading nearly half the context as a prompt,
//! once for as many new tokens: a prompt token read for each token made. llama.cpp turns the cached keys to their new positions
//! instead, which costs next to nothing, but its numbers then depend on text that is no longer there; and keys kept as bytes would
//! lose accuracy each time.

/// How many tokens at the beginning of `len` stay, and how many behind them are forgotten, at least one.
fn cut(len: usize, keep: usize) -> (usize, usize) {
    let keep = keep.clamp(1, (len / 2).max(1));
    (keep, ((len - keep) / 2).max(1))
}

/// Forgets some of `tokens`, a full context of two or more; returns how many at the beginning stay where they were, of which the
/// last one does not count: it is always run again.
pub fn shift(tokens: &mut Vec<u32>, keep: usize) -> usize {
    let (keep, forgotten) = cut(tokens.len(), keep);
    tokens.drain(keep..keep + forgotten);
    keep.min(tokens.len() - 1)
}

/// What is left of `prompt`, whose last `made` tokens were made in a context of `context` tokens, and how often it was shifted.
pub fn replay(prompt: &[u32], made: usize, context: usize, keep: usize) -> (Vec<u32>, u64) {
    let (given, made) = prompt.split_at(prompt.len() - made);
    let mut tokens = given.to_vec();
    let mut shifts = 0;
    for &token in made {
        if tokens.len() == context {
            shift(&mut tokens, keep);
            shifts += 1;
        }
        tokens.push(token);
    }
    (tokens, shifts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_half_of_what_need_not_stay_is_forgotten() {
        let shifted = |len: u32, keep: usize| {
            let mut tokens: Vec<u32> = (0..len).collect();
            (shift(&mut tokens, keep), tokens)
        };
        assert_eq!(shifted(10, 4), (4, vec![0, 1, 2, 3, 7, 8, 9]));
        assert_eq!(shifted(10, 0), (1, vec![0, 5, 6, 7, 8, 9]));
        assert_eq!(shifted(10, 100), (5, vec![0, 1, 2, 3, 4, 7, 8, 9]));
        assert_eq!(shifted(2, 4), (0, vec![0]));
        assert_eq!(shifted(3, 4), (1, vec![0, 2]));
    }

    #[test]
    fn replaying_shifts_as_often_as_was_shifted() {
        let tokens: Vec<u32> = (0..30).collect();
        assert_eq!(replay(&tokens[..8], 3, 8, 2), (tokens[..8].to_vec(), 0));
        assert_eq!(replay(&tokens[..9], 3, 8, 2), (vec![0, 1, 5, 6, 7, 8], 1));
        let mut expected = tokens[..5].to_vec();
        let mut shifts = 0;
        for &token in &tokens[5..] {
            if expected.len() == 8 {
                shift(&mut expected, 2);
                shifts += 1;
            }
            expected.push(token);
        }
        assert_eq!(replay(&tokens, 25, 8, 2), (expected, shifts));
        assert!(shifts > 5);
    }
}
