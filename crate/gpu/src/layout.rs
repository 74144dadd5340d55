//! How the rows of a weight lie on the device, without loss: codes, their high bits, scales and what scales have in common
//! are *regions* of one buffer, each linear in the weight's blocks of 32 numbers, so that neighbouring lanes read neighbouring
//! words. Columns are filled up to whole blocks with zeros.
//!
//! To add a format: a line in `layout`, and if its codes or scales are like no other's, a file in `shaders/formats`.

use hearth_engine::quant::{Format, MXFP4_VALUES, iq4_xs_scales, lut4_values, q3_k_scales, s4_mask};

use crate::kernels::Product;

/// Numbers in a block.
pub const BLOCK: usize = 32;

/// Regions of a weight, in the order they have in its buffer.
pub const REGIONS: usize = 4;

/// How a format lies on the device.
pub struct Layout {
    /// WGSL of `W_codes`, with `W_words` where there are `codes`, and of `W_scales`.
    pub shaders: [&'static str; 2],
    /// Bytes of each region for `per` numbers: codes, high bits, scales, common scale.
    bytes: [usize; REGIONS],
    /// Numbers that `bytes` and `split` are for: a block or eight.
    per: usize,
    /// The code that stands for zero.
    pub zero: f32,
    /// What kernels that multiply codes must know; none where numbers are no whole codes times a scale.
    pub codes: Option<Codes>,
    /// Appends the regions' bytes of `per` numbers as the file stores them.
    split: fn(&[u8], &mut [Vec<u8>; REGIONS]),
}

/// Codes that a shader's `W_words` gives, four bytes to a word.
#[derive(Clone, Copy)]
pub struct Codes {
    /// Whether bytes are signed; if not, they are below 128.
    pub signed: bool,
    /// Whether there is something to subtract.
    pub least: bool,
    /// Scales of a block, each for as many of its numbers.
    pub parts: usize,
}

const UNSIGNED: Option<Codes> = Some(Codes { signed: false, least: true, parts: 1 });
const SIGNED: Option<Codes> = Some(Codes { signed: true, least: false, parts: 1 });
const HALVES: Option<Codes> = Some(Codes { signed: false, least: true, parts: 2 });

macro_rules! wgsl {
    ($($name:literal),+) => {
        concat!($(include_str!(concat!("shaders/formats/", $name, ".wgsl"))),+)
    };
}

/// The layout of a format.
pub fn layout(format: Format) -> Layout {
    let half = wgsl!("scales_half");
    let pair = wgsl!("scales_pair");
    let one = wgsl!("scales_one");
    let row = |shaders, codes, bytes, per, zero, split| Layout { shaders, bytes, per, zero, codes, split };
    match format {
        Format::F32 => row([wgsl!("codes_f32"), one], None, [128, 0, 0, 0], BLOCK, 0.0, plain),
        Format::F16 => row([wgsl!("four_f16", "codes16"), one], None, [64, 0, 0, 0], BLOCK, 0.0, plain),
        Format::BF16 => row([wgsl!("four_bf16", "codes16"), one], None, [64, 0, 0, 0], BLOCK, 0.0, plain),
        Format::Q4_0 => row([wgsl!("words4"), half], UNSIGNED, [16, 0, 2, 0], BLOCK, 8.0, q4_0),
        Format::Q4_1 => row([wgsl!("words4"), pair], UNSIGNED, [16, 0, 4, 0], BLOCK, 0.0, q4_1),
        Format::Q5_0 => row([wgsl!("words5", "unsigned"), half], UNSIGNED, [16, 4, 2, 0], BLOCK, 16.0, q5_0),
        Format::Q5_1 => row([wgsl!("words5", "unsigned"), pair], UNSIGNED, [16, 4, 4, 0], BLOCK, 0.0, q5_1),
        Format::Q8_0 => row([wgsl!("words8", "signed"), half], SIGNED, [32, 0, 2, 0], BLOCK, 0.0, q8_0),
        Format::Q2_K => {
            row([wgsl!("words2", "unsigned"), wgsl!("scales_k2")], HALVES, [64, 0, 16, 4], 8 * BLOCK, 0.0, q2_k)
        }
        Format::Q3_K => {
            row([wgsl!("words3", "unsigned"), wgsl!("scales_k6")], HALVES, [64, 32, 16, 4], 8 * BLOCK, 4.0, q3_k)
        }
        Format::Q4_K => row([wgsl!("words4"), wgsl!("scales_k4")], UNSIGNED, [128, 0, 16, 0], 8 * BLOCK, 0.0, q4_k),
        Format::Q5_K => {
            row([wgsl!("words5", "unsigned"), wgsl!("scales_k4")], UNSIGNED, [128, 32, 16, 0], 8 * BLOCK, 0.0, q5_k)
        }
        Format::Q6_K => {
            row([wgsl!("words6", "unsigned"), wgsl!("scales_k6")], HALVES, [128, 64, 16, 4], 8 * BLOCK, 32.0, q6_k)
        }
        // Its nibbles are the places of a table.
        Format::IQ4_NL => row([wgsl!("words4_nl", "signed"), half], SIGNED, [16, 0, 2, 0], BLOCK, 0.0, q4_0),
        // Its scales are those of halves, each twice: 148 bytes for 256 numbers, of which the file has 136.
        Format::IQ4_XS => {
            row([wgsl!("words4_nl", "signed"), wgsl!("scales_k6")], SIGNED, [128, 0, 16, 4], 8 * BLOCK, 0.0, iq4_xs)
        }
        // Five bits, of what its nibbles stand for, need no second table: 21 bytes for 32 numbers, of which the file has 17.
        Format::MXFP4 => {
            row([wgsl!("words5", "unsigned"), wgsl!("scales_power")], UNSIGNED, [16, 4, 1, 0], BLOCK, 12.0, mxfp4)
        }
        // What is not kept gets the code of zero: 18 bytes for 32 numbers, of which the file has 14.
        Format::S4_16_32 => row([wgsl!("words4"), half], UNSIGNED, [16, 0, 2, 0], BLOCK, 8.0, s4),
        // The bytes that its codes stand for: 34 for 32 numbers, of which the file has 18 or 16 and a header.
        Format::LUT4_32 | Format::LUT4_ROW => {
            row([wgsl!("words8", "signed"), half], SIGNED, [32, 0, 2, 0], BLOCK, 0.0, q8_0)
        }
    }
}

impl Layout {
    /// How products with it are made where `product` is asked for: what has no codes is multiplied as it is.
    pub fn product(&self, product: Product) -> Product {
        match product {
            Product::Codes | Product::Bytes if self.codes.is_none() => Product::F32,
            product => product,
        }
    }

    /// Bytes of each region for a row of `blocks` blocks.
    pub fn row_bytes(&self, blocks: usize) -> [usize; REGIONS] {
        self.bytes.map(|bytes| bytes * blocks * BLOCK / self.per)
    }

    /// Numbers that a row is filled up to multiples of.
    pub fn per(&self) -> usize {
        self.per
    }

    /// Appends the regions of a row; `cols` numbers of `format` in `bytes`.
    pub fn split(&self, format: Format, cols: usize, bytes: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
        if let Format::LUT4_32 | Format::LUT4_ROW = format {
            return looked_up(format, bytes).iter().for_each(|block| (self.split)(block, regions));
        }
        let size = self.per / format.block_len() * format.block_bytes();
        let whole = bytes.len() / size * size;
        bytes[..whole].chunks_exact(size).for_each(|chunk| (self.split)(chunk, regions));
        if !cols.is_multiple_of(self.per) {
            let mut last = bytes[whole..].to_vec();
            last.resize(size, 0);
            (self.split)(&last, regions);
        }
    }
}

/// Numbers that need no taking apart.
fn plain(bytes: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    regions[0].extend_from_slice(bytes);
}

/// Four bits of each of 32 codes: a word has eight neighbours, the first four in its bytes' low nibbles.
fn put_nibbles(codes: &[u8], out: &mut Vec<u8>) {
    for eight in codes.as_chunks::<8>().0 {
        out.extend((0..4).map(|b| eight[b] & 15 | (eight[b + 4] & 15) << 4));
    }
}

/// One more bit of 32 codes, the lowest of `bit(i)`: a word, whose byte b has those of numbers 4g + b in bit g.
fn put_bits(bit: impl Fn(usize) -> u8, out: &mut Vec<u8>) {
    out.extend((0..4).map(|b| (0..8).fold(0, |byte, g| byte | (bit(4 * g + b) & 1) << g)));
}

/// Two bits of each of 32 codes: a word for each half, whose byte b has those of numbers 4g + b in bits 2g and 2g + 1.
fn put_twos(codes: &[u8; BLOCK], out: &mut Vec<u8>) {
    for half in codes.as_chunks::<16>().0 {
        out.extend((0..4).map(|b| (0..4).fold(0, |byte, g| byte | (half[4 * g + b] & 3) << (2 * g))));
    }
}

/// The codes of a block of ggml's: its low nibbles are the first sixteen numbers.
fn ggml_nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|i| bytes[i % 16] >> (i / 16 * 4) & 15)
}

fn q4_0(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    put_nibbles(&ggml_nibbles(&block[2..]), &mut regions[0]);
    regions[2].extend_from_slice(&block[..2]);
}

fn q4_1(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    put_nibbles(&ggml_nibbles(&block[4..]), &mut regions[0]);
    regions[2].extend_from_slice(&block[..4]);
}

fn q5_0(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    put_nibbles(&ggml_nibbles(&block[6..]), &mut regions[0]);
    put_bits(|i| block[2 + i / 8] >> (i % 8), &mut regions[1]);
    regions[2].extend_from_slice(&block[..2]);
}

fn q5_1(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    put_nibbles(&ggml_nibbles(&block[8..]), &mut regions[0]);
    put_bits(|i| block[4 + i / 8] >> (i % 8), &mut regions[1]);
    regions[2].extend_from_slice(&block[..4]);
}

fn q8_0(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    regions[0].extend_from_slice(&block[2..]);
    regions[2].extend_from_slice(&block[..2]);
}

/// The nibbles of eight blocks, an even one low and the odd one after it high in 32 bytes.
fn put_k_nibbles(bytes: &[u8], out: &mut Vec<u8>) {
    for pair in bytes.as_chunks::<BLOCK>().0 {
        put_nibbles(pair, out);
        put_nibbles(&pair.map(|byte| byte >> 4), out);
    }
}

/// Two bits of eight blocks, four of them in 32 bytes.
fn put_k_twos(bytes: &[u8], out: &mut Vec<u8>) {
    for four in bytes.as_chunks::<BLOCK>().0 {
        (0..4).for_each(|j| put_twos(&four.map(|byte| byte >> (2 * j)), out));
    }
}

/// The f16 at `at` as f32: it is often below the smallest normal one, which a device may take for zero.
fn put_common(block: &[u8], at: usize, out: &mut Vec<u8>) {
    let d = half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    out.extend_from_slice(&d.to_le_bytes());
}

fn q2_k(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    put_k_twos(&block[16..80], &mut regions[0]);
    regions[2].extend_from_slice(&block[..16]);
    regions[3].extend_from_slice(&block[80..]);
}

fn q3_k(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    put_k_twos(&block[32..96], &mut regions[0]);
    (0..8).for_each(|j| put_bits(|i| block[i] >> j, &mut regions[1]));
    regions[2].extend(q3_k_scales(block).map(|scale| scale as u8));
    put_common(block, 108, &mut regions[3]);
}

fn q4_k(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    put_k_nibbles(&block[16..], &mut regions[0]);
    regions[2].extend_from_slice(&block[..16]);
}

fn q5_k(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    put_k_nibbles(&block[48..], &mut regions[0]);
    (0..8).for_each(|j| put_bits(|i| block[16 + i] >> j, &mut regions[1]));
    regions[2].extend_from_slice(&block[..16]);
}

fn q6_k(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    for j in 0..8 {
        let (low, high) = (&block[j / 4 * 64 + j % 2 * BLOCK..][..BLOCK], &block[128 + j / 4 * BLOCK..][..BLOCK]);
        let codes: [u8; BLOCK] =
            std::array::from_fn(|i| low[i] >> (j % 4 / 2 * 4) & 15 | (high[i] >> (j % 4 * 2) & 3) << 4);
        put_nibbles(&codes, &mut regions[0]);
        put_twos(&codes.map(|code| code >> 4), &mut regions[1]);
    }
    regions[2].extend_from_slice(&block[192..208]);
    put_common(block, 208, &mut regions[3]);
}

fn iq4_xs(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    for codes in block[8..].as_chunks::<16>().0 {
        put_nibbles(&ggml_nibbles(codes), &mut regions[0]);
    }
    regions[2].extend(iq4_xs_scales(block).into_iter().flat_map(|scale| [scale as u8; 2]));
    put_common(block, 0, &mut regions[3]);
}

fn mxfp4(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    let codes = ggml_nibbles(&block[1..]).map(|place| (MXFP4_VALUES[usize::from(place)] + 12) as u8);
    put_nibbles(&codes, &mut regions[0]);
    put_bits(|i| codes[i] >> 4, &mut regions[1]);
    regions[2].push(block[0]);
}

fn s4(block: &[u8], regions: &mut [Vec<u8>; REGIONS]) {
    let mask = s4_mask(block);
    let code = |i: usize| {
        let place = (mask & ((1 << i) - 1)).count_ones() as usize;
        if mask >> i & 1 == 1 { block[6 + place / 2] >> (place % 2 * 4) & 15 } else { 8 }
    };
    put_nibbles(&std::array::from_fn::<_, BLOCK, _>(code), &mut regions[0]);
    regions[2].extend_from_slice(&block[..2]);
}

/// The blocks of Q8_0 that a row with a table is.
fn looked_up(format: Format, row: &[u8]) -> Vec<[u8; 34]> {
    let values = lut4_values(row);
    let (header, groups) = row.split_at(format.header_bytes());
    let block = |group: &[u8]| {
        let (codes, d) = match format {
            Format::LUT4_32 => (&group[2..], &group[..2]),
            _ => (group, &header[16..]),
        };
        let mut block = [0; 34];
        block[..2].copy_from_slice(d);
        let bytes = ggml_nibbles(codes).map(|code| values[usize::from(code)] as u8);
        block[2..].copy_from_slice(&bytes);
        block
    };
    groups.chunks_exact(format.block_bytes()).map(block).collect()
}
