//! The tensor formats of GGUF: how many bytes a block has, what numbers it stands for, and how numbers are rounded to it.
//!
//! To add one: write `quant/NAME.rs` with `decode` and, if it is to be written too, `encode`, add a line to the table in `Format`, and a case to
//! `tests/fixtures/make_quants.py`. It then works everywhere by decoding; `cpu/` can give it a packed kernel.
//!
//! Layouts follow ggml's `block_*` structures: a row is a sequence of blocks along the input axis, in some formats of our own
//! with a header in front. `d` (and `m`) are little-endian f16 unless said otherwise.

mod floats;
mod iq4_nl;
mod iq4_xs;
mod lut4;
mod mxfp4;
mod nearest;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod s4_16_32;
mod search;

pub use iq4_nl::VALUES as IQ4_NL_VALUES;
pub use iq4_xs::scales as iq4_xs_scales;
pub use lut4::{put_lut4, values as lut4_values};
pub use mxfp4::{VALUES as MXFP4_VALUES, scale as mxfp4_scale};
pub use q3_k::scales as q3_k_scales;
pub use q4_k::scale_and_min as q4_k_scale_and_min;
pub use s4_16_32::{mask as s4_mask, put as put_s4};

use crate::error::{Error, Result};

/// How the numbers of a tensor are stored.
#[allow(non_camel_case_types, missing_docs)] // the field's own names
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
    S4_16_32,
    LUT4_32,
    LUT4_ROW,
}

/// The largest number that F16 has, as scales of blocks are.
const MOST_F16: f32 = 65504.0;

/// One line of the format table.
struct Row {
    format: Format,
    name: &'static str,
    /// ggml's type number in the file; none of formats of our own.
    id: Option<u32>,
    /// Bytes at the beginning of a row that all its blocks need.
    header_bytes: usize,
    /// Numbers in a block.
    block_len: usize,
    /// Bytes in a block.
    block_bytes: usize,
    decode: Decode,
    written: Option<Written>,
}

/// What writing a format takes: its encoder, and llama.cpp's number for files of it, `LLAMA_FTYPE_*`.
type Written = (Encode, u64);

/// Decodes one block, or a whole row where rows have a header.
type Decode = fn(&[u8], &mut [f32]);

/// Encodes one block of finite numbers.
type Encode = fn(&[f32], &mut [u8]);

const fn row(
    format: Format,
    name: &'static str,
    id: u32,
    [block_len, block_bytes]: [usize; 2],
    decode: Decode,
    written: Option<Written>,
) -> Row {
    Row { format, name, id: Some(id), header_bytes: 0, block_len, block_bytes, decode, written }
}

/// The same of a format of our own, which llama.cpp does not know. The number for files of it is then `LLAMA_FTYPE_GUESSED`.
const fn own(
    format: Format,
    name: &'static str,
    header_bytes: usize,
    [block_len, block_bytes]: [usize; 2],
    decode: Decode,
    written: Option<Written>,
) -> Row {
    Row { format, name, id: None, header_bytes, block_len, block_bytes, decode, written }
}

const TABLE: &[Row] = &[
    row(Format::F32, "F32", 0, [1, 4], floats::decode_f32, Some((floats::encode_f32, 0))),
    row(Format::F16, "F16", 1, [1, 2], floats::decode_f16, Some((floats::encode_f16, 1))),
    row(Format::BF16, "BF16", 30, [1, 2], floats::decode_bf16, Some((floats::encode_bf16, 32))),
    row(Format::Q4_0, "Q4_0", 2, [32, 18], q4_0::decode, Some((q4_0::encode, 2))),
    row(Format::Q4_1, "Q4_1", 3, [32, 20], q4_1::decode, Some((q4_1::encode, 3))),
    row(Format::Q5_0, "Q5_0", 6, [32, 22], q5_0::decode, Some((q5_0::encode, 8))),
    row(Format::Q5_1, "Q5_1", 7, [32, 24], q5_1::decode, Some((q5_1::encode, 9))),
    row(Format::Q8_0, "Q8_0", 8, [32, 34], q8_0::decode, Some((q8_0::encode, 7))),
    row(Format::Q2_K, "Q2_K", 10, [256, 84], q2_k::decode, None),
    row(Format::Q3_K, "Q3_K", 11, [256, 110], q3_k::decode, None),
    row(Format::Q4_K, "Q4_K", 12, [256, 144], q4_k::decode, Some((q4_k::encode, 14))),
    row(Format::Q5_K, "Q5_K", 13, [256, 176], q5_k::decode, Some((q5_k::encode, 16))),
    row(Format::Q6_K, "Q6_K", 14, [256, 210], q6_k::decode, Some((q6_k::encode, 18))),
    row(Format::IQ4_NL, "IQ4_NL", 20, [32, 18], iq4_nl::decode, Some((iq4_nl::encode, 25))),
    row(Format::IQ4_XS, "IQ4_XS", 23, [256, 136], iq4_xs::decode, None),
    row(Format::MXFP4, "MXFP4", 39, [32, 17], mxfp4::decode, None),
    own(Format::S4_16_32, "S4_16_32", 0, [32, 14], s4_16_32::decode, Some((s4_16_32::encode, 1024))),
    own(Format::LUT4_32, "LUT4_32", lut4::HEADER_32, [32, 18], lut4::decode_32, None),
    own(Format::LUT4_ROW, "LUT4_ROW", lut4::HEADER_ROW, [32, 16], lut4::decode_row, None),
];

impl Format {
    /// Every format there is, for tests that loop over all of them.
    pub fn all() -> impl Iterator<Item = Format> {
        TABLE.iter().map(|row| row.format)
    }

    /// All names, comma-separated, for error messages.
    pub fn names() -> String {
        names(Format::all())
    }

    /// The format of this name, in letters of either case.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::all().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The format with ggml's type number `id`.
    pub fn from_id(id: u32) -> Option<Format> {
        TABLE.iter().find(|row| row.id == Some(id)).map(|row| row.format)
    }

    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.format == self).expect("every format has a line in TABLE")
    }

    /// The field's name, such as `Q4_1`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// ggml's type number; none where the format is our own, see [`formats::gguf`](crate::formats::gguf).
    pub fn id(self) -> Option<u32> {
        self.row().id
    }

    /// Numbers in a block.
    pub fn block_len(self) -> usize {
        self.row().block_len
    }

    /// Bytes in a block.
    pub fn block_bytes(self) -> usize {
        self.row().block_bytes
    }

    /// Bytes at the beginning of a row, before its blocks: a table that all of them need. Most formats have none.
    pub fn header_bytes(self) -> usize {
        self.row().header_bytes
    }

    /// Bytes of a row of `cols` numbers, or `None` when `cols` is not whole blocks or overflows.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        let row = self.row();
        if !cols.is_multiple_of(row.block_len) {
            return None;
        }
        (cols / row.block_len).checked_mul(row.block_bytes)?.checked_add(row.header_bytes)
    }

    /// Whether numbers can be written in it.
    pub fn encodes(self) -> bool {
        self.row().written.is_some()
    }

    /// llama.cpp's number for files whose matrices are stored in it, if it can be written.
    pub fn file_type(self) -> Option<u64> {
        self.row().written.map(|written| written.1)
    }

    /// Encodes whole blocks, each number rounded to the nearest that its block can say. Errors where the format has no encoder,
    /// where a number is not finite, which would spoil its whole block, or so large that it would not come back; panics
    /// unless `bytes` are exactly the blocks of `numbers`.
    pub fn encode(self, numbers: &[f32], bytes: &mut [u8]) -> Result<()> {
        let row = self.row();
        assert_eq!(self.row_bytes(numbers.len()), Some(bytes.len()), "{} wants whole blocks", row.name);
        let Some((encode, _)) = row.written else {
            let others = names(Format::all().filter(|format| format.encodes()));
            return Err(Error::InvalidInput(format!(
                "{} can only be read; to be written there are {others}",
                row.name
            )));
        };
        if row.block_len > 1
            && let Some(i) = numbers.iter().position(|number| !number.is_finite())
        {
            let what = format!("number {i} of a row is {}: there is no scale for it in {}", numbers[i], row.name);
            return Err(Error::InvalidInput(what));
        }
        for (numbers, block) in numbers.chunks_exact(row.block_len).zip(bytes.chunks_exact_mut(row.block_bytes)) {
            encode(numbers, block);
        }
        self.check_large(numbers, bytes)
    }

    /// Errors if a block does not come back: where a number is too large to be squared, or a scale for F16. No scale is larger than
    /// all numbers of its block, so up to [`MOST_F16`] there is nothing to find.
    fn check_large(self, numbers: &[f32], bytes: &[u8]) -> Result<()> {
        if numbers.iter().all(|number| number.abs() <= MOST_F16) {
            return Ok(());
        }
        let mut decoded = vec![0.0; numbers.len()];
        self.decode(bytes, &mut decoded);
        let len = self.block_len();
        for (numbers, decoded) in numbers.chunks_exact(len).zip(decoded.chunks_exact(len)) {
            let largest = nearest::largest(numbers);
            let dropped = |decoded: f32| self == Format::S4_16_32 && decoded == 0.0;
            let near =
                |(number, decoded): (&f32, &f32)| dropped(*decoded) || (number - decoded).abs() <= largest.abs() / 2.0;
            if largest.is_finite() && !numbers.iter().zip(decoded).all(near) {
                let name = self.name();
                let what = format!("{largest:e} in a row is too large for {name}: store this tensor as BF16 or F32");
                return Err(Error::InvalidInput(what));
            }
        }
        Ok(())
    }

    /// Decodes whole blocks, a row or several; where rows have a header, one row. Panics unless `bytes` are exactly those of
    /// `out`.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        let row = self.row();
        assert_eq!(self.row_bytes(out.len()), Some(bytes.len()), "{} wants whole blocks", row.name);
        if row.header_bytes > 0 {
            return (row.decode)(bytes, out);
        }
        for (block, numbers) in bytes.chunks_exact(row.block_bytes).zip(out.chunks_exact_mut(row.block_len)) {
            (row.decode)(block, numbers);
        }
    }

    /// Decodes rows of `cols` numbers. Panics unless `bytes` are exactly those of `out`.
    pub fn decode_rows(self, cols: usize, bytes: &[u8], out: &mut [f32]) {
        let row_bytes = self.row_bytes(cols).expect("whole blocks");
        assert_eq!(bytes.len() * cols, out.len() * row_bytes, "rows of {cols} numbers in {}", self.name());
        for (bytes, out) in bytes.chunks_exact(row_bytes).zip(out.chunks_exact_mut(cols)) {
            self.decode(bytes, out);
        }
    }
}

fn names(formats: impl Iterator<Item = Format>) -> String {
    formats.map(Format::name).collect::<Vec<_>>().join(", ")
}

/// The little-endian f16 at `at`, as f32.
fn f16_at(bytes: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_whole_blocks() {
        assert_eq!(Format::Q4_1.row_bytes(576), Some(18 * 20));
        assert_eq!(Format::Q4_K.row_bytes(640), None);
        assert_eq!(Format::F32.row_bytes(usize::MAX), None);
    }

    #[test]
    fn numbers_and_names_are_unique() {
        for format in Format::all() {
            assert!(format.id().is_none_or(|id| Format::from_id(id) == Some(format)));
            assert_eq!(Format::all().filter(|other| other.name() == format.name()).count(), 1);
            assert!(
                Format::all()
                    .all(|other| other == format || !format.encodes() || other.file_type() != format.file_type())
            );
        }
    }

    #[test]
    fn numbers_that_are_too_large_are_said() {
        for format in Format::all().filter(|format| format.encodes()) {
            let mut numbers = [1.0; 256];
            let mut bytes = vec![0; format.row_bytes(256).unwrap()];
            numbers[77] = -65000.0;
            format.encode(&numbers, &mut bytes).unwrap();
            numbers[77] = -1e30;
            let found = format.encode(&numbers, &mut bytes);
            let fits = matches!(format, Format::F32 | Format::BF16);
            assert_eq!(found.is_ok(), fits, "{}", format.name());
            let Err(error) = found else { continue };
            let error = error.to_string();
            assert!(error.contains("-1e30") && error.contains(format.name()) && error.contains("as BF16"), "{error}");
            // What is infinite already is not made so.
            numbers[77] = f32::INFINITY;
            assert_eq!(format.encode(&numbers, &mut bytes).is_ok(), format.block_len() == 1);
        }
    }
}
