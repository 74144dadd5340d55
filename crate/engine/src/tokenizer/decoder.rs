//! Tokens back to text, one at a time: what is given out is final, and never ends within a character. A `tokenizer.json` lists
//! the stages; each takes pieces of text and gives pieces of text.
//!
//! A file's stages may lengthen a text no more than `growth` says: a stage without room leaves pieces as they are.
//!
//! ```text
//! "▁炉"  "<0xE7>" "<0x81>" "<0xAB>"   → Replace → ByteFallback → Fuse → Strip →   "炉" "火"
//! ```

use fancy_regex::Regex;

use super::stream::Characters;
use super::vocabulary::byte_of;
use super::{SPACE, byte_level, growth};

/// A stage and what it holds back.
#[derive(Clone, Debug)]
pub enum Stage {
    Replace {
        pattern: Regex,
        content: String,
    },
    /// `<0xNN>` pieces become text together; if they are none, each becomes U+FFFD.
    ByteFallback {
        bytes: Vec<u8>,
    },
    /// Byte-level writing.
    ByteLevel {
        characters: Characters,
    },
    /// Takes up to `start` and `stop` times `content` from both ends of each piece.
    Strip {
        content: char,
        start: usize,
        stop: usize,
    },
    /// Takes up to `left` times `content` from the beginning of everything.
    StripStart {
        content: char,
        left: usize,
    },
    /// Holds everything until the end.
    Hold {
        text: String,
    },
    /// `replacement` becomes a space; those of the first piece become nothing, if `drop_first`.
    Metaspace {
        replacement: char,
        drop_first: bool,
    },
    /// Pieces with `prefix` continue a word, others begin one.
    WordPiece {
        prefix: String,
        cleanup: bool,
        first: bool,
    },
    /// `suffix` ends a word; the last piece is held, for it gets no space.
    Suffix {
        suffix: String,
        held: Option<String>,
    },
    /// Repeated pieces are one, `pad` is nothing, `delimiter` a space.
    Ctc {
        pad: String,
        delimiter: String,
        cleanup: bool,
        last: Option<String>,
    },
    /// No decoder: a space between pieces.
    Join {
        first: bool,
    },
    /// What llama.cpp does with U+2581 and `<0xNN>`: bytes become characters as they come.
    Spaces {
        characters: Characters,
    },
}

impl Stage {
    /// Takes a piece, gives what is certain, which is up to `room` bytes longer where something is replaced.
    fn push(&mut self, piece: &str, room: usize, give: &mut Vec<String>) {
        match self {
            Stage::Replace { pattern, content } => give.push(replace(pattern, piece, content, room)),
            Stage::ByteFallback { bytes } => match byte_of(piece) {
                Some(byte) => bytes.push(byte),
                None => {
                    give.extend(spelled(bytes));
                    give.push(piece.to_owned());
                }
            },
            Stage::ByteLevel { characters } => {
                let bytes = byte_level::all_bytes(piece).unwrap_or_else(|| piece.as_bytes().to_vec());
                give.push(characters.push(&bytes));
            }
            Stage::Strip { content, start, stop } => {
                let from_start = piece.chars().take(*start).take_while(|c| c == content).count();
                let from_stop = piece.chars().rev().take(*stop).take_while(|c| c == content).count();
                let kept = piece.len().saturating_sub(from_stop * content.len_utf8());
                give.push(piece.get(from_start * content.len_utf8()..kept).unwrap_or_default().to_owned());
            }
            Stage::StripStart { content, left } => {
                let taken = piece.chars().take(*left).take_while(|c| c == content).count();
                let rest = &piece[taken * content.len_utf8()..];
                *left = if rest.is_empty() { *left - taken } else { 0 };
                give.push(rest.to_owned());
            }
            Stage::Hold { text } => text.push_str(piece),
            Stage::Metaspace { replacement, drop_first } => {
                let with = if *drop_first { "" } else { " " };
                *drop_first = false;
                give.push(piece.replace(*replacement, with));
            }
            Stage::WordPiece { prefix, cleanup, first } => {
                let text = match piece.strip_prefix(prefix.as_str()) {
                    _ if std::mem::take(first) => piece.to_owned(),
                    Some(continued) => continued.to_owned(),
                    None => format!(" {piece}"),
                };
                give.push(if *cleanup { cleaned(&text) } else { text });
            }
            Stage::Suffix { suffix, held } => {
                let before = held.replace(piece.to_owned());
                give.extend(before.map(|piece| piece.replace(suffix.as_str(), " ")));
            }
            Stage::Ctc { pad, delimiter, cleanup, last } => {
                if last.as_deref() == Some(piece) {
                    return;
                }
                *last = Some(piece.to_owned());
                let text = piece.replace(pad.as_str(), "");
                let text = if *cleanup { cleaned(&text).replace(delimiter.as_str(), " ") } else { text };
                give.extend((!text.is_empty()).then_some(text));
            }
            Stage::Join { first } => {
                give.push(if std::mem::take(first) { piece.to_owned() } else { format!(" {piece}") });
            }
            Stage::Spaces { characters } => give.push(match byte_of(piece) {
                Some(byte) => characters.push(&[byte]),
                None => characters.push(piece.replace(SPACE, " ").as_bytes()),
            }),
        }
    }

    /// Gives what was held when no more comes.
    fn finish(&mut self, give: &mut Vec<String>) {
        match self {
            Stage::ByteFallback { bytes } => give.extend(spelled(bytes)),
            Stage::ByteLevel { characters } | Stage::Spaces { characters } => give.push(characters.finish()),
            Stage::Hold { text } => give.push(std::mem::take(text)),
            Stage::Suffix { suffix, held } => give.extend(held.take().map(|piece| piece.replace(suffix.as_str(), ""))),
            _ => {}
        }
    }

    /// The bytes a piece stands for wherever it stands: what follows `bytes` of the stages before, up to `room` longer.
    fn alone(&self, piece: Vec<u8>, room: usize) -> Vec<u8> {
        let Ok(text) = str::from_utf8(&piece) else { return piece };
        match self {
            Stage::Replace { pattern, content } => replace(pattern, text, content, room).into_bytes(),
            Stage::ByteFallback { .. } => byte_of(text).map_or(piece, |byte| vec![byte]),
            Stage::ByteLevel { .. } => byte_level::bytes(text),
            Stage::Metaspace { replacement, .. } => text.replace(*replacement, " ").into_bytes(),
            Stage::WordPiece { prefix, .. } => match text.strip_prefix(prefix.as_str()) {
                Some(continued) => continued.as_bytes().to_vec(),
                None => format!(" {text}").into_bytes(),
            },
            Stage::Suffix { suffix, .. } => text.replace(suffix.as_str(), " ").into_bytes(),
            Stage::Ctc { pad, delimiter, .. } => {
                text.replace(pad.as_str(), "").replace(delimiter.as_str(), " ").into_bytes()
            }
            Stage::Join { .. } => format!(" {text}").into_bytes(),
            Stage::Spaces { .. } => {
                byte_of(text).map_or_else(|| text.replace(SPACE, " ").into_bytes(), |byte| vec![byte])
            }
            Stage::Strip { .. } | Stage::StripStart { .. } | Stage::Hold { .. } => piece,
        }
    }
}

/// All stages of a tokenizer, at the beginning of a text.
#[derive(Clone, Debug)]
pub struct Decoder {
    stages: Vec<Stage>,
    /// Bytes that the stages may still add.
    room: usize,
}

impl Decoder {
    pub fn new(stages: Vec<Stage>) -> Decoder {
        Decoder { stages, room: growth::MORE }
    }

    /// Takes a piece and returns the text that became certain.
    pub fn push(&mut self, piece: &str) -> String {
        self.room = self.room.saturating_add(piece.len().saturating_mul(growth::TIMES));
        self.run(0, vec![piece.to_owned()])
    }

    /// What was held when no more comes.
    pub fn finish(&mut self) -> String {
        let mut text = String::new();
        for i in 0..self.stages.len() {
            let mut given = Vec::new();
            self.stages[i].finish(&mut given);
            text += &self.run(i + 1, given);
        }
        text
    }

    /// Sends pieces through the stages from number `from` on.
    fn run(&mut self, from: usize, mut pieces: Vec<String>) -> String {
        let length = |pieces: &[String]| pieces.iter().map(String::len).sum::<usize>();
        for stage in &mut self.stages[from..] {
            let (mut given, mut room) = (Vec::new(), self.room);
            for piece in &pieces {
                let before = length(&given);
                stage.push(piece, room, &mut given);
                room = room.saturating_sub((length(&given) - before).saturating_sub(piece.len()));
            }
            let grown = length(&given).saturating_sub(length(&pieces));
            if grown <= self.room {
                self.room -= grown;
                pieces = given;
            }
        }
        pieces.concat()
    }

    /// The bytes a piece stands for in the middle of a text.
    pub fn bytes(&self, piece: &str) -> Vec<u8> {
        let most = piece.len() * growth::TIMES;
        self.stages.iter().fold(piece.as_bytes().to_vec(), |made, stage| {
            let next = stage.alone(made.clone(), most.saturating_sub(made.len()));
            if next.len() <= most { next } else { made }
        })
    }
}

/// All matches replaced; a search that fails, or `room` for fewer bytes more, leaves the rest as it is.
fn replace(pattern: &Regex, text: &str, content: &str, room: usize) -> String {
    let (mut replaced, mut done) = (String::with_capacity(text.len()), 0_usize);
    for found in pattern.find_iter(text).map_while(Result::ok) {
        if replaced.len() + content.len() > done.saturating_add(room) {
            break;
        }
        replaced.push_str(&text[done..found.start()]);
        replaced.push_str(content);
        done = found.end();
    }
    replaced + &text[done..]
}

/// The text of gathered bytes, or one U+FFFD for each.
fn spelled(bytes: &mut Vec<u8>) -> Option<String> {
    let bytes = std::mem::take(bytes);
    let count = bytes.len();
    (count > 0).then(|| String::from_utf8(bytes).unwrap_or_else(|_| "\u{fffd}".repeat(count)))
}

/// English typography: no space before punctuation and contractions.
fn cleaned(text: &str) -> String {
    const RULES: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    RULES.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::super::pattern::literal;
    use super::*;

    fn decoded(stages: &[Stage], pieces: &[&str]) -> Vec<String> {
        let mut decoder = Decoder::new(stages.to_vec());
        let mut given: Vec<String> = pieces.iter().map(|piece| decoder.push(piece)).collect();
        given.push(decoder.finish());
        given
    }

    #[test]
    fn llama_2() {
        let stages = [
            Stage::Replace { pattern: literal("▁").unwrap(), content: " ".into() },
            Stage::ByteFallback { bytes: Vec::new() },
            Stage::StripStart { content: ' ', left: 1 },
        ];
        let pieces = ["▁", "▁a", "<0xE7>", "<0x82>", "<0x89>", "b", "<0xE7>"];
        assert_eq!(decoded(&stages, &pieces), ["", " a", "", "", "", "炉b", "", "\u{fffd}"]);
        assert_eq!(Decoder::new(stages.to_vec()).bytes("▁a"), b" a");
        assert_eq!(Decoder::new(stages.to_vec()).bytes("<0xE7>"), b"\xe7");
    }

    #[test]
    fn words_and_suffixes() {
        let words = [Stage::WordPiece { prefix: "##".into(), cleanup: true, first: true }];
        assert_eq!(decoded(&words, &["hi", "##gh", "!", "n't"]).concat(), "high!n't");
        let suffixes = [Stage::Suffix { suffix: "</w>".into(), held: None }];
        assert_eq!(decoded(&suffixes, &["a", "b</w>", "c</w>"]), ["", "a", "b ", "c"]);
        assert_eq!(decoded(&[Stage::Join { first: true }], &["a", "b"]).concat(), "a b");
    }

    #[test]
    fn repeated_sounds_are_one() {
        let stage = Stage::Ctc { pad: "<pad>".into(), delimiter: "|".into(), cleanup: true, last: None };
        assert_eq!(decoded(&[stage], &["h", "h", "<pad>", "h", "|", "|", "i"]).concat(), "hh i");
    }

    #[test]
    fn texts_do_not_grow_without_end() {
        let long = || Stage::Replace { pattern: literal("a").unwrap(), content: "a".repeat(1000) };
        let double = || Stage::Suffix { suffix: String::new(), held: None };
        let hold = || Stage::Hold { text: String::new() };
        let most = 1000 * growth::TIMES + 2 * growth::MORE;
        for stages in [vec![long(); 4], vec![long(), hold(), long(), hold(), long()], vec![double(); 60]] {
            let pieces = ["a"; 1000];
            assert!(decoded(&stages, &pieces).concat().len() < most);
            assert!(Decoder::new(stages).bytes(&pieces.concat()).len() <= 1000 * growth::TIMES);
        }
        assert_eq!(decoded(&[long()], &["ba"]).concat().len(), 1001);
    }

    #[test]
    fn what_is_stripped_may_meet() {
        let stage = |start, stop| Stage::Strip { content: 'x', start, stop };
        assert_eq!(decoded(&[stage(1, 1)], &["xax", "x", "", "xx"]).concat(), "a");
        assert_eq!(decoded(&[stage(9, 0)], &["xxaxx"]).concat(), "axx");
    }
}
