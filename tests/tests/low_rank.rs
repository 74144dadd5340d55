//! Matrices of low rank: adapters beside a model's own weights, and models that have nothing but factors, natively and in headless
//! Chrome.

use hearth_engine::adapter::Adapter;
use hearth_engine::formats::gguf::{Event, Header, Reader, TensorInfo, Value, Writer};
use hearth_engine::loader::{Device, Loader};
use hearth_engine::models::Room;
use hearth_engine::quant::Format;
use hearth_engine::{Error, Result};
use pollster::block_on;
use tests::{LLAMA, relative_error};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// A file in memory.
#[derive(Clone)]
struct File {
    header: Header,
    data: Vec<Vec<u8>>,
}

impl File {
    fn read(bytes: &[u8]) -> File {
        let mut file = File { header: Header::default(), data: Vec::new() };
        let (mut reader, mut data) = (Reader::new(), Vec::new());
        let on = |event: Event| {
            match event {
                Event::Header(found) => {
                    data = vec![Vec::new(); found.tensors.len()];
                    file.header = found;
                }
                Event::Rows { tensor, bytes, .. } => data[tensor].extend_from_slice(bytes),
            }
            Ok(())
        };
        reader.push(bytes, on).unwrap();
        reader.finish(|_| Ok(())).unwrap();
        File { data, ..file }
    }

    fn written(&self) -> Vec<u8> {
        let (mut writer, mut out) = Writer::new(&self.header).unwrap();
        self.data.iter().enumerate().for_each(|(i, bytes)| writer.push(i, bytes, &mut out).unwrap());
        writer.finish().unwrap();
        out
    }

    fn add(&mut self, name: &str, format: Format, cols: usize, numbers: &[f32]) {
        let shape = vec![numbers.len() / cols, cols];
        let row_bytes = format.row_bytes(cols).unwrap();
        let mut bytes = vec![0; shape[0] * row_bytes];
        for (bytes, row) in bytes.chunks_exact_mut(row_bytes).zip(numbers.chunks_exact(cols)) {
            format.encode(row, bytes).unwrap();
        }
        self.header.tensors.push(TensorInfo { name: name.into(), shape, format, offset: 0, size_bytes: 0 });
        self.data.push(bytes);
    }

    fn numbers(&self, i: usize) -> Vec<f32> {
        let tensor = &self.header.tensors[i];
        let mut numbers = vec![0.0; tensor.rows() * tensor.cols()];
        tensor.format.decode_rows(tensor.cols(), &self.data[i], &mut numbers);
        numbers
    }
}

/// Matrices that have parts of low rank: every kind of product.
const CHANGED: [&str; 6] =
    ["blk.0.attn_q", "blk.0.attn_v", "blk.0.attn_output", "blk.1.ffn_gate", "blk.1.ffn_up", "blk.1.ffn_down"];

const ALPHA: f32 = 6.0;

/// An adapter of this rank for the model, and the model with its products added.
fn adapter(rank: usize, formats: [Format; 2]) -> (File, File) {
    let mut random = fastrand::Rng::with_seed(rank as u64);
    let mut merged = File::read(LLAMA);
    let text = |value: &str| Value::String(value.into());
    let metadata = [
        ("general.type", text("adapter")),
        ("general.architecture", text("llama")),
        ("adapter.type", text("lora")),
        ("adapter.lora.alpha", Value::Float(ALPHA.into())),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    let mut file = File { header: Header { metadata, ..Header::default() }, data: Vec::new() };
    for name in CHANGED.map(|name| format!("{name}.weight")) {
        let (i, tensor) = merged.header.tensor(&name).expect("a tensor of the model");
        let (rows, cols) = (tensor.rows(), tensor.cols());
        for ((factor, format), (rows, cols)) in ["a", "b"].into_iter().zip(formats).zip([(rank, cols), (rows, rank)]) {
            let numbers: Vec<f32> = (0..rows * cols).map(|_| (random.f32() - 0.5) * 0.3).collect();
            file.add(&format!("{name}.lora_{factor}"), format, cols, &numbers);
        }
        let [b, a] = [1, 2].map(|back| file.numbers(file.data.len() - back));
        let mut sum = merged.numbers(i);
        for (row, b) in sum.chunks_exact_mut(cols).zip(b.chunks_exact(rank)) {
            for (x, at) in row.iter_mut().zip(0..) {
                *x += ALPHA / rank as f32 * (0..rank).map(|k| b[k] * a[k * cols + at]).sum::<f32>();
            }
        }
        merged.data[i] = sum.iter().flat_map(|x| x.to_le_bytes()).collect();
    }
    (file, merged)
}

const TOKENS: [u32; 9] = [1, 20, 30, 7, 8, 55, 3, 3, 41];

fn logits(file: &File, device: Device, adapter: Option<&File>) -> Result<Vec<f32>> {
    let mut loader = Loader::new(device, Room::Asked(64));
    if let Some(adapter) = adapter {
        loader = loader.adapted(Adapter::from_gguf(&adapter.written())?);
    }
    file.written().chunks(777).try_for_each(|piece| loader.push(piece))?;
    let mut session = loader.finish()?;
    let mut all = block_on(session.logits(&TOKENS))?;
    // And token by token.
    for end in 1..=TOKENS.len() {
        all.extend(block_on(session.next_logits(&TOKENS[..end]))?);
    }
    Ok(all)
}

#[wasm_bindgen_test(unsupported = test)]
fn an_adapter_is_as_good_as_merged() {
    let base = File::read(LLAMA);
    let plain = logits(&base, Device::Naive, None).unwrap();
    for (rank, formats) in [
        (1, [Format::F32, Format::F16]),
        (3, [Format::F16, Format::F32]),
        (17, [Format::Q8_0, Format::F16]),
        (32, [Format::Q4_0, Format::Q8_0]),
    ] {
        let (adapter, merged) = adapter(rank, formats);
        let expected = logits(&merged, Device::Naive, None).unwrap();
        assert!(relative_error(&plain, &expected) > 1e-2, "rank {rank} changes something");
        let error = relative_error(&logits(&base, Device::Naive, Some(&adapter)).unwrap(), &expected);
        assert!(error < 1e-5, "rank {rank}, naive: {error:e}");
        // The CPU rounds activations to bytes where a factor is quantized.
        let error = relative_error(&logits(&base, Device::cpu(), Some(&adapter)).unwrap(), &expected);
        assert!(error < 3e-2, "rank {rank}, cpu: {error:e}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_model_may_have_nothing_but_factors() {
    for (rank, formats) in [(5, [Format::F16, Format::F16]), (32, [Format::Q8_0, Format::Q8_0])] {
        let (adapter, _) = adapter(rank, formats);
        let (mut factored, mut merged) = (File::read(LLAMA), File::read(LLAMA));
        let factors: Vec<Vec<f32>> = (0..adapter.data.len()).map(|i| adapter.numbers(i)).collect();
        for (tensors, factors) in adapter.header.tensors.as_chunks::<2>().0.iter().zip(factors.as_chunks::<2>().0) {
            let name = tensors[0].name.strip_suffix(".lora_a").unwrap();
            let (i, whole) = merged.header.tensor(name).unwrap();
            let cols = whole.cols();
            let at = |row: usize, col: usize| -> f32 {
                (0..rank).map(|k| factors[1][row * rank + k] * factors[0][k * cols + col]).sum()
            };
            let numbers = (0..whole.rows()).flat_map(|row| (0..cols).map(move |col| (row, col)));
            merged.data[i] = numbers.flat_map(|(row, col)| at(row, col).to_le_bytes()).collect();
            let (i, _) = factored.header.tensor(name).unwrap();
            factored.header.tensors.remove(i);
            factored.data.remove(i);
        }
        factored.header.tensors.extend(adapter.header.tensors.iter().cloned());
        factored.data.extend(adapter.data.iter().cloned());
        assert!(factored.written().windows(14).any(|bytes| bytes == b"hearth.version"), "others must refuse it");
        let expected = logits(&merged, Device::Naive, None).unwrap();
        for (device, most) in [(Device::Naive, 1e-5), (Device::cpu(), 3e-2)] {
            let error = relative_error(&logits(&factored, device, None).unwrap(), &expected);
            assert!(error < most, "rank {rank}: {error:e}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_does_not_fit_is_said() {
    let says = |change: &dyn Fn(&mut File), words: &[&str]| {
        let (mut adapter, _) = adapter(2, [Format::F32, Format::F32]);
        change(&mut adapter);
        let error: Error = logits(&File::read(LLAMA), Device::cpu(), Some(&adapter)).expect_err("accepted");
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "{error} does not say {word}"));
    };
    let set = |file: &mut File, key: &str, value: &str| {
        file.header.metadata.insert(key.into(), Value::String(value.into()));
    };
    says(&|file| set(file, "general.architecture", "qwen2"), &["general.architecture", "qwen2", "llama"]);
    says(&|file| set(file, "general.type", "model"), &["general.type", "adapter", "model"]);
    says(&|file| set(file, "adapter.type", "control_vector"), &["adapter.type", "lora"]);
    says(&|file| file.header.tensors[0].name = "blk.7.attn_q.weight.lora_a".into(), &["blk.7.attn_q.weight"]);
    says(&|file| file.header.tensors[0].name = "blk.0.attn_q.weight".into(), &["blk.0.attn_q.weight is no factor"]);
    let without_b = |file: &mut File| {
        file.header.tensors.remove(1);
        file.data.remove(1);
    };
    says(&without_b, &["blk.0.attn_q.weight.lora_b is missing"]);
    let turned = |file: &mut File| file.header.tensors[1].shape.reverse();
    says(&turned, &["blk.0.attn_q.weight.lora_b", "shape"]);
    let tables = |file: &mut File| file.add("token_embd.weight.lora_a", Format::F32, 2, &[0.5; 8]);
    says(&tables, &["token_embd.weight.lora_a"]);
}
