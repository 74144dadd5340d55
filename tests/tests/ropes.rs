//! Rotations stretched over longer contexts, against `transformers`. `fixtures/make_architectures.py` made the numbers.

use hearth_engine::Result;
use hearth_engine::formats::{TensorInfo, hf};
use hearth_engine::models;
use hearth_engine::program::{Op, Rope};
use hearth_engine::quant::Format;
use serde_json::Value as Json;
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// The rotation of a Llama of one layer whose heads have 32 numbers, with these fields in its configuration; its frequencies.
fn rope(fields: &Json, context: usize) -> Result<(Rope, Vec<f32>)> {
    let config = serde_json::json!({
        "model_type": "llama", "num_hidden_layers": 1, "max_position_embeddings": 256, "hidden_size": 64,
        "intermediate_size": 64, "num_attention_heads": 2, "vocab_size": 8, "rope_parameters": fields,
    });
    let config = hf::Config::new(config.to_string().as_bytes())?;
    let (mut header, made) = hf::header(&config, &hf::Texts::default())?;
    let mut add = |name: &str, shape: &[usize]| {
        let size_bytes = shape.iter().product::<usize>() as u64 * 4;
        header.tensors.push(TensorInfo {
            name: name.into(),
            shape: shape.into(),
            format: Format::F32,
            offset: 0,
            size_bytes,
        });
    };
    for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        add(&format!("blk.0.{name}.weight"), &[64, 64]);
    }
    add("token_embd.weight", &[8, 64]);
    for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"] {
        add(&format!("{name}.weight"), &[64]);
    }
    let program = models::program(&header, context)?;
    let rope =
        program.ops.iter().find_map(|op| if let Op::Attention { rope, .. } = op { *rope } else { None }).unwrap();
    let divisors = rope.divisors.map(|id| {
        let bytes = &made[program.weights[id].tensor];
        bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect::<Vec<_>>()
    });
    Ok((rope, rope.frequencies(divisors.as_deref())))
}

fn numbers(case: &Json, key: &str) -> Vec<f32> {
    serde_json::from_value(case[key].clone()).unwrap()
}

#[wasm_bindgen_test(unsupported = test)]
fn stretched_rotations_are_those_of_the_reference() {
    let cases: Vec<Json> = serde_json::from_str(include_str!("../fixtures/ropes.json")).unwrap();
    assert!(cases.len() >= 8);
    for case in &cases {
        let kind = case["rope_type"].as_str().unwrap();
        let context = case["context"].as_u64().unwrap() as usize;
        let (rope, found) = rope(case, context).unwrap();
        let expected = numbers(case, "frequencies");
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
fn a_way_that_is_not_known_is_named() {
    let fields = serde_json::json!({"rope_type": "spiral", "rope_theta": 10000.0});
    let error = rope(&fields, 100).unwrap_err();
    assert_eq!(error.code(), "bad_metadata");
    assert!(error.to_string().contains("spiral") && error.to_string().contains("yarn"), "{error}");
}
