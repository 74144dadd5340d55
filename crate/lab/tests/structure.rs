//! What goes from tiny models as a whole: layers, halves, heads, channels; what makes up for it; and that readers find in the files
//! what the lab has left.

use std::path::PathBuf;

use hearth_engine::cpu::team::Team;
use hearth_engine::formats::Value;
use hearth_engine::loader::{Device, Loader};
use hearth_engine::models::Room;
use hearth_engine::quant::Format;
use hearth_lab::evaluate::{Quality, compare, read};
use hearth_lab::follow::parts;
use hearth_lab::matrix::Matrix;
use hearth_lab::model::Model;
use hearth_lab::recipe::Recipe;
use hearth_lab::text::Protocol;
use hearth_lab::walk::{Head, Stage, embed, layers};
use hearth_lab::{Progress, Result};
use pollster::block_on;
use serde_json::{Value as Json, json};

fn base(name: &str) -> Model {
    let path = format!("{}/../../tests/fixtures/{name}.gguf", env!("CARGO_MANIFEST_DIR"));
    Model::from_gguf([&std::fs::read(PathBuf::from(path)).unwrap()[..]]).unwrap()
}

fn quiet(_: Progress) -> Result<()> {
    Ok(())
}

fn tokens(count: usize, seed: u64) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.u32(3..90)).collect()
}

/// What the steps make of a model, as its file has it.
fn run(base: &Model, steps: Json) -> Result<Model> {
    let recipe = json!({"version": 1, "calibration": {"tokens": 1024, "length": 64}, "steps": steps});
    let recipe = Recipe::from_json(&recipe.to_string())?;
    let made = recipe.run(base, &tokens(1100, 3), &mut Team::spawn(2), &mut quiet)?;
    Model::from_gguf([&made.to_gguf()?[..]])
}

fn refused(base: &Model, steps: Json) -> String {
    run(base, steps).map(drop).unwrap_err().to_string()
}

/// Mean divergence on a text that calibrated nothing.
fn kl(base: &Model, made: &Model) -> f64 {
    let team = &mut Team::spawn(2);
    let windows = Protocol::find("disjoint").unwrap().windows(&tokens(600, 2), None, 60).unwrap();
    let [a, b] = [base, made].map(|model| read(model, &windows, team, &mut quiet).unwrap());
    Quality::of(&compare(&a, &b, &windows, team, &mut quiet).unwrap()).kl.value
}

/// Logits by the lab, of a text through all parts but some.
fn without(model: &Model, halves: bool, dropped: &[usize]) -> Matrix {
    let (program, tokens, team) = (model.program(64).unwrap(), tokens(33, 1), &mut Team::alone());
    let mut x = embed(model, &program, &tokens);
    for (_, part) in parts(&program, halves).into_iter().enumerate().filter(|(i, _)| !dropped.contains(i)) {
        Stage::new(model, &program, part.ops, tokens.len()).run(&mut x, team, &mut |_, _| {});
    }
    let head = Head::new(model, &program);
    let hidden = head.hidden(&x, team);
    head.logits(&hidden, team)
}

/// Logits by an executor of the engine.
fn logits(model: &Model, device: Device) -> Matrix {
    let mut loader = Loader::new(device, Room::Asked(64));
    loader.push(&model.to_gguf().unwrap()).unwrap();
    let mut session = loader.finish().unwrap();
    Matrix::new(session.config().vocab_size, block_on(session.logits(&tokens(33, 1))).unwrap())
}

fn apart(a: &Matrix, b: &Matrix) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x * x)).sum::<f64>();
    let difference = square(&mut a.data.iter().zip(&b.data).map(|(a, b)| a - b));
    (difference / square(&mut b.data.iter().copied())).sqrt()
}

/// A Llama of six layers, of those of `tiny-llama`: the second and the fourth hardly add anything.
fn deep() -> Model {
    let mut model = base("tiny-llama");
    let (header, data) = (model.header.clone(), model.data.clone());
    let blocks = header.tensors.iter().zip(&data).filter(|(tensor, _)| tensor.name.starts_with("blk."));
    for (tensor, bytes) in blocks {
        for layer in 2..6 {
            let of = format!("blk.{}.", layer % 2);
            if let Some(name) = tensor.name.strip_prefix(&of) {
                model.header.tensors.push(tensor.clone());
                model.header.tensors.last_mut().unwrap().name = format!("blk.{layer}.{name}");
                model.data.push(bytes.clone());
            }
        }
    }
    model.header.metadata.insert("llama.block_count".into(), Value::Unsigned(6));
    for layer in [1, 3] {
        for name in ["attn_output", "ffn_down"] {
            let name = format!("blk.{layer}.{name}.weight");
            let mut numbers = model.matrix(&name);
            numbers.data.iter_mut().for_each(|w| *w *= 0.01);
            model.store(&name, Format::F16, &numbers).unwrap();
        }
    }
    model
}

#[test]
fn layers_that_change_nothing_are_the_first_to_go() {
    let base = deep();
    for score in ["influence", "greedy"] {
        let made = run(&base, json!([{"method": "layers", "drop": 2, "score": score}])).unwrap();
        assert_eq!(made.header.uint("llama.block_count").unwrap(), Some(4), "{score}");
        assert_eq!(made.header.metadata["hearth.layers"], Value::Integers(vec![0, 2, 4, 5]), "{score}");
        let expected = without(&base, false, &[1, 3]);
        assert_eq!(without(&made, false, &[]).data, expected.data, "{score}");
        assert!(apart(&logits(&made, Device::Naive), &expected) < 1e-5);
        assert!(kl(&base, &made) < 1e-3);
    }
    // Again: of what is left.
    let twice = run(&base, json!([{"method": "layers", "drop": 1}, {"method": "layers", "drop": 1}])).unwrap();
    let Value::Integers(left) = &twice.header.metadata["hearth.layers"] else { panic!("a list") };
    assert_eq!(*left, [0, 2, 4, 5]);
}

#[test]
fn greed_costs_no_more_than_influence() {
    let base = deep();
    for drop in 1..=4 {
        let [influence, greedy] = ["influence", "greedy"]
            .map(|score| kl(&base, &run(&base, json!([{"method": "layers", "drop": drop, "score": score}])).unwrap()));
        println!("{drop} layers: {influence:.4} by influence, {greedy:.4} by greed");
        assert!(greedy <= 1.02 * influence);
    }
}

#[test]
fn halves_go_and_a_deci_stays_that_everybody_reads_alike() {
    let mut base = deep();
    // The attention of layer 2 and the feed-forward part of layer 4 add nothing.
    for name in ["blk.2.attn_output.weight", "blk.4.ffn_down.weight"] {
        let numbers = base.matrix(name);
        base.store(name, Format::F16, &Matrix::zeros(numbers.rows, numbers.cols)).unwrap();
    }
    for score in ["influence", "greedy"] {
        // And all of layers 1 and 3: six halves.
        let made = run(&base, json!([{"method": "layers", "parts": "halves", "drop": 6, "score": score}])).unwrap();
        assert_eq!(made.header.string("general.architecture").unwrap(), Some("deci"));
        let list = |name: &str| match &made.header.metadata[&format!("deci.{name}")] {
            Value::Integers(list) => list.clone(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(made.header.metadata["hearth.layers"], Value::Integers(vec![0, 2, 4, 5]), "{score}");
        assert_eq!(list("attention.head_count"), [4, 0, 4, 4]);
        assert_eq!(list("attention.head_count_kv"), [2, 0, 2, 2]);
        assert_eq!(list("feed_forward_length"), [64, 64, 32, 64]);
        let expected = without(&base, true, &[2, 3, 4, 6, 7, 9]);
        assert!(apart(&without(&made, true, &[]), &expected) < 1e-6);
        assert!(apart(&logits(&made, Device::Naive), &expected) < 1e-5);
        assert!(apart(&logits(&made, Device::cpu()), &expected) < 2e-2);
        // What works on layers works on these.
        let less = run(&made, json!([{"method": "channels", "share": 0.5}, {"method": "quantize"}])).unwrap();
        assert!(less.tensor_bytes() < made.tensor_bytes() && less.program(64).is_ok());
    }
}

#[test]
fn layers_that_differ_are_read_as_the_reference_reads_them() {
    // By NumPy; see tests/fixtures/make_deci.py. One layer does not attend, one does nothing at all.
    let model = base("tiny-deci");
    let metadata = &model.header.metadata;
    let Value::Integers(tokens) = &metadata["reference.tokens"] else { panic!("tokens") };
    let Value::Floats(expected) = &metadata["reference.logits"] else { panic!("logits") };
    let tokens: Vec<u32> = tokens.iter().map(|token| *token as u32).collect();
    let expected = Matrix::new(expected.len() / tokens.len(), expected.clone());
    for (device, most) in [(Device::Naive, 1e-5), (Device::cpu(), 2e-2)] {
        let mut loader = Loader::new(device, Room::Asked(64));
        loader.push(&model.to_gguf().unwrap()).unwrap();
        let mut session = loader.finish().unwrap();
        let found = Matrix::new(expected.cols, block_on(session.logits(&tokens)).unwrap());
        assert!(apart(&found, &expected) < most, "{:e}", apart(&found, &expected));
        // Token by token, by what is cached of those before: only what attends caches.
        assert_eq!(session.config().n_caches, 2);
        for end in 1..=tokens.len() {
            let found = Matrix::new(expected.cols, block_on(session.next_logits(&tokens[..end])).unwrap());
            let expected = Matrix::new(expected.cols, expected.row(end - 1).to_vec());
            assert!(apart(&found, &expected) < 2.0 * most, "{end}: {:e}", apart(&found, &expected));
        }
    }
}

#[test]
fn what_cannot_be_left_out_is_said() {
    let said = refused(&base("tiny-gemma3"), json!([{"method": "layers", "drop": 1}]));
    assert!(said.contains("by their number"), "{said}");
    let said = refused(&base("tiny-qwen3"), json!([{"method": "layers", "drop": 1, "parts": "halves"}]));
    assert!(said.contains("drop whole layers"), "{said}");
    let said = refused(&base("tiny-llama"), json!([{"method": "layers", "drop": 2}]));
    assert!(said.contains("no more than 1"), "{said}");
    let said = refused(&base("tiny-gpt2"), json!([{"method": "heads"}]));
    assert!(said.contains("drop layers or channels"), "{said}");
    let said = refused(&base("tiny-llama"), json!([{"method": "heads", "drop": 2}]));
    assert!(said.contains("one must stay"), "{said}");
    let said = refused(&base("tiny-qwen3"), json!([{"method": "channels", "spread": "by_energy"}]));
    assert!(said.contains("equally wide"), "{said}");
    // An encoder says nothing to compare, and its layers can go all the same.
    let said = refused(&base("tiny-bert"), json!([{"method": "layers", "drop": 1, "score": "greedy"}]));
    assert!(said.contains("score by influence"), "{said}");
    let made = run(&base("tiny-bert"), json!([{"method": "layers", "drop": 1, "score": "influence"}])).unwrap();
    assert_eq!(layers(&made.program(32).unwrap()).len() + 1, layers(&base("tiny-bert").program(32).unwrap()).len());
}

#[test]
fn heads_that_add_nothing_are_the_first_to_go() {
    for name in ["tiny-llama", "tiny-qwen3"] {
        let mut base = base(name);
        let config = base.program(64).unwrap().config;
        let wide = config.n_heads / config.n_kv_heads * config.head_dim;
        // Of each layer another group adds nothing.
        for layer in 0..config.n_layers {
            let output = format!("blk.{layer}.attn_output.weight");
            let mut numbers = base.matrix(&output);
            let silent = (layer % config.n_kv_heads * wide)..(layer % config.n_kv_heads + 1) * wide;
            let cols = numbers.cols;
            numbers.data.chunks_exact_mut(cols).for_each(|row| row[silent.clone()].fill(0.0));
            base.store(&output, Format::F32, &numbers).unwrap();
        }
        for recover in [false, true] {
            let made = run(&base, json!([{"method": "heads", "recover": recover}, {"method": "channels", "share": 0}]));
            let made = made.unwrap();
            let left = made.program(64).unwrap().config;
            assert_eq!(
                (left.n_kv_heads, left.n_heads),
                (config.n_kv_heads - 1, config.n_heads - wide / config.head_dim)
            );
            assert_eq!((left.head_dim, left.dim), (config.head_dim, config.dim));
            assert!(kl(&base, &made) < 1e-5, "{name} {recover}");
            assert!(apart(&logits(&made, Device::Naive), &without(&base, false, &[])) < 2e-3);
        }
    }
}

#[test]
fn kept_heads_make_up_for_dropped_ones() {
    let base = base("tiny-llama");
    let [plain, recovered] =
        [false, true].map(|recover| kl(&base, &run(&base, json!([{"method": "heads", "recover": recover}])).unwrap()));
    println!("half of the heads: {plain:.4}, with least squares {recovered:.4}");
    assert!(recovered < plain);
}

#[test]
fn widths_follow_what_channels_add() {
    let mut base = deep();
    // Layer 5 is as loud as the others and four times as many can go.
    let name = "blk.5.ffn_down.weight";
    let mut numbers = base.matrix(name);
    numbers.data.iter_mut().for_each(|w| *w *= 1e-3);
    base.store(name, Format::F16, &numbers).unwrap();
    let made = run(&base, json!([{"method": "channels", "share": 0.25, "spread": "by_energy"}])).unwrap();
    let Value::Integers(widths) = &made.header.metadata["deci.feed_forward_length"] else { panic!("a list") };
    // Six layers of two units: those that hardly add anything lose one.
    assert_eq!(*widths, [64, 32, 64, 32, 64, 32]);
    assert!(apart(&logits(&made, Device::Naive), &without(&made, false, &[])) < 1e-5);
    assert!(apart(&logits(&made, Device::cpu()), &without(&made, false, &[])) < 2e-2);
    let uniform = run(&base, json!([{"method": "channels", "share": 0.5}])).unwrap();
    let [spread, uniform] = [&made, &uniform].map(|made| kl(&base, made));
    println!("a quarter, spread: {spread:.5}; half of each layer: {uniform:.5}");
    assert!(spread < 1e-3 && spread < uniform);
}

#[test]
fn what_is_fitted_to_the_original_is_nearer_to_it() {
    let base = deep();
    for steps in [json!({"method": "channels", "share": 0.5, "recover": false}), json!({"method": "layers", "drop": 3})]
    {
        let after = |more: Json| {
            let steps: Vec<Json> = [steps.clone(), more].into_iter().filter(|step| !step.is_null()).collect();
            run(&base, steps.into()).unwrap()
        };
        let [plain, fitted, tuned] = [Json::Null, json!({"method": "refit"}), json!({"method": "distill"})].map(after);
        let kls = [&plain, &fitted, &tuned].map(|made| kl(&base, made));
        println!("{steps}: {:.4}, fitted {:.4}, tuned {:.4}", kls[0], kls[1], kls[2]);
        assert!(kls[1] < 0.9 * kls[0] && kls[2] < 0.9 * kls[0]);
        let biased = |made: &Model| made.header.tensors.iter().any(|tensor| tensor.name.ends_with("ffn_down.bias"));
        assert!(biased(&fitted) && biased(&tuned) && !biased(&plain));
        assert!(apart(&logits(&fitted, Device::cpu()), &without(&fitted, false, &[])) < 2e-2);
    }
    // Nothing is missing, and nothing is changed.
    let same = run(&base, json!([{"method": "refit"}, {"method": "distill", "steps": 2}])).unwrap();
    assert!(kl(&base, &same) < 1e-5);
}

#[test]
fn quantized_numbers_stay_when_biases_are_fitted() {
    let base = deep();
    let quantized = run(&base, json!([{"method": "quantize", "rounding": "nearest"}])).unwrap();
    for method in ["refit", "distill"] {
        let made = run(&base, json!([{"method": "quantize", "rounding": "nearest"}, {"method": method}])).unwrap();
        for (tensor, bytes) in quantized.header.tensors.iter().zip(&quantized.data) {
            let same = made.data[made.header.tensor(&tensor.name).unwrap().0] == *bytes;
            assert!(same || tensor.name.contains("norm"), "{method} {}", tensor.name);
        }
        assert!(made.tensor("blk.0.ffn_down.bias").is_some());
        let [before, after] = [&quantized, &made].map(|made| kl(&base, made));
        println!("quantized: {before:.5}, {method}: {after:.5}");
        assert!(after < before);
    }
}

#[test]
fn halves_are_told_apart_in_every_family() {
    for name in ["tiny-bert", "tiny-gpt2", "tiny-gemma3", "tiny-qwen2", "tiny-llama"] {
        let base = base(name);
        let program = base.program(32).unwrap();
        let found = parts(&program, true);
        let expected = (0..program.config.n_layers).flat_map(|layer| [(layer, true), (layer, false)]);
        assert!(found.iter().map(|part| (part.layer, part.attends)).eq(expected), "{name}");
        // Where nothing can be fitted, nothing is changed.
        let steps = json!([{"method": "quantize", "format": "Q8_0", "rounding": "nearest"}, {"method": "refit"}]);
        let made = run(&base, steps);
        assert!(made.is_ok() && made.unwrap().program(32).is_ok(), "{name}");
    }
}

#[test]
fn the_same_bytes_on_any_number_of_threads() {
    let base = deep();
    let steps = json!([{"method": "layers", "parts": "halves", "drop": 2}, {"method": "heads"},
        {"method": "channels", "share": 0.25, "score": "surgeon", "rounds": 3}, {"method": "refit"},
        {"method": "distill", "steps": 3}]);
    let recipe = json!({"version": 1, "calibration": {"tokens": 512, "length": 64}, "steps": steps}).to_string();
    let recipe = Recipe::from_json(&recipe).unwrap();
    let run =
        |threads| recipe.run(&base, &tokens(600, 3), &mut Team::spawn(threads), &mut quiet).unwrap().to_gguf().unwrap();
    let one = run(1);
    assert!(one == run(2));
    assert!(Model::from_gguf([&one[..]]).unwrap().program(64).is_ok());
}
