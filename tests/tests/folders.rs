//! Models in several files: folders of Hugging Face's against the logits that `transformers` computed for them
//! (`fixtures/make_folders.py`), and a GGUF file in parts against the whole, natively and in headless Chrome.

use hearth_engine::generate::Session;
use hearth_engine::loader::Device;
use pollster::block_on;
use serde::Deserialize;
use tests::files::{FOLDERS, folder, parts, session};
use tests::{GEMMA3, LLAMA, relative_error};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// What `transformers` computed.
#[derive(Deserialize)]
struct Reference {
    tokens: Vec<u32>,
    logits: Option<Vec<f32>>,
    hidden: Option<Vec<f32>>,
}

#[wasm_bindgen_test(unsupported = test)]
fn every_folder_gives_the_reference_numbers() {
    for &(name, _) in FOLDERS {
        let files = folder(name);
        let text = files.iter().find(|file| file.name == "reference.json").unwrap();
        let Reference { tokens, logits, hidden } = serde_json::from_slice(&text.bytes).unwrap();
        for (device, most) in [(Device::Naive, 1e-5), (Device::cpu(), 2e-2)] {
            let mut session = session(&files, device, 777).unwrap();
            let (found, expected) = match (&logits, &hidden) {
                (Some(logits), _) => (block_on(session.logits(&tokens)), logits),
                (None, hidden) => (block_on(session.hidden(&tokens)), hidden.as_ref().unwrap()),
            };
            let error = relative_error(&found.unwrap(), expected);
            assert!(error <= most, "{name}: relative error {error:e}, at most {most:e}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_order_in_which_files_are_given_changes_nothing() {
    for name in ["tiny-llama-f16-sharded", "tiny-gemma3-f32-sharded"] {
        // With the index and without.
        for indexed in [true, false] {
            let mut files = folder(name);
            files.retain(|file| indexed || !file.name.ends_with(".index.json"));
            let mut saved = Vec::new();
            for _ in 0..files.len() {
                files.rotate_left(1);
                let mut session = session(&files, Device::cpu(), 777).unwrap();
                block_on(session.next_logits(TOKENS)).unwrap();
                saved.push(block_on(session.save()).unwrap());
            }
            // Which says, among others, which model it is.
            assert!(saved.iter().all(|other| *other == saved[0]), "{name}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_folders_text_is_that_of_the_gguf_file() {
    for (name, file) in [("tiny-llama-f32", LLAMA), ("tiny-gemma3-bf16", GEMMA3)] {
        let (ours, theirs) =
            (session(&folder(name), Device::cpu(), 777).unwrap(), tests::session(file, Device::cpu()).unwrap());
        for text in ["he", "the hearth, 炉 in  it", "", "<|end|><eos> a"] {
            let tokens = ours.tokenizer().encode(text).unwrap();
            assert_eq!(tokens, theirs.tokenizer().encode(text).unwrap(), "{name}: {text:?}");
            let bytes = |session: &Session| {
                tokens.iter().flat_map(|&token| session.tokenizer().bytes(token)).collect::<Vec<_>>()
            };
            assert_eq!(bytes(&ours), bytes(&theirs), "{name}: {text:?}");
        }
        assert_eq!(ours.tokenizer().has_template(), theirs.tokenizer().has_template());
    }
}

/// The tokens of the fixture's reference.
const TOKENS: &[u32] = &[3, 100, 7, 260, 42, 42, 256, 0, 9];

#[wasm_bindgen_test(unsupported = test)]
fn gguf_in_parts_is_the_whole() {
    let expected = block_on(tests::session(LLAMA, Device::cpu()).unwrap().logits(TOKENS)).unwrap();
    let mut files = parts();
    for (turn, piece) in [(0, 1 << 20), (1, 1000), (2, 33)] {
        // In whatever order they are given.
        files.rotate_left(turn);
        let mut session = session(&files, Device::cpu(), piece).unwrap();
        assert!(block_on(session.logits(TOKENS)).unwrap() == expected, "pieces of {piece}");
        assert_eq!(session.tokenizer().encode("he").unwrap(), [256]);
    }
}
