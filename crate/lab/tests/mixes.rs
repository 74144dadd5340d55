//! What matters in a model, and mixes of formats made by it, on whole tiny models.

use std::fs;

use hearth_engine::cpu::team::Team;
use hearth_engine::quant::Format;
use hearth_lab::Progress;
use hearth_lab::allocate::{Mix, allocate};
use hearth_lab::evaluate::{Quality, compare, read};
use hearth_lab::imatrix::Imatrix;
use hearth_lab::model::Model;
use hearth_lab::presets::PRESETS;
use hearth_lab::recipe::Recipe;
use hearth_lab::search::{Trial, glance, ladder, usual};
use hearth_lab::sensitivity::{Map, Plan, map};
use hearth_lab::text::Protocol;

const MIXED: &[Format] = &[Format::Q4_0, Format::Q5_0, Format::Q8_0];

fn model(name: &str) -> Model {
    let path = format!("{}/../../tests/fixtures/{name}.gguf", env!("CARGO_MANIFEST_DIR"));
    Model::from_gguf([&fs::read(path).unwrap()[..]]).unwrap()
}

fn quiet(_: Progress) -> hearth_lab::Result<()> {
    Ok(())
}

/// Some text that no tokenizer made.
fn tokens(count: usize, seed: u64) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.u32(3..90)).collect()
}

fn texts(seed: u64) -> Vec<Vec<u32>> {
    tokens(240, seed).chunks(60).map(<[u32]>::to_vec).collect()
}

fn run(base: &Model, step: &str) -> hearth_lab::Result<Model> {
    let recipe = Recipe::from_json(&format!(r#"{{"version": 1, "steps": [{step}]}}"#))?;
    recipe.run(base, &tokens(512, 3), &mut Team::spawn(2), &mut quiet)
}

fn quality(base: &Model, other: &Model) -> Quality {
    let team = &mut Team::spawn(2);
    let windows = Protocol::find("disjoint").unwrap().windows(&tokens(600, 2), None, 60).unwrap();
    let [a, b] = [base, other].map(|model| read(model, &windows, team, &mut quiet).unwrap());
    Quality::of(&compare(&a, &b, &windows, team, &mut quiet).unwrap())
}

/// The step that stores every tensor as a mix says.
fn step(mix: &Mix) -> String {
    let tensors: Vec<_> = mix.iter().map(|(name, format)| format!(r#""{name}": "{}""#, format.name())).collect();
    format!(r#"{{"method": "quantize", "rounding": "weighted", "tensors": {{{}}}}}"#, tensors.join(", "))
}

fn measured(model: &Model) -> Map {
    map(model, &texts(1), &Plan::full(MIXED), &mut Team::spawn(2), &mut quiet).unwrap()
}

#[test]
fn mixes_diverge_as_the_map_says() {
    let mut random = fastrand::Rng::with_seed(4);
    for name in ["tiny-llama", "tiny-gemma3", "tiny-gpt2"] {
        let base = model(name);
        let map = measured(&base);
        let points: Vec<[f64; 2]> = (0..12)
            .map(|i| {
                // More and more of the larger formats.
                let mut choose = |_: &_| MIXED[(random.usize(..18) + i).min(29) / 10];
                let formats: Vec<Format> = map.tensors.iter().map(&mut choose).collect();
                let mix: Mix = map.tensors.iter().map(|tensor| tensor.name.clone()).zip(formats).collect();
                let found = quality(&base, &run(&base, &step(&mix)).unwrap()).kl.value;
                [map.predicted(|tensor| mix[&tensor.name]), found]
            })
            .collect();
        println!("{name}: {points:?}");
        let r = correlation(&points);
        println!("{name}: correlation {r:.4}");
        assert!(r > 0.9);
        // Also in size, not only in order.
        assert!(points.iter().all(|[predicted, found]| (0.7..1.5).contains(&(predicted / found))));
    }
}

fn correlation(points: &[[f64; 2]]) -> f64 {
    let mean = |i: usize| points.iter().map(|point| point[i]).sum::<f64>() / points.len() as f64;
    let [a, b] = [mean(0), mean(1)];
    let sum = |f: &dyn Fn(f64, f64) -> f64| points.iter().map(|[x, y]| f(x - a, y - b)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

#[test]
fn a_mix_is_better_than_one_format_of_its_size() {
    for (name, most) in [("tiny-llama", 0.85), ("tiny-gemma3", 1.0), ("tiny-gpt2", 1.0)] {
        let base = model(name);
        let uniform =
            run(&base, r#"{"method": "quantize", "rounding": "weighted", "format": "Q5_0", "embeddings": "Q5_0"}"#)
                .unwrap();
        let mixed = run(
            &base,
            r#"{"method": "quantize", "rounding": "weighted", "format": "mix", "embeddings": "mix", "bits": 5.5,
                "mix": ["Q4_0", "Q5_0", "Q8_0"]}"#,
        )
        .unwrap();
        assert!(mixed.tensor_bytes() <= uniform.tensor_bytes(), "{name}");
        let [uniform, mixed] = [uniform, mixed].map(|model| quality(&base, &model).kl.value);
        println!("{name}: uniform {uniform:.6}, mixed {mixed:.6}");
        assert!(mixed <= most * uniform, "{name}");
    }
}

#[test]
fn a_map_is_the_same_on_any_number_of_threads_and_of_every_architecture() {
    for name in ["tiny-llama", "tiny-gemma2", "tiny-phi3", "tiny-gpt2", "tiny-bert", "tiny-bert-mlm"] {
        let model = model(name);
        let map = |threads, plan: &Plan| map(&model, &texts(5), plan, &mut Team::spawn(threads), &mut quiet).unwrap();
        let one = map(1, &Plan::full(MIXED));
        assert_eq!(one, map(3, &Plan::full(MIXED)), "{name}");
        let names: Vec<&str> = one.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, model.matrices(&model.program(1).unwrap()), "{name}");
        for tensor in &one.tensors {
            assert!(tensor.sensitivity > 0.0 && tensor.measured, "{name}: {tensor:?}");
            let [low, high] = ["Q4_0", "Q8_0"].map(|format| tensor.errors[format]);
            assert!(high < 0.05 * low && low < 0.1, "{name}: {tensor:?}");
            assert_eq!(tensor.bytes["Q8_0"], tensor.numbers / 32 * 34);
        }
        assert_eq!(one, map(2, &Plan::coarse(MIXED)), "{name}: two layers are both measured");
    }
}

#[test]
fn single_tensors_have_the_format_that_is_asked_for() {
    let base = model("tiny-llama");
    let made = run(
        &base,
        r#"{"method": "quantize", "format": "Q4_0", "tensors": {"blk.1.attn_v.weight": "Q8_0", "token_embd.weight": "Q5_0"}}"#,
    )
    .unwrap();
    let format = |name: &str| made.tensor(name).unwrap().format;
    assert_eq!(format("blk.1.attn_v.weight"), Format::Q8_0);
    assert_eq!(format("token_embd.weight"), Format::Q5_0);
    assert_eq!(format("blk.0.attn_v.weight"), Format::Q4_0);
    let mixed = r#"{"method": "quantize", "format": "mix", "embeddings": "Q5_1", "bits": 6, "tensors": {"blk.1.attn_v.weight": "Q4_1"}}"#;
    let made = run(&base, mixed).unwrap();
    assert_eq!(made.tensor("blk.1.attn_v.weight").unwrap().format, Format::Q4_1);
    assert_eq!(made.tensor("token_embd.weight").unwrap().format, Format::Q5_1);
}

#[test]
fn what_no_mix_can_be_is_said() {
    let base = model("tiny-llama");
    let unknown =
        run(&base, r#"{"method": "quantize", "tensors": {"blk.7.attn_v.weight": "Q8_0"}}"#).map(drop).unwrap_err();
    assert!(unknown.to_string().contains("no matrix blk.7.attn_v.weight"), "{unknown}");
    let few =
        run(&base, r#"{"method": "quantize", "format": "mix", "embeddings": "mix", "bits": 4}"#).map(drop).unwrap_err();
    assert!(few.to_string().contains("4.00 bits a number are too few: with these formats it takes 4.50"), "{few}");
    let none = map(&base, &[], &Plan::full(MIXED), &mut Team::alone(), &mut quiet).unwrap_err();
    assert!(none.to_string().contains("0 tokens, and 2 are needed"), "{none}");
}

#[test]
fn that_damping_was_raised_is_said() {
    let base = model("tiny-llama");
    let few = r#"{"version": 1, "calibration": {"tokens": 128}, "steps": [{"method": "quantize"}]}"#;
    let recipe = Recipe::from_json(few).unwrap();
    let made = recipe.run(&base, &tokens(200, 3), &mut Team::alone(), &mut quiet).unwrap();
    assert_eq!(
        made.notes(),
        ["damping was raised to 0.100 where 128 tokens were seen of 64 inputs: more text would do better"]
    );
    assert!(run(&made, r#"{"method": "quantize"}"#).unwrap().notes().is_empty(), "another model's notes");
}

#[test]
fn an_allocation_is_within_its_budget_and_better_than_any_random_one() {
    let map = measured(&model("tiny-llama"));
    let bytes = |mix: &Mix| map.tensors.iter().map(|tensor| tensor.bytes[mix[&tensor.name].name()]).sum::<usize>();
    let cost = |mix: &Mix| map.predicted(|tensor| mix[&tensor.name]);
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..300 {
        let formats: Vec<Format> = map.tensors.iter().map(|_| MIXED[random.usize(..3)]).collect();
        let other: Mix = map.tensors.iter().map(|tensor| tensor.name.clone()).zip(formats).collect();
        let mix = allocate(&map, &|_| MIXED.to_vec(), bytes(&other)).unwrap();
        assert!(bytes(&mix) <= bytes(&other) && cost(&mix) <= cost(&other));
    }
}

#[test]
fn an_importance_matrix_stands_for_its_text() {
    let base = model("tiny-llama");
    let team = &mut Team::spawn(2);
    let texts: Vec<Vec<u32>> = tokens(512, 3).chunks(64).map(<[u32]>::to_vec).collect();
    let found = Imatrix::collect(&base, "some text", &texts, team, &mut quiet).unwrap();
    let file = found.to_gguf().unwrap();
    let read = Imatrix::from_gguf(file.chunks(100)).unwrap();
    assert_eq!(read, found);
    assert_eq!((read.chunk_count, read.chunk_size, &*read.datasets), (8, 64, &["some text".to_owned()][..]));
    assert_eq!(read.inputs["blk.1.ffn_down.weight"].0.len(), 64);
    assert_eq!(read.inputs["blk.0.attn_q.weight"], read.inputs["blk.0.attn_v.weight"]);
    assert_eq!(read.inputs.len(), 14);
    // What a norm gives has the mean square 1 before its weights.
    let (sums, count) = &read.inputs["blk.0.attn_q.weight"];
    assert_eq!(*count, 512.0);
    let gains = base.matrix("blk.0.attn_norm.weight").data;
    let mean = sums.iter().zip(&gains).map(|(sum, gain)| sum / count / (gain * gain)).sum::<f32>() / 32.0;
    assert!((mean - 1.0).abs() < 1e-3, "{mean}");

    // The first layer's inputs are those that the recipe counts itself; later ones see what became of the layers before.
    let recipe =
        r#"{"version": 1, "calibration": {"length": 64}, "steps": [{"method": "quantize", "rounding": "weighted"}]}"#;
    let recipe = Recipe::from_json(recipe).unwrap();
    let by_text = recipe.run(&base, &tokens(512, 3), team, &mut quiet).unwrap();
    let by_file = recipe.run_by(&read, &base, team, &mut quiet).unwrap();
    let bytes = |model: &Model, name: &str| model.data[model.header.tensor(name).unwrap().0].clone();
    assert_eq!(bytes(&by_text, "blk.0.ffn_down.weight").len(), bytes(&by_file, "blk.0.ffn_down.weight").len());
    assert_eq!(bytes(&by_text, "blk.0.attn_q.weight"), bytes(&by_file, "blk.0.attn_q.weight"));
    let nearest = run(&base, r#"{"method": "quantize", "rounding": "nearest"}"#).unwrap();
    assert!(quality(&base, &by_file).kl.value < quality(&base, &nearest).kl.value);

    let gptq = Recipe::from_json(r#"{"version": 1, "steps": [{"method": "quantize"}]}"#).unwrap();
    let refused = gptq.run_by(&read, &base, team, &mut quiet).map(drop).unwrap_err().to_string();
    assert!(refused.contains("give a text"), "{refused}");
    let other = recipe.run_by(&read, &model("tiny-gpt2"), team, &mut quiet).map(drop).unwrap_err().to_string();
    assert!(other.contains("another model"), "{other}");
    let none = Imatrix::from_gguf([&base.to_gguf().unwrap()[..]]).unwrap_err().to_string();
    assert!(none.contains("no importance matrix"), "{none}");
}

#[test]
fn gates_let_pass_what_holds_and_the_file_says_so() {
    let base = model("tiny-llama");
    let gates = |gates: &str| {
        let recipe = format!(
            r#"{{"version": 1, "gates": {gates}, "steps": [{{"method": "quantize", "rounding": "nearest"}}]}}"#
        );
        let recipe = Recipe::from_json(&recipe).unwrap();
        let mut made = recipe.run(&base, &[], &mut Team::alone(), &mut quiet).unwrap();
        let quality = quality(&base, &made);
        let passages = recipe.gates.verify(&mut made, &quality, "disjoint 60");
        assert_eq!(made.header.float("hearth.kl_mean").unwrap().unwrap(), quality.kl.value as f32);
        assert_eq!(made.header.string("hearth.protocol").unwrap(), Some("disjoint 60"));
        let again = Model::from_gguf([&made.to_gguf().unwrap()[..]]).unwrap();
        // What is made of it is not verified.
        assert_eq!(
            recipe.run(&again, &[], &mut Team::alone(), &mut quiet).unwrap().header.bool("hearth.verified").unwrap(),
            None
        );
        (passages, again.header.bool("hearth.verified").unwrap())
    };
    let (passages, verified) = gates(r#"{"kl": 1, "same_top": 0.1, "perplexity_ratio": 2}"#);
    assert_eq!(verified, Some(true));
    assert_eq!(passages.len(), 3);
    let (passages, verified) = gates(r#"{"kl": 1, "same_top": 1}"#);
    assert_eq!(verified, Some(false));
    assert_eq!(passages.iter().map(|p| (p.gate, p.passed)).collect::<Vec<_>>(), [("kl", true), ("same_top", false)]);
    assert_eq!(gates(r#"{"kl": 1e-6}"#).1, Some(false));
    assert_eq!(gates("{}"), (Vec::new(), None));
}

#[test]
fn a_search_finds_what_is_worth_having() {
    let base = model("tiny-llama");
    let (team, text) = (&mut Team::spawn(2), tokens(512, 3));
    let windows = Protocol::find("disjoint").unwrap().windows(&tokens(600, 2), None, 60).unwrap();
    let trial = Trial::new(&base, &text, &windows, team, &mut quiet).unwrap();
    let map = glance(&base, &text, &usual(), team, &mut quiet).unwrap();
    let mut heard = 0;
    let tried = trial.all(&ladder(&map, "weighted").unwrap(), team, &mut quiet, &mut |_| heard += 1).unwrap();
    assert_eq!(heard, tried.len());
    assert!(tried.len() > 15);
    for one in &tried {
        let better = tried.iter().find(|other| {
            let (a, b) = (other.quality.kl.value, one.quality.kl.value);
            other.tensor_bytes <= one.tensor_bytes && a <= b && (other.tensor_bytes, a) != (one.tensor_bytes, b)
        });
        assert_eq!(one.dominated_by.is_some(), better.is_some(), "{}", one.recipe.name);
    }
    // All numbers in few bits are no better than chosen ones.
    let worth: Vec<&str> = tried.iter().filter(|one| one.dominated_by.is_none()).map(|one| &*one.recipe.name).collect();
    println!("{worth:?}");
    assert!(worth.iter().any(|name| name.starts_with("mix")) && !worth.contains(&"Q4_0 nearest"));
    assert!(tried.iter().all(|one| Recipe::from_json(&one.recipe.to_json()).unwrap() == one.recipe));
}

#[test]
fn the_smallest_that_passes_is_found() {
    let base = model("tiny-llama");
    let (team, text) = (&mut Team::spawn(2), tokens(512, 3));
    let windows = Protocol::find("disjoint").unwrap().windows(&tokens(600, 2), None, 60).unwrap();
    let trial = Trial::new(&base, &text, &windows, team, &mut quiet).unwrap();
    let map = glance(&base, &text, &usual(), team, &mut quiet).unwrap();
    let recipe = |kl: f64| {
        let json = format!(
            r#"{{"version": 1, "gates": {{"kl": {kl}}}, "steps":
                [{{"method": "quantize", "format": "mix", "embeddings": "mix", "rounding": "weighted"}}]}}"#
        );
        Recipe::from_json(&json).unwrap()
    };
    let mut sizes = Vec::new();
    for kl in [0.05, 0.02, 0.01] {
        let (made, settled, quality) = trial.smallest(&recipe(kl), &map, team, &mut quiet).unwrap();
        println!("{kl}: {} bytes, {}", made.tensor_bytes(), quality.kl.value);
        assert!(quality.kl.value <= kl && quality.kl.value > 0.6 * kl, "{kl}");
        // The recipe that is given makes the model, without searching.
        assert_eq!(settled.run(&base, &text, team, &mut quiet).unwrap().data, made.data);
        sizes.push(made.tensor_bytes());
    }
    assert!(sizes.is_sorted() && sizes[0] < sizes[2]);
    let never = trial.smallest(&recipe(1e-7), &map, team, &mut quiet).map(drop).unwrap_err().to_string();
    assert!(never.contains("loosen them"), "{never}");
    let plain = Recipe::from_json(r#"{"version": 1, "gates": {"kl": 1}, "steps": [{"method": "quantize"}]}"#).unwrap();
    let plain = trial.smallest(&plain, &map, team, &mut quiet).map(drop).unwrap_err().to_string();
    assert!(plain.contains("no mix"), "{plain}");
}

#[test]
fn every_preset_runs() {
    let base = model("tiny-llama");
    for preset in PRESETS {
        let made = preset.recipe().run(&base, &tokens(512, 3), &mut Team::spawn(2), &mut quiet).unwrap();
        let kl = quality(&base, &made).kl.value;
        println!("{}: {} of {} bytes, KL {kl:.5}", preset.name, made.tensor_bytes(), base.tensor_bytes());
        assert!(made.tensor_bytes() < base.tensor_bytes() && kl < 1.0, "{}", preset.name);
    }
}
