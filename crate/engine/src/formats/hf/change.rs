//! What a tensor's numbers go through between a folder's file and the model, as llama.cpp's converter does it.

use crate::error::Result;
use crate::formats::header::TensorInfo;
use crate::formats::rows::ROW_RUN;
use crate::quant::Format;

/// How a tensor's numbers change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    None,
    /// Plus one, in F32: Gemma's norms multiply by `1 + weight`, and BF16 has no room for the sum.
    PlusOne,
    /// From `[in, out]`, as GPT-2's `Conv1D` has it, to `[out, in]`.
    Transpose,
}

impl Change {
    /// What becomes of the tensor; nothing if it has not the shape for that.
    pub fn target(self, info: TensorInfo) -> Option<TensorInfo> {
        match (self, info.shape.as_slice()) {
            (Change::None, _) => Some(info),
            (Change::PlusOne, &[len]) => {
                let size_bytes = Format::F32.row_bytes(len)? as u64;
                Some(TensorInfo { format: Format::F32, size_bytes, ..info })
            }
            (Change::Transpose, &[rows, cols]) => Some(TensorInfo { shape: vec![cols, rows], ..info }),
            _ => None,
        }
    }
}

/// Changes a tensor's rows as they come.
#[derive(Debug)]
pub struct Changed {
    change: Change,
    format: Format,
    /// Bytes of a row in the file, and of the whole tensor.
    row_bytes: usize,
    size_bytes: usize,
    /// What has come of a tensor that must be whole: no more than one is at any time.
    held: Vec<u8>,
}

impl Changed {
    /// For a tensor that is stored as `rows` rows of `row_bytes` in `format`.
    pub fn new(change: Change, format: Format, rows: usize, row_bytes: usize) -> Changed {
        Changed { change, format, row_bytes, size_bytes: rows * row_bytes, held: Vec::new() }
    }

    /// Takes whole rows; `on` gets the number of the first row and the rows as they are to be.
    pub fn push(
        &mut self,
        first_row: usize,
        bytes: &[u8],
        on: &mut impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        match self.change {
            Change::None => on(first_row, bytes),
            Change::PlusOne => {
                let mut numbers = vec![0.0; bytes.len() / self.format.block_bytes()];
                self.format.decode(bytes, &mut numbers);
                let more: Vec<u8> = numbers.iter().flat_map(|number: &f32| (number + 1.0).to_le_bytes()).collect();
                on(first_row, &more)
            }
            Change::Transpose => {
                self.held.extend_from_slice(bytes);
                match self.held.len() < self.size_bytes {
                    true => Ok(()),
                    false => self.transpose(on),
                }
            }
        }
    }

    /// Hands on the columns of what is held as rows.
    fn transpose(&mut self, on: &mut impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let size = self.format.block_bytes();
        let cols = self.row_bytes / size;
        let mut run = Vec::with_capacity(ROW_RUN * held.len() / cols);
        for first in (0..cols).step_by(ROW_RUN) {
            run.clear();
            for col in first..cols.min(first + ROW_RUN) {
                run.extend(held.chunks_exact(self.row_bytes).flat_map(|row| &row[col * size..(col + 1) * size]));
            }
            on(first, &run)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(change: Change, format: Format, rows: usize, bytes: &[u8], run: usize) -> (Vec<usize>, Vec<u8>) {
        let row_bytes = bytes.len() / rows;
        let mut changed = Changed::new(change, format, rows, row_bytes);
        let (mut firsts, mut out) = (Vec::new(), Vec::new());
        for (i, rows) in bytes.chunks(run * row_bytes).enumerate() {
            let on = &mut |first: usize, bytes: &[u8]| {
                firsts.push(first);
                out.extend_from_slice(bytes);
                Ok(())
            };
            changed.push(i * run, rows, on).unwrap();
        }
        (firsts, out)
    }

    #[test]
    fn one_is_added_in_f32() {
        let small = half::bf16::from_f32(0.01);
        let (_, bytes) = changed(Change::PlusOne, Format::BF16, 1, &small.to_le_bytes(), 1);
        assert_eq!(bytes, (1.0 + small.to_f32()).to_le_bytes());
    }

    #[test]
    fn columns_become_rows_in_runs() {
        // 40 rows of 35 numbers, each telling its place.
        let numbers: Vec<u8> =
            (0..40u16).flat_map(|row| (0..35u16).flat_map(move |col| (row * 100 + col).to_le_bytes())).collect();
        let (firsts, out) = changed(Change::Transpose, Format::F16, 40, &numbers, 16);
        assert_eq!(firsts, [0, 16, 32]);
        let expected: Vec<u8> =
            (0..35u16).flat_map(|col| (0..40u16).flat_map(move |row| (row * 100 + col).to_le_bytes())).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn shapes_must_suit_the_change() {
        let info = |shape: &[usize]| TensorInfo {
            name: "w".into(),
            shape: shape.into(),
            format: Format::BF16,
            offset: 0,
            size_bytes: 2,
        };
        assert_eq!(Change::Transpose.target(info(&[2, 3])).unwrap().shape, [3, 2]);
        assert_eq!(Change::PlusOne.target(info(&[3])).unwrap().size_bytes, 12);
        assert!(Change::Transpose.target(info(&[3])).is_none());
        assert!(Change::PlusOne.target(info(&[1, 3])).is_none());
    }
}
