//! Byte-level writing (GPT-2): every byte is written as one printable character, so that a vocabulary is text whatever bytes its
//! pieces stand for. Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.

/// The byte that a character stands for: printable Latin-1 characters are themselves, the other 68 bytes are U+0100 and on, in
/// order.
fn byte(c: char) -> Option<u8> {
    Some(match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => code as u8,
        code @ 0x100..=0x120 => (code - 0x100) as u8,
        code @ 0x121..=0x142 => (code - 0x121 + 0x7f) as u8,
        0x143 => 0xad,
        _ => return None,
    })
}

/// The bytes a piece stands for, if each of its characters stands for one.
pub fn all_bytes(piece: &str) -> Option<Vec<u8>> {
    piece.chars().map(byte).collect()
}

/// The bytes a piece stands for; a character that stands for none is itself.
pub fn bytes(piece: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(piece.len());
    for c in piece.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(c.to_string().bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    #[test]
    fn every_byte_comes_back() {
        // Valid UTF-8 that contains every byte a text can: one- and two-byte characters, and some longer.
        let text: String = (1..0x800).chain(0xfff0..0x10010).filter_map(char::from_u32).collect();
        let mut split = PreTokenizedString::from(text.as_str());
        ByteLevel::new(false, false, false).pre_tokenize(&mut split).unwrap();
        let written: String =
            split.get_splits(OffsetReferential::Original, OffsetType::Byte).iter().map(|split| split.0).collect();
        assert_eq!(String::from_utf8(bytes(&written)).unwrap(), text);
        assert_eq!(all_bytes(&written).unwrap(), text.as_bytes());
        assert_eq!((all_bytes("a b"), bytes("a炉")), (None, "a炉".into()));
    }
}
