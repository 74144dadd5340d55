//! Tokens arrive as bytes, and a character may be split over several of them: this gives whole characters as soon as they
//! are whole.

/// Bytes in, whole characters out.
#[derive(Clone, Debug, Default)]
pub struct Characters {
    pending: Vec<u8>,
}

impl Characters {
    /// Takes bytes and returns the characters that became whole. Bytes that can belong to none become U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(rest) => {
                    text.push_str(rest);
                    self.pending.clear();
                    return text;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.pending[..valid]));
                    let bad = error.error_len();
                    self.pending.drain(..valid + bad.unwrap_or(0));
                    if bad.is_none() {
                        return text;
                    }
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
    }

    /// What is left when no more bytes come: nothing, or U+FFFD for a character that was cut off.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_come_whole() {
        let text = "aé炉🔥";
        for size in 1..5 {
            let mut stream = Characters::default();
            let given: Vec<_> = text.as_bytes().chunks(size).map(|bytes| stream.push(bytes)).collect();
            assert_eq!(given.concat() + &stream.finish(), text, "pieces of {size}");
        }
    }

    #[test]
    fn broken_bytes_become_replacement_characters() {
        let mut stream = Characters::default();
        assert_eq!(stream.push(b"a\xffb\xe7\x82"), "a\u{fffd}b");
        assert_eq!(stream.push(b"c"), "\u{fffd}c");
        assert_eq!(stream.push(b"\xe7"), "");
        assert_eq!(stream.finish(), "\u{fffd}");
    }
}
