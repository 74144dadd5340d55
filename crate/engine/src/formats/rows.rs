//! Tensor data from pushed bytes: whole rows, many at a time, so that a model can be repacked while it arrives. Besides the
//! last pieces pushed nothing is held.

use super::header::{Header, TensorInfo};
use crate::error::{Error, Result};

/// Rows are handed on in multiples of this, except at a tensor's end: the tile height of the CPU kernels.
pub const ROW_RUN: usize = 16;

/// What comes out of a reader, in this order: one header, then every tensor's rows.
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

/// Where a tensor's rows lie in a file.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Number of rows.
    pub rows: usize,
    /// Bytes of a row; at least one.
    pub row_bytes: usize,
}

impl Extent {
    /// Of a tensor whose shape and format were checked. Panics if they were not.
    pub fn of(tensor: &TensorInfo) -> Extent {
        let row_bytes = tensor.format.row_bytes(tensor.cols()).expect("checked in the header");
        Extent { offset: tensor.offset, rows: tensor.rows(), row_bytes }
    }

    /// The first byte behind the tensor.
    pub fn end(&self) -> u64 {
        self.offset + (self.rows * self.row_bytes) as u64
    }
}

/// Cuts a stretch of a file into rows.
pub struct Rows {
    /// In the order of their offsets, without overlap.
    extents: Vec<Extent>,
    /// The extent being read and its next row.
    extent: usize,
    row: usize,
    /// Bytes that arrived and are not used up.
    pending: Vec<u8>,
    /// File offset of `pending[0]`.
    offset: u64,
}

impl Rows {
    /// For these extents, in the order of their offsets; the first byte pushed is the file's at `offset`.
    pub fn new(extents: Vec<Extent>, offset: u64) -> Rows {
        Rows { extents, extent: 0, row: 0, pending: Vec::new(), offset }
    }

    /// Takes the next `bytes` of the file; `on` gets the number of the extent, its first row and whole rows.
    pub fn push(&mut self, bytes: &[u8], on: &mut impl FnMut(usize, usize, &[u8]) -> Result<()>) -> Result<()> {
        if self.pending.is_empty() {
            let used = self.read(bytes, on)?;
            self.pending.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let used = self.read(&pending, on)?;
        self.pending = pending;
        self.pending.drain(..used);
        Ok(())
    }

    /// Says that the file has ended. Errors if a row is still missing.
    pub fn finish(&self) -> Result<()> {
        match self.extents.get(self.extent) {
            None => Ok(()),
            Some(extent) => Err(Error::Truncated {
                what: format!("tensor {} of {}", self.extent + 1, self.extents.len()),
                have: self.offset + self.pending.len() as u64,
                need: extent.end(),
            }),
        }
    }

    /// Hands on the whole row runs at the start of `bytes`; returns how many bytes that used up.
    fn read(&mut self, bytes: &[u8], on: &mut impl FnMut(usize, usize, &[u8]) -> Result<()>) -> Result<usize> {
        let mut at = 0;
        loop {
            let Some(extent) = self.extents.get(self.extent) else {
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
            on(self.extent, self.row, &bytes[at..end])?;
            at = end;
            self.row += rows;
            if self.row == extent.rows {
                self.extent += 1;
                self.row = 0;
            }
        }
        self.offset += at as u64;
        Ok(at)
    }
}
