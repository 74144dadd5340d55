//! A tokenizer.json, and a text through what it describes.
#![no_main]

use hearth_engine::tokenizer::{Files, Tokenizer};
use libfuzzer_sys::fuzz_target;

const TEXT: &str = "Hello, wörld! 炉边 don't 1234567  \n\t👩‍👩‍👧 <|end|> [MASK]";

fuzz_target!(|bytes: &[u8]| {
    fuzz::bounded(bytes.len(), || {
        let files = Files { tokenizer: bytes.into(), ..Files::default() };
        let Ok(tokenizer) = Tokenizer::from_json(&files) else { return };
        let Ok(ids) = tokenizer.encode_with(TEXT, true) else { return };
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        tokenizer.decode(&ids, false);
    });
});
