//! The configuration of a folder whose other files are right.
#![no_main]

use libfuzzer_sys::fuzz_target;

const TOKENIZER: &[u8] = include_bytes!("../../fixtures/folders/tiny-llama-f32/tokenizer.json");
const WEIGHTS: &[u8] = include_bytes!("../../fixtures/folders/tiny-llama-f32/model.safetensors");

fuzz_target!(|bytes: &[u8]| {
    fuzz::bounded(bytes.len(), || {
        let files = [("config.json", bytes), ("tokenizer.json", TOKENIZER), ("model.safetensors", WEIGHTS)];
        let _ = fuzz::load(&files, 1 << 20);
    });
});
