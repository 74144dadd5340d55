//! Whole tiny models of every architecture: the lab reads as the oracle does, compresses the same on any number of threads, and
//! what it writes opens again.

use std::fs;
use std::path::PathBuf;

use hearth_engine::cpu::team::Team;
use hearth_engine::formats::TensorInfo;
use hearth_engine::loader::{Device, Loader};
use hearth_engine::models::Room;
use hearth_engine::quant::Format;
use hearth_lab::evaluate::{Quality, compare, read};
use hearth_lab::matrix::Matrix;
use hearth_lab::model::{Model, encode};
use hearth_lab::recipe::Recipe;
use hearth_lab::text::Protocol;
use hearth_lab::walk::{Head, Stage, embed, layers};
use hearth_lab::{Error, Progress};
use pollster::block_on;

/// All fixtures that are models in a file.
fn files() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"));
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "gguf"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .filter(|(name, _)| !name.contains("-of-"))
        .collect();
    files.sort();
    assert!(files.len() >= 10);
    files
}

fn file(name: &str) -> Vec<u8> {
    files().into_iter().find(|(other, _)| other == name).unwrap().1
}

fn quiet(_: Progress) -> hearth_lab::Result<()> {
    Ok(())
}

/// Some text that no tokenizer made.
fn tokens(count: usize, seed: u64) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.u32(3..90)).collect()
}

/// How far the lab's numbers of a file are from the oracle's.
fn apart_from_the_oracle(bytes: &[u8], team: &mut Team) -> f32 {
    let model = Model::from_gguf(bytes.chunks(1000)).unwrap();
    let tokens = tokens(33, 1);
    let program = model.program(64).unwrap();
    let mut x = embed(&model, &program, &tokens);
    for ops in layers(&program) {
        Stage::new(&model, &program, ops, tokens.len()).run(&mut x, team, &mut |_, _| {});
    }
    let head = Head::new(&model, &program);
    let hidden = head.hidden(&x, team);
    let found = if head.says() { head.logits(&hidden, team) } else { hidden };

    let mut loader = Loader::new(Device::Naive, Room::Asked(64));
    loader.push(bytes).unwrap();
    let mut session = loader.finish().unwrap();
    let expected = Matrix::new(found.cols, block_on(session.logits(&tokens)).unwrap());
    let mut worst = 0.0_f32;
    for (found, expected) in found.iter().zip(expected.iter()) {
        let size = expected.iter().fold(1e-6_f32, |max, x| max.max(x.abs()));
        found.iter().zip(expected).for_each(|(f, e)| worst = worst.max((f - e).abs() / size));
    }
    worst
}

#[test]
fn every_architecture_reads_as_the_oracle_does() {
    let team = &mut Team::spawn(2);
    for (name, bytes) in files() {
        let worst = apart_from_the_oracle(&bytes, team);
        assert!(worst < 2e-5, "{name}: {worst:e}");
        println!("{name}: {worst:e}");
    }
}

#[test]
fn factors_are_read_and_not_compressed_again() {
    let mut model = Model::from_gguf([&file("tiny-llama")[..]]).unwrap();
    let mut random = fastrand::Rng::with_seed(6);
    for name in ["blk.0.attn_q.weight", "blk.1.ffn_down.weight"] {
        let whole = model.matrix(name);
        for (factor, rows, cols) in [("a", 4, whole.cols), ("b", whole.rows, 4)] {
            let numbers = Matrix::new(cols, (0..rows * cols).map(|_| (random.f32() - 0.5) * 0.3).collect());
            let (name, shape) = (format!("{name}.lora_{factor}"), vec![rows, cols]);
            let bytes = encode(Format::F32, &numbers).unwrap();
            let size_bytes = bytes.len() as u64;
            model.header.tensors.push(TensorInfo { name, shape, format: Format::F32, offset: 0, size_bytes });
            model.data.push(bytes);
        }
    }
    // Of the second there is nothing else.
    let (i, _) = model.header.tensor("blk.1.ffn_down.weight").unwrap();
    model.header.tensors.remove(i);
    model.data.remove(i);
    let worst = apart_from_the_oracle(&model.to_gguf().unwrap(), &mut Team::alone());
    assert!(worst < 2e-5, "{worst:e}");
    let recipe = Recipe::from_json(r#"{"version": 1, "steps": [{"method": "awq"}]}"#).unwrap();
    let refused = recipe.run(&model, &tokens(600, 3), &mut Team::alone(), &mut quiet).map(drop).unwrap_err();
    assert!(refused.to_string().contains("in two factors already"), "{refused}");
}

#[test]
fn a_model_is_itself_exactly() {
    let model = Model::from_gguf([&file("tiny-llama")[..]]).unwrap();
    let team = &mut Team::spawn(2);
    let windows = Protocol::find("disjoint").unwrap().windows(&tokens(200, 2), None, 64).unwrap();
    let reading = read(&model, &windows, team, &mut quiet).unwrap();
    let quality = Quality::of(&compare(&reading, &reading, &windows, team, &mut quiet).unwrap());
    assert_eq!((quality.kl.value, quality.same_top.value, quality.rms_dp.value), (0.0, 1.0, 0.0));
    assert_eq!(quality.perplexity_ratio.value, 1.0);
}

#[test]
fn a_recipe_gives_the_same_bytes_on_any_number_of_threads() {
    let text = tokens(600, 3);
    let all = r#"{"version": 1, "calibration": {"tokens": 512, "length": 64}, "steps":
        [{"method": "channels", "share": 0.25}, {"method": "prune", "share": 0.2}, {"method": "awq"}, {"method": "quantize"}]}"#;
    let recipe = Recipe::from_json(all).unwrap();
    for name in ["tiny-llama", "tiny-gemma3", "tiny-gpt2"] {
        let base = Model::from_gguf([&file(name)[..]]).unwrap();
        let run = |threads| recipe.run(&base, &text, &mut Team::spawn(threads), &mut quiet).unwrap().to_gguf().unwrap();
        let one = run(1);
        assert!(one == run(2) && one == run(3), "{name}");
        // It opens, and is another model.
        let again = Model::from_gguf([&one[..]]).unwrap();
        assert!(again.tensor_bytes() < base.tensor_bytes(), "{name}");
        assert!(again.program(64).is_ok(), "{name}");
        assert_eq!(again.header.string("hearth.recipe").unwrap(), Some(&*serde_json::to_string(&recipe).unwrap()));
    }
}

#[test]
fn folding_changes_weights_and_not_what_they_say() {
    let (text, team) = (tokens(600, 3), &mut Team::spawn(2));
    let recipe = Recipe::from_json(r#"{"version": 1, "steps": [{"method": "awq"}]}"#).unwrap();
    let windows = Protocol::find("disjoint").unwrap().windows(&tokens(200, 2), None, 32).unwrap();
    for (name, bytes) in files().into_iter().filter(|(name, _)| !name.contains("bert")) {
        let base = Model::from_gguf([&bytes[..]]).unwrap();
        let folded = recipe.run(&base, &text, team, &mut quiet).unwrap();
        let changed = base.data.iter().zip(&folded.data).filter(|(a, b)| a != b).count();
        assert!(changed > 0, "{name}");
        let [a, b] = [&base, &folded].map(|model| read(model, &windows, team, &mut quiet).unwrap());
        let kl = Quality::of(&compare(&a, &b, &windows, team, &mut quiet).unwrap()).kl.value;
        println!("{name}: {changed} tensors, KL {kl:e}");
        // Matrices are rounded to F16.
        assert!(kl < 1e-5, "{name}: {kl:e}");
    }
}

#[test]
fn what_comes_behind_quantization_is_not_lost() {
    let text = tokens(600, 3);
    let base = Model::from_gguf([&file("tiny-llama")[..]]).unwrap();
    let after = |step: &str| {
        let steps = format!(r#"{{"version": 1, "steps": [{{"method": "quantize", "format": "Q8_0"}}, {step}]}}"#);
        let recipe = Recipe::from_json(&steps).unwrap();
        let file = recipe.run(&base, &text, &mut Team::alone(), &mut quiet).unwrap().to_gguf().unwrap();
        Model::from_gguf([&file[..]]).unwrap()
    };
    let pruned = after(r#"{"method": "prune", "share": 0.5}"#).matrix("blk.0.attn_q.weight");
    assert!(pruned.data.iter().filter(|x| **x == 0.0).count() >= pruned.data.len() / 2);
    let narrow = after(r#"{"method": "channels", "share": 0.3}"#);
    assert!(narrow.program(64).is_ok());
    // Folding changes nothing but its rounding to F16.
    let windows = Protocol::find("disjoint").unwrap().windows(&tokens(200, 2), None, 64).unwrap();
    let team = &mut Team::alone();
    let [plain, folded] = [r#"{"method": "prune", "share": 0}"#, r#"{"method": "awq"}"#]
        .map(|step| read(&after(step), &windows, team, &mut quiet).unwrap());
    let quality = Quality::of(&compare(&plain, &folded, &windows, team, &mut quiet).unwrap());
    assert!(quality.kl.value < 1e-5, "{:?}", quality.kl);
}

#[test]
fn sixteen_of_32_stay_what_they_are() {
    let text = tokens(600, 3);
    let base = Model::from_gguf([&file("tiny-llama")[..]]).unwrap();
    let run = |steps: &str| {
        let recipe = Recipe::from_json(&format!(r#"{{"version": 1, "steps": [{steps}]}}"#)).unwrap();
        recipe.run(&base, &text, &mut Team::alone(), &mut quiet)
    };
    let prune = r#"{"method": "prune", "pattern": "16:32"}"#;
    let pruned = run(prune).unwrap();
    let quantize = |more: &str| format!(r#"{{"method": "quantize", "format": "S4_16_32"{more}}}"#);
    for rounding in ["gptq", "weighted", "nearest"] {
        let made = run(&format!("{prune}, {}", quantize(&format!(r#", "rounding": "{rounding}""#)))).unwrap();
        let file = made.to_gguf().unwrap();
        // Others see an architecture that they do not know.
        assert!(file.windows(14).any(|bytes| bytes == b"hearth.formats"));
        let again = Model::from_gguf(file.chunks(1000)).unwrap();
        assert!(again.data == made.data && again.header.metadata == made.header.metadata);
        let mut matrices = 0;
        for (name, tensor) in again.header.tensors.iter().map(|tensor| (&tensor.name, tensor)) {
            let [before, after] = [&pruned, &again].map(|model| model.matrix(name));
            if tensor.format == Format::S4_16_32 {
                // Later layers see what earlier ones say, and then have other zeros.
                let mut numbers = before.data.iter().zip(&after.data);
                let zeros =
                    !name.starts_with("blk.0.") || numbers.all(|(before, after)| *before != 0.0 || *after == 0.0);
                let kept = after.data.iter().filter(|x| **x != 0.0).count();
                assert!(zeros && kept > after.data.len() * 4 / 10, "{name}: {kept} of {}", after.data.len());
                matrices += 1;
            }
        }
        assert_eq!(matrices, 7 * again.program(64).unwrap().config.n_layers);
        let mut loader = Loader::new(Device::cpu(), Room::Asked(64));
        loader.push(&file).unwrap();
        let mut session = loader.finish().unwrap();
        assert!(block_on(session.logits(&[1, 20, 30])).unwrap().iter().all(|x| x.is_finite()));
    }
    let dense = run(&quantize("")).map(drop).unwrap_err().to_string();
    assert!(dense.contains("prune it 16:32 before"), "{dense}");
    let tables = format!(r#"{prune}, {}"#, quantize(r#", "embeddings": "S4_16_32""#));
    let dense = run(&tables).map(drop).unwrap_err().to_string();
    assert!(dense.contains("token_embd.weight"), "{dense}");
}

#[test]
fn tables_that_rows_bring_are_stored_and_read_again() {
    let text = tokens(600, 3);
    let base = Model::from_gguf([&file("tiny-llama")[..]]).unwrap();
    for (table, format) in [("tensor", Format::LUT4_ROW), ("row", Format::LUT4_ROW), ("group", Format::LUT4_32)] {
        let recipe = format!(r#"{{"version": 1, "steps": [{{"method": "share", "table": "{table}"}}]}}"#);
        let recipe = Recipe::from_json(&recipe).unwrap();
        let [one, two] = [1, 2].map(|threads| recipe.run(&base, &text, &mut Team::spawn(threads), &mut quiet).unwrap());
        assert!(one.data == two.data, "{table}");
        let again = Model::from_gguf(one.to_gguf().unwrap().chunks(1000)).unwrap();
        assert!(again.data == one.data && again.header.metadata == one.header.metadata, "{table}");
        let matrices: Vec<_> = again.header.tensors.iter().filter(|tensor| tensor.format == format).collect();
        assert_eq!(matrices.len(), 7 * again.program(64).unwrap().config.n_layers, "{table}");
        let difference = |name: &str| {
            let [a, b] = [&base, &again].map(|model| model.matrix(name).data);
            let energy = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>();
            energy(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / energy(&mut a.iter().copied())
        };
        assert!(matrices.iter().all(|tensor| difference(&tensor.name) < 0.05), "{table}");
    }
}

#[test]
fn low_rank_gives_the_same_bytes_on_any_number_of_threads() {
    let text = tokens(600, 3);
    let base = Model::from_gguf([&file("tiny-llama")[..]]).unwrap();
    for step in [r#"{"method": "lowrank"}"#, r#"{"method": "lowrank", "whitened": false, "allocation": "even"}"#] {
        let recipe = Recipe::from_json(&format!(r#"{{"version": 1, "steps": [{step}]}}"#)).unwrap();
        let [one, two] = [1, 2].map(|threads| recipe.run(&base, &text, &mut Team::spawn(threads), &mut quiet).unwrap());
        assert!(one.data == two.data && one.data != base.data, "{step}");
    }
}

#[test]
fn low_rank_is_kept_as_two_factors() {
    let text = tokens(600, 3);
    let base = Model::from_gguf([&file("tiny-llama")[..]]).unwrap();
    let run = |steps: &str| {
        let recipe = Recipe::from_json(&format!(r#"{{"version": 1, "steps": [{steps}]}}"#)).unwrap();
        recipe.run(&base, &text, &mut Team::alone(), &mut quiet)
    };
    let lowrank = |factors: &str| format!(r#"{{"method": "lowrank", "share": 0.4, "factors": "{factors}"}}"#);
    let logits = |model: &Model| {
        let mut loader = Loader::new(Device::cpu(), Room::Asked(64));
        loader.push(&model.to_gguf().unwrap()).unwrap();
        block_on(loader.finish().unwrap().logits(&[1, 20, 30])).unwrap()
    };
    let bytes = |model: &Model| {
        let blocks = model.header.tensors.iter().zip(&model.data).filter(|(info, _)| info.name.starts_with("blk."));
        blocks.map(|(_, bytes)| bytes.len()).sum::<usize>()
    };
    let [whole, two, eight] = ["whole", "F16", "Q8_0"].map(|factors| run(&lowrank(factors)).unwrap());
    assert!(!whole.is_factored().unwrap() && two.is_factored().unwrap());
    assert!(bytes(&two) < bytes(&whole) * 7 / 10, "{} of {}", bytes(&two), bytes(&whole));
    assert!(bytes(&eight) < bytes(&two), "{} of {}", bytes(&eight), bytes(&two));
    let again = Model::from_gguf(two.to_gguf().unwrap().chunks(1000)).unwrap();
    assert!(again.data == two.data && again.header.metadata == two.header.metadata);
    let (a, b) = (logits(&whole), logits(&again));
    let square = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>();
    let difference = square(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / square(&mut a.iter().copied());
    assert!(difference < 1e-3, "{difference}");
    // What comes later in the pass leaves factors alone, or makes the matrix whole again.
    let tables = run(&format!(r#"{}, {{"method": "quantize", "format": "Q4_0"}}"#, lowrank("F16"))).unwrap();
    assert!(bytes(&tables) < bytes(&two) && tables.is_factored().unwrap());
    let pruned = run(&format!(r#"{}, {{"method": "prune"}}"#, lowrank("F16"))).unwrap();
    assert!(!pruned.is_factored().unwrap());
    let refit = run(&format!(r#"{}, {{"method": "refit"}}"#, lowrank("F16"))).map(drop).unwrap_err();
    assert!(refit.to_string().contains("before lowrank"), "{refit}");
}

#[test]
fn nothing_done_is_nothing_changed() {
    let base = Model::from_gguf([&file("tiny-qwen3")[..]]).unwrap();
    let recipe = Recipe::from_json(r#"{"version": 1, "steps": []}"#).unwrap();
    let made = recipe.run(&base, &[], &mut Team::alone(), &mut quiet).unwrap();
    assert_eq!(made.data, base.data);
}

#[test]
fn what_cannot_be_done_is_said() {
    let base = Model::from_gguf([&file("tiny-llama")[..]]).unwrap();
    let run = |steps: &str, text: &[u32]| {
        let recipe = Recipe::from_json(&format!(r#"{{"version": 1, "steps": [{steps}]}}"#)).unwrap();
        recipe.run(&base, text, &mut Team::alone(), &mut quiet).map(drop)
    };
    let short = run(r#"{"method": "quantize"}"#, &[1, 2, 3]).unwrap_err();
    assert!(matches!(short, Error::TooShort { tokens: 3, .. }), "{short}");
    assert!(run(r#"{"method": "quantize", "rounding": "nearest"}"#, &[]).is_ok(), "it needs no text");
    let windows = Protocol::find("disjoint").unwrap().windows(&tokens(200, 5), None, 100).unwrap();
    let long = read(&base, &windows, &mut Team::alone(), &mut quiet).map(drop).unwrap_err();
    assert!(long.to_string().contains("made for"), "{long}");
    let mut after = 3;
    let mut cancel = |_: Progress| {
        after -= 1;
        if after > 0 { Ok(()) } else { Err(Error::Cancelled) }
    };
    let recipe = Recipe::from_json(r#"{"version": 1, "steps": [{"method": "quantize"}]}"#).unwrap();
    let cancelled = recipe.run(&base, &tokens(300, 4), &mut Team::alone(), &mut cancel).map(drop).unwrap_err();
    assert!(matches!(cancelled, Error::Cancelled), "{cancelled}");
}
