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

mod header;
mod parse;
mod requantize;
mod write;

pub use header::{Header, Strings, TensorInfo, Value};
pub use requantize::Requantizer;
pub use write::Writer;

use crate::error::{Error, Result};
use parse::{Cursor, HeaderParser, Stop};

/// Rows are handed on in multiples of this, except at a tensor's end: the tile height of the CPU kernels.
pub const ROW_RUN: usize = 16;

/// No real header is larger.
const MAX_HEADER_BYTES: usize = 256 << 20;

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
