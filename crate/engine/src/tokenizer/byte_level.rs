//! Byte-level BPE (GPT-2): every byte is written as one printable character, then pairs merge by rank.
//! Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{PreTokenizerWrapper, TokenizerImpl};

use super::{Pieces, tokenizer_error};
use crate::error::{Error, Result};
use crate::formats::gguf::{Header, Strings, Value};

type Built<N, P, D> = TokenizerImpl<Pieces, N, PreTokenizerWrapper, P, D>;

/// Llama 3's splits go by three names (`tokenizer.ggml.pre`).
const LLAMA_3_NAMES: &[&str] = &["llama-bpe", "llama3", "llama-v3"];

/// Whether the tokenizer is Llama 3's: whole words of the vocabulary need no merging, and texts begin with a token.
pub fn is_llama_3(header: &Header) -> Result<bool> {
    Ok(header.string("tokenizer.ggml.pre")?.is_some_and(|name| LLAMA_3_NAMES.contains(&name)))
}

/// llama.cpp's default is a chain of splits that begins with these two.
const PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|]+";
const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

pub fn build<N, P, D>(header: &Header, vocab: &Strings) -> Result<Built<N, P, D>>
where
    N: tokenizers::Normalizer,
    P: tokenizers::PostProcessor,
    D: tokenizers::Decoder,
{
    let Some(Value::Strings(merges)) = header.metadata.get("tokenizer.ggml.merges") else {
        return Err(Error::Metadata { key: "tokenizer.ggml.merges".into(), what: "missing".into() });
    };
    let ids = vocab.iter().enumerate().map(|(id, piece)| (piece.to_owned(), id as u32));
    let pair = |merge: &str| {
        let (a, b) = merge.split_once(' ')?;
        Some((a.to_owned(), b.to_owned()))
    };
    let pairs: Option<Vec<_>> = merges.iter().map(pair).collect();
    let pairs = pairs.ok_or_else(|| Error::Tokenizer("a merge is not two pieces".into()))?;
    let ids: ahash::AHashMap<String, u32> = ids.collect();
    if let Some((a, b)) =
        pairs.iter().find(|(a, b)| ![a, b, &format!("{a}{b}")].iter().all(|piece| ids.contains_key(*piece)))
    {
        return Err(Error::Tokenizer(format!("merging {a:?} and {b:?} makes no piece of the vocabulary")));
    }
    let bpe = BPE::builder()
        .vocab_and_merges(ids, pairs)
        .ignore_merges(is_llama_3(header)?)
        .build()
        .map_err(tokenizer_error)?;
    let mut tokenizer = TokenizerImpl::new(Pieces::ByteLevel(Box::new(bpe)));
    tokenizer.with_pre_tokenizer(Some(splits(header.string("tokenizer.ggml.pre")?.unwrap_or("default"))?));
    Ok(tokenizer)
}

fn splits(name: &str) -> Result<PreTokenizerWrapper> {
    let by = |regex: &str| -> Result<PreTokenizerWrapper> {
        let pattern = SplitPattern::Regex(regex.into());
        Ok(Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(tokenizer_error)?.into())
    };
    let gpt_2 = ByteLevel::new(false, false, true);
    let bytes_only = ByteLevel::new(false, false, false);
    let sequence: Vec<PreTokenizerWrapper> = match name {
        "default" => vec![by(PUNCTUATION)?, by(GPT_2)?, by(r"\p{N}+")?, by("[0-9][0-9][0-9]")?, bytes_only.into()],
        "gpt-2" => vec![gpt_2.into()],
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => vec![Digits::new(true).into(), gpt_2.into()],
        name if LLAMA_3_NAMES.contains(&name) => vec![by(LLAMA_3)?, bytes_only.into()],
        "qwen2" => vec![by(QWEN_2)?, bytes_only.into()],
        other => {
            let what = format!(
                "\"{other}\" is not supported; default, gpt-2, smollm, starcoder, refact, command-r, codeshell, llama-bpe, llama3, llama-v3, qwen2 are"
            );
            return Err(Error::Metadata { key: "tokenizer.ggml.pre".into(), what });
        }
    };
    Ok(Sequence::new(sequence).into())
}

/// The bytes a piece stands for: printable Latin-1 characters are themselves, the other 68 bytes are U+0100 and on, in
/// order.
pub fn bytes(piece: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(piece.len());
    for c in piece.chars() {
        match u32::from(c) {
            code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => bytes.push(code as u8),
            code @ 0x100..=0x120 => bytes.push((code - 0x100) as u8),
            code @ 0x121..=0x142 => bytes.push((code - 0x121 + 0x7f) as u8),
            0x143 => bytes.push(0xad),
            _ => bytes.extend(c.to_string().bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    #[test]
    fn merges_of_strangers_are_refused() {
        let mut header = Header::default();
        let strings = |texts: &[&str]| {
            let mut strings = Strings::default();
            texts.iter().for_each(|text| strings.push(text));
            strings
        };
        let vocab = strings(&["ab", "cd"]);
        for merge in ["ab cd", "ab xyz", "x ab"] {
            header.metadata.insert("tokenizer.ggml.merges".into(), Value::Strings(strings(&[merge])));
            header.metadata.insert("tokenizer.ggml.pre".into(), Value::String("gpt-2".into()));
            let built: Result<
                Built<tokenizers::NormalizerWrapper, tokenizers::PostProcessorWrapper, tokenizers::DecoderWrapper>,
            > = build(&header, &vocab);
            assert_eq!(built.err().unwrap().code(), "tokenizer");
        }
    }

    #[test]
    fn every_byte_comes_back() {
        // Valid UTF-8 that contains every byte a text can: one- and two-byte characters, and some longer.
        let text: String = (1..0x800).chain(0xfff0..0x10010).filter_map(char::from_u32).collect();
        let mut split = PreTokenizedString::from(text.as_str());
        ByteLevel::new(false, false, false).pre_tokenize(&mut split).unwrap();
        let written: String =
            split.get_splits(OffsetReferential::Original, OffsetType::Byte).iter().map(|split| split.0).collect();
        assert_eq!(String::from_utf8(bytes(&written)).unwrap(), text);
    }
}
