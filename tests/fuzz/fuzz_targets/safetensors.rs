//! The weights of a folder whose other files are right.
#![no_main]

use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../../fixtures/folders/tiny-llama-f32/config.json");
const TOKENIZER: &[u8] = include_bytes!("../../fixtures/folders/tiny-llama-f32/tokenizer.json");

fuzz_target!(|bytes: &[u8]| {
    fuzz::bounded(bytes.len(), || {
        let files = [("config.json", CONFIG), ("tokenizer.json", TOKENIZER), ("model.safetensors", bytes)];
        let _ = fuzz::load(&files, 1 + bytes.len() / 3);
    });
});
