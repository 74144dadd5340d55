//! LUT4_32 and LUT4_ROW: `w = d · values[q]`, where every row brings sixteen values of its own. Not of ggml: see
//! `formats::gguf`'s extension.
//!
//! ```text
//! LUT4_32    row: 16 × i8 values        | group × ( f16 d | 16 bytes of q )     4.5 + 128 / cols bits a number
//! LUT4_ROW   row: 16 × i8 values, f16 d | group × ( 16 bytes of q )             4   + 144 / cols bits a number
//! ```
//!
//! A group is 32 numbers; byte `i` of its codes holds `q[i]` low and `q[i + 16]` high, as in IQ4_NL, which is the same with one
//! table for all rows. The values may come in any order, and more than once. Group scales and a table that fits the row are
//! any4's (Elhoushi & Johnson 2025).

use super::Format;
use super::nearest::{put_f16, put_nibbles};

/// Numbers in a group.
const GROUP: usize = 32;

/// Where a row keeps its scale in LUT4_ROW, behind the table.
const SCALE: usize = 16;

/// Bytes of a row in front of its groups.
pub const HEADER_32: usize = 16;
/// The same of LUT4_ROW.
pub const HEADER_ROW: usize = SCALE + 2;

/// What codes stand for in a row. Panics where `row` is shorter than its header.
pub fn values(row: &[u8]) -> [i8; 16] {
    std::array::from_fn(|q| row[q] as i8)
}

/// Sixteen bytes of codes.
fn decode_group(codes: &[u8], d: f32, values: [i8; 16], out: &mut [f32]) {
    for (i, byte) in codes.iter().enumerate() {
        out[i] = d * f32::from(values[usize::from(byte & 15)]);
        out[i + 16] = d * f32::from(values[usize::from(byte >> 4)]);
    }
}

/// A whole row of LUT4_32.
pub fn decode_32(row: &[u8], out: &mut [f32]) {
    for (group, out) in row[HEADER_32..].chunks_exact(18).zip(out.chunks_exact_mut(GROUP)) {
        decode_group(&group[2..], super::f16_at(group, 0), values(row), out);
    }
}

/// A whole row of LUT4_ROW.
pub fn decode_row(row: &[u8], out: &mut [f32]) {
    let d = super::f16_at(row, SCALE);
    for (group, out) in row[HEADER_ROW..].chunks_exact(16).zip(out.chunks_exact_mut(GROUP)) {
        decode_group(group, d, values(row), out);
    }
}

/// The bytes of a row of [`Format::LUT4_32`], with a scale for each group of 32, or of [`Format::LUT4_ROW`], with one for all:
/// number `i` is `scale · values[codes[i]]`, the scale rounded to f16. There is no other encoder: which table fits a row best is
/// for others to find.
///
/// Panics if the format is another, if `codes` are no whole groups or not below 16, if scales are missing or too many, or if
/// `bytes` is not as long as the row.
pub fn put_lut4(format: Format, values: [i8; 16], scales: &[f32], codes: &[u8], bytes: &mut [u8]) {
    assert_eq!(format.row_bytes(codes.len()), Some(bytes.len()), "{} wants whole groups", format.name());
    assert!(codes.iter().all(|code| *code < 16), "a code is a place in a table of 16");
    bytes[..16].copy_from_slice(&values.map(|value| value as u8));
    let codes = codes.chunks_exact(GROUP);
    match format {
        Format::LUT4_32 => {
            assert_eq!(scales.len(), codes.len(), "a scale for each group");
            for ((codes, scale), group) in codes.zip(scales).zip(bytes[HEADER_32..].chunks_exact_mut(18)) {
                put_f16(group, 0, *scale);
                put_nibbles(codes, &mut group[2..]);
            }
        }
        Format::LUT4_ROW => {
            assert_eq!(scales.len(), 1, "a scale for the row");
            put_f16(bytes, SCALE, scales[0]);
            codes.zip(bytes[HEADER_ROW..].chunks_exact_mut(16)).for_each(|(codes, group)| put_nibbles(codes, group));
        }
        other => panic!("{} has no table of its own", other.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_was_put() {
        let mut random = fastrand::Rng::with_seed(4);
        let values: [i8; 16] = std::array::from_fn(|_| random.i8(..));
        let codes: Vec<u8> = (0..96).map(|_| random.u8(..16)).collect();
        for (format, scales, bytes) in
            [(Format::LUT4_32, vec![0.5, -0.25, 3.0], 70), (Format::LUT4_ROW, vec![0.125], 66)]
        {
            let mut row = vec![0xaa; bytes];
            put_lut4(format, values, &scales, &codes, &mut row);
            let mut numbers = vec![f32::NAN; 96];
            format.decode(&row, &mut numbers);
            for (i, number) in numbers.iter().enumerate() {
                let scale = scales[i / (96 / scales.len())];
                assert_eq!(*number, scale * f32::from(values[usize::from(codes[i])]), "{} number {i}", format.name());
            }
            // Several rows, each with its own table.
            let mut other = row.clone();
            put_lut4(format, values.map(|value| value / 2), &scales, &codes, &mut other);
            let mut two = vec![f32::NAN; 192];
            format.decode_rows(96, &[row, other].concat(), &mut two);
            assert_eq!(two[..96], numbers);
            let half = |i: usize| scales[i / (96 / scales.len())] * f32::from(values[usize::from(codes[i])] / 2);
            (0..96).for_each(|i| assert_eq!(two[96 + i], half(i), "{} number {i} of the second row", format.name()));
        }
    }
}
