//! Models in several files: folders of Hugging Face's against the logits that `transformers` computed for them
//! (`fixtures/make_folders.py`), and a GGUF file in parts against the whole, natively and in headless Chrome.

use hearth_engine::cpu::Cpu;
use hearth_engine::executor::{Executor, Logits};
use hearth_engine::formats::set::{Choice, File, Model, Scan, Want};
use hearth_engine::loader::Device;
use hearth_engine::naive::Naive;
use pollster::block_on;
use serde::Deserialize;
use tests::files::{Named, folder, session};
use tests::{LLAMA, relative_error};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[derive(Deserialize)]
struct Reference {
    tokens: Vec<u32>,
    logits: Vec<f32>,
}

/// Without the tokenizer.
fn logits_of(files: &[Named], device: Device, tokens: &[u32]) -> Vec<f32> {
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
    let weights: Vec<_> = program.weights.iter().map(|weight| weight.tensor).collect();
    let mut executor: Box<dyn Executor> = match device {
        Device::Cpu(team) => Box::new(Cpu::new(program, team).unwrap()),
        _ => Box::new(Naive::new(program)),
    };
    let mut rows = |tensor: usize, first_row: usize, bytes: &[u8]| {
        weights.iter().position(|&t| t == tensor).map_or(Ok(()), |weight| executor.load_rows(weight, first_row, bytes))
    };
    made.iter().enumerate().try_for_each(|(tensor, bytes)| rows(tensor, 0, bytes)).unwrap();
    while let Some(want) = data.wants() {
        bytes(want).chunks(777).try_for_each(|piece| data.push(piece, &mut rows)).unwrap();
    }
    block_on(executor.forward(tokens, Logits::All)).unwrap().to_vec()
}

fn logits_agree(name: &str) {
    let files = folder(name);
    let reference = files.iter().find(|file| file.name == "reference.json").unwrap();
    let Reference { tokens, logits } = serde_json::from_slice(&reference.bytes).unwrap();
    for (device, most) in [(Device::Naive, 1e-5), (Device::cpu(), 2e-2)] {
        let found = logits_of(&files, device, &tokens);
        let error = relative_error(&found, &logits);
        assert!(error <= most, "{name}: relative error {error:e}, at most {most:e}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn llama_in_f32_gives_the_reference_logits() {
    logits_agree("tiny-llama-f32");
}

#[wasm_bindgen_test(unsupported = test)]
fn llama_in_bf16_with_a_head_of_its_own_gives_the_reference_logits() {
    logits_agree("tiny-llama-bf16");
}

#[wasm_bindgen_test(unsupported = test)]
fn llama_in_f16_in_parts_with_scaled_positions_gives_the_reference_logits() {
    logits_agree("tiny-llama-f16-sharded");
}

#[wasm_bindgen_test(unsupported = test)]
fn gemma3_in_bf16_gives_the_reference_logits() {
    logits_agree("tiny-gemma3-bf16");
}

#[wasm_bindgen_test(unsupported = test)]
fn gemma3_in_f32_in_parts_by_an_old_configuration_gives_the_reference_logits() {
    logits_agree("tiny-gemma3-f32-sharded");
}

/// The tokens of the fixture's reference.
const TOKENS: &[u32] = &[3, 100, 7, 260, 42, 42, 256, 0, 9];

#[wasm_bindgen_test(unsupported = test)]
fn gguf_in_parts_is_the_whole() {
    let expected = block_on(tests::session(LLAMA, Device::cpu()).unwrap().logits(TOKENS)).unwrap();
    let mut files = folder("tiny-llama-gguf");
    for (turn, piece) in [(0, 1 << 20), (1, 1000), (2, 33)] {
        // In whatever order they are given.
        files.rotate_left(turn);
        let mut session = session(&files, Device::cpu(), piece).unwrap();
        assert!(block_on(session.logits(TOKENS)).unwrap() == expected, "pieces of {piece}");
        assert_eq!(session.tokenizer().encode("he").unwrap(), [256]);
    }
}
