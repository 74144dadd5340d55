//! What a header says: metadata and where the tensors lie.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::quant::Format;

/// A list of strings in one allocation: a vocabulary of 262,144 pieces costs its text plus 1 MB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String `i`, if there is one.
    pub fn get(&self, i: usize) -> Option<&str> {
        let end = *self.ends.get(i)? as usize;
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        Some(&self.text[start..end])
    }

    /// Appends a string.
    pub fn push(&mut self, string: &str) {
        self.text.push_str(string);
        self.ends.push(u32::try_from(self.text.len()).expect("a header is below 4 GB"));
    }

    /// All strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|i| self.get(i))
    }
}

/// A metadata value. Single integers of every width are widened; lists of them, which are kinds and counts, are kept within
/// 32 bits.
#[allow(missing_docs)] // the names say it
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Strings(Strings),
    Floats(Vec<f32>),
    Integers(Vec<i32>),
    Bools(Vec<bool>),
}

/// Where a tensor lies and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Row-major, `[out, in]`: GGUF's dimensions reversed.
    pub shape: Vec<usize>,
    /// How the numbers are stored.
    pub format: Format,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes of data.
    pub size_bytes: u64,
}

impl TensorInfo {
    /// Numbers in a row: the innermost dimension.
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Number of rows: all other dimensions together.
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }
}

/// Everything before the tensor data.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// GGUF's, 2 or 3; 0 of a folder.
    pub version: u32,
    /// Key–value pairs.
    pub metadata: BTreeMap<String, Value>,
    /// In file order of their data.
    pub tensors: Vec<TensorInfo>,
}

impl Header {
    /// The file's size according to its tensors, in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.offset + tensor.size_bytes).max().unwrap_or(0)
    }

    /// What tensors' places are multiples of, in bytes. Errors if that is not a sensible power of two.
    pub fn alignment(&self) -> Result<u64> {
        let key = "general.alignment";
        let alignment = self.uint(key)?.unwrap_or(32) as u64;
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return Err(bad(key, format!("{alignment} is not a sensible power of two")));
        }
        Ok(alignment)
    }

    /// The tensor called `name` and its number.
    pub fn tensor(&self, name: &str) -> Option<(usize, &TensorInfo)> {
        self.tensors.iter().enumerate().find(|(_, tensor)| tensor.name == name)
    }

    /// An unsigned integer, or `None` if absent. Errors if it is something else.
    pub fn uint(&self, key: &str) -> Result<Option<usize>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(value)) => {
                usize::try_from(*value).map(Some).map_err(|_| bad(key, format!("{value} is too large")))
            }
            Some(Value::Signed(value)) => {
                usize::try_from(*value).map(Some).map_err(|_| bad(key, format!("{value} is out of range")))
            }
            Some(_) => Err(bad(key, "an integer was expected")),
        }
    }

    /// A number, or `None` if absent.
    pub fn float(&self, key: &str) -> Result<Option<f32>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Float(value)) => Ok(Some(*value as f32)),
            Some(Value::Unsigned(value)) => Ok(Some(*value as f32)),
            Some(Value::Signed(value)) => Ok(Some(*value as f32)),
            Some(_) => Err(bad(key, "a number was expected")),
        }
    }

    /// A flag, or `None` if absent.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(bad(key, "a flag was expected")),
        }
    }

    /// A string, or `None` if absent.
    pub fn string(&self, key: &str) -> Result<Option<&str>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(_) => Err(bad(key, "a string was expected")),
        }
    }
}

/// The first that comes for the second time.
pub fn twice<T: Ord + Copy>(items: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    items.into_iter().find(|&item| !seen.insert(item))
}

/// An error about the metadata under `key`.
pub fn bad(key: &str, what: impl Into<String>) -> Error {
    Error::Metadata { key: key.into(), what: what.into() }
}
