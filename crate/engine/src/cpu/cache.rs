//! Keys and values of earlier positions, as f16.
//!
//! They lie in pages of 256 positions, so memory grows with the conversation and never moves. A page is laid out for the one
//! loop that reads it (`attention`): rows of sixteen numbers that are scaled and added. Keys: for sixteen positions, a row for
//! each of the head's numbers. Values: for sixteen of the head's numbers, a row for each position.
//!
//! bf16 would save four of the ten instructions that widen sixteen numbers, which three or four query heads share, and be eight
//! times less precise. Halves too small to be normal are stored as zero: widened, they would be subnormal f32, which many
//! machines compute far more slowly.

use half::f16;

use super::lanes::{F32x4, I16x8, I32x4};
use crate::error::{Error, Result};
use crate::program::Config;

/// Positions in a page.
pub const PAGE: usize = 256;

/// Numbers in a row.
pub const WIDTH: usize = 16;

/// Sixteen f16, the halves of a 32-bit lane four apart: numbers 0 and 4, 1 and 5, 2 and 6, 3 and 7, then the other eight.
#[derive(Clone, Copy)]
pub struct Row([[u8; 16]; 2]);

impl Row {
    const ZERO: Row = Row([[0; 16]; 2]);

    fn set(&mut self, i: usize, number: f32) {
        const SMALLEST_NORMAL: f32 = f32::from_bits((127 - 14) << 23);
        let number = if number.abs() < SMALLEST_NORMAL { 0.0 } else { number.clamp(-65504.0, 65504.0) };
        let at = i % 4 * 4 + i % 8 / 4 * 2;
        self.0[i / 8][at..at + 2].copy_from_slice(&f16::from_f32(number).to_bits().to_le_bytes());
    }

    /// The numbers, divided by [`HALF_SCALE`](super::lanes::HALF_SCALE).
    #[inline(always)]
    pub fn widen(&self, mask: I32x4) -> [F32x4; WIDTH / 4] {
        let [a, b] = self.0.map(|bytes| I32x4::from_bits(I16x8::from_bytes(bytes)));
        [a.shl::<16>(), a, b.shl::<16>(), b].map(|lanes| lanes.sar::<3>().and(mask).bits_as_f32())
    }

    /// What [`Row::widen`] keeps of a lane: sign, exponent and mantissa.
    #[inline(always)]
    pub fn mask() -> I32x4 {
        I32x4::splat(std::hint::black_box(0x8fff_e000_u32) as i32)
    }
}

/// One head's keys and values at [`PAGE`] positions.
pub struct Page {
    keys: Vec<Row>,
    values: Vec<Row>,
}

impl Page {
    /// The keys of positions `WIDTH · tile` and on: a row for each of the head's numbers.
    pub fn keys(&self, tile: usize) -> &[Row] {
        let head_dim = self.keys.len() / (PAGE / WIDTH);
        &self.keys[tile * head_dim..(tile + 1) * head_dim]
    }

    /// Numbers `WIDTH · tile` and on of the values: a row for each position.
    pub fn values(&self, tile: usize) -> &[Row] {
        &self.values[tile * PAGE..(tile + 1) * PAGE]
    }
}

/// The pages of one key/value head.
#[derive(Default)]
pub struct Head {
    /// In order.
    pub pages: Vec<Page>,
}

impl Head {
    /// Stores the key and the value of a position.
    fn store(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let (page, at) = (&mut self.pages[position / PAGE], position % PAGE);
        for (i, key_number) in key.iter().enumerate() {
            page.keys[at / WIDTH * key.len() + i].set(at % WIDTH, *key_number);
        }
        for (i, number) in value.iter().enumerate() {
            page.values[i / WIDTH * PAGE + at].set(i % WIDTH, *number);
        }
    }

    /// Stores keys and values at positions `first` and on: those at `key` and `value` in each row of `h: [T, width]`.
    pub fn append(&mut self, first: usize, h: &[f32], width: usize, (key, value): (usize, usize), head_dim: usize) {
        for (t, row) in h.chunks_exact(width).enumerate() {
            self.store(first + t, &row[key..key + head_dim], &row[value..value + head_dim]);
        }
    }
}

/// The keys and values of one layer.
pub struct Cache {
    /// Key/value heads.
    pub heads: Vec<Head>,
    head_dim: usize,
}

impl Cache {
    /// Empty.
    pub fn new(config: &Config) -> Cache {
        let heads = (0..config.n_kv_heads).map(|_| Head::default()).collect();
        Cache { heads, head_dim: config.head_dim }
    }

    /// Makes room for `positions`.
    pub fn reserve(&mut self, positions: usize) -> Result<()> {
        let (keys, values) = (PAGE / WIDTH * self.head_dim, PAGE * self.head_dim.div_ceil(WIDTH));
        for head in &mut self.heads {
            while head.pages.len() * PAGE < positions {
                head.pages.push(Page { keys: rows(keys)?, values: rows(values)? });
            }
        }
        Ok(())
    }
}

fn rows(len: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let refused = |_| Error::OutOfMemory { what: "the conversation".into(), bytes: len * size_of::<Row>() };
    rows.try_reserve_exact(len).map_err(refused)?;
    rows.resize(len, Row::ZERO);
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::super::lanes::HALF_SCALE;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn rows_widen_to_what_was_set() {
        let numbers: [f32; WIDTH] = std::array::from_fn(|i| (i as f32 - 7.3) * 1.7);
        let mut row = Row::ZERO;
        numbers.iter().enumerate().for_each(|(i, number)| row.set(i, *number));
        row.set(3, 1e-6);
        row.set(4, 1e6);
        let widened = row.widen(Row::mask()).map(|v| v.mul(F32x4::splat(HALF_SCALE)).to_array());
        for (i, number) in widened.as_flattened().iter().enumerate() {
            let expected = match i {
                3 => 0.0,
                4 => 65504.0,
                _ => f16::from_f32(numbers[i]).to_f32(),
            };
            assert_eq!(*number, expected, "{i}");
        }
    }
}
