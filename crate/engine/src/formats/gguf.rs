//! GGUF, versions 2 and 3, little-endian, read from pushed bytes (ggml's `docs/gguf.md`).
//!
//! ```text
//! "GGUF" | version u32 | tensors u64 | pairs u64
//! pairs   × ( key string | type u32 | value )           string: length u64, bytes; array: type u32, length u64, values
//! tensors × ( name string | dims u32 | dim u64 × dims | type u32 | offset u64 )
//! padding to general.alignment (32) | tensor data, each at its offset
//! ```
//!
//! Tensor data is handed on in runs of whole rows, so a model can be repacked while it downloads; besides the last pieces
//! pushed only the header is held. Whatever the file claims, memory is taken only for bytes that arrived.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::quant::Format;

/// Rows are handed on in multiples of this, except at a tensor's end: the tile height of the CPU kernels.
pub const ROW_RUN: usize = 16;

/// No real header is larger.
const MAX_HEADER_BYTES: usize = 256 << 20;

/// Above this a count or length is damage, not data. (The largest real vocabularies have about 2^18 strings.)
const MAX_COUNT: u64 = 1 << 24;

/// The same for tensors and metadata pairs: the largest models have some thousands.
const MAX_ENTRIES: u64 = 1 << 16;

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
    /// 2 or 3.
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

fn bad(key: &str, what: impl Into<String>) -> Error {
    Error::Metadata { key: key.into(), what: what.into() }
}

/// What comes out of the reader, in this order: one header, then every tensor's rows.
#[derive(Debug)]
pub enum Event<'a> {
    /// Everything before the data.
    Header(Header),
    /// Whole rows of one tensor, a multiple of [`ROW_RUN`] unless they are its last.
    Rows {
        /// Index into [`Header::tensors`].
        tensor: usize,
        /// Number of the first of these rows.
        first_row: usize,
        /// The rows' blocks.
        bytes: &'a [u8],
    },
}

/// Reads a GGUF file from pieces of any size.
#[derive(Default)]
pub struct Reader {
    /// Bytes that arrived and are not used up.
    pending: Vec<u8>,
    /// File offset of `pending[0]`.
    offset: u64,
    /// No use parsing before this many bytes are pending.
    wanted: usize,
    header: HeaderParser,
    /// The data's layout, once the header is known.
    layout: Option<Vec<Extent>>,
    /// The tensor being read and its next row.
    tensor: usize,
    row: usize,
}

struct Extent {
    offset: u64,
    rows: usize,
    row_bytes: usize,
}

impl Reader {
    /// A reader at the start of a file.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Takes the next `bytes` of the file and hands on what became whole.
    pub fn push(&mut self, bytes: &[u8], mut on: impl FnMut(Event) -> Result<()>) -> Result<()> {
        if self.pending.is_empty() && self.layout.is_some() {
            let used = self.read_rows(bytes, &mut on)?;
            self.pending.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        if self.layout.is_none() && (self.pending.len() < self.wanted || !self.parse_header(&mut on)?) {
            return Ok(());
        }
        self.read_pending(&mut on)
    }

    /// Says that the file has ended. Errors if something is still missing.
    pub fn finish(&mut self, mut on: impl FnMut(Event) -> Result<()>) -> Result<()> {
        if self.layout.is_none() && !self.parse_header(&mut on)? {
            let have = self.offset + self.pending.len() as u64;
            let need = self.offset + (self.wanted as u64).max(self.pending.len() as u64 + 1);
            return Err(Error::Truncated { what: "the header".into(), have, need });
        }
        self.read_pending(&mut on)?;
        let layout = self.layout.as_deref().unwrap_or_default();
        match layout.get(self.tensor) {
            None => Ok(()),
            Some(extent) => Err(Error::Truncated {
                what: format!("tensor {} of {}", self.tensor + 1, layout.len()),
                have: self.offset + self.pending.len() as u64,
                need: extent.offset + (extent.rows * extent.row_bytes) as u64,
            }),
        }
    }

    fn parse_header(&mut self, on: &mut impl FnMut(Event) -> Result<()>) -> Result<bool> {
        loop {
            let mut cursor = Cursor { bytes: &self.pending, at: 0, base: self.offset };
            match self.header.step(&mut cursor) {
                Ok(done) => {
                    let used = cursor.at;
                    self.pending.drain(..used);
                    self.offset += used as u64;
                    self.wanted = 0;
                    if done {
                        break;
                    }
                }
                Err(Stop::Incomplete { need }) => {
                    // A vocabulary arrives over many pieces: try again when it may really be whole, not at each.
                    self.wanted = need.max(self.pending.len() + self.pending.len() / 4);
                    if self.pending.len() > MAX_HEADER_BYTES {
                        let what = format!("it does not end within {MAX_HEADER_BYTES} bytes");
                        return Err(Error::Header { offset: self.offset, what });
                    }
                    return Ok(false);
                }
                Err(Stop::Damaged(error)) => return Err(error),
            }
        }
        let header = std::mem::take(&mut self.header).finish(self.offset)?;
        self.layout = Some(
            header
                .tensors
                .iter()
                .map(|tensor| Extent {
                    offset: tensor.offset,
                    rows: tensor.rows(),
                    row_bytes: tensor.format.row_bytes(tensor.cols()).expect("checked in HeaderParser::finish"),
                })
                .collect(),
        );
        on(Event::Header(header))?;
        Ok(true)
    }

    fn read_pending(&mut self, on: &mut impl FnMut(Event) -> Result<()>) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let used = self.read_rows(&pending, on)?;
        self.pending = pending;
        self.pending.drain(..used);
        Ok(())
    }

    /// Hands on the whole row runs at the start of `bytes`; returns how many bytes that used up.
    fn read_rows(&mut self, bytes: &[u8], on: &mut impl FnMut(Event) -> Result<()>) -> Result<usize> {
        let layout = self.layout.as_deref().unwrap_or_default();
        let mut at = 0;
        loop {
            let Some(extent) = layout.get(self.tensor) else {
                at = bytes.len(); // whatever follows the last tensor is padding
                break;
            };
            if self.row == 0 {
                let gap = extent.offset.saturating_sub(self.offset + at as u64);
                at += usize::try_from(gap).unwrap_or(usize::MAX).min(bytes.len() - at);
            }
            let whole = (bytes.len() - at) / extent.row_bytes;
            let left = extent.rows - self.row;
            let rows = if whole >= left { left } else { whole / ROW_RUN * ROW_RUN };
            if rows == 0 && left > 0 {
                break;
            }
            let end = at + rows * extent.row_bytes;
            on(Event::Rows { tensor: self.tensor, first_row: self.row, bytes: &bytes[at..end] })?;
            at = end;
            self.row += rows;
            if self.row == extent.rows {
                self.tensor += 1;
                self.row = 0;
            }
        }
        self.offset += at as u64;
        Ok(at)
    }
}

/// Why a piece of header cannot be read now.
enum Stop {
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
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// File offset of `bytes[0]`.
    base: u64,
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
struct HeaderParser {
    started: bool,
    version: u32,
    tensors_left: usize,
    pairs_left: usize,
    metadata: BTreeMap<String, Value>,
    tensors: Vec<TensorInfo>,
}

impl HeaderParser {
    /// Reads one entry; true once the last is read.
    fn step(&mut self, cursor: &mut Cursor) -> Result<bool, Stop> {
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
            let tensor = Self::tensor(cursor)?;
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

    fn tensor(cursor: &mut Cursor) -> Result<TensorInfo, Stop> {
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
        let Some(format) = Format::from_id(id) else {
            return Err(Error::UnsupportedFormat { tensor: name, found: type_name(id) }.into());
        };
        let row_bytes = format.row_bytes(shape[shape.len() - 1]);
        let rows = shape.iter().rev().skip(1).try_fold(1usize, |product, &dim| product.checked_mul(dim));
        let size = row_bytes.zip(rows).and_then(|(row_bytes, rows)| row_bytes.checked_mul(rows));
        let size_bytes = size.ok_or_else(|| {
            cursor.damaged(format!("tensor {name} of shape {shape:?} cannot be stored as {}", format.name()))
        })? as u64;
        Ok(TensorInfo { name, shape, format, offset, size_bytes })
    }

    /// Turns offsets into file offsets, sorts by them, and checks that no two tensors overlap.
    fn finish(mut self, end: u64) -> Result<Header> {
        let damaged = |what: String| Error::Header { offset: end, what };
        let mut header = Header { version: self.version, metadata: self.metadata, tensors: Vec::new() };
        let alignment = header.uint("general.alignment")?.unwrap_or(32) as u64;
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return Err(bad("general.alignment", format!("{alignment} is not a sensible power of two")));
        }
        let start = end.next_multiple_of(alignment);
        for tensor in &mut self.tensors {
            let offset = tensor.offset.checked_add(start).filter(|o| o.checked_add(tensor.size_bytes).is_some());
            tensor.offset = offset.ok_or_else(|| damaged(format!("tensor {} lies beyond any file", tensor.name)))?;
        }
        self.tensors.sort_by_key(|tensor| tensor.offset);
        let mut names: Vec<&str> = self.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(damaged(format!("there are two tensors called {}", pair[0])));
        }
        for pair in self.tensors.windows(2) {
            if pair[0].offset + pair[0].size_bytes > pair[1].offset {
                return Err(damaged(format!("tensors {} and {} overlap", pair[0].name, pair[1].name)));
            }
        }
        header.tensors = self.tensors;
        Ok(header)
    }
}

/// The name of a ggml type we know of but cannot decode, for a message people can act on.
fn type_name(id: u32) -> String {
    const OTHERS: &[(u32, &str)] = &[
        (7, "Q5_1"),
        (9, "Q8_1"),
        (10, "Q2_K"),
        (11, "Q3_K"),
        (13, "Q5_K"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (20, "IQ4_NL"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (23, "IQ4_XS"),
        (24, "I8"),
        (25, "I16"),
        (26, "I32"),
        (27, "I64"),
        (28, "F64"),
        (29, "IQ1_M"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (39, "MXFP4"),
    ];
    OTHERS.iter().find(|other| other.0 == id).map_or(format!("number {id}"), |other| other.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(s: &str) -> Vec<u8> {
        [&(s.len() as u64).to_le_bytes(), s.as_bytes()].concat()
    }

    /// A version-3 file with one pair, an array, and two tensors: F32 `[2, 3]` and F16 `[40]`.
    fn file() -> Vec<u8> {
        let mut bytes = [b"GGUF".as_slice(), &3u32.to_le_bytes(), &2u64.to_le_bytes(), &2u64.to_le_bytes()].concat();
        bytes.extend([string("n"), 4u32.to_le_bytes().to_vec(), 7u32.to_le_bytes().to_vec()].concat());
        bytes.extend([string("words"), 9u32.to_le_bytes().to_vec(), 8u32.to_le_bytes().to_vec()].concat());
        bytes.extend([2u64.to_le_bytes().to_vec(), string("炉"), string("边")].concat());
        for (name, dims, kind, offset) in [("b", vec![40u64], 1u32, 32u64), ("a", vec![3, 2], 0, 0)] {
            bytes.extend(string(name));
            bytes.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|dim| bytes.extend(dim.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend((0..6).flat_map(|i| (i as f32).to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend((0..40).flat_map(|i| half::f16::from_f32(i as f32).to_le_bytes()));
        bytes
    }

    fn read(pieces: &[&[u8]]) -> Result<(Header, Vec<Vec<u8>>)> {
        let (mut reader, mut header, mut data) = (Reader::new(), None, vec![Vec::new(); 2]);
        let mut on = |event: Event| {
            match event {
                Event::Header(found) => header = Some(found),
                Event::Rows { tensor, bytes, .. } => data[tensor].extend_from_slice(bytes),
            }
            Ok(())
        };
        for piece in pieces {
            reader.push(piece, &mut on)?;
        }
        reader.finish(&mut on)?;
        Ok((header.unwrap(), data))
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        let file = file();
        let (header, data) = read(&[&file]).unwrap();
        assert_eq!(header.uint("n").unwrap(), Some(7));
        let Some(Value::Strings(words)) = header.metadata.get("words") else { panic!("no words") };
        assert_eq!(words.iter().collect::<Vec<_>>(), ["炉", "边"]);
        assert_eq!(header.tensors[0].name, "a");
        assert_eq!(header.tensors[0].shape, [2, 3]);
        assert_eq!(data[0].len(), 24);
        assert_eq!(data[1].len(), 80);
        for size in [1, 2, 7, 31, 64, 333] {
            let pieces: Vec<_> = file.chunks(size).collect();
            assert_eq!(read(&pieces).unwrap().1, data, "pieces of {size}");
        }
    }

    #[test]
    fn cut_off_anywhere_is_said() {
        let file = file();
        for end in 0..file.len() {
            match read(&[&file[..end]]) {
                Err(Error::Truncated { have, need, .. }) => {
                    assert_eq!(have, end as u64);
                    assert!(need > have && need <= file.len() as u64, "at {end}: {need}");
                }
                other => panic!("at {end}: {:?}", other.map(|_| ())),
            }
        }
    }

    #[test]
    fn impossible_counts_are_damage() {
        for at in [8, 16, 24] {
            let mut file = file();
            file[at..at + 8].copy_from_slice(&(1u64 << 60).to_le_bytes());
            let Err(error) = read(&[&file]) else { panic!("accepted") };
            assert_eq!(error.code(), "bad_header");
            assert!(error.to_string().contains("1152921504606846976"), "{error}");
        }
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let file = file();
        for at in 0..file.len() {
            for flip in [1, 0x80, 0xff] {
                let mut file = file.clone();
                file[at] ^= flip;
                let _ = read(&[&file]);
            }
        }
    }

    #[test]
    fn other_files_are_named() {
        assert_eq!(read(&[b"PK\x03\x04 something else"]).err().unwrap().code(), "not_gguf");
        let mut file = file();
        file[4] = 1;
        assert_eq!(read(&[&file]).err().unwrap().code(), "unsupported_version");
    }
}
