//! Which model a file is: a hash over its metadata, its tokenizer among it, over names, shapes and formats of its tensors, and over
//! the first bytes of each tensor. Two files of one fingerprint give the same numbers, as far as nobody has made them to deceive.

use std::hash::Hasher;

use twox_hash::XxHash64;

use crate::formats::gguf::{Header, TensorInfo, Value};

/// Bytes of a tensor that count, at most: a stored file is not read twice, and what differs, differs there.
const SAMPLE: usize = 64;

/// A hash in the making.
pub struct Fingerprint(XxHash64);

impl Fingerprint {
    /// Of a file with this header.
    pub fn new(header: &Header) -> Fingerprint {
        let mut print = Fingerprint(XxHash64::with_seed(0));
        for (key, value) in &header.metadata {
            print.text(key);
            print.value(value);
        }
        for tensor in &header.tensors {
            print.text(&tensor.name);
            print.text(tensor.format.name());
            tensor.shape.iter().for_each(|&size| print.number(size as u64));
        }
        print
    }

    /// Takes the first rows of a tensor, one or more.
    pub fn rows(&mut self, tensor: &TensorInfo, bytes: &[u8]) {
        let row = tensor.format.row_bytes(tensor.cols()).unwrap_or(0);
        self.bytes(&bytes[..SAMPLE.min(row).min(bytes.len())]);
    }

    /// The hash.
    pub fn finish(&self) -> u64 {
        self.0.finish()
    }

    /// Bytes with their number, so that what follows cannot be taken for them.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.write(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Unsigned(number) => self.number(*number),
            Value::Signed(number) => self.number(number.cast_unsigned()),
            Value::Float(number) => self.number(number.to_bits()),
            Value::Bool(is) => self.number(u64::from(*is)),
            Value::String(text) => self.text(text),
            Value::Strings(texts) => texts.iter().for_each(|text| self.text(text)),
            Value::Floats(numbers) => numbers.iter().for_each(|number| self.0.write(&number.to_le_bytes())),
            Value::Integers(numbers) => numbers.iter().for_each(|number| self.0.write(&number.to_le_bytes())),
            Value::Bools(list) => list.iter().for_each(|is| self.0.write(&[u8::from(*is)])),
        }
    }
}
