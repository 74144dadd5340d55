//! Safetensors: a header in JSON, then the tensors' numbers without a gap between them (huggingface/safetensors, README, "Format").
//!
//! ```text
//! n u64 | n bytes: { "name": { "dtype": "BF16", "shape": [out, in], "data_offsets": [begin, end] }, ..., "__metadata__": {...} }
//! data, little-endian and row-major; offsets count from here
//! ```

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::error::{Error, Result};
use crate::formats::header::twice;
use crate::quant::Format;

/// Bytes of the number in front of the header.
pub const LENGTH_BYTES: u64 = 8;

/// What the format allows a header to have.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Kinds of numbers: name, bits of one, and our format where there is one.
const DTYPES: &[(&str, usize, Option<Format>)] = &[
    ("F32", 32, Some(Format::F32)),
    ("F16", 16, Some(Format::F16)),
    ("BF16", 16, Some(Format::BF16)),
    ("F64", 64, None),
    ("I64", 64, None),
    ("U64", 64, None),
    ("I32", 32, None),
    ("U32", 32, None),
    ("I16", 16, None),
    ("U16", 16, None),
    ("I8", 8, None),
    ("U8", 8, None),
    ("BOOL", 8, None),
    ("F8_E4M3", 8, None),
    ("F8_E5M2", 8, None),
];

/// A tensor as the header tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Kind of its numbers, such as `BF16`.
    pub dtype: String,
    /// Row-major, `[out, in]`.
    pub shape: Vec<usize>,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes of data.
    pub size_bytes: u64,
}

impl Entry {
    /// How the numbers are stored. Errors if they are of a kind we have no decoder for.
    pub fn format(&self) -> Result<Format> {
        let known = DTYPES.iter().find(|dtype| dtype.0 == self.dtype).and_then(|dtype| dtype.2);
        known.ok_or_else(|| Error::UnsupportedFormat { tensor: self.name.clone(), found: self.dtype.clone() })
    }
}

/// How many bytes of header follow the first eight of a file of `file_bytes`.
pub fn header_bytes(first: [u8; LENGTH_BYTES as usize], file_bytes: u64) -> Result<u64> {
    let damaged = |what: String| Err(Error::Header { offset: 0, what });
    let len = u64::from_le_bytes(first);
    if first.starts_with(b"version") {
        return damaged("this is Git LFS's note of where the file is, not the file: fetch that (git lfs pull)".into());
    }
    if len > MAX_HEADER_BYTES {
        return damaged(format!("it claims a header of {len} bytes, so this is not a safetensors file"));
    }
    let need = LENGTH_BYTES + len;
    match need <= file_bytes {
        true => Ok(len),
        false => Err(Error::Truncated { what: "the header".into(), have: file_bytes, need }),
    }
}

/// The tensors of a file of `file_bytes` whose header is `json`, in the order of their data, which fills the file without
/// overlap or gap.
pub fn entries(json: &[u8], file_bytes: u64) -> Result<Vec<Entry>> {
    let damaged = |what: String| Error::Header { offset: LENGTH_BYTES, what };
    let Tensors(mut tensors) = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
    if let Some(name) = twice(tensors.iter().map(|(name, _)| name.as_str())) {
        return Err(damaged(format!("there are two tensors called {name}")));
    }
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let start = LENGTH_BYTES + json.len() as u64;
    let mut entries = Vec::new();
    let mut next = 0;
    for (name, tensor) in tensors {
        let [begin, end] = tensor.data_offsets;
        if begin > end {
            return Err(damaged(format!("tensor {name} ends at {end}, before it begins at {begin}")));
        }
        if begin != next {
            let what = if begin < next { "overlaps the one before it" } else { "has a gap before it" };
            return Err(damaged(format!("tensor {name} {what}: it begins at {begin}, the other ends at {next}")));
        }
        let need = start.checked_add(end).ok_or_else(|| damaged(format!("tensor {name} lies beyond any file")))?;
        if need > file_bytes {
            return Err(Error::Truncated { what: format!("tensor {name}"), have: file_bytes, need });
        }
        let wrong = || damaged(format!("tensor {name} of shape {:?} cannot have {} bytes", tensor.shape, end - begin));
        let dims = tensor.shape.iter().map(|&dim| u32::try_from(dim).map(|dim| dim as usize));
        let shape = dims.collect::<Result<Vec<usize>, _>>().map_err(|_| wrong())?;
        if let Some((_, bits, _)) = DTYPES.iter().find(|dtype| dtype.0 == tensor.dtype) {
            let bytes = shape.iter().try_fold(bits / 8, |product, &dim| product.checked_mul(dim));
            if bytes.is_none_or(|bytes| bytes as u64 != end - begin) {
                return Err(wrong());
            }
        }
        next = end;
        entries.push(Entry { name, dtype: tensor.dtype, shape, offset: start + begin, size_bytes: end - begin });
    }
    match start + next == file_bytes {
        true => Ok(entries),
        false => Err(damaged(format!("{} bytes follow the last tensor", file_bytes - start - next))),
    }
}

/// A tensor in the header's JSON.
#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// All of them, in the header's order, those of one name too.
struct Tensors(Vec<(String, Tensor)>);

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tensors, D::Error> {
        deserializer.deserialize_map(TensorsVisitor)
    }
}

struct TensorsVisitor;

impl<'de> Visitor<'de> for TensorsVisitor {
    type Value = Tensors;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("tensors by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tensors, A::Error> {
        let mut tensors = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "__metadata__" => drop(map.next_value::<IgnoredAny>()?),
                _ => tensors.push((name, map.next_value()?)),
            }
        }
        Ok(Tensors(tensors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"__metadata__":{"format":"pt"},
        "b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;

    fn read(json: &str, data: usize) -> Result<Vec<Entry>> {
        entries(json.as_bytes(), LENGTH_BYTES + (json.len() + data) as u64)
    }

    fn refused(json: &str, data: usize, code: &str, words: &str) {
        let error = read(json, data).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error} does not say {words}");
    }

    #[test]
    fn tensors_come_in_the_order_of_their_data() {
        let entries = read(JSON, 22).unwrap();
        let start = LENGTH_BYTES + JSON.len() as u64;
        assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((entries[0].shape.as_slice(), entries[0].format().unwrap()), ([2, 2].as_slice(), Format::F32));
        assert_eq!((entries[1].offset, entries[1].size_bytes), (start + 16, 6));
    }

    #[test]
    fn data_must_fill_the_file() {
        refused(JSON, 21, "truncated", "tensor b");
        refused(JSON, 23, "bad_header", "1 bytes follow");
        refused(&JSON.replace("[16,22]", "[14,20]"), 22, "bad_header", "tensor b overlaps");
        refused(&JSON.replace("[16,22]", "[18,24]"), 24, "bad_header", "tensor b has a gap");
        refused(&JSON.replace("[16,22]", "[16,10]"), 22, "bad_header", "before it begins");
        refused(&JSON.replace("[3]", "[4]"), 22, "bad_header", "cannot have 6 bytes");
        refused(&JSON.replace("[3]", "[18446744073709551615]"), 22, "bad_header", "tensor b of shape");
        refused(&JSON.replace("[2,2]", "[4294967295,4294967295]"), 22, "bad_header", "tensor a of shape");
        refused(&JSON.replace("22]", "18446744073709551615]"), 22, "bad_header", "beyond any file");
        refused(&JSON.replace("\"b\"", "\"a\""), 22, "bad_header", "two tensors called a");
        refused(&JSON.replace("\"dtype\":\"F32\",", ""), 22, "bad_header", "dtype");
    }

    #[test]
    fn other_numbers_and_files_are_named() {
        for (dtype, bytes) in [("F64", 8), ("I64", 8), ("F8_E4M3", 1), ("F4", 1)] {
            let json = format!(r#"{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{bytes}]}}}}"#);
            let error = read(&json, bytes).unwrap()[0].format().unwrap_err();
            assert_eq!(error.code(), "unsupported_format");
            assert!(error.to_string().contains(&format!("w has the type {dtype}")), "{error}");
        }
        assert!(header_bytes(*b"<!doctyp", 900).unwrap_err().to_string().contains("not a safetensors file"));
        assert!(header_bytes(*b"version ", 900).unwrap_err().to_string().contains("Git LFS"));
        assert_eq!(header_bytes(100u64.to_le_bytes(), 107).unwrap_err().code(), "truncated");
        assert_eq!(header_bytes(100u64.to_le_bytes(), 108).unwrap(), 100);
    }

    #[test]
    fn flipped_bytes_never_panic() {
        for at in 0..JSON.len() {
            for flip in [1, 0x10, 0x80, 0xff] {
                let mut json = JSON.as_bytes().to_vec();
                json[at] ^= flip;
                let _ = entries(&json, LENGTH_BYTES + JSON.len() as u64 + 22);
            }
            let _ = entries(&JSON.as_bytes()[..at], LENGTH_BYTES + at as u64);
        }
    }
}
