//! A constraint: the first byte says which kind, the rest is a JSON schema, a regular expression or a grammar. Then an answer by
//! it, for as many tokens as take little time.
#![no_main]

use std::cell::OnceCell;

use hearth_engine::constraint::{Constraint, Grammar, allows};
use hearth_engine::tokenizer::{Files, Tokenizer};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, json};

/// Longest answer.
const STEPS: usize = 8;

thread_local! {
    static TOKENIZER: OnceCell<Tokenizer> = const { OnceCell::new() };
}

/// A token for each byte, some longer ones, and an end.
fn tokenizer() -> Tokenizer {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let words = ["true", "{\"", "\": ", "\", \"", "ab", "12", "}}", "炉"].map(str::to_owned);
    let vocab: Map<_, _> = bytes.chain(words).enumerate().map(|(id, piece)| (piece, json!(id))).collect();
    let end = json!({ "id": vocab.len(), "content": "<|im_end|>", "special": true, "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false });
    let file = json!({
        "model": { "type": "BPE", "vocab": vocab, "merges": [] }, "decoder": { "type": "ByteFallback" }, "added_tokens": [end],
    });
    Tokenizer::from_json(&Files { tokenizer: file.to_string().into_bytes(), ..Files::default() }).expect("a tokenizer")
}

/// What `bytes` describe.
fn grammar(bytes: &[u8]) -> Option<Grammar> {
    let (kind, source) = bytes.split_first()?;
    let text = || str::from_utf8(source).ok().map(str::to_owned);
    Some(match kind % 4 {
        0 => Grammar::JsonSchema(serde_json::from_slice(source).ok()?),
        1 => Grammar::Regex(text()?),
        2 => Grammar::Gbnf(text()?),
        _ => Grammar::Lark(text()?),
    })
}

fuzz_target!(|bytes: &[u8]| {
    TOKENIZER.with(|made| {
        let tokenizer = made.get_or_init(tokenizer);
        let words = tokenizer.words().expect("words");
        let Some(grammar) = grammar(bytes) else { return };
        fuzz::bounded(bytes.len(), || {
            let Ok(mut constraint) = words.constrain(&grammar) else { return };
            for step in 0..STEPS {
                let Ok(mask) = constraint.mask() else { return };
                let may = |token: &u32| mask.is_none_or(|mask| allows(mask, *token)) && !tokenizer.is_end(*token);
                let allowed: Vec<u32> = (0..tokenizer.vocab_size() as u32).filter(may).collect();
                if allowed.is_empty() || constraint.finished() {
                    return;
                }
                // What the input's bytes choose.
                let choice = usize::from(bytes[step % bytes.len()]) + step;
                if constraint.take(allowed[choice % allowed.len()]).is_err() {
                    return;
                }
            }
        });
    });
});
