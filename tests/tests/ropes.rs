//! Rotations stretched over longer contexts, against `transformers`. `fixtures/make_architectures.py` made the numbers.

use hearth_engine::formats::gguf::{Header, TensorInfo, Value};
use hearth_engine::models::{self, Room};
use hearth_engine::program::{Op, Rope};
use hearth_engine::quant::Format;
use serde_json::Value as Json;
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// Of a Llama of one layer whose heads have 32 numbers.
fn header() -> Header {
    let mut header = Header::default();
    header.metadata.insert("general.architecture".into(), Value::String("llama".into()));
    let sizes = [
        ("block_count", 1),
        ("context_length", 256),
        ("embedding_length", 64),
        ("feed_forward_length", 64),
        ("attention.head_count", 2),
    ];
    for (key, size) in sizes {
        header.metadata.insert(format!("llama.{key}"), Value::Unsigned(size));
    }
    for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        add(&mut header, &format!("blk.0.{name}.weight"), &[64, 64]);
    }
    add(&mut header, "token_embd.weight", &[8, 64]);
    for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"] {
        add(&mut header, &format!("{name}.weight"), &[64]);
    }
    header
}

fn add(header: &mut Header, name: &str, shape: &[usize]) {
    let size_bytes = shape.iter().product::<usize>() as u64 * 4;
    header.tensors.push(TensorInfo {
        name: name.into(),
        shape: shape.into(),
        format: Format::F32,
        offset: 0,
        size_bytes,
    });
}

fn rope(header: &Header, room: impl Into<Room>) -> (Rope, Vec<String>) {
    let program = models::program(header, room).unwrap();
    let rope = program.ops.iter().find_map(|op| if let Op::Attention { rope, .. } = op { *rope } else { None });
    (rope.unwrap(), program.weights.into_iter().map(|weight| weight.name).collect())
}

fn numbers(case: &Json, key: &str) -> Vec<f32> {
    serde_json::from_value(case[key].clone()).unwrap()
}

#[wasm_bindgen_test(unsupported = test)]
fn stretched_rotations_are_those_of_the_reference() {
    let cases: Vec<Json> = serde_json::from_str(include_str!("../fixtures/ropes.json")).unwrap();
    assert!(cases.len() >= 9);
    for case in &cases {
        let mut header = header();
        let kind = case["type"].as_str().unwrap();
        let mut set = |key: &str, value: Value| header.metadata.insert(format!("llama.rope.scaling.{key}"), value);
        set("type", Value::String(kind.into()));
        set("factor", Value::Float(case["factor"].as_f64().unwrap()));
        if let Some(original) = case["original_max_position_embeddings"].as_u64() {
            set("original_context_length", Value::Unsigned(original));
        }
        for (theirs, ours) in [
            ("low_freq_factor", "low_freq_factor"),
            ("high_freq_factor", "high_freq_factor"),
            ("beta_fast", "yarn_beta_fast"),
            ("beta_slow", "yarn_beta_slow"),
        ] {
            if let Some(number) = case[theirs].as_f64() {
                set(ours, Value::Float(number));
            }
        }
        if kind == "longrope" {
            // Its file says what transformers works out.
            set("attn_factor", Value::Float(case["magnitude"].as_f64().unwrap()));
            add(&mut header, "rope_factors_long.weight", &[16]);
            add(&mut header, "rope_factors_short.weight", &[16]);
        }
        if let Some(whole) = case["truncate"].as_bool() {
            header.metadata.insert("hearth.rope.truncate".into(), Value::Bool(whole));
        }
        let context = case["context"].as_u64().unwrap() as usize;
        let (rope, weights) = rope(&header, context);
        let divisors = rope.divisors.map(|id| match weights[id].as_str() {
            "rope_factors_long.weight" => numbers(case, "long_factor"),
            _ => numbers(case, "short_factor"),
        });
        let expected = numbers(case, "frequencies");
        let found = rope.frequencies(divisors.as_deref());
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(
                (found - expected).abs() <= 1e-6 * expected,
                "{kind} at {context}, pair {i}: {found}, not {expected}"
            );
        }
        let magnitude = case["magnitude"].as_f64().unwrap() as f32;
        assert!((rope.magnitude - magnitude).abs() <= 1e-6 * magnitude, "{kind}: {}", rope.magnitude);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn rotations_are_those_of_the_room_that_was_asked_for() {
    for (kind, factor) in [("dynamic", 2.0), ("longrope", 1.0), ("linear", 4.0)] {
        let mut header = header();
        let mut set = |key: &str, value: Value| header.metadata.insert(format!("llama.rope.scaling.{key}"), value);
        set("type", Value::String(kind.into()));
        set("factor", Value::Float(factor));
        set("original_context_length", Value::Unsigned(64));
        for which in ["long", "short"].into_iter().filter(|_| kind == "longrope") {
            add(&mut header, &format!("rope_factors_{which}.weight"), &[16]);
        }
        let context = |room| models::program(&header, room).unwrap().config.context;
        let rotations = |room| models::program(&header, room).unwrap().rotations();
        let depends = kind != "linear";
        assert_eq!(context(Room::Asked(100)), 100);
        assert_eq!(rotations(Room::Asked(100)) != rotations(Room::Asked(64)), depends, "{kind}");
        // Where nobody asks, devices of any room agree.
        for most in [4096, 8192, usize::MAX] {
            assert_eq!(context(Room::Usual(most)) == 64, depends, "{kind}");
            assert_eq!(rotations(Room::Usual(most)), rotations(Room::Asked(64)), "{kind}");
        }
        assert_eq!(context(Room::Usual(32)), 32);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_way_that_is_not_known_is_named() {
    let mut header = header();
    header.metadata.insert("llama.rope.scaling.type".into(), Value::String("spiral".into()));
    let error = models::program(&header, 100).unwrap_err();
    assert_eq!(error.code(), "bad_metadata");
    assert!(error.to_string().contains("spiral") && error.to_string().contains("yarn"), "{error}");
}
