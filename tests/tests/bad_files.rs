//! Sets of files that do not make a model: each gets the error that names the file and says what to do, natively and in headless
//! Chrome.

use hearth_engine::Error;
use hearth_engine::loader::Device;
use serde_json::Value as Json;
use tests::files::{Named, folder, parts, session};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

const PIECE: usize = 1 << 20;

fn says(files: &[Named], code: &str, words: &[&str]) {
    let error = match session(files, Device::Naive, PIECE) {
        Err(error) => error,
        Ok(_) => panic!("accepted"),
    };
    assert_eq!(error.code(), code, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{error} does not say {word}");
    }
}

fn at<'a>(files: &'a mut [Named], name: &str) -> &'a mut Named {
    files.iter_mut().find(|file| file.name == name).expect("it is there")
}

fn without(mut files: Vec<Named>, name: &str) -> Vec<Named> {
    files.retain(|file| file.name != name);
    files
}

/// The folder with a field of its configuration changed.
fn with_field(name: &str, field: &str, value: Json) -> Vec<Named> {
    let mut files = folder(name);
    let config = at(&mut files, "config.json");
    let mut fields: Json = serde_json::from_slice(&config.bytes).unwrap();
    fields[field] = value;
    config.bytes = serde_json::to_vec(&fields).unwrap();
    files
}

/// A safetensors file's header, changed.
fn with_header(file: &mut Named, change: impl FnOnce(&mut Json)) {
    let len = u64::from_le_bytes(file.bytes[..8].try_into().unwrap()) as usize;
    let mut header: Json = serde_json::from_slice(&file.bytes[8..8 + len]).unwrap();
    change(&mut header);
    let text = serde_json::to_vec(&header).unwrap();
    let data = file.bytes.split_off(8 + len);
    file.bytes = [&(text.len() as u64).to_le_bytes(), text.as_slice(), data.as_slice()].concat();
}

fn renamed(header: &mut Json, from: &str, to: &str) {
    let tensor = header.as_object_mut().unwrap().remove(from).expect("it is there");
    header[to] = tensor;
}

const Q_PROJ: &str = "model.layers.0.self_attn.q_proj.weight";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const INDEX: &str = "model.safetensors.index.json";

#[wasm_bindgen_test(unsupported = test)]
fn a_part_of_a_gguf_model_is_missing_or_too_many() {
    let parts = parts();
    says(&parts[..2], "bad_files", &["tiny-llama-00003-of-00003.gguf is missing", "all 3 files"]);
    says(&parts[1..], "bad_files", &["tiny-llama-00001-of-00003.gguf is missing"]);
    says(&parts[1..2], "bad_files", &["tiny-llama-00002-of-00003.gguf: ", "part 2 of 3", "give all parts together"]);
    let twice = [&parts[..], &parts[1..2]].concat();
    says(&twice, "bad_files", &["tiny-llama-00002-of-00003.gguf is given twice"]);
    let mut other = parts.clone();
    other[1].name = "tiny-gemma-00002-of-00003.gguf".into();
    says(&other, "bad_files", &["tiny-gemma-00002-of-00003.gguf does not belong to tiny-llama-00001-of-00003.gguf"]);
}

#[wasm_bindgen_test(unsupported = test)]
fn parts_with_other_names_tell_which_they_are() {
    let named = |names: &[&str], parts: Vec<Named>| -> Vec<Named> {
        parts.into_iter().zip(names).map(|(part, name)| Named { name: (*name).into(), ..part }).collect()
    };
    let parts = named(&["b.gguf", "c.gguf", "a.gguf"], parts());
    session(&parts, Device::Naive, PIECE).unwrap();
    says(&parts[..2], "bad_files", &["b.gguf is one of 3 files, but 2 are given"]);
    let twice = [&parts[..2], &parts[1..2]].concat();
    says(&twice, "bad_files", &["c.gguf and c.gguf are both part 2 of 3"]);
    let whole = Named { name: "whole.gguf".into(), bytes: tests::LLAMA.into() };
    says(
        &[&parts[..2], &[whole]].concat(),
        "bad_files",
        &["whole.gguf is a model of its own", "give all files of one model"],
    );
}

/// `file` with the first `from` replaced by `to`.
fn replaced(file: &mut Named, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = file.bytes.windows(from.len()).position(|bytes| bytes == from).expect("it is there");
    file.bytes[at..at + to.len()].copy_from_slice(to);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_part_of_another_gguf_model_is_told() {
    let mut all = parts();
    replaced(&mut all[2], b"blk.1.ffn_down.weight", b"blk.0.ffn_down.weight");
    says(&all, "bad_files", &["tiny-llama-00003-of-00003.gguf is of another model", "blk.0.ffn_down.weight"]);
    let mut all = parts();
    let key = b"split.tensors.count";
    let at = all[1].bytes.windows(key.len()).position(|bytes| bytes == key).unwrap() + key.len() + 4;
    all[1].bytes[at] += 1;
    says(&all, "bad_files", &["tiny-llama-00002-of-00003.gguf is of another model", "split.tensors.count"]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_folders_files_must_be_there() {
    for name in ["config.json", "tokenizer.json"] {
        says(&without(folder("tiny-llama-f32"), name), "bad_files", &[name, "is missing", "together"]);
    }
    let no_weights = without(folder("tiny-llama-f32"), "model.safetensors");
    says(&no_weights, "bad_files", &["no model among these files", ".safetensors"]);
    let mut pickled = no_weights.clone();
    pickled.push(Named { name: "pytorch_model.bin".into(), bytes: vec![0; 9] });
    says(&pickled, "bad_files", &["pytorch_model.bin", "not opened"]);
    says(&[], "bad_files", &["no model"]);
    let files = folder("tiny-llama-f16-sharded");
    says(&without(files.clone(), SHARDS[1]), "bad_files", &[SHARDS[1], "is missing", "all 2 files"]);
    says(&without(without(files.clone(), SHARDS[1]), INDEX), "bad_files", &[SHARDS[1], "is missing"]);
    let shard = files.iter().find(|file| file.name == SHARDS[0]).unwrap().clone();
    says(&[files.as_slice(), &[shard]].concat(), "bad_files", &[SHARDS[0], "is given twice"]);
    let config = files.iter().find(|file| file.name == "config.json").unwrap().clone();
    says(&[files.as_slice(), &[config]].concat(), "bad_files", &["config.json is given twice"]);
    let gguf = parts().remove(0);
    says(&[files.as_slice(), &[gguf]].concat(), "bad_files", &["two models in different formats"]);
    let mut two = folder("tiny-llama-f32");
    at(&mut two, "model.safetensors").name = "a.safetensors".into();
    let other = Named { name: "b.safetensors".into(), ..at(&mut two, "a.safetensors").clone() };
    says(&[two.as_slice(), &[other]].concat(), "bad_files", &["a.safetensors, b.safetensors", INDEX]);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_index_and_its_files_must_agree() {
    let files = || folder("tiny-llama-f16-sharded");
    let mut wrong = files();
    replaced(at(&mut wrong, INDEX), b"00002-of-00002", b"00009-of-00002");
    says(&wrong, "bad_files", &["model-00009-of-00002.safetensors is missing"]);
    // A tensor in both.
    let mut double = files();
    let norm = "model.norm.weight";
    let layer = "model.layers.0.input_layernorm.weight";
    with_header(at(&mut double, SHARDS[1]), |header| renamed(header, norm, layer));
    says(&double, "bad_files", &[layer, SHARDS[0], SHARDS[1], "one of them is not of this model"]);
    // A tensor that the index does not know, and so one that is not there.
    let mut other = files();
    with_header(at(&mut other, SHARDS[1]), |header| renamed(header, norm, "model.layers.7.mlp.up_proj.weight"));
    says(&other, "bad_files", &[SHARDS[1], "model.layers.7.mlp.up_proj.weight", "another model"]);
    let mut moved = files();
    let text = String::from_utf8(at(&mut moved, INDEX).bytes.clone()).unwrap();
    let lost = text.replace(norm, "model.lost.weight");
    at(&mut moved, INDEX).bytes = lost.into_bytes();
    says(&moved, "bad_files", &[norm, "not what model.safetensors.index.json says"]);
    at(&mut moved, INDEX).bytes = b"{}".into();
    says(&moved, "bad_json", &[&format!("{INDEX}: this is not the JSON"), "weight_map"]);
}

#[wasm_bindgen_test(unsupported = test)]
fn weights_must_be_of_a_kind_and_in_their_place() {
    let changed = |change: fn(&mut Json)| {
        let mut files = folder("tiny-llama-f32");
        with_header(at(&mut files, "model.safetensors"), change);
        files
    };
    for (dtype, code, word) in [
        ("F64", "bad_header", "cannot have"),
        ("I32", "unsupported_format", "I32"),
        ("F8_E9M9", "unsupported_format", "F8_E9M9"),
    ] {
        let mut files = folder("tiny-llama-f32");
        with_header(at(&mut files, "model.safetensors"), |header| header[Q_PROJ]["dtype"] = dtype.into());
        says(&files, code, &["model.safetensors: ", Q_PROJ, word]);
    }
    let overlapping = changed(|header| {
        for offset in [0, 1] {
            let bytes = header[Q_PROJ]["data_offsets"][offset].as_u64().unwrap() - 4;
            header[Q_PROJ]["data_offsets"][offset] = bytes.into();
        }
    });
    says(&overlapping, "bad_header", &["model.safetensors: ", Q_PROJ, "overlaps"]);
    let outside = changed(|header| {
        for offset in [0, 1] {
            let bytes = header[Q_PROJ]["data_offsets"][offset].as_u64().unwrap() + (1 << 40);
            header[Q_PROJ]["data_offsets"][offset] = bytes.into();
        }
    });
    says(&outside, "bad_header", &["model.safetensors: ", "gap"]);
    let swapped = changed(|header| header[Q_PROJ]["shape"] = serde_json::json!([16, 64]));
    says(&swapped, "bad_shape", &["blk.0.attn_q.weight", "[32, 32]", "[16, 64]"]);
    let stranger = changed(|header| renamed(header, Q_PROJ, "model.layers.0.self_attn.q_proj.qweight"));
    says(&stranger, "unsupported_architecture", &["model.safetensors", "qweight"]);
    let lost = changed(|header| renamed(header, Q_PROJ, "model.layers.9.self_attn.q_proj.weight"));
    says(&lost, "missing_tensor", &["blk.0.attn_q.weight"]);
    let twin = changed(|header| renamed(header, Q_PROJ, "layers.0.self_attn.k_proj.weight"));
    says(&twin, "bad_files", &["two tensors", "blk.0.attn_k.weight"]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_configuration_says_what_it_cannot_be() {
    for (field, value, word) in [
        ("model_type", Json::from("mamba"), "mamba"),
        ("model_type", Json::Null, "supported are llama"),
        ("hidden_act", "relu".into(), "relu"),
        ("hidden_size", "wide".into(), "hidden_size"),
        ("hidden_size", (-1).into(), "hidden_size"),
        ("tie_word_embeddings", 7.into(), "tie_word_embeddings"),
        ("rope_parameters", serde_json::json!({"rope_type": "spiral"}), "spiral"),
        ("quantization_config", serde_json::json!({"quant_method": "gptq"}), "gptq"),
    ] {
        says(&with_field("tiny-llama-f32", field, value), "bad_metadata", &["config.json", word]);
    }
    for (field, value, word) in [
        ("layer_types", serde_json::json!(["full_attention"]), "7 kinds"),
        ("layer_types", serde_json::json!(["chunked_attention", 1, 2, 3, 4, 5, 6]), "chunked_attention"),
        ("use_bidirectional_attention", true.into(), "use_bidirectional_attention"),
        ("num_hidden_layers", (1_u64 << 40).into(), "num_hidden_layers"),
    ] {
        says(&with_field("tiny-gemma3-bf16", field, value), "bad_metadata", &["config.json", word]);
    }
    let mut files = folder("tiny-llama-f32");
    at(&mut files, "config.json").bytes = b"<!doctype html>".into();
    says(&files, "bad_json", &["config.json: this is not the JSON"]);
    at(&mut files, "config.json").bytes.clear();
    says(&files, "bad_json", &["config.json: this is not the JSON"]);
}

#[wasm_bindgen_test(unsupported = test)]
fn cut_off_anywhere() {
    for (given, file) in [(folder("tiny-llama-f16-sharded"), SHARDS[1]), (parts(), "tiny-llama-00002-of-00003.gguf")] {
        let whole = given.iter().find(|named| named.name == file).unwrap().bytes.len();
        for end in (0..200).chain((200..whole).step_by(397)).chain([whole - 1]) {
            let mut files = given.clone();
            at(&mut files, file).bytes.truncate(end);
            says(&files, "truncated", &[file, "cut off"]);
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn flipped_bytes_never_panic() {
    for (mut files, file, step) in [
        (folder("tiny-llama-f16-sharded"), SHARDS[1], 7),
        (folder("tiny-llama-f16-sharded"), "config.json", 1),
        (folder("tiny-llama-f16-sharded"), INDEX, 13),
        (folder("tiny-gemma3-bf16"), "config.json", 3),
        (parts(), "tiny-llama-00002-of-00003.gguf", 5),
    ] {
        let len = at(&mut files, file).bytes.len().min(2400);
        for place in (0..len).step_by(step) {
            for flip in [1, 0x80] {
                at(&mut files, file).bytes[place] ^= flip;
                let _ = session(&files, Device::Naive, PIECE);
                at(&mut files, file).bytes[place] ^= flip;
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn more_bytes_than_were_wanted_are_refused() {
    use hearth_engine::formats::set::File;
    let files = folder("tiny-llama-f32");
    let known = files.iter().map(|file| File { name: file.name.clone(), size_bytes: file.bytes.len() as u64 });
    let mut loader = hearth_engine::loader::Loader::of(known.collect(), Device::Naive, 64).unwrap();
    let want = loader.wants().unwrap().unwrap();
    assert_eq!((want.offset, want.bytes), (0, files[want.file].bytes.len() as u64), "a text is wanted whole");
    let error = loader.push(&vec![b' '; want.bytes as usize + 1]).unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)), "{error}");
    let Err(error) = loader.finish() else { panic!("accepted") };
    assert_eq!(error.code(), "truncated");
    assert!(error.to_string().contains("config.json"), "{error}");
}
