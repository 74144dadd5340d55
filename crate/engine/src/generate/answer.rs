//! An answer in the making: what was asked for, what is chosen and not yet told, and text that waits for its rest.

use std::collections::VecDeque;

use super::logprobs::Logprobs;
use super::options::{Finish, Options, Step};
use crate::constraint::Constraint;
use crate::error::Result;
use crate::lookup::Lookup;
use crate::sampling::Sampler;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::stream::Characters;

/// Seeds of the stretches between two shifts are so far apart: positions come again, and their noise must not.
const NEXT_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A token that is chosen.
pub struct Chosen {
    pub token: u32,
    pub logprobs: Option<Logprobs>,
}

/// An answer in the making.
pub struct Answer {
    pub options: Options,
    pub sampler: Sampler,
    pub constraint: Option<Box<dyn Constraint>>,
    characters: Characters,
    /// Text held back because a stop text may begin in it.
    held: String,
    pub made: usize,
    pub lookup: Lookup,
    /// Tokens that are chosen and not yet told of.
    pub ready: VecDeque<Chosen>,
}

impl Answer {
    /// One that goes on behind the tokens `made`, which were told of before. Errors if the constraint does not let them through.
    pub fn new(
        options: Options,
        mut constraint: Option<Box<dyn Constraint>>,
        made: &[u32],
        tokenizer: &Tokenizer,
    ) -> Result<Answer> {
        if let Some(constraint) = &mut constraint {
            made.iter().try_for_each(|&token| constraint.take(token))?;
        }
        let mut answer = Answer {
            sampler: Sampler::new(options.sampling.clone()),
            options,
            constraint,
            characters: Characters::default(),
            held: String::new(),
            made: made.len(),
            lookup: Lookup::default(),
            ready: VecDeque::new(),
        };
        for &token in made {
            answer.tell(tokenizer, token);
        }
        Ok(answer)
    }

    /// The text that `token` makes certain, and whether a stop text is complete.
    fn tell(&mut self, tokenizer: &Tokenizer, token: u32) -> (String, bool) {
        self.held += &self.characters.push(&tokenizer.bytes(token));
        release(&mut self.held, &self.options.stop)
    }

    /// With how likely `logits: [V]` make it, if that was asked for.
    pub fn chosen(&self, logits: &[f32], token: u32, tokenizer: &Tokenizer) -> Chosen {
        let told = self.options.logprobs;
        Chosen { token, logprobs: told.map(|n| Logprobs::new(logits, token, n, tokenizer)) }
    }

    /// Draws with the noise of a stretch so many shifts later.
    pub fn reseed(&mut self, shifts: u64) {
        let seed = self.sampler.sampling().seed;
        self.sampler.reseed(seed.wrapping_add(shifts.wrapping_mul(NEXT_SEED)));
    }

    /// Tells of a token that belongs to the answer. Errors if the constraint does not let it through.
    pub fn take(&mut self, tokenizer: &Tokenizer, chosen: Chosen) -> Result<Step> {
        let (mut text, stopped) = self.tell(tokenizer, chosen.token);
        let mut finish = stopped.then_some(Finish::Stop);
        if let Some(constraint) = &mut self.constraint {
            constraint.take(chosen.token)?;
            if finish.is_none() && constraint.finished() {
                finish = Some(Finish::End);
                text += &self.rest();
            }
        }
        Ok(Step { token: Some(chosen.token), text, logprobs: chosen.logprobs, prompt_left: 0, finish })
    }

    /// The last step, which tells all text that waits. A token that it has is no part of the answer.
    pub fn end(&mut self, chosen: Option<Chosen>, finish: Finish) -> Step {
        let (token, logprobs) = chosen.map_or((None, None), |chosen| (Some(chosen.token), chosen.logprobs));
        Step { token, text: self.rest(), logprobs, prompt_left: 0, finish: Some(finish) }
    }

    fn rest(&mut self) -> String {
        std::mem::take(&mut self.held) + &self.characters.finish()
    }
}

/// Takes from `held` the text that can no longer be part of a stop text; true if one is complete, whose own text is dropped.
fn release(held: &mut String, stops: &[String]) -> (String, bool) {
    let stops = || stops.iter().filter(|stop| !stop.is_empty());
    if let Some(at) = stops().filter_map(|stop| held.find(stop.as_str())).min() {
        held.truncate(at);
        return (std::mem::take(held), true);
    }
    let mut starts: VecDeque<usize> = held.char_indices().map(|(at, _)| at).collect();
    while let Some(&at) = starts.front() {
        if stops().any(|stop| stop.starts_with(&held[at..])) {
            let rest = held.split_off(at);
            return (std::mem::replace(held, rest), false);
        }
        starts.pop_front();
    }
    (std::mem::take(held), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of `pieces`, and whether it was stopped.
    fn said(pieces: &[&[u8]], stops: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| stop.to_string()).collect();
        let (mut characters, mut held, mut said) = (Characters::default(), String::new(), String::new());
        for piece in pieces {
            held += &characters.push(piece);
            let (text, stopped) = release(&mut held, &stops);
            said += &text;
            if stopped {
                return (said, true);
            }
            assert!(!stops.iter().any(|stop| said.contains(stop)), "{said} was let out");
        }
        (said + &held, false)
    }

    #[test]
    fn stop_texts_are_held_back_and_cut() {
        let stops = ["\nUser:".to_owned(), "END".to_owned()];
        let mut held = String::new();
        let mut said = String::new();
        let mut stopped = false;
        for piece in ["E", "NE", "hi\n", "Us", "e it\nUs", "er: x"] {
            held += piece;
            let (text, stop) = release(&mut held, &stops);
            said += &text;
            stopped = stop;
            assert!(!said.contains("\nUser"));
        }
        assert!(stopped);
        assert_eq!(said, "ENEhi\nUse it");
    }

    #[test]
    fn without_stops_nothing_is_held() {
        let mut held = "text".to_owned();
        assert_eq!(release(&mut held, &[String::new()]), ("text".into(), false));
    }

    #[test]
    fn stop_texts_are_found_wherever_tokens_cut_their_characters() {
        let text = "炉边🔥é炉边的夜";
        for stop in ["🔥", "é炉", "边的", "夜", "炉边的", "🔥é炉边的夜"] {
            let expected = text.split(stop).next().unwrap();
            for size in 1..text.len() {
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                assert_eq!(said(&pieces, &[stop]), (expected.into(), true), "{stop}, pieces of {size}");
            }
        }
        // Shares the first bytes of its first character with what is said, and is not it.
        assert_eq!(said(&["炉".as_bytes(), &[0xe7, 0x82], &[0x8a]], &["炉炉"]), ("炉炊".into(), false));
    }

    #[test]
    fn overlapping_stop_texts_cut_at_the_first_that_is_complete() {
        let bytes = |text: &'static str| text.as_bytes().chunks(1).collect::<Vec<_>>();
        // One begins inside the other.
        assert_eq!(said(&bytes("xabcabd"), &["abcabe", "cab"]), ("xab".into(), true));
        // One is a part of the other.
        assert_eq!(said(&bytes("xabcd"), &["abcd", "bc"]), ("xa".into(), true));
        // One is the other's beginning: the shorter is complete first.
        assert_eq!(said(&bytes("xabcd"), &["abcd", "ab"]), ("x".into(), true));
        // In one piece, where both are complete: the one that begins first.
        assert_eq!(said(&[b"xabcdy"], &["bc", "abcd"]), ("x".into(), true));
        // Its beginning again and again.
        assert_eq!(said(&bytes("aaaab"), &["aab"]), ("aa".into(), true));
        assert_eq!(said(&bytes("aaaac"), &["aab"]), ("aaaac".into(), false));
    }
}
