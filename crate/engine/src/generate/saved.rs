//! A conversation as bytes, to be gone on with later:
//!
//! ```text
//! "HEARTHSV" │ version u32 │ length of the rest u64 │ model u64 │ format of the cache: length u32, text
//!            │ number of tokens u32 │ tokens u32 … │ cached positions u32 │ keys and values … │ hash of all before u64
//! ```
//!
//! Everything is little-endian. The model is its [fingerprint](crate::fingerprint); keys and values are as the executor gave them
//! and are taken back by one of the same kind whose rotations are the same, which the format tells, else the tokens are run again.

use twox_hash::XxHash64;

use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"HEARTHSV";
const VERSION: u32 = 1;

/// Magic, version and length.
const HEAD: usize = 20;

/// What a saved conversation holds.
#[derive(Debug, PartialEq)]
pub struct Saved<'a> {
    /// The model's fingerprint.
    pub model: u64,
    /// How the executor's cache lies, and how its keys were turned.
    pub format: &'a str,
    /// All tokens.
    pub tokens: Vec<u32>,
    /// How many of them the cache holds.
    pub cached: usize,
    /// Keys and values of these.
    pub cache: &'a [u8],
}

impl Saved<'_> {
    /// The bytes of it.
    pub fn write(&self) -> Vec<u8> {
        let rest = 8 + 4 + self.format.len() + 4 + self.tokens.len() * 4 + 4 + self.cache.len() + 8;
        let mut bytes = Vec::with_capacity(HEAD + rest);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((rest as u64).to_le_bytes());
        bytes.extend(self.model.to_le_bytes());
        bytes.extend((self.format.len() as u32).to_le_bytes());
        bytes.extend(self.format.as_bytes());
        bytes.extend((self.tokens.len() as u32).to_le_bytes());
        bytes.extend(self.tokens.iter().flat_map(|token| token.to_le_bytes()));
        bytes.extend((self.cached as u32).to_le_bytes());
        bytes.extend(self.cache);
        bytes.extend(XxHash64::oneshot(0, &bytes).to_le_bytes());
        bytes
    }

    /// What `bytes` hold, for a model of this fingerprint with so many tokens. Errors unless they are whole and as they were
    /// written.
    pub fn read(bytes: &[u8], model: u64, vocab_size: usize) -> Result<Saved<'_>> {
        let Some(head) = bytes.first_chunk::<HEAD>().filter(|head| head.starts_with(MAGIC)) else {
            return Err(match MAGIC.starts_with(bytes) || bytes.starts_with(MAGIC) {
                true => cut_off(bytes.len(), HEAD as u64),
                false => Error::NotASession,
            });
        };
        let version = u32::from_le_bytes(*head[8..].first_chunk().expect("the head is longer"));
        if version != VERSION {
            return Err(Error::SessionVersion { version });
        }
        let rest = u64::from_le_bytes(*head[12..].first_chunk().expect("the head is longer"));
        let have = (bytes.len() - HEAD) as u64;
        if have < rest {
            return Err(cut_off(bytes.len(), rest.saturating_add(HEAD as u64)));
        }
        let body = match bytes.split_last_chunk() {
            Some((body, sum)) if have == rest && XxHash64::oneshot(0, body).to_le_bytes() == *sum => body,
            _ => return Err(damaged("its bytes are not those that were saved")),
        };
        let mut parts = Parts(body.get(HEAD..).unwrap_or_default());
        let found = u64::from_le_bytes(parts.chunk()?);
        if found != model {
            return Err(Error::OtherModel);
        }
        let length = parts.count()?;
        let format = std::str::from_utf8(parts.take(length)?).map_err(|_| damaged("the cache's format is no text"))?;
        let length = parts.count()?.checked_mul(4).ok_or_else(|| damaged("it says it has too many tokens"))?;
        let tokens: Vec<u32> =
            parts.take(length)?.as_chunks().0.iter().map(|token| u32::from_le_bytes(*token)).collect();
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(damaged(&format!("token {token} is not in the vocabulary")));
        }
        let cached = parts.count()?;
        if cached > tokens.len() {
            return Err(damaged(&format!("{cached} of {} tokens are cached", tokens.len())));
        }
        Ok(Saved { model, format, tokens, cached, cache: parts.0 })
    }
}

fn cut_off(have: usize, need: u64) -> Error {
    Error::SessionTruncated { have, need }
}

fn damaged(what: &str) -> Error {
    Error::SessionDamaged { what: what.into() }
}

/// What is still to be read.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(length).ok_or_else(|| damaged("it ends within its parts"))?;
        self.0 = rest;
        Ok(part)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(*self.take(N)?.first_chunk().expect("so many were taken"))
    }

    fn count(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.chunk()?) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved<'static> {
        Saved { model: 7, format: "bytes", tokens: vec![1, 2, 300], cached: 2, cache: &[1, 2, 3, 4, 5] }
    }

    fn code(bytes: &[u8]) -> &'static str {
        Saved::read(bytes, 7, 400).unwrap_err().code()
    }

    /// With a hash that is right.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let body = bytes.len() - 8;
        let sum = XxHash64::oneshot(0, &bytes[..body]).to_le_bytes();
        bytes[body..].copy_from_slice(&sum);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Saved::read(&saved().write(), 7, 400).unwrap(), saved());
    }

    #[test]
    fn what_is_not_whole_is_refused_by_name() {
        let bytes = saved().write();
        for end in 0..bytes.len() {
            assert_eq!(code(&bytes[..end]), "session_truncated", "{end}");
        }
        for at in 0..bytes.len() {
            for bit in [0x01, 0x80] {
                let mut flipped = bytes.clone();
                flipped[at] ^= bit;
                let expected = match at {
                    0..8 => &["not_a_session"][..],
                    8..12 => &["session_version"],
                    12..20 => &["session_truncated", "session_damaged"],
                    _ => &["session_damaged"],
                };
                assert!(expected.contains(&code(&flipped)), "byte {at}: {}", code(&flipped));
            }
        }
        assert_eq!(code(&[&bytes[..], &[0]].concat()), "session_damaged");
        assert_eq!(code(b"GGUF"), "not_a_session");
    }

    #[test]
    fn what_is_whole_and_wrong_is_refused_by_name() {
        assert_eq!(Saved::read(&saved().write(), 8, 400).unwrap_err().code(), "other_model");
        assert_eq!(Saved::read(&saved().write(), 7, 300).unwrap_err().code(), "session_damaged");
        // Lengths and counts that no file could have: format, tokens, cached.
        let bytes = saved().write();
        for at in [28, 32 + 5, 32 + 5 + 4 + 12] {
            for count in [u32::MAX, u32::MAX / 4 + 2, 1000] {
                let mut huge = bytes.clone();
                huge[at..at + 4].copy_from_slice(&count.to_le_bytes());
                assert_eq!(code(&sealed(huge)), "session_damaged", "{count} at {at}");
            }
        }
        let mut short = bytes[..40].to_vec();
        short[12..20].copy_from_slice(&20u64.to_le_bytes());
        assert_eq!(code(&sealed(short)), "session_damaged");
        let mut empty = bytes[..20].to_vec();
        empty[12..].fill(0);
        assert_eq!(code(&empty), "session_damaged");
    }
}
