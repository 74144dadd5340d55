//! Files that are not what they should be: each gets the error that names what is wrong, natively and in headless Chrome.

use hearth_engine::Error;
use hearth_engine::loader::Device;
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

const LLAMA: &[u8] = include_bytes!("../fixtures/tiny-llama-q8_0.gguf");

fn refused(file: &[u8]) -> Error {
    match tests::session(file, Device::cpu()) {
        Err(error) => error,
        Ok(_) => panic!("accepted"),
    }
}

/// The file with the first `from` replaced by `to`, of the same length.
fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = LLAMA.windows(from.len()).position(|bytes| bytes == from).expect("it is there");
    let mut file = LLAMA.to_vec();
    file[at..at + to.len()].copy_from_slice(to);
    file
}

fn says(error: &Error, code: &str, words: &[&str]) {
    assert_eq!(error.code(), code, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{error} does not say {word}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn other_files() {
    says(&refused(b"<!doctype html><title>404</title>"), "not_gguf", &["GGUF"]);
    says(&refused(b""), "truncated", &["header"]);
    let mut file = LLAMA.to_vec();
    file[4] = 9;
    says(&refused(&file), "unsupported_version", &["9", "2 and 3"]);
}

#[wasm_bindgen_test(unsupported = test)]
fn cut_off_anywhere() {
    // Every byte of the beginning, then a prime step to the end.
    for end in (0..200).chain((200..LLAMA.len()).step_by(997)).chain([LLAMA.len() - 1]) {
        says(&refused(&LLAMA[..end]), "truncated", &["cut off", &end.to_string()]);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn impossible_counts() {
    for at in [8, 16] {
        let mut file = LLAMA.to_vec();
        file[at..at + 8].copy_from_slice(&(1u64 << 60).to_le_bytes());
        says(&refused(&file), "bad_header", &["1152921504606846976"]);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn unknown_kinds() {
    says(
        &refused(&replaced(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0mamba")),
        "unsupported_architecture",
        &["mamba", "llama", "gemma3"],
    );
    // The type of the embedding table follows its name, two dimensions.
    let at = LLAMA.windows(17).position(|bytes| bytes == b"token_embd.weight").unwrap() + 17 + 4 + 16;
    let mut file = LLAMA.to_vec();
    assert_eq!(file[at], 8);
    file[at] = 16;
    says(&refused(&file), "unsupported_format", &["token_embd.weight", "IQ2_XXS", "Q4_K"]);
    file[at] = 99;
    says(&refused(&file), "unsupported_format", &["number 99"]);
}

#[wasm_bindgen_test(unsupported = test)]
fn missing_and_misshapen_tensors() {
    says(
        &refused(&replaced(b"blk.1.ffn_up.weight", b"blk.9.ffn_up.weight")),
        "missing_tensor",
        &["blk.1.ffn_up.weight", "llama"],
    );
    let at = LLAMA.windows(19).position(|bytes| bytes == b"blk.0.attn_k.weight").unwrap() + 19 + 4 + 8;
    let mut file = LLAMA.to_vec();
    assert_eq!(file[at], 16);
    file[at] = 8;
    says(&refused(&file), "bad_shape", &["blk.0.attn_k.weight", "[16, 32]", "[8, 32]"]);
}

/// The file with the number behind `key` replaced.
fn with_number(key: &str, number: &[u8]) -> Vec<u8> {
    let at = LLAMA.windows(key.len()).position(|bytes| bytes == key.as_bytes()).expect("it is there") + key.len() + 4;
    let mut file = LLAMA.to_vec();
    file[at..at + number.len()].copy_from_slice(number);
    file
}

#[wasm_bindgen_test(unsupported = test)]
fn impossible_numbers() {
    for dims in [1_u32, 7, 10] {
        let file = with_number("llama.rope.dimension_count", &dims.to_le_bytes());
        says(&refused(&file), "bad_metadata", &["llama.rope.dimension_count"]);
    }
    for theta in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let file = with_number("llama.rope.freq_base", &theta.to_le_bytes());
        says(&refused(&file), "bad_metadata", &["llama.rope.freq_base", "out of range"]);
    }
    for (key, number) in [
        ("llama.attention.head_count", 0_u32),
        ("llama.attention.head_count_kv", 3),
        ("llama.embedding_length", 1 << 27),
        ("llama.feed_forward_length", 1 << 27),
        ("llama.block_count", u32::MAX),
    ] {
        says(&refused(&with_number(key, &number.to_le_bytes())), "bad_metadata", &[]);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_refused_file_stays_refused() {
    let mut loader = hearth_engine::loader::Loader::new(Device::cpu(), usize::MAX);
    let file = replaced(b"blk.1.ffn_up.weight", b"blk.9.ffn_up.weight");
    says(&loader.push(&file).unwrap_err(), "missing_tensor", &[]);
    says(&loader.push(&file).unwrap_err(), "invalid_input", &["refused"]);
}

#[wasm_bindgen_test(unsupported = test)]
fn missing_metadata() {
    says(&refused(&replaced(b"llama.block_count", b"llama.block_kount")), "bad_metadata", &["llama.block_count"]);
    says(&refused(&replaced(b"tokenizer.ggml.merges", b"tokenizer.ggml.merged")), "bad_metadata", &["merges"]);
    says(&refused(&replaced(b"tokenizer.ggml.model", b"tokenizer.ggml.mode1")), "bad_metadata", &["model"]);
}
