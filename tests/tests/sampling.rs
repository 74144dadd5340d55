//! What the sampler draws from against what llama.cpp's samplers leave of the same logits. `fixtures/make_sampling.py` made the
//! file.

use std::collections::BTreeMap;

use hearth_engine::generate::Options;
use hearth_engine::sampling::{Sampler, Sampling};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[derive(Deserialize)]
struct Case {
    options: Value,
    logits: (u64, usize, f64),
    tokens: Vec<u32>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    kept: BTreeMap<u32, f32>,
    taken: u32,
}

/// As `logits` of the script makes them.
fn logits((mut state, size, spread): (u64, usize, f64)) -> Vec<f32> {
    let number = |i| {
        state = (state * 1_103_515_245 + 12345) % (1 << 31);
        (((state >> 16) % 256) as f64 / 256.0 * spread - spread / 2.0 + i as f64 / 4099.0) as f32
    };
    (0..size).map(number).collect()
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_left_and_how_likely_is_what_llama_cpp_says() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../fixtures/sampling.json")).unwrap();
    assert!(cases.len() > 100);
    for Case { options, logits: made, tokens, steps } in cases {
        // Through `Options`, as JavaScript gives them.
        let asked: Options = serde_json::from_value(options.clone()).unwrap();
        let sampling = fill(&options, asked.sampling);
        sampling.check().unwrap();
        let mut sampler = Sampler::new(sampling);
        let (logits, mut tokens) = (logits(made), tokens);
        for (i, step) in steps.iter().enumerate() {
            let left = sampler.candidates(&logits, &tokens, None).unwrap();
            let left: BTreeMap<u32, f32> = left.iter().map(|candidate| (candidate.token, candidate.p)).collect();
            let case = format!("{options} {made:?} step {i}");
            let (found, expected): (Vec<_>, Vec<_>) = (left.keys().collect(), step.kept.keys().collect());
            assert_eq!(found, expected, "{case}");
            for (token, expected) in &step.kept {
                let found = left[token];
                let near = (found - expected).abs() <= 2e-5 * expected + 1e-9;
                assert!(near, "{case}: token {token} has {found}, not {expected}");
            }
            sampler.chose(step.taken);
            tokens.push(step.taken);
        }
    }
}

/// The script's values where nothing else is asked for: the engine's own defaults are others.
fn fill(options: &Value, mut sampling: Sampling) -> Sampling {
    let plain = Sampling::unfiltered();
    let asked = |name: &str| options.get(name).is_some();
    for (name, field, value) in [
        ("temperature", &mut sampling.temperature, plain.temperature),
        ("top_p", &mut sampling.top_p, plain.top_p),
        ("min_p", &mut sampling.min_p, plain.min_p),
        ("repetition_penalty", &mut sampling.repetition_penalty, plain.repetition_penalty),
    ] {
        if !asked(name) {
            *field = value;
        }
    }
    if !asked("top_k") {
        sampling.top_k = plain.top_k;
    }
    sampling
}

#[wasm_bindgen_test(unsupported = test)]
fn biases_are_written_in_several_ways() {
    let bias =
        |value: Value| serde_json::from_value::<Options>(json!({"logit_bias": value})).map(|o| o.sampling.logit_bias);
    let expected = vec![(17, 2.5), (3, -1.0), (42, f32::NEG_INFINITY)];
    // Maps come sorted by their texts.
    for value in [json!([[17, 2.5], [3, -1], [42, "-inf"]]), json!([[17, 2.5], [3, -1], [42, false]])] {
        assert_eq!(bias(value).unwrap().0, expected);
    }
    assert_eq!(bias(json!({"17": 2.5, "3": -1, "42": "-inf"})).unwrap().0, expected);
    let written = serde_json::to_value(bias(json!({"17": 2.5, "42": false})).unwrap()).unwrap();
    assert_eq!(written, json!({"17": 2.5, "42": "-inf"}));
    for wrong in [json!({"17": true}), json!({"x": 1.0}), json!({"-1": 1.0}), json!({"1": "much"}), json!(3)] {
        assert!(bias(wrong.clone()).is_err(), "{wrong}");
    }
}
