//! The header's fields, one entry at a time, from bytes that may not all be here.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::formats::header::{Header, Strings, TensorInfo, Value, twice};
use crate::quant::Format;

use super::own::{I8, Own};

/// Above this a count or length is damage, not data. (The largest real vocabularies have about 2^18 strings.)
const MAX_COUNT: u64 = 1 << 24;

/// The same for tensors and metadata pairs: the largest models have some thousands.
const MAX_ENTRIES: u64 = 1 << 16;

/// Why a piece of header cannot be read now.
pub enum Stop {
    /// More bytes are needed: at least `need` pending ones.
    Incomplete {
        need: usize,
    },
    Damaged(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Damaged(error)
    }
}

/// Little-endian fields from pending bytes.
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    /// File offset of `bytes[0]`.
    pub base: u64,
}

impl<'a> Cursor<'a> {
    fn damaged(&self, what: impl Into<String>) -> Stop {
        Stop::Damaged(Error::Header { offset: self.base + self.at as u64, what: what.into() })
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(n).ok_or(Stop::Incomplete { need: usize::MAX })?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::Incomplete { need: end })?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        Ok(self.take(N)?.try_into().expect("take gives N bytes"))
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self, of: &str) -> Result<usize, Stop> {
        self.count_up_to(MAX_COUNT, of)
    }

    fn count_up_to(&mut self, most: u64, of: &str) -> Result<usize, Stop> {
        let n = self.u64()?;
        if n > most {
            self.at -= 8;
            return Err(self.damaged(format!("it claims {n} {of}")));
        }
        Ok(n as usize)
    }

    fn string(&mut self) -> Result<&'a str, Stop> {
        let n = self.count("bytes in a string")?;
        let start = self.at;
        let bytes = self.take(n)?;
        std::str::from_utf8(bytes).map_err(|_| {
            self.at = start;
            self.damaged("a string is not UTF-8")
        })
    }

    fn value(&mut self) -> Result<Value, Stop> {
        let kind = self.u32()?;
        Ok(match kind {
            8 => Value::String(self.string()?.to_owned()),
            9 => self.values()?,
            _ => self.scalar(kind)?,
        })
    }

    fn scalar(&mut self, kind: u32) -> Result<Value, Stop> {
        Ok(match kind {
            0 => Value::Unsigned(self.array::<1>()?[0].into()),
            1 => Value::Signed(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.array::<1>()?[0] != 0),
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            _ => return Err(self.damaged(format!("{kind} is not a metadata type"))),
        })
    }

    fn values(&mut self) -> Result<Value, Stop> {
        let kind = self.u32()?;
        let n = self.count("values in an array")?;
        if kind == 8 {
            let mut strings = Strings::default();
            for _ in 0..n {
                strings.push(self.string()?);
            }
            return Ok(Value::Strings(strings));
        }
        let (mut floats, mut integers, mut bools) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..n {
            match self.scalar(kind)? {
                Value::Float(value) => floats.push(value as f32),
                Value::Unsigned(value) => integers.push(i32::try_from(value).unwrap_or(i32::MAX)),
                Value::Signed(value) => integers.push(value.clamp(i32::MIN.into(), i32::MAX.into()) as i32),
                Value::Bool(value) => bools.push(value),
                _ => unreachable!("scalar gives scalars"),
            }
        }
        Ok(match kind {
            6 | 12 => Value::Floats(floats),
            7 => Value::Bools(bools),
            _ => Value::Integers(integers),
        })
    }
}

/// The header as far as it was read: one entry a step, so nothing is parsed twice.
#[derive(Default)]
pub struct HeaderParser {
    started: bool,
    version: u32,
    tensors_left: usize,
    pairs_left: usize,
    metadata: BTreeMap<String, Value>,
    /// Once all metadata is read.
    own: Option<Own>,
    tensors: Vec<TensorInfo>,
}

impl HeaderParser {
    /// Reads one entry; true once the last is read.
    pub fn step(&mut self, cursor: &mut Cursor) -> Result<bool, Stop> {
        if !self.started {
            self.start(cursor)?;
        } else if self.pairs_left > 0 {
            let key = cursor.string()?.to_owned();
            let value = cursor.value()?;
            if self.metadata.insert(key.clone(), value).is_some() {
                return Err(cursor.damaged(format!("the key {key} appears twice")));
            }
            self.pairs_left -= 1;
        } else if self.tensors_left > 0 {
            if self.own.is_none() {
                self.own = Some(Own::take(&mut self.metadata)?);
            }
            let tensor = self.tensor(cursor)?;
            self.tensors.push(tensor);
            self.tensors_left -= 1;
        }
        Ok(self.started && self.pairs_left == 0 && self.tensors_left == 0)
    }

    fn start(&mut self, cursor: &mut Cursor) -> Result<(), Stop> {
        let found = cursor.array()?;
        if &found != b"GGUF" {
            return Err(Error::NotGguf { found }.into());
        }
        self.version = cursor.u32()?;
        if !(2..=3).contains(&self.version) {
            return Err(Error::UnsupportedVersion { version: self.version }.into());
        }
        self.tensors_left = cursor.count_up_to(MAX_ENTRIES, "tensors")?;
        self.pairs_left = cursor.count_up_to(MAX_ENTRIES, "metadata pairs")?;
        self.started = true;
        Ok(())
    }

    fn tensor(&self, cursor: &mut Cursor) -> Result<TensorInfo, Stop> {
        let name = cursor.string()?.to_owned();
        let dims = cursor.u32()?;
        if !(1..=4).contains(&dims) {
            return Err(cursor.damaged(format!("tensor {name} has {dims} dimensions")));
        }
        let mut shape = Vec::new();
        for _ in 0..dims {
            let dim = cursor.u64()?;
            let dim = u32::try_from(dim).ok().filter(|&dim| dim > 0);
            shape.push(dim.ok_or_else(|| cursor.damaged(format!("tensor {name} has an impossible size")))? as usize);
        }
        shape.reverse();
        let id = cursor.u32()?;
        let offset = cursor.u64()?;
        let cols = shape.len() - 1;
        let format = match (id, &self.own) {
            (I8, Some(own)) => {
                let format;
                (format, shape[cols]) = own.tensor(&name, shape[cols])?;
                format
            }
            _ => Format::from_id(id)
                .ok_or_else(|| Error::UnsupportedFormat { tensor: name.clone(), found: type_name(id) })?,
        };
        let row_bytes = format.row_bytes(shape[cols]);
        let rows = shape.iter().rev().skip(1).try_fold(1usize, |product, &dim| product.checked_mul(dim));
        let size = row_bytes.zip(rows).and_then(|(row_bytes, rows)| row_bytes.checked_mul(rows));
        let size_bytes = size.ok_or_else(|| {
            cursor.damaged(format!("tensor {name} of shape {shape:?} cannot be stored as {}", format.name()))
        })? as u64;
        Ok(TensorInfo { name, shape, format, offset, size_bytes })
    }

    /// Turns offsets into file offsets, sorts by them, and checks that no two tensors overlap.
    pub fn finish(mut self, end: u64) -> Result<Header> {
        let damaged = |what: String| Error::Header { offset: end, what };
        let own = match self.own {
            Some(own) => own,
            None => Own::take(&mut self.metadata)?,
        };
        let mut header = Header { version: self.version, metadata: self.metadata, tensors: Vec::new() };
        let start = end.next_multiple_of(header.alignment()?);
        for tensor in &mut self.tensors {
            let offset = tensor.offset.checked_add(start).filter(|o| o.checked_add(tensor.size_bytes).is_some());
            tensor.offset = offset.ok_or_else(|| damaged(format!("tensor {} lies beyond any file", tensor.name)))?;
        }
        self.tensors.sort_by_key(|tensor| tensor.offset);
        if let Some(name) = twice(self.tensors.iter().map(|tensor| tensor.name.as_str())) {
            return Err(damaged(format!("there are two tensors called {name}")));
        }
        for pair in self.tensors.windows(2) {
            if pair[0].offset + pair[0].size_bytes > pair[1].offset {
                return Err(damaged(format!("tensors {} and {} overlap", pair[0].name, pair[1].name)));
            }
        }
        header.tensors = self.tensors;
        own.check(&header)?;
        Ok(header)
    }
}

/// The name of a ggml type we know of but cannot decode, for a message people can act on.
fn type_name(id: u32) -> String {
    const OTHERS: &[(u32, &str)] = &[
        (9, "Q8_1"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (25, "I16"),
        (26, "I32"),
        (27, "I64"),
        (28, "F64"),
        (29, "IQ1_M"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
    ];
    OTHERS.iter().find(|other| other.0 == id).map_or(format!("number {id}"), |other| other.1.to_owned())
}
