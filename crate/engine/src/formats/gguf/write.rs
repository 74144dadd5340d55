//! Writing GGUF, version 3: the header at once, then the tensors' rows as they come, so that a model is never whole in memory.
//!
//! Tensors in formats of our own are written as `own` tells.
//!
//! The reader keeps what a metadata value is, not how wide it was. Written are the types that llama.cpp asks for: u32 and i32
//! where they hold the number, f32 where it holds the number exactly, and lists of i32 and f32; [`TYPES`] has the exceptions.

use super::own;
use crate::error::{Error, Result};
use crate::formats::header::twice;
use crate::formats::{Header, Value};

/// The longest name of a tensor, in bytes: ggml keeps 64 with a zero at the end.
pub const MAX_NAME_BYTES: usize = 63;

const U8: u32 = 0;
const U16: u32 = 2;
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const U64: u32 = 10;
const I64: u32 = 11;
const F64: u32 = 12;

/// Keys whose numbers llama.cpp wants in another type.
const TYPES: &[(&str, u32)] = &[("split.no", U16), ("split.count", U16), ("tokenizer.ggml.precompiled_charsmap", U8)];

/// Writes a GGUF file piece by piece.
pub struct Writer {
    tensors: Vec<Extent>,
    alignment: usize,
    /// The tensor whose rows come next, and its bytes so far.
    tensor: usize,
    written: u64,
}

struct Extent {
    name: String,
    row_bytes: usize,
    size_bytes: u64,
}

impl Writer {
    /// A writer of these metadata and tensors, in this order, and what the file begins with. Of the tensors' places and the
    /// version nothing is read. Errors where no such file could be read again.
    pub fn new(header: &Header) -> Result<(Writer, Vec<u8>)> {
        let alignment = header.alignment()?;
        let own = own::metadata(header)?;
        let metadata: Vec<_> = header.metadata.iter().filter(|(key, _)| !own.contains_key(*key)).chain(&own).collect();
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((header.tensors.len() as u64).to_le_bytes());
        out.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            put_string(key, &mut out);
            put_value(key, value, &mut out);
        }
        if let Some(name) = twice(header.tensors.iter().map(|tensor| tensor.name.as_str())) {
            return Err(Error::InvalidInput(format!("tensor {name} cannot be written: there are two of this name")));
        }
        let mut tensors: Vec<Extent> = Vec::new();
        let mut offset = 0_u64;
        for tensor in &header.tensors {
            let refused = |what: &str| Error::InvalidInput(format!("tensor {} cannot be written: {what}", tensor.name));
            if tensor.name.len() > MAX_NAME_BYTES {
                return Err(refused(&format!("its name is longer than {MAX_NAME_BYTES} bytes")));
            }
            if !(1..=4).contains(&tensor.shape.len()) || tensor.shape.contains(&0) {
                return Err(refused(&format!("its shape is {:?}", tensor.shape)));
            }
            let row_bytes = tensor.format.row_bytes(tensor.cols());
            let row_bytes = row_bytes.ok_or_else(|| {
                refused(&format!("{} numbers are no whole blocks of {}", tensor.cols(), tensor.format.name()))
            })?;
            let rows = tensor.shape.iter().rev().skip(1).try_fold(1_u64, |rows, &dim| rows.checked_mul(dim as u64));
            let size_bytes = rows.and_then(|rows| rows.checked_mul(row_bytes as u64));
            let end = size_bytes.and_then(|size| offset.checked_add(size)?.checked_next_multiple_of(alignment));
            let (size_bytes, end) = size_bytes.zip(end).ok_or_else(|| refused("it is larger than any file"))?;

            put_string(&tensor.name, &mut out);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            let (id, cols) = tensor.format.id().map_or((own::I8, row_bytes), |id| (id, tensor.cols()));
            let rows = tensor.shape.iter().rev().skip(1);
            [&cols].into_iter().chain(rows).for_each(|&dim| out.extend((dim as u64).to_le_bytes()));
            out.extend(id.to_le_bytes());
            out.extend(offset.to_le_bytes());
            tensors.push(Extent { name: tensor.name.clone(), row_bytes, size_bytes });
            offset = end;
        }
        let alignment = alignment as usize;
        out.resize(out.len().next_multiple_of(alignment), 0);
        Ok((Writer { tensors, alignment, tensor: 0, written: 0 }, out))
    }

    /// Takes the next whole rows of tensor `tensor` and appends to `out` what the file goes on with. Errors, having written
    /// nothing, where other rows, no whole ones or fewer should have come.
    pub fn push(&mut self, tensor: usize, rows: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let expected = match self.tensors.get(self.tensor) {
            Some(expected) if tensor == self.tensor => expected,
            expected => {
                let name = |extent: Option<&Extent>| extent.map_or("none".into(), |extent| extent.name.clone());
                let (came, expected) = (name(self.tensors.get(tensor)), name(expected));
                return Err(Error::InvalidInput(format!("rows of {came} came where those of {expected} are next")));
            }
        };
        let Extent { name, row_bytes, size_bytes } = expected;
        let (came, left) = (rows.len() as u64, size_bytes - self.written);
        if !rows.len().is_multiple_of(*row_bytes) || came > left {
            let what = format!("{came} bytes of {name} came; its rows have {row_bytes} and {left} are missing");
            return Err(Error::InvalidInput(what));
        }
        out.extend_from_slice(rows);
        self.written += came;
        if self.written == *size_bytes {
            let padding = size_bytes.next_multiple_of(self.alignment as u64) - size_bytes;
            out.resize(out.len() + padding as usize, 0);
            (self.tensor, self.written) = (self.tensor + 1, 0);
        }
        Ok(())
    }

    /// Says that all rows have come. Errors if some have not.
    pub fn finish(self) -> Result<()> {
        match self.tensors.get(self.tensor) {
            None => Ok(()),
            Some(Extent { name, size_bytes, .. }) => {
                let left = size_bytes - self.written;
                Err(Error::InvalidInput(format!("the file is not whole: {left} bytes of tensor {name} did not come")))
            }
        }
    }
}

fn put_string(string: &str, out: &mut Vec<u8>) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string.as_bytes());
}

/// A value with its type in front.
fn put_value(key: &str, value: &Value, out: &mut Vec<u8>) {
    let wanted = TYPES.iter().find(|(other, _)| *other == key).map(|(_, kind)| *kind);
    let mut scalar = |kind: u32, bytes: &[u8]| {
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    };
    match *value {
        Value::Unsigned(value) => match (u16::try_from(value), u32::try_from(value)) {
            (Ok(value), _) if wanted == Some(U16) => scalar(U16, &value.to_le_bytes()),
            (_, Ok(value)) => scalar(U32, &value.to_le_bytes()),
            _ => scalar(U64, &value.to_le_bytes()),
        },
        Value::Signed(value) => match i32::try_from(value) {
            Ok(value) => scalar(I32, &value.to_le_bytes()),
            Err(_) => scalar(I64, &value.to_le_bytes()),
        },
        Value::Float(value) if f64::from(value as f32) == value || value.is_nan() => {
            scalar(F32, &(value as f32).to_le_bytes());
        }
        Value::Float(value) => scalar(F64, &value.to_le_bytes()),
        Value::Bool(value) => scalar(BOOL, &[value.into()]),
        Value::String(ref value) => {
            scalar(STRING, &[]);
            put_string(value, out);
        }
        Value::Strings(ref values) => {
            put_array(STRING, values.len(), out);
            values.iter().for_each(|value| put_string(value, out));
        }
        Value::Floats(ref values) => {
            put_array(F32, values.len(), out);
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        // Bytes that the reader has widened, signed or not.
        Value::Integers(ref values) if wanted == Some(U8) => {
            put_array(U8, values.len(), out);
            out.extend(values.iter().map(|&value| value as u8));
        }
        Value::Integers(ref values) => {
            put_array(I32, values.len(), out);
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Value::Bools(ref values) => {
            put_array(BOOL, values.len(), out);
            out.extend(values.iter().map(|&value| u8::from(value)));
        }
    }
}

fn put_array(kind: u32, len: usize, out: &mut Vec<u8>) {
    out.extend(ARRAY.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend((len as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Event, Reader, Strings, TensorInfo};
    use super::*;
    use crate::quant::Format;

    fn tensor(name: &str, shape: &[usize], format: Format) -> TensorInfo {
        TensorInfo { name: name.into(), shape: shape.to_vec(), format, offset: 0, size_bytes: 0 }
    }

    /// A value of every kind, at its ends, and tensors whose sizes need padding.
    fn header() -> Header {
        let mut words = Strings::default();
        ["", "炉边", "a"].into_iter().for_each(|word| words.push(word));
        let metadata = [
            ("general.alignment", Value::Unsigned(64)),
            ("u32", Value::Unsigned(u32::MAX.into())),
            ("u64", Value::Unsigned(u64::MAX)),
            ("split.no", Value::Unsigned(3)),
            ("i32", Value::Signed(-5)),
            ("i64", Value::Signed(i64::MIN)),
            ("f32", Value::Float(f64::from(1e-5_f32))),
            ("f64", Value::Float(0.1)),
            ("bool", Value::Bool(true)),
            ("string", Value::String("炉边".into())),
            ("strings", Value::Strings(words)),
            ("floats", Value::Floats(vec![0.5, -1.0])),
            ("integers", Value::Integers(vec![i32::MIN, 7])),
            ("tokenizer.ggml.precompiled_charsmap", Value::Integers(vec![0, 255])),
            ("bools", Value::Bools(vec![true, false])),
            ("empty", Value::Integers(Vec::new())),
        ];
        let longest = "n".repeat(MAX_NAME_BYTES);
        Header {
            version: 3,
            metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
            tensors: vec![
                tensor("a", &[3, 2], Format::F32),
                tensor(&longest, &[2, 3, 64], Format::Q8_0),
                tensor("c", &[5], Format::F16),
            ],
        }
    }

    /// Rows of tensor `i`, each byte another.
    fn rows(header: &Header, i: usize) -> Vec<Vec<u8>> {
        let tensor = &header.tensors[i];
        let row_bytes = tensor.format.row_bytes(tensor.cols()).unwrap();
        (0..tensor.rows()).map(|row| (0..row_bytes).map(|byte| (7 * i + 31 * row + byte) as u8).collect()).collect()
    }

    fn written(header: &Header) -> Vec<u8> {
        let (mut writer, mut file) = Writer::new(header).unwrap();
        for i in 0..header.tensors.len() {
            rows(header, i).iter().for_each(|row| writer.push(i, row, &mut file).unwrap());
        }
        writer.finish().unwrap();
        file
    }

    #[test]
    fn what_is_written_is_read_back() {
        let expected = header();
        let file = written(&expected);
        assert!(file.len().is_multiple_of(64));
        let (mut reader, mut found, mut data) = (Reader::new(), Header::default(), vec![Vec::new(); 3]);
        let on = |event: Event| {
            match event {
                Event::Header(header) => found = header,
                Event::Rows { tensor, bytes, .. } => data[tensor].extend_from_slice(bytes),
            }
            Ok(())
        };
        reader.push(&file, on).unwrap();
        reader.finish(|_| Ok(())).unwrap();
        assert_eq!((found.version, &found.metadata), (3, &expected.metadata));
        for (i, (found, expected_tensor)) in found.tensors.iter().zip(&expected.tensors).enumerate() {
            assert_eq!((&found.name, &found.shape), (&expected_tensor.name, &expected_tensor.shape));
            assert_eq!(found.format, expected_tensor.format);
            assert_eq!(data[i], rows(&expected, i).concat());
            assert!(found.offset.is_multiple_of(64));
        }
        assert!(found.file_bytes() <= file.len() as u64 && found.file_bytes() + 64 > file.len() as u64);
    }

    #[test]
    fn numbers_have_the_types_that_are_asked_for() {
        let kind = |key: &str, value: Value| {
            let metadata = BTreeMap::from([(key.to_owned(), value)]);
            let (_, file) = Writer::new(&Header { metadata, ..Header::default() }).unwrap();
            let at = 4 + 4 + 8 + 8 + 8 + key.len();
            [file[at], file[at + 4]]
        };
        assert_eq!(kind("llama.block_count", Value::Unsigned(30))[0], 4);
        assert_eq!(kind("split.count", Value::Unsigned(3))[0], 2);
        assert_eq!(kind("x", Value::Signed(-1))[0], 5);
        assert_eq!(kind("x", Value::Float(10_000.0))[0], 6);
        assert_eq!(kind("x", Value::Float(0.1))[0], 12);
        assert_eq!(kind("x", Value::Bool(true))[0], 7);
        assert_eq!(kind("tokenizer.ggml.token_type", Value::Integers(vec![1])), [9, 5]);
        assert_eq!(kind("tokenizer.ggml.scores", Value::Floats(vec![1.0])), [9, 6]);
        assert_eq!(kind("tokenizer.ggml.precompiled_charsmap", Value::Integers(vec![1])), [9, 0]);
    }

    #[test]
    fn rows_that_are_missing_or_too_many_are_said() {
        let header = header();
        let rows: Vec<_> = (0..3).map(|i| rows(&header, i)).collect();
        let (mut writer, mut out) = Writer::new(&header).unwrap();
        let said = |result: Result<()>, words: &str| {
            let error = result.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        };
        let before = out.len();
        said(writer.push(1, &rows[1][0], &mut out), "those of a are next");
        said(writer.push(9, &rows[1][0], &mut out), "rows of none came");
        said(writer.push(0, &rows[0][0][1..], &mut out), "7 bytes of a came");
        said(writer.push(0, &[0; 32], &mut out), "24 are missing");
        assert_eq!(out.len(), before);
        rows[0].iter().for_each(|row| writer.push(0, row, &mut out).unwrap());
        said(writer.push(0, &rows[0][0], &mut out), "those of nnn");
        rows[1].iter().for_each(|row| writer.push(1, row, &mut out).unwrap());
        said(writer.finish(), "10 bytes of tensor c did not come");
        let (mut writer, _) = Writer::new(&Header { tensors: Vec::new(), ..header }).unwrap();
        said(writer.push(0, &[], &mut out), "those of none are next");
        writer.finish().unwrap();
    }

    #[test]
    fn headers_that_could_not_be_read_are_refused() {
        let refused = |tensors: Vec<TensorInfo>, words: &str| {
            let error = Writer::new(&Header { tensors, ..Header::default() }).err().unwrap();
            assert!(error.to_string().contains(words), "{error}");
        };
        refused(vec![tensor(&"n".repeat(64), &[1], Format::F32)], "63 bytes");
        refused(vec![tensor("a", &[1], Format::F32), tensor("a", &[2], Format::F32)], "two of this name");
        refused(vec![tensor("a", &[1; 5], Format::F32)], "[1, 1, 1, 1, 1]");
        refused(vec![tensor("a", &[3, 0], Format::F32)], "[3, 0]");
        refused(vec![tensor("a", &[2, 33], Format::Q4_0)], "33 numbers are no whole blocks of Q4_0");
        refused(vec![tensor("a", &[usize::MAX, 2, 32], Format::F32)], "larger than any file");
        let metadata = BTreeMap::from([("general.alignment".to_owned(), Value::Unsigned(48))]);
        assert!(Writer::new(&Header { metadata, ..Header::default() }).is_err());
    }
}
