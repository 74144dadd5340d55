//! Small vocabularies in every kind of `tokenizer.json` and of GGUF metadata against Hugging Face's `tokenizers` and llama.cpp, over
//! 630 hard lines, natively and in the browser (`fixtures/make_tiny_tokenizers.py`); and files that are damaged or mean ill.

use std::collections::BTreeMap;

use hearth_engine::formats::gguf::{Header, Strings, Value};
use hearth_engine::tokenizer::{Files, Tokenizer};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use wasm_bindgen_test::wasm_bindgen_test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[derive(Deserialize)]
struct Tiny {
    cases: Vec<Case>,
    gguf: Vec<Gguf>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    steps: BTreeMap<String, Json>,
    hashes: String,
}

#[derive(Deserialize)]
struct Gguf {
    name: String,
    model: String,
    metadata: BTreeMap<String, Json>,
    hashes: String,
}

fn corpus() -> Vec<String> {
    serde_json::from_str(include_str!("../fixtures/corpus.json")).unwrap()
}

fn tiny() -> Tiny {
    serde_json::from_str(include_str!("../fixtures/tiny-tokenizers.json")).unwrap()
}

fn models() -> BTreeMap<String, Json> {
    serde_json::from_str(include_str!("../fixtures/tiny-models.json")).unwrap()
}

fn built(tokenizer: &Json) -> hearth_engine::Result<Tokenizer> {
    Tokenizer::from_json(&Files { tokenizer: tokenizer.to_string().into_bytes(), ..Files::default() })
}

/// FNV-1a, 32 bits, its low half.
fn fnv(text: &str) -> String {
    let hash = text.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{:04x}", hash & 0xffff)
}

fn list(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// The lines whose hash is another.
fn wrong(hashes: &str, said: impl Fn(&str) -> String) -> Vec<String> {
    let corpus = corpus();
    assert_eq!(hashes.len(), 4 * corpus.len());
    let differs = corpus.iter().enumerate().filter_map(|(i, line)| {
        let said = said(line);
        (fnv(&said) != hashes[4 * i..4 * i + 4]).then(|| format!("{line:?}: {said}"))
    });
    differs.collect()
}

#[wasm_bindgen_test(unsupported = test)]
fn every_kind_of_tokenizer_json() {
    let models = models();
    let mut failures = Vec::new();
    for Case { name, model, mut steps, hashes } in tiny().cases {
        steps.insert("model".into(), models[&model].clone());
        let tokenizer = built(&json!(steps)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let said = |line: &str| {
            let [ids, plain] = [true, false].map(|special| tokenizer.encode_with(line, special).unwrap());
            format!("{};{};{}", list(&ids), list(&plain), tokenizer.decode(&ids, false))
        };
        let wrong = wrong(&hashes, said);
        if let Some(first) = wrong.first() {
            failures.push(format!("{name}: {} lines are wrong, the first {first}", wrong.len()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn strings(list: &Json) -> Value {
    let mut strings = Strings::default();
    list.as_array().unwrap().iter().for_each(|text| match text {
        Json::String(text) => strings.push(text),
        // A merge of two pieces.
        pair => strings.push(&format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap())),
    });
    Value::Strings(strings)
}

fn value(json: &Json) -> Value {
    match json {
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => Value::Unsigned(number.as_u64().unwrap()),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(list) if list.first().is_some_and(|first| first.is_f64()) => {
            Value::Floats(list.iter().map(|number| number.as_f64().unwrap() as f32).collect())
        }
        Json::Array(list) if list.first().is_some_and(|first| first.is_u64()) => {
            Value::Integers(list.iter().map(|number| number.as_u64().unwrap() as i32).collect())
        }
        list => strings(list),
    }
}

fn header(model: &Json, metadata: &BTreeMap<String, Json>) -> Header {
    let mut header = Header::default();
    let mut set = |key: &str, value: Value| drop(header.metadata.insert(format!("tokenizer.ggml.{key}"), value));
    match model["vocab"].as_object() {
        Some(vocab) => {
            let mut pieces: Vec<(&String, u64)> = vocab.iter().map(|(text, id)| (text, id.as_u64().unwrap())).collect();
            pieces.sort_by_key(|piece| piece.1);
            set("tokens", strings(&json!(pieces.iter().map(|piece| piece.0).collect::<Vec<_>>())));
            set("merges", strings(&model["merges"]));
        }
        None => ["tokens", "scores", "token_type"].iter().for_each(|key| set(key, value(&model[key]))),
    }
    metadata.iter().for_each(|(key, json)| set(key, value(json)));
    header
}

#[wasm_bindgen_test(unsupported = test)]
fn every_kind_of_gguf_metadata() {
    let models = models();
    let mut failures = Vec::new();
    for Gguf { name, model, metadata, hashes } in tiny().gguf {
        let tokenizer = Tokenizer::from_header(&header(&models[&model], &metadata)).unwrap();
        let wrong = wrong(&hashes, |line| list(&tokenizer.encode_with(line, true).unwrap()));
        if !wrong.is_empty() {
            failures.push(format!(
                "{name}: {} lines are wrong, {}",
                wrong.len(),
                wrong[..wrong.len().min(3)].join("; ")
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[wasm_bindgen_test(unsupported = test)]
fn two_texts_belong_together() {
    let models = models();
    let Case { model, mut steps, .. } = tiny().cases.into_iter().find(|case| case.name == "word pieces").unwrap();
    steps.insert("model".into(), models[&model].clone());
    let tokenizer = built(&json!(steps)).unwrap();
    let [a, b] = ["the", "fox"].map(|text| tokenizer.encode_with(text, false).unwrap());
    let pair = [&[2][..], &a, &[3], &b, &[3]].concat();
    assert_eq!(tokenizer.encode_pair("the", "fox", true).unwrap(), pair);
    assert_eq!(tokenizer.encode_pair("the", "fox", false).unwrap(), [a, b].concat());
}

/// A sound file of each kind of model, for damaging.
fn sound(kind: &str) -> Json {
    let vocab = json!({"<unk>": 0, "a": 1, "b": 2, "ab": 3});
    let model = match kind {
        "BPE" => json!({"type": kind, "vocab": vocab, "merges": [["a", "b"]], "unk_token": "<unk>"}),
        "Unigram" => json!({"type": kind, "vocab": [["<unk>", 0.0], ["a", -1.0], ["b", -2.0]], "unk_id": 0}),
        _ => json!({"type": kind, "vocab": vocab, "unk_token": "<unk>"}),
    };
    json!({"version": "1.0", "added_tokens": [{"id": 4, "content": "<s>", "special": true}], "model": model})
}

#[wasm_bindgen_test(unsupported = test)]
fn damaged_files_are_refused_with_words() {
    let changed = |kind: &str, path: &str, to: Json| {
        let mut file = sound(kind);
        *file.pointer_mut(path).unwrap_or_else(|| panic!("no {path}")) = to;
        file
    };
    let with = |part: &str, step: Json| {
        let mut file = sound("BPE");
        file[part] = step;
        file
    };
    for kind in ["BPE", "Unigram", "WordPiece"] {
        assert_eq!(built(&sound(kind)).unwrap().encode("a").unwrap(), [1], "{kind}");
    }
    let endless = json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false});
    let nested = (0..100).fold(
        json!({"type": "Sequence", "normalizers": []}),
        |inner, _| json!({"type": "Sequence", "normalizers": [inner]}),
    );
    let files = [
        (changed("BPE", "/model/vocab/a", json!(4_000_000_000u32)), "4000000000"),
        (changed("BPE", "/model/vocab/a", json!(-1)), "-1"),
        (changed("BPE", "/model/vocab/a", json!(2)), "same id"),
        (changed("BPE", "/model/vocab", json!(5)), "vocabulary"),
        (changed("BPE", "/model/vocab", json!([["a", 1.0]])), "BPE"),
        (changed("BPE", "/model/merges/0/1", json!("zz")), "zz"),
        (changed("BPE", "/model/merges/0", json!("a")), "two pieces"),
        (changed("BPE", "/model/type", json!("Magic")), "Magic"),
        (changed("BPE", "/model/unk_token", json!("?")), "unknown token"),
        (changed("WordPiece", "/model/unk_token", json!("?")), "unknown token"),
        (changed("Unigram", "/model/unk_id", json!(9)), "not in the vocabulary"),
        (changed("Unigram", "/model/vocab/0", json!(["a"])), "size 2"),
        (changed("BPE", "/model", json!([])), "tokenizer.json"),
        (changed("BPE", "/added_tokens/0/content", json!(5)), "tokenizer.json"),
        (with("normalizer", json!({"type": "Magic"})), "Magic"),
        (with("normalizer", nested), "recursion"),
        (with("normalizer", json!({"type": "Prepend", "prepend": "x".repeat(5000)})), "prefix"),
        (with("pre_tokenizer", endless), "expression"),
        (with("pre_tokenizer", json!({"type": "FixedLength", "length": 0})), "length"),
        (with("post_processor", json!({"type": "BertProcessing", "sep": ["x", 99], "cls": ["y", 1]})), "99"),
        (with("decoder", json!("x".repeat(5 << 20))), "bytes"),
        (with("decoder", json!(["x"])), "without a type"),
    ];
    for (file, says) in files {
        let error = built(&file).err().unwrap_or_else(|| panic!("accepted: {file:.200}")).to_string();
        assert!(error.contains(says), "{error:.300} does not say {says}");
        assert!(error.len() < 1000, "{error:.1000}");
    }
    let whole = sound("BPE").to_string().into_bytes();
    for end in 0..whole.len() {
        let cut = Files { tokenizer: whole[..end].to_vec(), ..Files::default() };
        assert!(Tokenizer::from_json(&cut).is_err(), "{end}");
    }
    let not_text = Files { tokenizer: b"{\"\xff\": 1}".to_vec(), ..Files::default() };
    assert!(Tokenizer::from_json(&not_text).is_err());
    let deep = Files { tokenizer: "[".repeat(1 << 20).into_bytes(), ..Files::default() };
    assert!(Tokenizer::from_json(&deep).is_err());
}

/// Changed anywhere, a file is refused or works: nothing panics, and no id is outside the vocabulary.
#[wasm_bindgen_test(unsupported = test)]
fn files_changed_anywhere_do_no_harm() {
    let rounds = if cfg!(target_arch = "wasm32") { 1 } else { 4 };
    let mut random = fastrand::Rng::with_seed(7);
    let mut accepted = 0;
    for Case { mut steps, .. } in tiny().cases {
        let kind = ["BPE", "Unigram", "WordPiece"][random.usize(..3)];
        steps.insert("model".into(), sound(kind)["model"].clone());
        let whole = json!(steps).to_string().into_bytes();
        for _ in 0..rounds * 10 {
            let mut tokenizer = whole.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..tokenizer.len());
                tokenizer[at] = *random.choice(br#""{}[]:,0189-.eabtnull\ue<(+*?^$|"#).unwrap();
            }
            let Ok(tokenizer) = Tokenizer::from_json(&Files { tokenizer, ..Files::default() }) else { continue };
            accepted += 1;
            for text in ["", "a", "ab ba <s> é炉\0\u{301} \n x", "<unk><0x0A>▁a"] {
                let Ok(ids) = tokenizer.encode_with(text, true) else { continue };
                assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
                tokenizer.decode(&ids, false);
                ids.iter().for_each(|&id| drop(tokenizer.bytes(id)));
            }
        }
    }
    assert!(accepted > rounds * 50, "only {accepted} were accepted");
}

#[wasm_bindgen_test(unsupported = test)]
fn texts_that_a_file_makes_hard_are_refused_with_words() {
    let with = |part: &str, step: Json| {
        let mut file = sound("BPE");
        file[part] = step;
        built(&file).unwrap()
    };
    let split =
        json!({"type": "Split", "pattern": {"Regex": "(?:a+)+(?!x)b"}, "behavior": "Isolated", "invert": false});
    let error = with("pre_tokenizer", split).encode(&"a".repeat(100)).unwrap_err();
    assert_eq!(error.code(), "tokenizer");
    let double = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    let doubles = json!({"type": "Sequence", "normalizers": vec![double; 60]});
    assert_eq!(with("normalizer", doubles).encode("a").unwrap_err().code(), "tokenizer");
    let mut file = sound("Unigram");
    file["model"]["unk_id"] = Json::Null;
    assert_eq!(built(&file).unwrap().encode("z").unwrap_err().code(), "tokenizer");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_begin_token_is_not_given_twice() {
    let mut file = sound("BPE");
    file["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}},
    });
    let config =
        br#"{"bos_token": "<s>", "eos_token": "b", "chat_template": "{{ bos_token }}{{ messages[0]['content'] }}"}"#;
    let files =
        Files { tokenizer: file.to_string().into_bytes(), tokenizer_config: Some(config.into()), ..Files::default() };
    let tokenizer = Tokenizer::from_json(&files).unwrap();
    assert_eq!(tokenizer.encode("<s>a").unwrap(), [4, 1]);
    assert_eq!(tokenizer.encode("a").unwrap(), [4, 1]);
    assert_eq!(tokenizer.encode_with("<s>a", true).unwrap(), [4, 4, 1]);
    assert_eq!((tokenizer.special_tokens().bos, tokenizer.special_tokens().eos), (Some(4), Some(2)));
    assert_eq!((tokenizer.is_end(2), tokenizer.is_end(1), tokenizer.is_special(4)), (true, false, true));
    assert_eq!((tokenizer.vocab_size(), tokenizer.piece(4), tokenizer.piece(9)), (5, "<s>", ""));
    let small = built(&sound("BPE")).unwrap().within(4).unwrap();
    assert_eq!((small.vocab_size(), small.encode("<s>").unwrap()), (4, vec![0; 3]));
    assert!(tokenizer.has_template());
    assert_eq!((tokenizer.decode(&[4, 1], true), tokenizer.decode(&[4, 1], false)), ("a".into(), "<s> a".into()));
}
