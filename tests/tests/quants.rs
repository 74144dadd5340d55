//! Tensor formats against the reference, bit by bit, natively and in headless Chrome: `fixtures/make_quants.py` tells what the
//! reference is and made the file.

use hearth_engine::quant::Format;
use serde::Deserialize;
use std::collections::BTreeMap;
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[derive(Deserialize)]
struct Cases {
    decode: BTreeMap<String, Decoded>,
    encode: Encode,
}

#[derive(Deserialize)]
struct Decoded {
    bytes: String,
    numbers: String,
    finite: Vec<(usize, u16)>,
    blocks: usize,
    sum: String,
}

#[derive(Deserialize)]
struct Encode {
    names: Vec<String>,
    rows: String,
    formats: BTreeMap<String, Encoded>,
}

#[derive(Deserialize)]
struct Encoded {
    bytes: String,
    sum: String,
}

/// Numbers in a row that is encoded.
const ROW: usize = 256;

fn cases() -> Cases {
    serde_json::from_str(include_str!("../fixtures/quants.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// From the bits of big-endian f32.
fn numbers(hex: &str) -> Vec<f32> {
    bytes(hex).as_chunks().0.iter().map(|&four| f32::from_be_bytes(four)).collect()
}

/// SplitMix64 from zero, little-endian.
fn random_bytes() -> impl Iterator<Item = u8> {
    (1_u64..).flat_map(|i| {
        let z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31).to_le_bytes()
    })
}

/// Of words in order: Σ word · (2 i + 1), in hexadecimal.
fn checksum(words: impl Iterator<Item = u32>) -> String {
    let sum = words
        .zip((1_u64..).step_by(2))
        .fold(0, |sum: u64, (word, factor)| sum.wrapping_add(u64::from(word).wrapping_mul(factor)));
    format!("{sum:016x}")
}

fn decode(format: Format, bytes: &[u8]) -> Vec<f32> {
    let mut numbers = vec![0.0; bytes.len() / format.block_bytes() * format.block_len()];
    format.decode(bytes, &mut numbers);
    numbers
}

#[wasm_bindgen_test(unsupported = test)]
fn formats_decode_as_the_reference_package_does() {
    let cases = cases().decode;
    for format in Format::all().filter(|format| format.id().is_some()) {
        let case = &cases[format.name()];
        for (i, (a, b)) in decode(format, &bytes(&case.bytes)).iter().zip(numbers(&case.numbers)).enumerate() {
            assert_eq!(a.to_bits(), b.to_bits(), "{} number {i}: {a}, not {b}", format.name());
        }
        let mut blocks: Vec<u8> = random_bytes().take(case.blocks * format.block_bytes()).collect();
        for block in blocks.chunks_exact_mut(format.block_bytes()) {
            for &(at, mask) in &case.finite {
                if u16::from_le_bytes([block[at], block[at + 1]]) & mask == mask {
                    block[at + 1] &= 0xbf;
                }
            }
        }
        let sum = checksum(decode(format, &blocks).iter().map(|number| number.to_bits()));
        assert_eq!(sum, case.sum, "{}, {} blocks", format.name(), case.blocks);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn formats_encode_as_the_references_do() {
    let cases = cases().encode;
    let rows = numbers(&cases.rows);
    let parts: Vec<u8> = random_bytes().take(ROW * ROW * 8).collect();
    let parts = parts.as_chunks::<8>().0.iter().enumerate().map(|(i, parts)| {
        let sum: i32 = parts.as_chunks().0.iter().map(|&two| i32::from(u16::from_le_bytes(two))).sum();
        (sum - 131_070) as f32 * 2_f32.powi((i / ROW % 24) as i32 - 36)
    });
    let many: Vec<f32> = parts.collect();
    for format in Format::all().filter(|&format| format != Format::F32 && format.encodes() && format.id().is_some()) {
        let (name, row_bytes) = (format.name(), format.row_bytes(ROW).unwrap());
        let case = &cases.formats[name];
        let expected = bytes(&case.bytes);
        for ((row, expected), kind) in rows.chunks(ROW).zip(expected.chunks(row_bytes)).zip(&cases.names) {
            let mut found = vec![0xaa; row_bytes];
            // The same bytes also where we say that they are no good.
            let encoded = format.encode(row, &mut found);
            assert!(encoded.is_ok() || row.iter().any(|number| number.abs() > 65504.0), "{name}, row of {kind}");
            for (i, (found, expected)) in
                found.chunks(format.block_bytes()).zip(expected.chunks(format.block_bytes())).enumerate()
            {
                assert_eq!(found, expected, "{name}, row of {kind}, block {i}");
            }
        }
        let mut found = vec![0xaa; ROW * row_bytes];
        format.encode(&many, &mut found).unwrap();
        assert_eq!(checksum(found.into_iter().map(u32::from)), case.sum, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_cannot_be_encoded_is_said() {
    for format in Format::all() {
        let mut numbers = [0.5; ROW];
        let mut bytes = vec![0; format.row_bytes(ROW).unwrap()];
        let Err(error) = format.encode(&numbers, &mut bytes) else {
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                numbers[77] = wrong;
                let result = format.encode(&numbers, &mut bytes);
                assert_eq!(result.is_err(), format.block_len() > 1, "{}", format.name());
            }
            // Whatever numbers are, there is no panic, and what comes back is finite.
            for extreme in [f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), 1e20, -0.0] {
                for (i, number) in numbers.iter_mut().enumerate() {
                    *number = [extreme, -extreme, 0.0, extreme / 3.0][i * i % 7 % 4];
                }
                let large = extreme == f32::MAX || extreme == 1e20;
                let fits = format == Format::F32 || (format == Format::BF16 && extreme == 1e20);
                let written = format.encode(&numbers, &mut bytes).is_ok();
                assert_eq!(written, !large || fits, "{extreme} in {}", format.name());
                if written {
                    let mut back = [0.0_f32; ROW];
                    format.decode(&bytes, &mut back);
                    assert!(back.iter().all(|x| x.is_finite()), "{extreme} in {}", format.name());
                }
            }
            continue;
        };
        assert!(error.to_string().contains(format.name()) && error.to_string().contains("Q8_0"), "{error}");
    }
}
