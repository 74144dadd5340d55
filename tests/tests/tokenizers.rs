//! Five vocabularies against what Hugging Face's `tokenizers` and llama.cpp make of 630 hard lines
//! (`fixtures/make_corpus.py`, `fixtures/make_tokenizers.py`): the same ids from a `tokenizer.json` as the former, from a GGUF
//! file's metadata as the latter, the same text back, and piece by piece the same as whole.
//!
//! `cargo xtask vocabularies` and `cargo xtask models ID` put the files where these tests look; without them they fail.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;

use hearth_engine::formats::gguf::{Event, Header, Reader, Strings, Value};
use hearth_engine::tokenizer::{Files, Tokenizer};
use serde::Deserialize;
use serde_json::json;

/// What the references say; see `make_tokenizers.py`.
#[derive(Deserialize)]
struct Reference {
    plain: [usize; 2],
    ids: Vec<Vec<u32>>,
    decoded: Vec<Option<String>>,
    named: Vec<Option<String>>,
    gguf: BTreeMap<usize, Vec<u32>>,
}

fn corpus() -> Vec<String> {
    serde_json::from_str(include_str!("../fixtures/corpus.json")).unwrap()
}

fn reference(name: &str) -> Reference {
    let path = format!("{}/fixtures/tokenizer-{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn models() -> PathBuf {
    PathBuf::from(format!("{}/../models/files", env!("CARGO_MANIFEST_DIR")))
}

fn files(name: &str) -> Files {
    let file = |file: &str| std::fs::read(models().join("vocab").join(name).join(file));
    let tokenizer =
        file("tokenizer.json").unwrap_or_else(|error| panic!("{name}: {error}; run: cargo xtask vocabularies"));
    let (tokenizer_config, special_tokens_map) =
        (file("tokenizer_config.json").ok(), file("special_tokens_map.json").ok());
    Files { tokenizer, tokenizer_config, special_tokens_map, ..Files::default() }
}

/// The header of a model's GGUF file.
fn header(model: &str) -> Header {
    let path = models().join(format!("{model}.gguf"));
    let shown = path.display();
    let mut file =
        std::fs::File::open(&path).unwrap_or_else(|error| panic!("{shown}: {error}; run: cargo xtask models {model}"));
    let (mut reader, mut header, mut piece) = (Reader::new(), None, vec![0; 1 << 20]);
    while header.is_none() {
        let read = file.read(&mut piece).unwrap();
        let on = |event: Event| {
            if let Event::Header(found) = event {
                header = Some(found);
            }
            Ok(())
        };
        reader.push(&piece[..read], on).unwrap();
    }
    header.unwrap()
}

fn strings<'a>(texts: impl Iterator<Item = &'a str>) -> Strings {
    let mut strings = Strings::default();
    texts.for_each(|text| strings.push(text));
    strings
}

/// The `tokenizer.json` of SmolLM2, which no package has: the GGUF file's vocabulary and the steps its repository states.
fn smollm2_files() -> Files {
    let header = header("smollm2-135m-instruct-q4_1");
    let list = |key: &str| match &header.metadata[key] {
        Value::Strings(strings) => strings.iter().map(str::to_owned).collect::<Vec<_>>(),
        other => panic!("{key}: {other:?}"),
    };
    let tokens = list("tokenizer.ggml.tokens");
    let Value::Integers(kinds) = &header.metadata["tokenizer.ggml.token_type"] else { panic!("no types") };
    let control = tokens.iter().zip(kinds).filter(|(_, kind)| **kind == 3);
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": control.map(|(text, _)| json!({"content": text, "normalized": false, "special": true})).collect::<Vec<_>>(),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, level]},
        "decoder": level,
        "model": {
            "type": "BPE",
            "vocab": tokens.iter().enumerate().map(|(id, text)| (text.clone(), id)).collect::<BTreeMap<_, _>>(),
            "merges": list("tokenizer.ggml.merges"),
        },
    });
    Files { tokenizer: tokenizer.to_string().into_bytes(), ..Files::default() }
}

/// The metadata that llama.cpp's converter would make of a `tokenizer.json`.
fn converted(name: &str, model: &str, pre: &str) -> Header {
    let json: serde_json::Value = serde_json::from_slice(&files(name).tokenizer).unwrap();
    let mut pieces: BTreeMap<u64, (String, i32)> = BTreeMap::new();
    for (text, id) in json["model"]["vocab"].as_object().unwrap() {
        let written = match text.strip_prefix("##") {
            _ if model != "bert" => text.clone(),
            Some(continued) => continued.to_owned(),
            None => format!("▁{text}"),
        };
        pieces.insert(id.as_u64().unwrap(), (written, 1));
    }
    for token in json["added_tokens"].as_array().unwrap() {
        let kind = if token["special"].as_bool().unwrap() { 3 } else { 4 };
        pieces.insert(token["id"].as_u64().unwrap(), (token["content"].as_str().unwrap().into(), kind));
    }
    let mut header = Header::default();
    let mut set = |key: &str, value: Value| drop(header.metadata.insert(format!("tokenizer.ggml.{key}"), value));
    set("model", Value::String(model.into()));
    set("pre", Value::String(pre.into()));
    set("tokens", Value::Strings(strings(pieces.values().map(|piece| piece.0.as_str()))));
    set("token_type", Value::Integers(pieces.values().map(|piece| piece.1).collect()));
    if model == "gpt2" {
        let merges: Vec<&str> = json["model"]["merges"].as_array().unwrap().iter().filter_map(|m| m.as_str()).collect();
        set("merges", Value::Strings(strings(merges.into_iter())));
    }
    header
}

/// Everything about one line; what is wrong, if anything is.
fn wrong(tokenizer: &Tokenizer, line: &str, ids: &[u32], [before, behind]: [usize; 2]) -> Option<String> {
    let found = tokenizer.encode_with(line, true).unwrap();
    if found != ids {
        return Some(format!("{line:?}\n  is {found:?}\n not {ids:?}"));
    }
    let plain = tokenizer.encode_with(line, false).unwrap();
    if plain != ids[before..ids.len() - behind] {
        return Some(format!("{line:?} without special tokens is {plain:?}"));
    }
    for skip in [true, false] {
        let mut decoding = tokenizer.decoding(skip);
        let pieces: String = ids.iter().map(|&id| decoding.push(id)).collect();
        if pieces + &decoding.finish() != tokenizer.decode(ids, skip) {
            return Some(format!("{line:?} piece by piece is not the whole"));
        }
    }
    None
}

/// Whether decoding gives these texts, each with or without special tokens' names; `None` is the line itself.
fn decodes(tokenizer: &Tokenizer, line: &str, ids: &[u32], texts: &[(bool, &Option<String>)]) -> Option<String> {
    for &(skip, text) in texts {
        let (found, text) = (tokenizer.decode(ids, skip), text.as_deref().unwrap_or(line));
        if found != text {
            return Some(format!("{ids:?}, {skip}\n  is {found:?}\n not {text:?}"));
        }
    }
    None
}

fn report(name: &str, lines: usize, wrong: &[String]) {
    println!("{name}: {} of {lines} lines", lines - wrong.len());
    assert!(wrong.is_empty(), "{name}: {} of {lines} lines are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A `tokenizer.json` gives what Hugging Face's does, every line.
fn agrees_from_json(name: &str, files: &Files) {
    let (tokenizer, corpus, reference) = (Tokenizer::from_json(files).unwrap(), corpus(), reference(name));
    assert_eq!(corpus.len(), reference.ids.len());
    let wrong = corpus.iter().enumerate().filter_map(|(i, line)| {
        let ids = &reference.ids[i];
        let texts = [(true, &reference.decoded[i]), (false, &reference.named[i])];
        let decoding = || decodes(&tokenizer, line, ids, &texts);
        wrong(&tokenizer, line, ids, reference.plain).or_else(decoding)
    });
    report(&format!("{name}, tokenizer.json"), corpus.len(), &wrong.collect::<Vec<_>>());
}

/// GGUF metadata give what llama.cpp does, every line but those where it is known to be wrong: there we give what Hugging Face
/// does. `wrong_there` tells of a line whether it is one of these.
fn agrees_from_gguf(name: &str, header: &Header, decoded: bool, wrong_there: impl Fn(&str) -> bool) {
    let (tokenizer, corpus, reference) = (Tokenizer::from_header(header).unwrap(), corpus(), reference(name));
    let mut found_wrong = Vec::new();
    for (i, line) in corpus.iter().enumerate() {
        let theirs = reference.gguf.get(&i).filter(|_| !wrong_there(line));
        let ids = theirs.unwrap_or(&reference.ids[i]);
        let same = decoded && theirs.is_none();
        // Which tokens stand for no text differs between the files; their names do not.
        let decoding = || decodes(&tokenizer, line, ids, &[(false, &reference.named[i])]);
        found_wrong.extend(wrong(&tokenizer, line, ids, reference.plain).or_else(|| same.then(decoding).flatten()));
    }
    report(&format!("{name}, GGUF"), corpus.len(), &found_wrong);
}

#[test]
fn smollm2() {
    agrees_from_json("smollm2", &smollm2_files());
    agrees_from_gguf("smollm2", &header("smollm2-135m-instruct-q4_1"), true, |_| false);
}

#[test]
fn gemma3() {
    agrees_from_json("gemma3", &files("gemma3"));
    agrees_from_gguf("gemma3", &header("gemma-3-270m-q4_k_m"), true, |_| false);
}

#[test]
fn gpt2() {
    agrees_from_json("gpt2", &files("gpt2"));
    agrees_from_gguf("gpt2", &converted("gpt2", "gpt2", "gpt-2"), true, |_| false);
}

/// A GGUF file does not tell that texts are to be composed (NFC), so that llama.cpp does not, and neither do we. But it takes
/// the ordinary piece "</s>" for an end token because it looks like one.
#[test]
fn qwen2() {
    agrees_from_json("qwen2", &files("qwen2"));
    agrees_from_gguf("qwen2", &converted("qwen2", "gpt2", "qwen2"), true, |line| line == "</s>");
}

/// llama.cpp decomposes a character into its first part only, takes spacing and enclosing marks for accents, and \v, \f and
/// U+0085 for spaces; and a word may go on with what begins one. None of that is BERT. What is left: it knows no longest word.
#[test]
fn minilm() {
    agrees_from_json("minilm", &files("minilm"));
    let long = |line: &str| line.split(' ').any(|word| word.chars().count() > 100);
    agrees_from_gguf("minilm", &converted("minilm", "bert", "default"), false, |line| !long(line));
}

/// Milliseconds that this thread has had a processor, which other programs do not make more; where that is not told, since `start`.
fn busy_ms(start: Instant) -> u128 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse::<u128>().ok());
    // Nought where it is not counted.
    nanoseconds.filter(|&ns| ns > 0).map_or_else(|| start.elapsed().as_millis(), |ns| ns / 1_000_000)
}

/// 100 KB in well under a second, whatever they are: many words, one word, or no word at all.
#[test]
fn long_texts_take_no_longer_than_their_length() {
    let words = corpus().concat().replace('\0', "").repeat(8);
    let texts = [&words[..], &"a".repeat(100_000), &" ".repeat(100_000), &"ab".repeat(50_000), &"炉".repeat(33_000)];
    let json = |name: &str| Tokenizer::from_json(&files(name)).unwrap();
    let tokenizers = [
        ("smollm2", Tokenizer::from_header(&header("smollm2-135m-instruct-q4_1")).unwrap()),
        ("gemma3 GGUF", Tokenizer::from_header(&header("gemma-3-270m-q4_k_m")).unwrap()),
        ("gemma3", json("gemma3")),
        ("qwen2", json("qwen2")),
        ("minilm", json("minilm")),
        ("minilm GGUF", Tokenizer::from_header(&converted("minilm", "bert", "default")).unwrap()),
    ];
    let begin = Instant::now();
    for (name, tokenizer) in &tokenizers {
        for text in texts {
            let before = busy_ms(begin);
            let tokens = tokenizer.encode(text).unwrap().len();
            let ms = busy_ms(begin) - before;
            let begin: String = text.chars().take(5).collect();
            println!("{name:<12} {:>7} bytes {begin:<8?} {tokens:>6} tokens {ms:>5} ms", text.len());
            assert!(ms < 3000, "{name}: {ms} ms");
        }
    }
}
