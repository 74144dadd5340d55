//! Prompt lookup: guesses the next tokens by what followed the last few earlier in the conversation, so that one pass of the
//! model can confirm several. Pays where text is copied, edited or repeats a form; elsewhere it switches itself off.
//! (Saxena 2023, "Prompt Lookup Decoding"; the guesses are checked as in Leviathan et al. 2022, arXiv:2211.17192.)

/// Tokens that must have occurred before, at least and at most.
const MATCH: (usize, usize) = (2, 4);

/// Most tokens in a guess. With the one that is certain they are eight, which the kernels take at once.
const LONGEST: usize = 7;

/// What each guessed token adds to a pass, in passes of a single token. Integer products, not memory, bound one thread, so a guess
/// saves little more than the unpacking of weights.
const COST: f32 = 0.6;

/// Passes that guesses may have lost, on balance, before they pause, and most that a good past may weigh against it.
const BALANCE: (f32, f32) = (1.5, 6.0);

/// Steps without a guess after guesses that did not pay: the first time, and at most.
const PAUSE: (usize, usize) = (32, 512);

/// Makes guesses and learns from what becomes of them.
pub struct Lookup {
    len: usize,
    /// Passes won.
    balance: f32,
    pause: usize,
    next_pause: usize,
}

impl Default for Lookup {
    fn default() -> Lookup {
        Lookup { len: 3, balance: 0.0, pause: 0, next_pause: PAUSE.0 }
    }
}

impl Lookup {
    /// What may follow `tokens`, at most `room` of them; often nothing.
    pub fn guess(&mut self, tokens: &[u32], room: usize) -> Vec<u32> {
        if self.pause > 0 {
            self.pause -= 1;
            return Vec::new();
        }
        let Some(next) = latest(tokens).filter(|_| room > 0) else { return Vec::new() };
        // A guess longer than what is there goes on with itself: what repeats will repeat.
        let period = tokens.len() - next;
        (0..self.len.min(room)).map(|i| tokens[next + i % period]).collect()
    }

    /// Tells how many of the `guessed` tokens were right.
    pub fn learn(&mut self, guessed: usize, right: usize) {
        if right == guessed {
            self.len = (self.len + 2).min(LONGEST);
        } else if right < guessed / 2 {
            self.len = (self.len - 1).max(2);
        }
        let won = right as f32 - guessed as f32 * COST;
        self.balance = (self.balance + won).min(BALANCE.1);
        if won > 0.0 {
            self.next_pause = PAUSE.0;
        }
        if self.balance < -BALANCE.0 {
            self.balance = 0.0;
            self.pause = self.next_pause;
            self.next_pause = (2 * self.next_pause).min(PAUSE.1);
        }
    }
}

/// The position after the longest earlier occurrence of the last tokens; of equally long ones the latest, since what is near
/// repeats itself more.
fn latest(tokens: &[u32]) -> Option<usize> {
    let [.., before, last] = *tokens else { return None };
    let mut best = (MATCH.0 - 1, None);
    for at in (MATCH.0..tokens.len()).rev() {
        if tokens[at - 1] != last || tokens[at - 2] != before {
            continue;
        }
        let same = |n: &usize| at.checked_sub(n + 1).is_some_and(|i| tokens[i] == tokens[tokens.len() - 1 - n]);
        let matched = MATCH.0 + (MATCH.0..MATCH.1).take_while(same).count();
        if matched > best.0 {
            best = (matched, Some(at));
        }
        if matched == MATCH.1 {
            break;
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_before_is_guessed() {
        let mut lookup = Lookup::default();
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 9, 1, 2, 3], 8), [4, 5, 6]);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 9, 1, 2, 3], 1), [4]);
        assert_eq!(lookup.guess(&[7, 7, 7], 8), [7, 7, 7]);
        assert_eq!(lookup.guess(&[1, 2, 1, 2], 8), [1, 2, 1]);
        assert_eq!(lookup.guess(&[5, 1, 2, 8, 6, 1, 2, 9, 5, 1, 2], 1), [8], "the longer match wins");
        assert_eq!(lookup.guess(&[1, 2, 8, 1, 2, 9, 1, 2], 1), [9], "the later one wins");
        assert!(lookup.guess(&[1, 2, 3], 8).is_empty());
        assert!(lookup.guess(&[1], 8).is_empty());
    }

    #[test]
    fn it_switches_itself_off_and_tries_again() {
        let text = [1, 2, 3, 1, 2];
        let tries = |right: usize| {
            let mut lookup = Lookup::default();
            let mut tries = 0;
            for _ in 0..1000 {
                let guess = lookup.guess(&text, 8);
                if !guess.is_empty() {
                    tries += 1;
                    lookup.learn(guess.len(), right.min(guess.len()));
                }
            }
            tries
        };
        assert!((2..25).contains(&tries(0)), "{}", tries(0));
        // One right of two loses a little each time.
        assert!(tries(1) < 100, "{}", tries(1));
        assert_eq!(tries(7), 1000);
    }
}
