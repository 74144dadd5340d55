//! Models in several files: folders of Hugging Face's against the logits that `transformers` computed for them
//! (`fixtures/make_folders.py`), and a GGUF file in parts against the whole, natively and in headless Chrome.

use hearth_engine::executor::Logits;
use hearth_engine::formats::set::{Choice, File, Model, Scan, Want};
use hearth_engine::loader::{Device, Places};
use pollster::block_on;
use serde::Deserialize;
use tests::files::{FOLDERS, Named, folder, parts, session};
use tests::{LLAMA, relative_error};
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

/// Without the tokenizer.
fn numbers(files: &[Named], device: Device, tokens: &[u32], wanted: Logits) -> Vec<f32> {
    let known: Vec<File> =
        files.iter().map(|file| File { name: file.name.clone(), size_bytes: file.bytes.len() as u64 }).collect();
    let choice = Choice::of(&known).unwrap();
    let mut scan = Scan::new(known, choice).unwrap();
    let bytes = |Want { file, offset, bytes }| &files[file].bytes[offset as usize..(offset + bytes) as usize];
    while let Some(want) = scan.wants().unwrap() {
        scan.push(bytes(want)).unwrap();
    }
    let Model { header, made, mut data, .. } = scan.finish().unwrap();
    let program = hearth_engine::models::program(&header, usize::MAX).unwrap();
    let places = Places::new(&header, &program);
    let mut executor = device.executor(program).unwrap();
    let mut rows =
        |tensor: usize, first_row: usize, bytes: &[u8]| places.load(&mut *executor, tensor, first_row, bytes);
    made.iter().enumerate().try_for_each(|(tensor, bytes)| rows(tensor, 0, bytes)).unwrap();
    while let Some(want) = data.wants() {
        bytes(want).chunks(777).try_for_each(|piece| data.push(piece, &mut rows)).unwrap();
    }
    block_on(executor.forward(tokens, wanted)).unwrap().to_vec()
}

#[wasm_bindgen_test(unsupported = test)]
fn every_folder_gives_the_reference_numbers() {
    for &(name, _) in FOLDERS {
        let files = folder(name);
        let text = files.iter().find(|file| file.name == "reference.json").unwrap();
        let Reference { tokens, logits, hidden } = serde_json::from_slice(&text.bytes).unwrap();
        let wanted = if logits.is_some() { Logits::All } else { Logits::Hidden };
        let expected = logits.or(hidden).unwrap();
        for (device, most) in [(Device::Naive, 1e-5), (Device::cpu(), 2e-2)] {
            let error = relative_error(&numbers(&files, device, &tokens, wanted), &expected);
            assert!(error <= most, "{name}: relative error {error:e}, at most {most:e}");
        }
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
