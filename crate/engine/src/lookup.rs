//! Prompt lookup: guesses the next tokens by what followed the last few earlier in the conversation, so that one pass of the
//! model can confirm several. Pays where text is copied, edited or repeats a form; elsewhere it switches itself off.
//! (Saxena 2023, "Prompt Lookup Decoding"; the guesses are checked as in Leviathan et al. 2022, arXiv:2211.17192.)

/// Tokens that must have occurred before, at least and at most.
const MATCH: std::ops::RangeInclusive<usize> = 2..=4;

/// Most tokens in a guess. With the one that is certain they are eight, which the kernels take at once.
const LONGEST: usize = 7;

/// A pass over several tokens costs about this many single ones, for each: more must be won.
const COST: f32 = 0.6;

/// Steps without a guess after guesses that did not pay: the first time, and at most.
const PAUSE: (usize, usize) = (8, 256);

/// Makes guesses and learns from what becomes of them.
pub struct Lookup {
    len: usize,
    pause: usize,
    next_pause: usize,
}

impl Default for Lookup {
    fn default() -> Lookup {
        Lookup { len: 3, pause: 0, next_pause: PAUSE.0 }
    }
}

impl Lookup {
    /// What may follow `tokens`, at most `room` of them; often nothing.
    pub fn guess(&mut self, tokens: &[u32], room: usize) -> Vec<u32> {
        if self.pause > 0 {
            self.pause -= 1;
            return Vec::new();
        }
        let most = self.len.min(room);
        if most == 0 {
            return Vec::new();
        }
        for n in MATCH.rev() {
            let Some(start) = tokens.len().checked_sub(n) else { continue };
            // The latest earlier occurrence: what is near repeats itself more.
            let found = tokens[..tokens.len() - 1].windows(n).rposition(|window| *window == tokens[start..]);
            if let Some(found) = found {
                return tokens[found + n..].iter().copied().take(most).collect();
            }
        }
        Vec::new()
    }

    /// Tells how many of the `guessed` tokens were right.
    pub fn learn(&mut self, guessed: usize, right: usize) {
        if right == guessed {
            self.len = (self.len + 2).min(LONGEST);
        } else if right < guessed / 2 {
            self.len = (self.len - 1).max(2);
        }
        let passes = 1.0 + guessed as f32 * COST;
        if right as f32 + 1.0 >= passes {
            self.next_pause = PAUSE.0;
        } else if right == 0 {
            self.pause = self.next_pause;
            self.next_pause = (2 * self.next_pause).min(PAUSE.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_before_is_guessed() {
        let mut lookup = Lookup::default();
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 9, 1, 2, 3], 8), [4, 5, 6]);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 9, 1, 2, 3], 1), [4]);
        assert_eq!(lookup.guess(&[7, 7, 7], 8), [7]);
        assert!(lookup.guess(&[1, 2, 3], 8).is_empty());
        assert!(lookup.guess(&[1], 8).is_empty());
    }

    #[test]
    fn it_switches_itself_off_and_tries_again() {
        let mut lookup = Lookup::default();
        let text = [1, 2, 3, 1, 2];
        let mut tries = 0;
        for _ in 0..1000 {
            let guess = lookup.guess(&text, 8);
            if !guess.is_empty() {
                tries += 1;
                lookup.learn(guess.len(), 0);
            }
        }
        assert!((2..12).contains(&tries), "{tries}");
    }
}
