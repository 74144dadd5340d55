//! A GGUF file in pieces: header, tokenizer in the metadata, program, rows, and a few tokens if it is a model after all.
#![no_main]

use hearth_engine::generate::Options;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::bounded(bytes.len(), || {
        let Ok(mut session) = fuzz::load(&[("model.gguf", bytes)], 1 + bytes.len() / 3) else { return };
        let Ok(tokens) = session.tokenizer().encode("he 炉") else { return };
        if session.start(&tokens, Options { max_tokens: 2, ..Options::default() }).is_ok() {
            while let Ok(Some(_)) = pollster::block_on(session.step()) {}
        }
    });
});
