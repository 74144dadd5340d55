//! Methods on a made-up layer, 576 × 576, whose inputs are correlated and have a few loud channels, as a language model's have: what
//! each leaves as error on inputs that it has not seen, `‖(W − Ŵ) X‖² / ‖W X‖²`. No model is needed.

use std::sync::LazyLock;

use hearth_engine::cpu::team::Team;
use hearth_engine::program::Activation;
use hearth_lab::layer::{Group, Layer, Slot, Source};
use hearth_lab::matrix::{Matrix, times};
use hearth_lab::methods;
use hearth_lab::pass::Method;
use hearth_lab::statistics::Statistics;
use hearth_lab::svd::{Factors, whitener};
use serde_json::{Value, json};

const N: usize = 576;
const TOKENS: usize = 4096;

struct Made {
    weight: Matrix,
    calibration: Matrix,
    test: Matrix,
}

/// From a seed: `W` of Student's t with 5 degrees plus a part of rank 32 at 0.35 of its norm, `x = diag(s) · Q · diag(i^−0.45) · z
/// + mean`, `s` log-normal with six channels eight times as loud.
static MADE: LazyLock<Made> = LazyLock::new(|| {
    let mut random = fastrand::Rng::with_seed(7);
    let mut normal = move || {
        let (u, v) = (random.f64().max(1e-12), random.f64());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    };
    let mut matrix = |rows: usize, cols: usize| Matrix::new(cols, (0..rows * cols).map(|_| normal()).collect());
    let team = &mut Team::spawn(2);
    let chi: Vec<Matrix> = (0..5).map(|_| matrix(N, N)).collect();
    let mut weight = matrix(N, N);
    for (i, w) in weight.data.iter_mut().enumerate() {
        let square = chi.iter().map(|z| z.data[i] * z.data[i]).sum::<f32>() / 5.0;
        *w /= square.sqrt() * (N as f32).sqrt();
    }
    let norm = |m: &Matrix| m.data.iter().map(|x| x * x).sum::<f32>().sqrt();
    let low = times(&matrix(N, 32), &matrix(N, 32), team);
    let share = 0.35 * norm(&weight) / norm(&low);
    weight.data.iter_mut().zip(&low.data).for_each(|(w, l)| *w += share * l);

    let q = orthogonal(matrix(N, N));
    let mut loud: Vec<f32> = matrix(1, N).data.iter().map(|z| (0.5 * z).exp()).collect();
    (0..6).for_each(|i| loud[i * 91 + 17] *= 8.0);
    let noise = matrix(1, N).data;
    let mut inputs = |tokens: usize| {
        let mut z = matrix(tokens, N);
        z.data
            .chunks_exact_mut(N)
            .for_each(|z| z.iter_mut().enumerate().for_each(|(i, z)| *z *= ((i + 1) as f32).powf(-0.45)));
        let mut x = times(&z, &q, team);
        let rms = norm(&x) / (x.data.len() as f32).sqrt();
        for x in x.data.chunks_exact_mut(N) {
            x.iter_mut().zip(&loud).zip(&noise).for_each(|((x, s), n)| *x = s * (*x + 0.15 * n * rms));
        }
        x
    };
    Made { weight, calibration: inputs(TOKENS), test: inputs(TOKENS) }
});

/// Gram and Schmidt's.
fn orthogonal(mut m: Matrix) -> Matrix {
    for i in 0..m.rows {
        let (done, row) = m.data.split_at_mut(i * m.cols);
        let row = &mut row[..m.cols];
        for other in done.chunks_exact(m.cols) {
            let dot: f32 = row.iter().zip(other).map(|(x, y)| x * y).sum();
            row.iter_mut().zip(other).for_each(|(x, y)| *x -= dot * y);
        }
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    }
    m
}

/// A layer of this one matrix, whose input has these statistics.
fn layer(weight: Matrix, statistics: Statistics) -> Layer {
    let slot = |name: &str, weight| Slot { name: name.into(), weight, changed: false, stored: None, alone: true };
    let group =
        |slots, source, statistics| Group { op: 0, slots, norm: Vec::new(), biases: Vec::new(), source, statistics };
    let rows = weight.cols;
    let makes = group(vec![slot("up", Matrix::zeros(rows, 32))], Source::Stream, Statistics::default());
    let own = group(vec![slot("w", weight)], Source::Activation(Activation::Gelu), statistics);
    Layer { index: 0, config: config(), groups: vec![makes, own], notes: Vec::new() }
}

fn config() -> hearth_engine::program::Config {
    let bytes = include_bytes!("../../../tests/fixtures/tiny-llama-q8_0.gguf");
    let model = hearth_lab::model::Model::from_gguf([&bytes[..]]).unwrap();
    model.program(16).unwrap().config
}

/// What calibration says of the inputs.
static STATISTICS: LazyLock<Statistics> = LazyLock::new(|| {
    let team = &mut Team::spawn(2);
    let mut statistics = Statistics::new(N, true);
    MADE.calibration.data.chunks(512 * N).for_each(|part| statistics.see(&Matrix::new(N, part.to_vec()), team));
    statistics
});

/// What the steps make of the matrix.
fn after(steps: &[Value]) -> Matrix {
    let team = &mut Team::spawn(2);
    let mut layer = layer(MADE.weight.clone(), STATISTICS.clone());
    for step in steps {
        let Method::Layer(method) = methods::make(step.as_object().unwrap()).unwrap() else { panic!("{step}") };
        method.layer(&mut layer, team).unwrap();
    }
    layer.groups.remove(1).slots.remove(0).weight
}

/// The share of the output's energy that is wrong.
fn error(weight: &Matrix) -> f64 {
    let team = &mut Team::spawn(2);
    let mut energy = |m: &Matrix| times(&MADE.test, m, team).data.iter().map(|y| f64::from(y * y)).sum::<f64>();
    let difference = MADE.weight.data.iter().zip(&weight.data).map(|(a, b)| a - b).collect();
    energy(&Matrix::new(N, difference)) / energy(&MADE.weight)
}

fn error_after(steps: &[Value]) -> f64 {
    let error = error(&after(steps));
    println!("{error:.5} {}", Value::from(steps));
    error
}

fn quantize(format: &str, rounding: &str) -> Value {
    json!({"method": "quantize", "format": format, "rounding": rounding})
}

#[test]
fn quantization_that_listens_is_better() {
    let nearest = error_after(&[quantize("Q4_0", "nearest")]);
    let weighted = error_after(&[quantize("Q4_0", "weighted")]);
    let gptq = error_after(&[quantize("Q4_0", "gptq")]);
    let table = error_after(&[quantize("IQ4_NL", "gptq")]);
    let unordered = error_after(&[json!({"method": "quantize", "rounding": "gptq", "act_order": false})]);
    assert!(weighted <= 0.75 * nearest);
    assert!(gptq <= 0.40 * nearest);
    assert!(table <= 0.30 * nearest);
    assert!(gptq < unordered);
}

#[test]
fn pruning_that_listens_is_better() {
    let prune =
        |score: &str, pattern: &str| error_after(&[json!({"method": "prune", "score": score, "pattern": pattern})]);
    let [magnitude, wanda, obs] = ["magnitude", "wanda", "obs"].map(|score| prune(score, "free"));
    assert!(wanda <= 0.45 * magnitude);
    assert!(obs <= wanda);
    assert!(prune("obs", "2:4") <= 0.65 * prune("wanda", "2:4"));
    assert!(prune("obs", "16:32") < prune("obs", "2:4"));
}

#[test]
fn levels_made_for_a_row_are_better() {
    let share = |table: &str, start: &str, rounding: &str| {
        error_after(&[json!({"method": "share", "table": table, "start": start, "rounding": rounding})])
    };
    let exact = share("row", "exact", "nearest");
    let deaf = error_after(&[json!({"method": "share", "table": "row", "rounding": "nearest", "weighted": false})]);
    let gptq = share("row", "exact", "gptq");
    let group = share("group", "exact", "nearest");
    assert!(exact <= 0.0066);
    assert!(exact <= 0.5 * share("row", "density_based", "nearest"));
    assert!(exact < share("row", "kmeans_plus_plus", "nearest"));
    assert!(exact <= 0.7 * deaf);
    assert!(exact <= 0.5 * share("tensor", "exact", "nearest"));
    assert!(group <= 0.0047);
    assert!(gptq <= 0.0032);
    assert!(share("group", "exact", "gptq") < error_after(&[quantize("IQ4_NL", "gptq")]));
}

#[test]
fn low_rank_that_listens_is_better() {
    let svd = |share: f64, whitened: bool| {
        error_after(&[
            json!({"method": "lowrank", "factors": "whole", "share": share, "allocation": "even", "whitened": whitened}),
        ])
    };
    assert!(svd(0.2, true) <= 0.25 * svd(0.2, false));
    assert!(svd(0.5, true) <= 0.25 * svd(0.5, false));
    let full = error_after(&[json!({"method": "lowrank", "factors": "whole", "rank": N})]);
    assert!(full.sqrt() < 1e-4, "{full:e}");
}

#[test]
fn what_rounding_lost_has_a_part_of_low_rank() {
    let team = &mut Team::spawn(2);
    let l = whitener(&STATISTICS, team);
    let mut repaired = |step: Value| {
        let weight = after(&[step]);
        let lost = MADE.weight.data.iter().zip(&weight.data).map(|(w, q)| w - q).collect();
        let lost = Matrix::new(N, lost);
        let errors = [None, l.as_ref()].map(|l| {
            let more = Factors::of(&lost, l, 8, team).product(team);
            error(&Matrix::new(N, weight.data.iter().zip(more.data).map(|(q, more)| q + more).collect()))
        });
        let (before, [plain, whitened]) = (error(&weight), errors);
        println!("{before:.5}, with rank 8 plain {plain:.5}, whitened {whitened:.5}");
        assert!(whitened < plain && plain < before);
        whitened / before
    };
    assert!(repaired(quantize("Q4_0", "nearest")) <= 0.6);
    assert!(repaired(quantize("Q4_0", "gptq")) <= 0.85);
    assert!(repaired(json!({"method": "share", "levels": 8, "rounding": "nearest"})) <= 0.75);
}

#[test]
fn zeros_survive_quantization() {
    let weight = after(&[json!({"method": "prune", "pattern": "2:4"}), quantize("Q4_0", "gptq")]);
    let pattern = hearth_lab::pattern::Pattern::Groups { zeros: 2, of: 4 };
    weight.iter().for_each(|row| pattern.check(row).unwrap());
    for table in ["tensor", "row", "group"] {
        let share = json!({"method": "share", "table": table, "preserve_sparsity": true});
        let weight = after(&[json!({"method": "prune", "pattern": "2:4"}), share]);
        weight.iter().for_each(|row| pattern.check(row).unwrap());
    }
}

#[test]
fn kept_channels_make_up_for_dropped_ones() {
    // What is left of the matrix as a whole one.
    let error = |recover: bool| {
        let narrow = after(&[json!({"method": "channels", "share": 0.2, "recover": recover})]);
        let team = &mut Team::spawn(2);
        // Which channels stayed can be told from the plain ones.
        let plain = after(&[json!({"method": "channels", "share": 0.2, "recover": false})]);
        let mut kept = Vec::new();
        for c in 0..N {
            if kept.len() < plain.cols && plain.row(0)[kept.len()] == MADE.weight.row(0)[c] {
                kept.push(c);
            }
        }
        assert_eq!(kept.len(), 448);
        let wanted = times(&MADE.test, &MADE.weight, team);
        let found = times(&MADE.test.columns(&kept), &narrow, team);
        let energy = |values: &mut dyn Iterator<Item = f32>| values.map(|y| f64::from(y * y)).sum::<f64>();
        energy(&mut wanted.data.iter().zip(&found.data).map(|(a, b)| a - b)) / energy(&mut wanted.data.iter().copied())
    };
    let (plain, recovered) = (error(false), error(true));
    println!("channels −20 %: {plain:.5}, with least squares {recovered:.5}");
    assert!(recovered <= 0.6 * plain);
}

#[test]
fn without_correlations_gptq_is_rounding() {
    let team = &mut Team::spawn(2);
    let grid = hearth_lab::grid::Grid::of(hearth_engine::quant::Format::Q4_0).unwrap();
    let scales = methods::scales(&MADE.weight, &[1.0; N], grid, team);
    let unit = Matrix { rows: N, cols: N, data: (0..N * N).map(|i| f32::from(i / N == i % N)).collect() };
    let spread = hearth_lab::gptq::Spread::new(&unit, TOKENS, 0.01, true, team);
    let levels = hearth_lab::gptq::levels(&MADE.weight, &scales, grid, &spread, team);
    assert_eq!(levels, methods::nearest(&MADE.weight, &scales, grid));
}

#[test]
fn no_strength_is_no_change() {
    assert_eq!(after(&[json!({"method": "prune", "share": 0.0})]), MADE.weight);
    assert_eq!(after(&[json!({"method": "channels", "share": 0.0})]), MADE.weight);
    assert_eq!(after(&[json!({"method": "lowrank", "share": 0.0})]), MADE.weight);
    assert!(error(&MADE.weight) == 0.0);
}
