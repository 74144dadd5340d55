//! The second pass: weights, file by file.

use std::collections::VecDeque;

use super::{File, Want};
use crate::error::{Error, Result};
use crate::formats::header::TensorInfo;
use crate::formats::hf::{Change, Changed, Source};
use crate::formats::rows::{Extent, Rows};

/// A tensor's number in the header, and what its rows go through.
type Tensor = (usize, Changed);

/// The weights of one file.
struct Part {
    file: usize,
    /// The next byte, and the one behind the last.
    next: u64,
    end: u64,
    rows: Rows,
    tensors: Vec<Tensor>,
}

/// The weights of all files.
#[derive(Default)]
pub struct Data {
    files: Vec<File>,
    parts: VecDeque<Part>,
}

impl Data {
    /// Of `files`; add their parts next.
    pub fn new(files: Vec<File>) -> Data {
        Data { files, parts: VecDeque::new() }
    }

    /// Adds a file whose tensors are as they are to be; the first has the number `first` in the header.
    pub fn plain(&mut self, file: usize, first: usize, tensors: &[TensorInfo]) {
        let extents: Vec<_> = tensors.iter().map(Extent::of).collect();
        let change = |(i, (tensor, extent)): (usize, (&TensorInfo, &Extent))| {
            (first + i, Changed::new(Change::None, tensor.format, extent.rows, extent.row_bytes))
        };
        let tensors = tensors.iter().zip(&extents).enumerate().map(change).collect();
        self.add(file, extents, tensors);
    }

    /// Adds a file whose tensors may change; the first has the number `first` in the header.
    pub fn changed(&mut self, file: usize, first: usize, sources: Vec<Source>) {
        let change = |(i, Source { extent, change, format, .. }): (usize, &Source)| {
            (first + i, Changed::new(*change, *format, extent.rows, extent.row_bytes))
        };
        let tensors = sources.iter().enumerate().map(change).collect();
        self.add(file, sources.into_iter().map(|source| source.extent).collect(), tensors);
    }

    fn add(&mut self, file: usize, extents: Vec<Extent>, tensors: Vec<Tensor>) {
        if let (Some(first), Some(last)) = (extents.first(), extents.last()) {
            let (next, end) = (first.offset, last.end());
            self.parts.push_back(Part { file, next, end, rows: Rows::new(extents, next), tensors });
        }
    }

    /// What is to be pushed next; nothing when all has come.
    pub fn wants(&self) -> Option<Want> {
        self.parts.front().map(|part| Want { file: part.file, offset: part.next, bytes: part.end - part.next })
    }

    /// Takes the next bytes; `on` gets a tensor's number in the header, its first row and whole rows.
    pub fn push(&mut self, bytes: &[u8], mut on: impl FnMut(usize, usize, &[u8]) -> Result<()>) -> Result<()> {
        let most = self.wants().map_or(0, |want| want.bytes);
        if bytes.len() as u64 > most {
            return Err(Error::InvalidInput(format!("{} bytes came where {most} were wanted", bytes.len())));
        }
        let Some(part) = self.parts.front_mut() else { return Ok(()) };
        let name = &self.files[part.file].name;
        let tensors = &mut part.tensors;
        part.rows
            .push(bytes, &mut |extent, first_row, bytes| {
                let (tensor, changed) = &mut tensors[extent];
                changed.push(first_row, bytes, &mut |first_row, bytes| on(*tensor, first_row, bytes))
            })
            .map_err(|error| error.of(name))?;
        part.next += bytes.len() as u64;
        if part.next == part.end {
            part.rows.finish().map_err(|error| error.of(name))?;
            self.parts.pop_front();
        }
        Ok(())
    }
}
