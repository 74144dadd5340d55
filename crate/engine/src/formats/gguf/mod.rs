//! GGUF, versions 2 and 3, little-endian, read from pushed bytes (ggml's `docs/gguf.md`).
//!
//! ```text
//! "GGUF" | version u32 | tensors u64 | pairs u64
//! pairs   × ( key string | type u32 | value )           string: length u64, bytes; array: type u32, length u64, values
//! tensors × ( name string | dims u32 | dim u64 × dims | type u32 | offset u64 )
//! padding to general.alignment (32) | tensor data, each at its offset
//! ```
//!
//! Formats that ggml does not have are told in `own`.
//!
//! Tensor data is handed on in runs of whole rows, so a model can be repacked while it downloads; besides the last pieces
//! pushed only the header is held. Whatever the file claims, memory is taken only for bytes that arrived.

mod own;
mod parse;
mod requantize;
mod write;

pub use super::header::{Header, Strings, TensorInfo, Value};
pub use super::rows::{Event, ROW_RUN};
pub use requantize::Requantizer;
pub use write::Writer;

use super::rows::{Extent, Rows};
use crate::error::{Error, Result};
use parse::{Cursor, HeaderParser, Stop};

/// No real header is larger.
const MAX_HEADER_BYTES: usize = 256 << 20;

/// Reads a GGUF file's header from pieces of any size.
#[derive(Default)]
pub struct HeaderReader {
    /// Bytes that arrived and are not used up.
    pending: Vec<u8>,
    /// File offset of `pending[0]`.
    offset: u64,
    /// No use parsing before this many bytes are pending.
    wanted: usize,
    parser: HeaderParser,
}

impl HeaderReader {
    /// Takes the next `bytes` of the file; gives the header once it is whole.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Header>> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < self.wanted { Ok(None) } else { self.parse() }
    }

    /// Says that the file has ended: gives the header if it is whole after all.
    pub fn finish(&mut self) -> Result<Header> {
        let have = self.have();
        self.parse()?.ok_or_else(|| {
            let need = self.offset + (self.wanted as u64).max(self.pending.len() as u64 + 1);
            Error::Truncated { what: "the header".into(), have, need }
        })
    }

    /// Bytes that have been pushed.
    pub fn have(&self) -> u64 {
        self.offset + self.pending.len() as u64
    }

    fn parse(&mut self) -> Result<Option<Header>> {
        loop {
            let mut cursor = Cursor { bytes: &self.pending, at: 0, base: self.offset };
            match self.parser.step(&mut cursor) {
                Ok(done) => {
                    let used = cursor.at;
                    self.pending.drain(..used);
                    self.offset += used as u64;
                    self.wanted = 0;
                    if done {
                        return std::mem::take(&mut self.parser).finish(self.offset).map(Some);
                    }
                }
                Err(Stop::Incomplete { need }) => {
                    // A vocabulary arrives over many pieces: try again when it may really be whole, not at each.
                    self.wanted = need.max(self.pending.len() + self.pending.len() / 4);
                    if self.pending.len() > MAX_HEADER_BYTES {
                        let what = format!("it does not end within {MAX_HEADER_BYTES} bytes");
                        return Err(Error::Header { offset: self.offset, what });
                    }
                    return Ok(None);
                }
                Err(Stop::Damaged(error)) => return Err(error),
            }
        }
    }
}

/// Reads a GGUF file from pieces of any size, in one pass.
#[derive(Default)]
pub struct Reader {
    header: HeaderReader,
    /// Once the header is known.
    rows: Option<Rows>,
}

impl Reader {
    /// A reader at the start of a file.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Takes the next `bytes` of the file and hands on what became whole.
    pub fn push(&mut self, bytes: &[u8], mut on: impl FnMut(Event) -> Result<()>) -> Result<()> {
        if let Some(rows) = &mut self.rows {
            return push_rows(rows, bytes, &mut on);
        }
        match self.header.push(bytes)? {
            Some(header) => self.begin(header, &mut on),
            None => Ok(()),
        }
    }

    /// Says that the file has ended. Errors if something is still missing.
    pub fn finish(&mut self, mut on: impl FnMut(Event) -> Result<()>) -> Result<()> {
        if self.rows.is_none() {
            let header = self.header.finish()?;
            self.begin(header, &mut on)?;
        }
        self.rows.as_ref().map_or(Ok(()), Rows::finish)
    }

    fn begin(&mut self, header: Header, on: &mut impl FnMut(Event) -> Result<()>) -> Result<()> {
        let rows = self.rows.insert(Rows::new(header.tensors.iter().map(Extent::of).collect(), self.header.offset));
        on(Event::Header(header))?;
        push_rows(rows, &std::mem::take(&mut self.header.pending), on)
    }
}

fn push_rows(rows: &mut Rows, bytes: &[u8], on: &mut impl FnMut(Event) -> Result<()>) -> Result<()> {
    rows.push(bytes, &mut |tensor, first_row, bytes| on(Event::Rows { tensor, first_row, bytes }))
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
