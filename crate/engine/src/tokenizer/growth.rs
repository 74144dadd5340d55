//! How much longer a text may become on its way through the steps of a tokenizer's file: to `TIMES` its length and `MORE` besides.
//! Unicode's forms take up to 18 times, and a space or two are added; a chain of steps that each double a text is damaged, or
//! hostile.

use crate::error::{Error, Result};

/// Times the length.
pub const TIMES: usize = 64;
/// Bytes besides.
pub const MORE: usize = 1 << 16;

/// Bytes that a text of `len` may come to have.
pub fn limit(len: usize) -> usize {
    len.saturating_mul(TIMES).saturating_add(MORE)
}

/// Errors where a text of `len` bytes is beyond its `limit`.
pub fn check(len: usize, limit: usize) -> Result<()> {
    match len > limit {
        true => Err(Error::Tokenizer(format!("its steps make {len} bytes of a text: they are damaged"))),
        false => Ok(()),
    }
}
