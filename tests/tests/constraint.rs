//! Constraints over the tokens of real vocabularies: whatever is chosen among what a mask allows ends in a text that fits.

use hearth_engine::constraint::{Constraint, Grammar, Tool, allows};
use hearth_engine::formats::gguf::{Event, Reader};
use hearth_engine::tokenizer::Tokenizer;
use serde_json::{Value, json};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// The tokenizer of a file, of which only the header is needed.
fn tokenizer(file: &[u8]) -> Tokenizer {
    let mut tokenizer = None;
    let mut reader = Reader::new();
    let whole = reader.push(file, |event| {
        if let (Event::Header(header), None) = (event, &tokenizer) {
            tokenizer = Some(Tokenizer::from_header(&header)?);
        }
        Ok(())
    });
    tokenizer.unwrap_or_else(|| panic!("no header: {:?}", whole.err()))
}

/// A random answer. Long ones are brought to an end by what closes texts, lists and objects.
fn walk(tokenizer: &Tokenizer, grammar: &Grammar, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut constraint = tokenizer.words().unwrap().constrain(grammar).unwrap();
    let mut bytes = Vec::new();
    for step in 0.. {
        assert!(step < 3000, "no end: {}", String::from_utf8_lossy(&bytes));
        if constraint.finished() {
            break;
        }
        let mask = constraint.mask().unwrap().expect("a mask");
        let allowed: Vec<u32> = (0..tokenizer.vocab_size() as u32).filter(|&token| allows(mask, token)).collect();
        if allowed.iter().any(|&token| tokenizer.is_end(token)) && (step > 40 || random.bool()) {
            break;
        }
        let texts = allowed.iter().copied().filter(|&token| !tokenizer.is_end(token));
        let closing = texts.clone().filter(|&token| step > 40 && matches!(tokenizer.piece(token), "\"" | "]" | "}"));
        let closing: Vec<u32> = closing.collect();
        let token = *random.choice(if closing.is_empty() { &allowed } else { &closing }).expect("a token");
        if tokenizer.is_end(token) {
            break;
        }
        constraint.take(token).unwrap();
        bytes.extend(tokenizer.bytes(token));
    }
    String::from_utf8(bytes).expect("whole characters")
}

/// Walks under several grammars.
fn check(tokenizer: &Tokenizer, seeds: u64) {
    let schema = json!({ "type": "object", "additionalProperties": false, "required": ["city", "days"], "properties": {
        "city": { "type": "string", "maxLength": 12 }, "days": { "type": "integer", "minimum": 1, "maximum": 14 },
        "sky": { "enum": ["clear", "é炉"] },
    } });
    let fits = |value: &Value| {
        let city = value["city"].as_str().is_some_and(|city| city.chars().count() <= 12);
        city && value["days"].as_u64().is_some_and(|days| (1..=14).contains(&days))
    };
    let tool = Tool { name: "weather".into(), parameters: Some(schema.clone()) };
    let form = "<tool_call>\n{\"name\": \"NAME\", \"arguments\": ARGUMENTS}\n</tool_call>";
    for seed in 0..seeds {
        let said = walk(tokenizer, &Grammar::JsonSchema(schema.clone()), seed);
        assert!(fits(&serde_json::from_str(&said).unwrap()), "{said}");
        let said = walk(tokenizer, &Grammar::Call { tools: vec![tool.clone()], form: form.into() }, seed);
        let call = said.strip_prefix("<tool_call>\n").and_then(|said| said.strip_suffix("\n</tool_call>"));
        let call: Value = serde_json::from_str(call.unwrap_or_else(|| panic!("{said}"))).unwrap();
        assert!(call["name"] == "weather" && fits(&call["arguments"]), "{said}");
        let said = walk(tokenizer, &Grammar::Regex("[0-9]{3}-(yes|no)+".into()), seed);
        let (digits, words) = said.split_at(4);
        assert!(digits.ends_with('-') && digits[..3].bytes().all(|byte| byte.is_ascii_digit()), "{said}");
        assert!(!words.is_empty() && words.replace("yes", "").replace("no", "").is_empty(), "{said}");
        let said = walk(tokenizer, &Grammar::Gbnf("root ::= \"(\" root? \")\" | \"é炉\"".into()), seed);
        assert!(said == "é炉" || (said.starts_with('(') && said.ends_with(')')), "{said}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn walks_over_small_vocabularies_fit() {
    check(&tokenizer(tests::LLAMA), 20);
    check(&tokenizer(tests::GEMMA3), 20);
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn walks_over_real_vocabularies_fit() {
    for (model, seeds) in [("smollm2-135m-instruct-q4_1", 6), ("gemma-3-270m-q4_k_m", 2)] {
        let path = format!("{}/../models/files/{model}.gguf", env!("CARGO_MANIFEST_DIR"));
        let mut file = Vec::new();
        let open = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        // The header with its vocabulary.
        std::io::Read::read_to_end(&mut std::io::Read::take(open, 16 << 20), &mut file).unwrap();
        check(&tokenizer(&file), seeds);
    }
}
