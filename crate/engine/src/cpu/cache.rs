//! Keys and values of earlier positions, as bytes with a scale for 32 of them: ggml's Q8_0, but scales of 32 bits.
//!
//! They lie in pages of 256 positions, so memory grows with the conversation and never moves. A page is laid out for the one
//! loop that reads it (`attention`): rows of eight columns and two numbers to each, which one instruction multiplies and adds.
//! Keys: the columns are positions, the two are neighbours in the head. Values: the columns are numbers of the head, the two are
//! neighbouring positions.

use std::slice::from_mut;

use bytemuck::bytes_of_mut;

use super::lanes::I16x8;
use crate::error::{Error, Result};
use crate::program::Config;

/// Positions in a page.
pub const PAGE: usize = 256;

/// Columns in a row.
pub const WIDTH: usize = 8;

/// Rows come in multiples of it, for loops that take so many at a time.
pub const STEP: usize = 4;

/// Rows of a tile of keys.
pub fn key_rows(head_dim: usize) -> usize {
    (head_dim / 2).next_multiple_of(STEP)
}

/// Numbers of a head that share a scale.
pub const BLOCK: usize = 32;

/// Eight columns of two numbers.
#[derive(Clone, Copy)]
pub struct Row([[u8; WIDTH]; 2]);

impl Row {
    const ZERO: Row = Row([[0; WIDTH]; 2]);

    fn number(&mut self, column: usize, parity: usize) -> &mut u8 {
        &mut self.0[column / 4][column % 4 * 2 + parity]
    }

    /// As i16, four columns each.
    #[inline(always)]
    pub fn widen(&self) -> [I16x8; 2] {
        self.0.map(I16x8::from_i8)
    }
}

/// One head's keys and values at [`PAGE`] positions.
pub struct Page {
    keys: Vec<Row>,
    values: Vec<Row>,
    key_scales: Vec<f32>,
    value_scales: Vec<f32>,
}

impl Page {
    fn new(head_dim: usize) -> Result<Page> {
        let blocks = head_dim.div_ceil(BLOCK);
        Ok(Page {
            keys: filled(Row::ZERO, PAGE / WIDTH * key_rows(head_dim))?,
            values: filled(Row::ZERO, head_dim.div_ceil(WIDTH) * PAGE / 2)?,
            key_scales: filled(0.0, PAGE * blocks)?,
            value_scales: filled(0.0, PAGE * blocks)?,
        })
    }

    /// The keys of positions `WIDTH · tile` and on: a row for every two of the head's numbers.
    pub fn keys(&self, tile: usize) -> &[Row] {
        let len = self.keys.len() / (PAGE / WIDTH);
        &self.keys[tile * len..(tile + 1) * len]
    }

    /// Their scales: `WIDTH` for each block of the head's numbers.
    pub fn key_scales(&self, tile: usize) -> &[[f32; WIDTH]] {
        let scales = self.key_scales.as_chunks().0;
        let len = scales.len() / (PAGE / WIDTH);
        &scales[tile * len..(tile + 1) * len]
    }

    /// Numbers `WIDTH · tile` and on of the values: a row for every two positions.
    pub fn values(&self, tile: usize) -> &[Row] {
        &self.values[tile * PAGE / 2..(tile + 1) * PAGE / 2]
    }

    /// The scales of a block of the values: one for each position.
    pub fn value_scales(&self, block: usize) -> &[f32] {
        &self.value_scales[block * PAGE..(block + 1) * PAGE]
    }

    /// Stores the key and the value of position `at` of the page.
    fn store(&mut self, at: usize, key: &[f32], value: &[f32]) {
        let blocks = key.len().div_ceil(BLOCK);
        let (tile, column) = (at / WIDTH, at % WIDTH);
        for (block, numbers) in key.chunks(BLOCK).enumerate() {
            let scale = quantize(numbers, |i, code| {
                let i = block * BLOCK + i;
                *self.keys[tile * key_rows(key.len()) + i / 2].number(column, i % 2) = code as u8;
            });
            self.key_scales[(tile * blocks + block) * WIDTH + column] = scale;
        }
        for (block, numbers) in value.chunks(BLOCK).enumerate() {
            let scale = quantize(numbers, |i, code| {
                let i = block * BLOCK + i;
                *self.values[(i / WIDTH * PAGE + at) / 2].number(i % WIDTH, at % 2) = code as u8;
            });
            self.value_scales[block * PAGE + at] = scale;
        }
    }

    /// Shows `each` the bytes of position `at`: the key's codes and scales, then the value's.
    fn visit(&mut self, at: usize, head_dim: usize, each: &mut impl FnMut(&mut [u8])) {
        let blocks = head_dim.div_ceil(BLOCK);
        let (tile, column) = (at / WIDTH, at % WIDTH);
        for i in 0..head_dim {
            each(from_mut(self.keys[tile * key_rows(head_dim) + i / 2].number(column, i % 2)));
        }
        for block in 0..blocks {
            each(bytes_of_mut(&mut self.key_scales[(tile * blocks + block) * WIDTH + column]));
        }
        for i in 0..head_dim {
            each(from_mut(self.values[(i / WIDTH * PAGE + at) / 2].number(i % WIDTH, at % 2)));
        }
        for block in 0..blocks {
            each(bytes_of_mut(&mut self.value_scales[block * PAGE + at]));
        }
    }
}

/// Sets each code in ±127 of `numbers` and returns the scale that they are to be multiplied by.
fn quantize(numbers: &[f32], mut set: impl FnMut(usize, i8)) -> f32 {
    // Smaller than any number that counts, and large enough for 127 / max.
    const SMALLEST: f32 = 1e-30;
    let max = numbers.iter().fold(0.0, |max: f32, number| max.max(number.abs()));
    let (scale, inverse) = if max > SMALLEST { (max / 127.0, 127.0 / max) } else { (0.0, 0.0) };
    numbers.iter().enumerate().for_each(|(i, number)| set(i, (number * inverse).round_ties_even() as i8));
    scale
}

/// The pages of one key/value head.
#[derive(Default)]
pub struct Head {
    /// In order.
    pub pages: Vec<Page>,
}

impl Head {
    /// Stores keys and values at positions `first` and on: those at `key` and `value` in each row of `h: [T, width]`.
    pub fn append(&mut self, first: usize, h: &[f32], width: usize, (key, value): (usize, usize), head_dim: usize) {
        for (position, row) in (first..).zip(h.chunks_exact(width)) {
            let (key, value) = (&row[key..key + head_dim], &row[value..value + head_dim]);
            self.pages[position / PAGE].store(position % PAGE, key, value);
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

    /// Bytes of a position's keys and values.
    pub fn bytes_per_position(&self) -> usize {
        let scales = self.head_dim.div_ceil(BLOCK) * size_of::<f32>();
        2 * self.heads.len() * (self.head_dim.next_multiple_of(WIDTH) + scales)
    }

    /// Bytes of a position that [`Cache::visit`] shows.
    pub fn saved_bytes(&self) -> usize {
        2 * self.heads.len() * (self.head_dim + self.head_dim.div_ceil(BLOCK) * size_of::<f32>())
    }

    /// Shows `each` all bytes of the first `positions`, head by head, to save or to set them. Panics if there is no room for them.
    pub fn visit(&mut self, positions: usize, each: &mut impl FnMut(&mut [u8])) {
        for head in &mut self.heads {
            for position in 0..positions {
                head.pages[position / PAGE].visit(position % PAGE, self.head_dim, each);
            }
        }
    }

    /// Makes room for `positions`.
    pub fn reserve(&mut self, positions: usize) -> Result<()> {
        for head in &mut self.heads {
            while head.pages.len() * PAGE < positions {
                head.pages.push(Page::new(self.head_dim)?);
            }
        }
        Ok(())
    }
}

fn filled<T: Copy>(with: T, len: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    let refused = |_| Error::OutOfMemory { what: "the conversation".into(), bytes: len * size_of::<T>() };
    vec.try_reserve_exact(len).map_err(refused)?;
    vec.resize(len, with);
    Ok(vec)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_stored_is_near_and_where_it_belongs() {
        let e = 40;
        let mut random = fastrand::Rng::with_seed(1);
        let h: Vec<f32> = (0..9 * 2 * e).map(|_| random.f32() * 6.0 - 3.0).collect();
        let mut head = Head { pages: vec![Page::new(e).unwrap()] };
        head.append(0, &h, 2 * e, (0, e), e);
        let page = &head.pages[0];
        let code =
            |row: &Row, column: usize, parity: usize| f32::from(row.0[column / 4][column % 4 * 2 + parity] as i8);
        for (at, row) in h.chunks_exact(2 * e).enumerate() {
            let (tile, column) = (at / WIDTH, at % WIDTH);
            for i in 0..e {
                let key = code(&page.keys(tile)[i / 2], column, i % 2) * page.key_scales(tile)[i / BLOCK][column];
                let value = code(&page.values(i / WIDTH)[at / 2], i % WIDTH, at % 2) * page.value_scales(i / BLOCK)[at];
                let near = |stored: f32, number: f32| (stored - number).abs() <= 3.0 / 254.0 + 1e-6;
                assert!(near(key, row[i]) && near(value, row[e + i]), "{at} {i}: {key} {value} {row:?}");
            }
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn numbers_too_small_or_not_finite_are_codes_too() {
        for numbers in [[1e-38; 4], [0.0; 4], [f32::NAN; 4], [f32::INFINITY, 1.0, -1.0, 0.0]] {
            let mut codes = Vec::new();
            quantize(&numbers, |_, code| codes.push(code));
            assert_eq!(codes.len(), 4);
            assert!(codes.iter().all(|code| *code == 0), "{numbers:?}: {codes:?}");
        }
    }
}
