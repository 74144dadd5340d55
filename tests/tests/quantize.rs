//! Models read, stored in another format and read again, natively and in headless Chrome.

use hearth_engine::formats::gguf::{Event, Header, Reader, Requantizer, TensorInfo, Value};
use hearth_engine::loader::Device;
use hearth_engine::quant::Format;
use pollster::block_on;
use tests::{GEMMA3, LLAMA, relative_error};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

const LLAMA_Q8_0: &[u8] = include_bytes!("../fixtures/tiny-llama-q8_0.gguf");

/// The file with its matrices in another format, made of pieces of an awkward size.
fn requantized(file: &[u8], to: Format, embeddings: Format) -> Vec<u8> {
    let (mut reader, mut requantizer) = (Reader::new(), Requantizer::new(to, embeddings));
    let mut out = Vec::new();
    for piece in file.chunks(999) {
        reader.push(piece, |event| requantizer.take(event, &mut out)).unwrap();
    }
    reader.finish(|event| requantizer.take(event, &mut out)).unwrap();
    requantizer.finish().unwrap();
    out
}

/// The header and each tensor's bytes.
fn read(file: &[u8]) -> (Header, Vec<Vec<u8>>) {
    let (mut reader, mut header, mut data) = (Reader::new(), Header::default(), Vec::new());
    let take = |event: Event| {
        match event {
            Event::Header(found) => {
                data = vec![Vec::new(); found.tensors.len()];
                header = found;
            }
            Event::Rows { tensor, bytes, .. } => data[tensor].extend_from_slice(bytes),
        }
        Ok(())
    };
    reader.push(file, take).unwrap();
    reader.finish(|_| Ok(())).unwrap();
    (header, data)
}

#[wasm_bindgen_test(unsupported = test)]
fn a_file_in_its_own_format_stays_the_same() {
    // Encoding what IQ4_NL was decoded to gives something else.
    let nl = &requantized(LLAMA, Format::IQ4_NL, Format::IQ4_NL)[..];
    let cases = [(LLAMA, Format::F32), (GEMMA3, Format::F32), (LLAMA_Q8_0, Format::Q8_0), (nl, Format::IQ4_NL)];
    for (file, format) in cases {
        let ((mut before, before_data), (mut after, after_data)) =
            (read(file), read(&requantized(file, format, format)));
        for key in ["general.file_type", "general.quantization_version"] {
            assert!(matches!(after.metadata.remove(key), Some(Value::Unsigned(_))));
            before.metadata.remove(key);
        }
        assert_eq!(after.metadata, before.metadata);
        let names = |header: &Header| -> Vec<_> {
            header.tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), t.format)).collect()
        };
        assert_eq!(names(&after), names(&before));
        assert!(after_data == before_data, "{} changed", format.name());
    }
}

fn numbers(tensor: &TensorInfo, bytes: &[u8]) -> Vec<f32> {
    let mut numbers = vec![0.0; tensor.rows() * tensor.cols()];
    tensor.format.decode_rows(tensor.cols(), bytes, &mut numbers);
    numbers
}

#[wasm_bindgen_test(unsupported = test)]
fn models_survive_every_format() {
    let (before, before_data) = read(LLAMA);
    for format in Format::all().filter(|format| format.encodes()) {
        let file = requantized(LLAMA, format, Format::Q8_0);
        let (header, data) = read(&file);
        for tensor in &header.tensors {
            // Rows of 32 and 64.
            let expected = match format {
                _ if tensor.rows() == 1 => Format::F32,
                _ if tensor.name == "token_embd.weight" => Format::Q8_0,
                Format::Q4_K => Format::Q5_0,
                Format::Q5_K => Format::Q5_1,
                Format::Q6_K => Format::Q8_0,
                format => format,
            };
            assert_eq!(tensor.format, expected, "{}", tensor.name);
        }
        for (i, tensor) in header.tensors.iter().enumerate() {
            let most = match tensor.format {
                Format::F32 => 0.0,
                Format::F16 => 3e-4,
                Format::BF16 => 2e-3,
                Format::Q8_0 => 6e-3,
                Format::Q5_0 | Format::Q5_1 => 0.045,
                // Half of the numbers are dropped, the smaller ones.
                Format::S4_16_32 => 0.4,
                _ => 0.1,
            };
            let error = relative_error(&numbers(tensor, &data[i]), &numbers(&before.tensors[i], &before_data[i]));
            assert!(error <= most && error >= most / 4.0, "{} in {}: {error}", tensor.name, tensor.format.name());
        }
        let mut session = tests::session(&file, Device::cpu()).unwrap();
        let logits = block_on(session.logits(&[1, 20, 30])).unwrap();
        assert!(logits.iter().all(|logit| logit.is_finite()));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_file_in_a_format_of_our_own_becomes_a_standard_one() {
    let own = requantized(LLAMA, Format::S4_16_32, Format::Q8_0);
    let says_hearth = |file: &[u8]| file.windows(6).any(|bytes| bytes == b"hearth");
    assert!(says_hearth(&own));
    let baked = requantized(&own, Format::F16, Format::F16);
    assert!(!says_hearth(&baked));
    let ((before, before_data), (after, after_data)) = (read(&own), read(&baked));
    assert_eq!(after.string("general.architecture").unwrap(), Some("llama"));
    for (i, tensor) in after.tensors.iter().enumerate() {
        assert!(tensor.format == if tensor.rows() == 1 { Format::F32 } else { Format::F16 });
        let [after, before] = [numbers(tensor, &after_data[i]), numbers(&before.tensors[i], &before_data[i])];
        assert!(relative_error(&after, &before) < 3e-4, "{}", tensor.name);
        assert!(after.iter().zip(&before).all(|(after, before)| (*after == 0.0) == (*before == 0.0)));
    }
}

const WRONG: &str = "blk.0.attn_q.weight";

/// The model with another number in a matrix, the fifth from 0 of its second row.
fn with(number: f32) -> Vec<u8> {
    let (header, _) = read(LLAMA);
    let tensor = header.tensors.iter().find(|tensor| tensor.name == WRONG).unwrap();
    let mut file = LLAMA.to_vec();
    let at = tensor.offset as usize + 4 * 37;
    file[at..at + 4].copy_from_slice(&number.to_le_bytes());
    file
}

/// Why it cannot be stored so.
fn refusal(file: &[u8], to: Format) -> String {
    let (mut reader, mut requantizer) = (Reader::new(), Requantizer::new(to, Format::F32));
    let mut out = Vec::new();
    reader.push(file, |event| requantizer.take(event, &mut out)).unwrap_err().to_string()
}

#[wasm_bindgen_test(unsupported = test)]
fn numbers_without_a_scale_are_said() {
    let error = refusal(&with(f32::NAN), Format::Q4_0);
    assert!(error.contains(WRONG) && error.contains("number 5 of a row is NaN"), "{error}");
}

#[wasm_bindgen_test(unsupported = test)]
fn numbers_that_are_too_large_are_said() {
    let file = with(7e4);
    // Q8_0's scales are smaller than its numbers.
    requantized(&file, Format::Q8_0, Format::F32);
    requantized(&file, Format::BF16, Format::F32);
    let error = refusal(&file, Format::F16);
    assert!(error.contains(WRONG) && error.contains("7e4") && error.contains("BF16"), "{error}");
}
