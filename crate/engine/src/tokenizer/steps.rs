//! The short parts of a `tokenizer.json`: normalizer, pre_tokenizer, post_processor and decoder, each an object with a `type`,
//! or a `Sequence` of such.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::tokenizer::SplitDelimiterBehavior;

use super::charsmap::Charsmap;
use super::decoder::{Decoder, Stage};
use super::frame::{Frame, Part};
use super::pattern::{literal, regex};
use super::stream::Characters;
use super::{normal, split};
use crate::error::{Error, Result};

/// Contents that replace something have no more bytes than this.
const MAX_CONTENT: usize = 1 << 10;

fn error(what: impl std::fmt::Display) -> Error {
    Error::Tokenizer(format!("tokenizer.json: {what}"))
}

fn kind(step: &Value) -> Result<&str> {
    step["type"].as_str().ok_or_else(|| error(format!("a step without a type: {}", shown(step))))
}

fn shown(step: &Value) -> String {
    step.to_string().chars().take(80).collect()
}

fn unsupported<T>(part: &str, kind: &str) -> Result<T> {
    Err(error(format!("the {part} {kind:?} is not supported")))
}

fn fields<T: DeserializeOwned>(step: &Value) -> Result<T> {
    T::deserialize(step).map_err(|what| error(format!("{}: {what}", shown(step))))
}

/// The steps of a `Sequence`, under whatever name this part of the file has for them.
fn list<'a>(step: &'a Value, name: &str) -> Result<&'a [Value]> {
    step[name].as_array().map(Vec::as_slice).ok_or_else(|| error(format!("a Sequence without {name}")))
}

/// A text or an expression to look for.
#[derive(Deserialize)]
enum Pattern {
    String(String),
    Regex(String),
}

impl Pattern {
    fn compile(&self) -> Result<fancy_regex::Regex> {
        match self {
            Pattern::String(text) => literal(text),
            Pattern::Regex(source) => regex(source),
        }
    }
}

#[derive(Deserialize)]
struct Replace {
    pattern: Pattern,
    content: String,
}

impl Replace {
    fn checked(self) -> Result<Replace> {
        match self.content.len() > MAX_CONTENT {
            true => Err(error(format!("a replacement of {} bytes", self.content.len()))),
            false => Ok(self),
        }
    }
}

/// Appends the steps of a normalizer.
pub fn normalizer(step: &Value, steps: &mut Vec<normal::Step>) -> Result<()> {
    match kind(step)? {
        "Sequence" => list(step, "normalizers")?.iter().try_for_each(|step| normalizer(step, steps))?,
        "Replace" => {
            let replace = fields::<Replace>(step)?.checked()?;
            steps.push(normal::Step::Replace(replace.pattern.compile()?, replace.content));
        }
        "Precompiled" => {
            let map = step["precompiled_charsmap"].as_str().and_then(base64);
            let map = map.ok_or_else(|| error("the precompiled_charsmap is not base64"))?;
            // An empty map changes nothing.
            if !map.is_empty() {
                steps.push(normal::Step::Charsmap(Charsmap::new(&map)?));
            }
        }
        "Prepend" if step["prepend"].as_str().is_some_and(|text| text.len() > MAX_CONTENT) => {
            return Err(error("a prefix that is no prefix"));
        }
        "BertNormalizer" | "Strip" | "StripAccents" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "Nmt"
        | "Prepend" | "ByteLevel" => {
            steps.push(normal::Step::Plain(fields(step)?));
        }
        other => return unsupported("normalizer", other),
    }
    Ok(())
}

#[derive(Deserialize)]
struct Split {
    pattern: Pattern,
    behavior: SplitDelimiterBehavior,
    #[serde(default)]
    invert: bool,
}

#[derive(Deserialize)]
struct ByteLevel {
    #[serde(default = "yes")]
    add_prefix_space: bool,
    #[serde(default = "yes")]
    use_regex: bool,
}

fn yes() -> bool {
    true
}

/// Appends the steps of a pre-tokenizer.
pub fn pre_tokenizer(step: &Value, steps: &mut Vec<split::Step>) -> Result<()> {
    match kind(step)? {
        "Sequence" => list(step, "pretokenizers")?.iter().try_for_each(|step| pre_tokenizer(step, steps))?,
        "Split" => {
            let Split { pattern, behavior, invert } = fields(step)?;
            steps.push(split::Step::Regex { pattern: pattern.compile()?, behavior, invert });
        }
        "ByteLevel" => {
            let ByteLevel { add_prefix_space, use_regex } = fields(step)?;
            if add_prefix_space {
                steps.push(split::Step::SpaceBefore);
            }
            if use_regex {
                steps.push(split::Step::isolated(split::GPT_2)?);
            }
            steps.push(split::Step::bytes());
        }
        "FixedLength" if step["length"] == 0 => return Err(error("words of no length")),
        "BertPreTokenizer" | "Delimiter" | "CharDelimiterSplit" | "Metaspace" | "Whitespace" | "WhitespaceSplit"
        | "Punctuation" | "Digits" | "UnicodeScripts" | "FixedLength" => {
            steps.push(split::Step::Plain(fields(step)?));
        }
        other => return unsupported("pre_tokenizer", other),
    }
    Ok(())
}

/// The special tokens around texts.
pub fn post_processor(step: Option<&Value>) -> Result<Frame> {
    let mut frames = Vec::new();
    if let Some(step) = step {
        collect_frames(step, &mut frames)?;
    }
    match frames.len() {
        0 => Ok(Frame::around(&[], &[], &[])),
        1 => Ok(frames.remove(0)),
        _ => Err(error("more than one post_processor adds tokens")),
    }
}

#[derive(Deserialize)]
struct TemplateProcessing {
    single: Vec<Piece>,
    pair: Vec<Piece>,
    special_tokens: std::collections::BTreeMap<String, Special>,
}

#[derive(Deserialize)]
enum Piece {
    Sequence { id: String },
    SpecialToken { id: String },
}

#[derive(Deserialize)]
struct Special {
    ids: Vec<u32>,
}

/// `[CLS]` and `[SEP]`, each text and id.
#[derive(Deserialize)]
struct Around {
    sep: (String, u32),
    cls: (String, u32),
}

fn collect_frames(step: &Value, frames: &mut Vec<Frame>) -> Result<()> {
    match kind(step)? {
        "Sequence" => {
            list(step, "processors")?.iter().try_for_each(|step| collect_frames(step, frames))?;
        }
        // Only offsets into the text.
        "ByteLevel" => {}
        "BertProcessing" => {
            let Around { sep: (_, sep), cls: (_, cls) } = fields(step)?;
            frames.push(Frame::around(&[cls], &[sep], &[sep]));
        }
        "RobertaProcessing" => {
            let Around { sep: (_, sep), cls: (_, cls) } = fields(step)?;
            frames.push(Frame::around(&[cls], &[sep, sep], &[sep]));
        }
        "TemplateProcessing" => {
            let template: TemplateProcessing = fields(step)?;
            let parts = |pieces: &[Piece]| -> Result<Vec<Part>> {
                let mut parts = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Sequence { id } if id == "A" => parts.push(Part::First),
                        Piece::Sequence { .. } => parts.push(Part::Second),
                        Piece::SpecialToken { id } => {
                            let special = template.special_tokens.get(id);
                            let special = special.ok_or_else(|| error(format!("the template's {id:?} is no token")))?;
                            parts.extend(special.ids.iter().map(|&id| Part::Special(id)));
                        }
                    }
                }
                Ok(parts)
            };
            frames.push(Frame { single: parts(&template.single)?, pair: parts(&template.pair)? });
        }
        other => return unsupported("post_processor", other),
    }
    Ok(())
}

/// The stages of decoding.
pub fn decoder(step: Option<&Value>) -> Result<Decoder> {
    let mut stages = Vec::new();
    let mut joined = false;
    match step {
        Some(step) => collect_stages(step, &mut stages, &mut joined)?,
        None => stages.push(Stage::Join { first: true }),
    }
    Ok(Decoder::new(stages))
}

#[derive(Deserialize)]
struct Metaspace {
    replacement: char,
    prepend_scheme: Option<String>,
    add_prefix_space: Option<bool>,
}

#[derive(Deserialize)]
struct WordPiece {
    prefix: String,
    cleanup: bool,
}

#[derive(Deserialize)]
struct Strip {
    content: char,
    start: usize,
    stop: usize,
}

#[derive(Deserialize)]
struct Ctc {
    pad_token: String,
    word_delimiter_token: String,
    cleanup: bool,
}

/// `joined` tells whether the stages before give one text: then a stage that looks at more than a character must hold it all.
fn collect_stages(step: &Value, stages: &mut Vec<Stage>, joined: &mut bool) -> Result<()> {
    let kind = kind(step)?;
    let mut whole = |stage: Stage| {
        if *joined {
            stages.push(Stage::Hold { text: String::new() });
        }
        stages.push(stage);
    };
    match kind {
        "Sequence" => {
            list(step, "decoders")?.iter().try_for_each(|step| collect_stages(step, stages, joined))?;
        }
        "Replace" => {
            let replace = fields::<Replace>(step)?.checked()?;
            let one = matches!(&replace.pattern, Pattern::String(text) if text.chars().count() == 1);
            let stage = Stage::Replace { pattern: replace.pattern.compile()?, content: replace.content };
            if one { stages.push(stage) } else { whole(stage) }
        }
        "Fuse" => *joined = true,
        "ByteLevel" => {
            stages.push(Stage::ByteLevel { characters: Characters::default() });
            *joined = true;
        }
        "Strip" => {
            let Strip { content, start, stop } = fields(step)?;
            match *joined && stop == 0 {
                true => stages.push(Stage::StripStart { content, left: start }),
                false => whole(Stage::Strip { content, start, stop }),
            }
        }
        "ByteFallback" => whole(Stage::ByteFallback { bytes: Vec::new() }),
        "Metaspace" => {
            let metaspace: Metaspace = fields(step)?;
            let never =
                metaspace.prepend_scheme.as_deref() == Some("never") || metaspace.add_prefix_space == Some(false);
            whole(Stage::Metaspace { replacement: metaspace.replacement, drop_first: !never });
        }
        "WordPiece" => {
            let WordPiece { prefix, cleanup } = fields(step)?;
            whole(Stage::WordPiece { prefix, cleanup, first: true });
        }
        "BPEDecoder" => {
            let suffix = step["suffix"].as_str().unwrap_or("</w>").to_owned();
            whole(Stage::Suffix { suffix, held: None });
        }
        "CTC" => {
            let Ctc { pad_token: pad, word_delimiter_token: delimiter, cleanup } = fields(step)?;
            whole(Stage::Ctc { pad, delimiter, cleanup, last: None });
        }
        other => return unsupported("decoder", other),
    }
    Ok(())
}

/// The bytes that a text in base 64 stands for.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|c| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for digit in digits {
        bits = bits << 6 | u32::from(digit?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn base_64() {
        assert_eq!(base64("aGVhcnRo"), Some(b"hearth".to_vec()));
        assert_eq!(base64("aGVhcnQ="), Some(b"heart".to_vec()));
        assert_eq!(base64("a b"), None);
    }

    #[test]
    fn unknown_and_damaged_steps_are_errors() {
        for step in [json!({}), json!([]), json!({"type": "Magic"}), json!({"type": "Sequence"}), json!({"type": 5})] {
            assert!(normalizer(&step, &mut Vec::new()).is_err(), "{step}");
            assert!(pre_tokenizer(&step, &mut Vec::new()).is_err(), "{step}");
            assert!(post_processor(Some(&step)).is_err(), "{step}");
            assert!(decoder(Some(&step)).is_err(), "{step}");
        }
        let unclosed = json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false});
        assert!(pre_tokenizer(&unclosed, &mut Vec::new()).is_err());
        assert!(pre_tokenizer(&json!({"type": "FixedLength", "length": 0}), &mut Vec::new()).is_err());
        let wild = json!({"type": "Precompiled", "precompiled_charsmap": "////"});
        assert!(normalizer(&wild, &mut Vec::new()).is_err());
    }
}
