//! Two real models against what llama.cpp said (`fixtures/make_llamacpp.py`): the same tokens for ten prompts, and along
//! llama.cpp's own greedy answers the same likeliest token nearly everywhere.
//!
//! `cargo xtask models ID` puts the files where these tests look; without them they fail.
#![cfg(not(target_arch = "wasm32"))]

use hearth_engine::cpu::team::Team;
use hearth_engine::loader::Device;
use hearth_engine::sampling::argmax;
use hearth_gpu::{Gpu, Kernels, Product};
use pollster::block_on;
use serde::Deserialize;

/// A model's file.
fn file(model: &str) -> Vec<u8> {
    let path = format!("{}/../models/files/{model}.gguf", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; run: cargo xtask models {model}"))
}

#[derive(Deserialize)]
struct Case {
    prompt: String,
    tokens: Vec<u32>,
    answer: Vec<u32>,
}

/// The share of answer tokens that must be the likeliest for us too.
const LEAST: f64 = 0.97;

fn agrees(model: &str) {
    let here = env!("CARGO_MANIFEST_DIR");
    let file = file(model);
    let cases = std::fs::read_to_string(format!("{here}/fixtures/llamacpp-{model}.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
    assert_eq!(cases.len(), 10);
    let mut session = tests::session(&file, Device::cpu()).unwrap();
    let (mut same, mut all) = (0, 0);
    for case in &cases {
        assert_eq!(session.tokenizer().encode(&case.prompt).unwrap(), case.tokens, "tokens of {:?}", case.prompt);
        let text = [case.tokens.as_slice(), &case.answer].concat();
        let before = all;
        let (mut agreed, mut differs) = (0, Vec::new());
        block_on(session.score(&text, |position, log_probs| {
            let Some(&next) = text.get(position + 1).filter(|_| position + 1 >= case.tokens.len()) else { return };
            let best = argmax(log_probs.iter().copied());
            all += 1;
            if best == next {
                agreed += 1;
            } else {
                differs.push((position + 1, log_probs[best as usize] - log_probs[next as usize]));
            }
        }))
        .unwrap();
        same += agreed;
        println!("{agreed:>3} of {} for {:?}; differs {differs:.3?}", all - before, case.prompt);
    }
    assert_eq!(all, cases.iter().map(|case| case.answer.len()).sum::<usize>());
    let share = f64::from(same) / all as f64;
    println!("{model}: {same} of {all}, {:.1} %", share * 100.0);
    assert!(share >= LEAST, "{share}");
}

#[test]
fn smollm2_agrees_with_llama_cpp() {
    agrees("smollm2-135m-instruct-q4_1");
}

#[test]
fn gemma3_agrees_with_llama_cpp() {
    agrees("gemma-3-270m-q4_k_m");
}

/// Perplexity of `fixtures/long.txt` with `naive`, as `hearth perplexity FILE --text … --executor naive` printed it (it takes
/// that a quarter of an hour), and how far from it the fast executor may be.
fn perplexity_is_that_of_naive(model: &str, naive: f64) {
    let here = env!("CARGO_MANIFEST_DIR");
    let file = file(model);
    let text = std::fs::read_to_string(format!("{here}/fixtures/long.txt")).unwrap();
    let mut session = tests::session(&file, Device::Cpu(Team::spawn(2))).unwrap();
    let tokens = session.tokenizer().encode(text.trim_end()).unwrap();
    let mut sum = 0.0;
    block_on(session.score(&tokens, |position, log_probs| {
        if let Some(&next) = tokens.get(position + 1) {
            sum -= f64::from(log_probs[next as usize]);
        }
    }))
    .unwrap();
    let perplexity = (sum / (tokens.len() - 1) as f64).exp();
    println!("{model}: perplexity {perplexity:.4} over {} tokens, naive {naive}", tokens.len() - 1);
    assert!((perplexity / naive - 1.0).abs() <= 0.005, "{perplexity} {naive}");
}

#[test]
fn smollm2_has_the_perplexity_of_naive() {
    perplexity_is_that_of_naive("smollm2-135m-instruct-q4_1", 4.8294);
}

#[test]
fn gemma3_has_the_perplexity_of_naive() {
    perplexity_is_that_of_naive("gemma-3-270m-q4_k_m", 7.8633);
}

/// The likeliest token after each of the first `count` of `fixtures/long.txt`.
fn likeliest(model: &str, count: usize, device: Device) -> Vec<u32> {
    let here = env!("CARGO_MANIFEST_DIR");
    let text = std::fs::read_to_string(format!("{here}/fixtures/long.txt")).unwrap();
    let mut session = tests::session_within(512, &file(model), device).unwrap();
    let tokens = session.tokenizer().encode(text.trim_end()).unwrap();
    let mut best = Vec::new();
    block_on(session.score(&tokens[..count], |_, log_probs| best.push(argmax(log_probs.iter().copied())))).unwrap();
    best
}

/// The GPU against the oracle, as exact as it can be and with activations in bytes; `fixtures/naive.json` has what the oracle says,
/// from `hearth logprobs FILE --text "$(head -c 1500 long.txt)" --executor naive --json`. (The CPU's kernels round activations to
/// bytes, too, but one rounding the other way makes more: either agrees with the other no better than with the oracle.)
fn gpu_agrees(model: &str, count: usize) {
    let here = env!("CARGO_MANIFEST_DIR");
    let naive = std::fs::read_to_string(format!("{here}/fixtures/naive.json")).unwrap();
    let naive: std::collections::HashMap<String, Vec<u32>> = serde_json::from_str(&naive).unwrap();
    let gpu = block_on(Gpu::open()).unwrap();
    for (product, least) in [(Product::F32, 0.99), (Product::Bytes, 0.953)] {
        let gpu = gpu.clone().with(Kernels { matvec: product, matmul: product, subgroups: true });
        let best = likeliest(model, count, gpu.device());
        let same = best.iter().zip(&naive[model]).filter(|(a, b)| a == b).count();
        println!("{model}: GPU in {product:?} and oracle agree on {same} of {count}");
        assert!(same as f64 >= least * count as f64, "{same} of {count}");
    }
}

#[test]
fn smollm2_on_the_gpu_agrees() {
    gpu_agrees("smollm2-135m-instruct-q4_1", 256);
}

#[test]
fn gemma3_on_the_gpu_agrees() {
    // It takes an adapter that is a program a long time.
    gpu_agrees("gemma-3-270m-q4_k_m", 64);
}
