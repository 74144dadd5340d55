//! The tensor formats of GGUF: how many bytes a block has and what numbers it stands for.
//!
//! To add one: write `quant/NAME.rs` with `decode`, add a line to the table in `Format`, and a case to
//! `tests/fixtures/make_quants.py`. It then works everywhere by decoding; `cpu/` can give it a packed kernel.
//!
//! Layouts follow ggml's `block_*` structures: a row is a sequence of blocks along the input axis. `d` (and `m`) are
//! little-endian f16 unless said otherwise.

mod floats;
mod iq4_nl;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

pub use iq4_nl::VALUES as IQ4_NL_VALUES;
pub use q4_k::scale_and_min as q4_k_scale_and_min;

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
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
}

/// One line of the format table.
struct Row {
    format: Format,
    name: &'static str,
    /// ggml's type number in the file.
    id: u32,
    /// Numbers in a block.
    block_len: usize,
    /// Bytes in a block.
    block_bytes: usize,
    /// Decodes one block.
    decode: fn(&[u8], &mut [f32]),
}

const TABLE: &[Row] = &[
    Row { format: Format::F32, name: "F32", id: 0, block_len: 1, block_bytes: 4, decode: floats::decode_f32 },
    Row { format: Format::F16, name: "F16", id: 1, block_len: 1, block_bytes: 2, decode: floats::decode_f16 },
    Row { format: Format::BF16, name: "BF16", id: 30, block_len: 1, block_bytes: 2, decode: floats::decode_bf16 },
    Row { format: Format::Q4_0, name: "Q4_0", id: 2, block_len: 32, block_bytes: 18, decode: q4_0::decode },
    Row { format: Format::Q4_1, name: "Q4_1", id: 3, block_len: 32, block_bytes: 20, decode: q4_1::decode },
    Row { format: Format::Q5_0, name: "Q5_0", id: 6, block_len: 32, block_bytes: 22, decode: q5_0::decode },
    Row { format: Format::Q5_1, name: "Q5_1", id: 7, block_len: 32, block_bytes: 24, decode: q5_1::decode },
    Row { format: Format::Q8_0, name: "Q8_0", id: 8, block_len: 32, block_bytes: 34, decode: q8_0::decode },
    Row { format: Format::Q4_K, name: "Q4_K", id: 12, block_len: 256, block_bytes: 144, decode: q4_k::decode },
    Row { format: Format::Q5_K, name: "Q5_K", id: 13, block_len: 256, block_bytes: 176, decode: q5_k::decode },
    Row { format: Format::Q6_K, name: "Q6_K", id: 14, block_len: 256, block_bytes: 210, decode: q6_k::decode },
    Row { format: Format::IQ4_NL, name: "IQ4_NL", id: 20, block_len: 32, block_bytes: 18, decode: iq4_nl::decode },
];

impl Format {
    /// Every format there is, for tests that loop over all of them.
    pub fn all() -> impl Iterator<Item = Format> {
        TABLE.iter().map(|row| row.format)
    }

    /// All names, comma-separated, for error messages.
    pub fn names() -> String {
        TABLE.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
    }

    /// The format with ggml's type number `id`.
    pub fn from_id(id: u32) -> Option<Format> {
        TABLE.iter().find(|row| row.id == id).map(|row| row.format)
    }

    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.format == self).expect("every format has a line in TABLE")
    }

    /// The field's name, such as `Q4_1`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// ggml's type number.
    pub fn id(self) -> u32 {
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

    /// Bytes of a row of `cols` numbers, or `None` when `cols` is not whole blocks or overflows.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        let row = self.row();
        if !cols.is_multiple_of(row.block_len) {
            return None;
        }
        (cols / row.block_len).checked_mul(row.block_bytes)
    }

    /// Decodes whole blocks. Panics unless `bytes` are exactly the blocks of `out`.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        let row = self.row();
        assert_eq!(self.row_bytes(out.len()), Some(bytes.len()), "{} wants whole blocks", row.name);
        for (block, numbers) in bytes.chunks_exact(row.block_bytes).zip(out.chunks_exact_mut(row.block_len)) {
            (row.decode)(block, numbers);
        }
    }
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
            assert_eq!(Format::from_id(format.id()), Some(format));
            assert_eq!(Format::all().filter(|other| other.name() == format.name()).count(), 1);
        }
    }
}
