//! What an answer may consist of: a grammar, a list of words, anything that can say which tokens may come next.
//!
//! A [`Session`](crate::generate::Session) asks a constraint before each choice and tells it what was chosen:
//!
//! ```text
//! mask ─ choose ─ take ─ finished? ─ mask ─ choose ─ take ─ …
//! ```
//!
//! Where another device runs the model, the mask is made meanwhile.
//!
//! - `grammar`: what may be asked for: a JSON schema, a regular expression, a grammar, a call of a tool; `gbnf` is llama.cpp's notation.
//! - `vocabulary`: the tokens as a trie, made once for a tokenizer.
//! - `guidance`: the constraint over both, by the crate llguidance.

mod gbnf;
mod grammar;
mod guidance;
mod vocabulary;

pub use grammar::{Grammar, Tool};
pub use guidance::Guided;
pub use vocabulary::Vocabulary;

use crate::error::Result;

/// Says which tokens may come next.
pub trait Constraint {
    /// The tokens that may come next: bit `token % 32` of word `token / 32`; tokens beyond the last word may not. `None` if any may.
    /// An end token's bit says whether the answer may end here. A mask without any bit ends the answer with
    /// [`Error::NothingAllowed`](crate::Error::NothingAllowed).
    fn mask(&mut self) -> Result<Option<&[u32]>>;

    /// Goes on by a token that was chosen. Not called for an end token that ends the answer. Errors if `token` may not come here.
    fn take(&mut self, token: u32) -> Result<()>;

    /// Whether what was taken is whole and nothing can follow it: the answer ends then, without a token to say so.
    fn finished(&self) -> bool;
}

/// Whether `mask` has the bit of `token`.
pub fn allows(mask: &[u32], token: u32) -> bool {
    mask.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_a_bit_for_each_token() {
        let mask = [1 << 31, 1];
        assert_eq!((0..100).filter(|&token| allows(&mask, token)).collect::<Vec<_>>(), [31, 32]);
    }
}
