//! Adapters: a small second file that makes a quantized model more like its original, `y = Q x + B (A x)`.
//!
//! What rounding lost of a matrix, `E = W − Q`, becomes a product of low rank that keeps most of `E x` for the inputs that the
//! repaired model sees (LQER, Zhang et al. 2024, arXiv:2402.02446; EoRA, Liu et al. 2024, arXiv:2410.21271). The file is a LoRA in
//! GGUF, which llama.cpp takes beside the model's own: `NAME.lora_a: [r, in]` and `NAME.lora_b: [out, r]`, scaled by `alpha / r`.

use std::cell::RefCell;

use hearth_engine::cpu::team::Team;
use hearth_engine::formats::{Header, TensorInfo, Value};
use hearth_engine::quant::Format;

use crate::Watch;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::matrix::Matrix;
use crate::model::{Model, decode, encode};
use crate::pass::{self, LayerMethod, Needs};
use crate::recipe::{Calibration, FEWEST};
use crate::svd::{Factors, whitener};
use crate::text::sequences;

/// The key of the number that, divided by the rank, scales an adapter.
const ALPHA: &str = "adapter.lora.alpha";

/// How far norms and biases of two models may be apart, of their size: no more than by rounding.
const SAME: f32 = 1e-2;

/// Makes the adapter of rank `rank` that brings `quantized` nearest to `original` on a text. Errors if they are different models, if
/// the text is too short, or if `watch` says so.
pub fn between(
    original: &Model,
    quantized: &Model,
    text: &[u32],
    calibration: Calibration,
    rank: usize,
    team: &mut Team,
    watch: &mut Watch,
) -> Result<Model> {
    check_same(original, quantized)?;
    let length = calibration.length.min(quantized.program(1)?.config.max_seq);
    let texts = sequences("the calibration text", text, length, calibration.tokens, FEWEST)?;
    let mut adapter = Model { header: Header::default(), data: Vec::new() };
    let architecture = quantized.header.string("general.architecture")?.unwrap_or_default().to_owned();
    let words = [("general.type", "adapter"), ("general.architecture", &architecture), ("adapter.type", "lora")];
    let words = words.map(|(key, word)| (key.to_owned(), Value::String(word.to_owned())));
    adapter.header.metadata.extend(words);
    adapter.header.metadata.insert(ALPHA.into(), Value::Float(rank as f64));
    adapter.header.metadata.insert("general.quantization_version".into(), Value::Unsigned(2));
    let made = RefCell::new(adapter);
    let repair = Repair { original, rank, made: &made };
    pass::run(&mut quantized.clone(), &mut [Box::new(repair)], &texts, team, watch)?;
    Ok(made.into_inner())
}

/// Errors unless one can be what rounding made of the other: the same tensors, and what is not rounded the same.
fn check_same(original: &Model, quantized: &Model) -> Result<()> {
    for info in &quantized.header.tensors {
        let name = &info.name;
        let Some(other) = original.tensor(name).filter(|other| other.shape == info.shape) else {
            return Err(Error::Unfit(format!("the original has no {name} of {:?}: it is another model", info.shape)));
        };
        if other.shape.len() == 1 {
            let (a, b) = (original.matrix(name).data, quantized.matrix(name).data);
            let size = a.iter().map(|x| x * x).sum::<f32>();
            let apart = a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
            if apart > SAME * SAME * size {
                return Err(Error::Unfit(format!(
                    "{name} is another one in the original: more was done than rounding, as AWQ does, and an adapter cannot \
                     make up for it"
                )));
            }
        }
    }
    Ok(())
}

/// Adds to each matrix what makes up for its errors, and keeps that for the file.
struct Repair<'a> {
    original: &'a Model,
    rank: usize,
    made: &'a RefCell<Model>,
}

impl LayerMethod for Repair<'_> {
    fn needs(&self) -> Needs {
        Needs::Hessian
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        for group in &mut layer.groups {
            let l = whitener(&group.statistics, team);
            for slot in &mut group.slots {
                let most = slot.weight.rows.min(slot.weight.cols);
                if self.rank > most {
                    let what = format!("{} has a rank of {most} at most: take no more than that", slot.name);
                    return Err(Error::Unfit(what));
                }
                let mut lost = self.original.matrix(&slot.name);
                lost.data.iter_mut().zip(&slot.weight.data).for_each(|(w, q)| *w -= q);
                let mut factors = Factors::of(&lost, l.as_ref(), self.rank, team);
                balance(&mut factors);
                let mut made = self.made.borrow_mut();
                factors.a = put(&mut made, format!("{}.lora_a", slot.name), &factors.a)?;
                factors.b = put(&mut made, format!("{}.lora_b", slot.name), &factors.b)?;
                let product = factors.product(team);
                slot.change().data.iter_mut().zip(&product.data).for_each(|(q, more)| *q += more);
            }
        }
        Ok(())
    }
}

/// Makes each pair of a column of `B` and a row of `A` equally large, so that both have digits for it.
fn balance(factors: &mut Factors) {
    let rank = factors.a.rows;
    let size = |x: &mut dyn Iterator<Item = f32>, count: usize| (x.map(|x| x * x).sum::<f32>() / count as f32).sqrt();
    for k in 0..rank {
        let (a, b) = (factors.a.row_mut(k), &mut factors.b);
        let sizes = (size(&mut a.iter().copied(), a.len()), size(&mut b.iter().map(|row| row[k]), b.rows));
        let by = (sizes.0 / sizes.1).sqrt();
        if by > 0.0 && by.is_finite() {
            a.iter_mut().for_each(|x| *x /= by);
            b.data.iter_mut().skip(k).step_by(rank).for_each(|x| *x *= by);
        }
    }
}

/// Adds a tensor, in Q8_0 where rows are whole blocks, else in F16; returns what the file says.
fn put(model: &mut Model, name: String, numbers: &Matrix) -> Result<Matrix> {
    let format = if Format::Q8_0.row_bytes(numbers.cols).is_some() { Format::Q8_0 } else { Format::F16 };
    let bytes = encode(format, numbers).map_err(|error| Error::Unfit(format!("{name}: {error}")))?;
    let said = decode(format, numbers.cols, &bytes);
    let (shape, size_bytes) = (vec![numbers.rows, numbers.cols], bytes.len() as u64);
    model.header.tensors.push(TensorInfo { name, shape, format, offset: 0, size_bytes });
    model.data.push(bytes);
    Ok(said)
}

/// A model with an adapter added to its matrices, which are stored in `format`. Errors where the file is no LoRA of this model.
pub fn merge(base: &Model, adapter: &Model, format: Format, team: &mut Team) -> Result<Model> {
    let unfit = |what: String| Err(Error::Unfit(what));
    let [kind, lora, architecture] =
        ["general.type", "adapter.type", "general.architecture"].map(|key| adapter.header.string(key));
    if (kind?, lora?) != (Some("adapter"), Some("lora")) {
        return unfit(
            "the second file is no LoRA adapter: its general.type should be adapter, its adapter.type lora".into(),
        );
    }
    let (architecture, own) = (architecture?.unwrap_or_default(), base.header.string("general.architecture")?);
    if own != Some(architecture) {
        let own = own.unwrap_or_default();
        return unfit(format!("the adapter is for models of architecture {architecture}, and this one is {own}"));
    }
    let alpha = adapter.header.float(ALPHA)?.unwrap_or(0.0);
    let mut model = base.clone();
    for info in &adapter.header.tensors {
        let (name, part) = info.name.rsplit_once('.').unwrap_or((&info.name, ""));
        let other = match part {
            "lora_a" => format!("{name}.lora_b"),
            "lora_b" => format!("{name}.lora_a"),
            _ => return unfit(format!("{} is no part of a LoRA adapter that can be merged", info.name)),
        };
        let Some(other) = adapter.tensor(&other) else {
            return unfit(format!("the adapter has {} and no {other}", info.name));
        };
        if part == "lora_b" {
            continue;
        }
        let fits = |target: &TensorInfo| {
            let shapes = [info, other, target].map(|tensor| (tensor.rows(), tensor.cols(), tensor.shape.len()));
            matches!(shapes, [(r, cols, 2), (rows, of, 2), (all, wide, 2)] if r == of && cols == wide && rows == all)
        };
        if name.ends_with("token_embd.weight") || !base.tensor(name).is_some_and(fits) {
            let (a, b) = (&info.shape, &other.shape);
            return unfit(format!(
                "the model has no matrix {name} that a product of {b:?} and {a:?} could be added to"
            ));
        }
        let factors = Factors { a: adapter.matrix(&info.name), b: adapter.matrix(&other.name) };
        let scale = if alpha == 0.0 { 1.0 } else { alpha / factors.a.rows as f32 };
        let product = factors.product(team);
        let mut sum = base.matrix(name);
        sum.data.iter_mut().zip(&product.data).for_each(|(w, more)| *w += scale * more);
        model.store(name, format, &sum)?;
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Quality, compare, read};
    use crate::recipe::Recipe;
    use crate::text::Protocol;

    const TINY: &[u8] = include_bytes!("../../../tests/fixtures/tiny-llama.gguf");

    fn tokens(count: usize, seed: u64) -> Vec<u32> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count).map(|_| random.u32(3..90)).collect()
    }

    fn quiet(_: crate::Progress) -> Result<()> {
        Ok(())
    }

    fn quantized(base: &Model, more: &str) -> Model {
        let recipe = format!(
            r#"{{"version": 1, "steps": [{more}{{"method": "quantize", "format": "Q4_0", "rounding": "nearest", "embeddings": "F32"}}]}}"#
        );
        let recipe = Recipe::from_json(&recipe).unwrap();
        recipe.run(base, &tokens(600, 3), &mut Team::alone(), &mut quiet).unwrap()
    }

    fn adapter(original: &Model, quantized: &Model, rank: usize, team: &mut Team) -> Result<Model> {
        let made = between(original, quantized, &tokens(600, 3), Calibration::default(), rank, team, &mut quiet)?;
        Model::from_gguf([&made.to_gguf()?[..]])
    }

    #[test]
    fn an_adapter_gives_back_what_rounding_took() {
        let team = &mut Team::spawn(2);
        let base = Model::from_gguf([TINY]).unwrap();
        let rounded = quantized(&base, "");
        let windows = Protocol::find("disjoint").unwrap().windows(&tokens(400, 2), None, 64).unwrap();
        let mut divergence = |model: &Model| {
            let [a, b] = [&base, model].map(|model| read(model, &windows, team, &mut quiet).unwrap());
            Quality::of(&compare(&a, &b, &windows, team, &mut quiet).unwrap()).kl.value
        };
        let plain = divergence(&rounded);
        let mut last = plain;
        for (rank, most) in [(4, 0.6), (8, 0.3), (16, 0.1)] {
            let adapter = adapter(&base, &rounded, rank, &mut Team::alone()).unwrap();
            let merged = merge(&rounded, &adapter, Format::F32, &mut Team::alone()).unwrap();
            let kl = divergence(&merged);
            println!("rank {rank}: {kl:.3e} of {plain:.3e}, {} bytes", adapter.tensor_bytes());
            assert!(kl < last && kl < most * plain, "rank {rank}: {kl:e} of {plain:e}");
            last = kl;
        }
    }

    #[test]
    fn an_adapter_is_the_same_on_any_number_of_threads() {
        let base = Model::from_gguf([TINY]).unwrap();
        let rounded = quantized(&base, "");
        let [one, two] = [1, 2].map(|threads| adapter(&base, &rounded, 8, &mut Team::spawn(threads)).unwrap());
        assert!(one.data == two.data);
        let [one, two] = [1, 2].map(|threads| merge(&rounded, &one, Format::F16, &mut Team::spawn(threads)).unwrap());
        assert!(one.data == two.data);
    }

    #[test]
    fn what_does_not_belong_together_is_said() {
        let team = &mut Team::alone();
        let base = Model::from_gguf([TINY]).unwrap();
        let rounded = quantized(&base, "");
        let good = adapter(&base, &rounded, 4, team).unwrap();
        let folded = quantized(&base, r#"{"method": "awq"}, "#);
        let said = |result: Result<Model>| result.map(drop).unwrap_err().to_string();
        assert!(said(adapter(&base, &folded, 4, team)).contains("more was done than rounding"));
        assert!(said(adapter(&base, &rounded, 999, team)).contains("of 32 at most"));
        let other = Model::from_gguf([&include_bytes!("../../../tests/fixtures/tiny-qwen3.gguf")[..]]).unwrap();
        assert!(said(adapter(&other, &rounded, 4, team)).contains("another model"));
        assert!(said(merge(&rounded, &base, Format::F16, team)).contains("no LoRA"));
        assert!(said(merge(&other, &good, Format::F16, team)).contains("for models of architecture llama"));
        let broken = |change: &dyn Fn(&mut Model)| {
            let mut adapter = good.clone();
            change(&mut adapter);
            said(merge(&rounded, &adapter, Format::F16, &mut Team::alone()))
        };
        assert!(broken(&|adapter| adapter.header.tensors.truncate(1)).contains("and no blk.0."));
        assert!(broken(&|adapter| adapter.header.tensors[0].name = "blk.0.attn_q.weight".into()).contains("no part"));
        assert!(broken(&|adapter| adapter.header.tensors[1].shape = vec![2, 2]).contains("could be added"));
        let unknown = |adapter: &mut Model| {
            for info in &mut adapter.header.tensors[..2] {
                info.name = info.name.replace("blk.0", "blk.77");
            }
        };
        assert!(broken(&unknown).contains("no matrix blk.77"));
    }

    #[test]
    fn the_scale_is_alpha_by_the_rank() {
        let team = &mut Team::alone();
        let base = Model::from_gguf([TINY]).unwrap();
        let rounded = quantized(&base, "");
        let mut adapter = adapter(&base, &rounded, 4, team).unwrap();
        let name = "blk.1.ffn_up.weight";
        let mut merged = |alpha: f64| {
            adapter.header.metadata.insert(ALPHA.into(), Value::Float(alpha));
            let merged = merge(&rounded, &adapter, Format::F32, team).unwrap().matrix(name).data;
            merged.iter().zip(rounded.matrix(name).data).map(|(m, q)| m - q).collect::<Vec<_>>()
        };
        let (once, none, twice) = (merged(4.0), merged(0.0), merged(8.0));
        assert!(once == none && once.iter().zip(&twice).all(|(a, b)| (2.0 * a - b).abs() < 1e-6));
        assert!(once.iter().any(|x| *x != 0.0));
    }
}
