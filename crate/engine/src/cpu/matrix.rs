//! A weight as the CPU executor keeps it, and its product with activations.

use bytemuck::{Pod, Zeroable};

use super::input::{BLOCK, Block, Input};
use super::lanes::{F32x4, HALF_SCALE};
use super::tiles::{self, ROWS, Tile};
use crate::error::{Error, Result};
use crate::program::Weight;
use crate::quant::Format;

/// A matrix `[rows, cols]`, filled row by row, then only read.
pub trait Matrix {
    /// Appends rows as the file stores them: a multiple of [`ROWS`] unless they are the last.
    fn load_rows(&mut self, bytes: &[u8]);

    /// Number of rows: outputs.
    fn rows(&self) -> usize;

    /// Whether products want [`Input::quantize`] first.
    fn wants_blocks(&self) -> bool;

    /// `out[t, row] = Σ W[row, k] x[t, k]` for all rows; `out: [T, rows]`.
    fn product(&self, x: &Input, out: &mut [f32]);

    /// Decodes one row into `out: [cols]`.
    fn row(&self, row: usize, out: &mut [f32]);
}

/// An empty matrix for this weight, with its memory reserved.
pub fn matrix(weight: &Weight) -> Result<Box<dyn Matrix>> {
    match weight.format {
        Format::F32 => Dense::<f32>::boxed(weight),
        Format::F16 => Dense::<F16>::boxed(weight),
        Format::BF16 => Dense::<Bf16>::boxed(weight),
        Format::Q4_0 => Tiled::<tiles::Q4_0>::boxed(weight),
        Format::Q4_1 => Tiled::<tiles::Q4_1>::boxed(weight),
        Format::Q5_0 => Tiled::<tiles::Q5_0>::boxed(weight),
        Format::Q8_0 => Tiled::<tiles::Q8_0>::boxed(weight),
        Format::Q4_K => Tiled::<tiles::Q4K>::boxed(weight),
        Format::Q6_K => Tiled::<tiles::Q6K>::boxed(weight),
    }
}

fn reserve<T>(weight: &Weight, len: usize) -> Result<Vec<T>> {
    let mut data = Vec::new();
    let refused = |_| Error::OutOfMemory { what: weight.name.clone(), bytes: len.saturating_mul(size_of::<T>()) };
    data.try_reserve_exact(len).map_err(refused)?;
    Ok(data)
}

/// Quantized: tiles of sixteen rows, those of the same rows one after the other.
struct Tiled<T> {
    rows: usize,
    cols: usize,
    tiles: Vec<T>,
}

impl<T: Tile> Tiled<T> {
    fn boxed(weight: &Weight) -> Result<Box<dyn Matrix>> {
        let (rows, cols) = (weight.rows, weight.cols);
        let tiles = reserve(weight, rows.div_ceil(ROWS) * (cols / T::FORMAT.block_len()))?;
        Ok(Box::new(Tiled::<T> { rows, cols, tiles }))
    }

    /// Blocks of 32 columns in a tile.
    fn tile_blocks() -> usize {
        T::FORMAT.block_len() / BLOCK
    }

    /// The tiles of rows `ROWS · i` and on.
    fn band(&self, i: usize) -> &[T] {
        let n = self.cols / T::FORMAT.block_len();
        &self.tiles[i * n..(i + 1) * n]
    }

    /// Products of one band with N inputs: `[N][ROWS]`. All quads of a tile come before the next tile, so that weights are
    /// read in the order in which they lie: quad by quad over the band, decoding was 1.4 times slower.
    #[inline(always)]
    fn band_product<const N: usize>(band: &[T], x: [&[Block]; N]) -> [[[f32; 4]; ROWS / 4]; N] {
        let n = Self::tile_blocks();
        let mut sums = [[F32x4::splat(0.0); N]; ROWS / 4];
        for (i, tile) in band.iter().enumerate() {
            let x = x.map(|blocks| &blocks[i * n..(i + 1) * n]);
            for (quad, sums) in sums.iter_mut().enumerate() {
                tile.dot(quad, x, sums);
            }
        }
        std::array::from_fn(|n| std::array::from_fn(|quad| sums[quad][n].to_array()))
    }

    /// Products of a band with tokens `t` to `t + N`.
    #[inline(always)]
    fn tokens<const N: usize>(&self, i: usize, t: usize, x: &Input, out: &mut [f32]) {
        let products = Self::band_product::<N>(self.band(i), std::array::from_fn(|n| x.blocks(t + n)));
        for (n, product) in products.iter().enumerate() {
            let row = &mut out[(t + n) * self.rows..(t + n + 1) * self.rows];
            let row = &mut row[i * ROWS..((i + 1) * ROWS).min(self.rows)];
            row.copy_from_slice(&product.as_flattened()[..row.len()]);
        }
    }
}

impl<T: Tile> Matrix for Tiled<T> {
    fn load_rows(&mut self, bytes: &[u8]) {
        let block_bytes = T::FORMAT.block_bytes();
        let row_bytes = self.cols / T::FORMAT.block_len() * block_bytes;
        let zero = vec![0; block_bytes];
        for band in bytes.chunks(ROWS * row_bytes) {
            for block in (0..row_bytes).step_by(block_bytes) {
                let at = |row: usize| band.get(row * row_bytes + block..).and_then(|rest| rest.get(..block_bytes));
                self.tiles.push(T::pack(std::array::from_fn(|row| at(row).unwrap_or(&zero))));
            }
        }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn wants_blocks(&self) -> bool {
        true
    }

    fn product(&self, x: &Input, out: &mut [f32]) {
        let tokens = x.tokens();
        for i in 0..self.rows.div_ceil(ROWS) {
            let mut t = 0;
            while t + 4 <= tokens {
                self.tokens::<4>(i, t, x, out);
                t += 4;
            }
            while t < tokens {
                self.tokens::<1>(i, t, x, out);
                t += 1;
            }
        }
    }

    /// Column by column, as products with one-hot inputs: slower than unpacking, yet one row a token, and no format needs
    /// an inverse of its packing.
    fn row(&self, row: usize, out: &mut [f32]) {
        let blocks = Self::tile_blocks();
        let mut x = vec![Block::default(); blocks];
        for (tile, out) in self.band(row / ROWS).iter().zip(out.chunks_exact_mut(blocks * BLOCK)) {
            for (k, out) in out.iter_mut().enumerate() {
                x.fill(Block::default());
                x[k / BLOCK] = Block::one_hot(k % BLOCK);
                let mut sums = [F32x4::splat(0.0)];
                tile.dot(row % ROWS / 4, [&x], &mut sums);
                *out = sums[0].to_array()[row % 4];
            }
        }
    }
}

/// A number of an unquantized weight, little-endian in the file and in memory.
trait Number: Pod {
    /// Four of them.
    fn widen(four: [Self; 4]) -> F32x4;
}

impl Number for f32 {
    #[inline(always)]
    fn widen(four: [f32; 4]) -> F32x4 {
        F32x4::from_array(four)
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct F16(u16);

impl Number for F16 {
    #[inline(always)]
    fn widen(four: [F16; 4]) -> F32x4 {
        F32x4::from_half(bytemuck::must_cast(four)).mul(F32x4::splat(HALF_SCALE))
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct Bf16(u16);

impl Number for Bf16 {
    #[inline(always)]
    fn widen(four: [Bf16; 4]) -> F32x4 {
        F32x4::from_bf16(bytemuck::must_cast(four))
    }
}

/// Not quantized: rows as they are.
struct Dense<N> {
    rows: usize,
    cols: usize,
    data: Vec<N>,
}

impl<N: Number> Dense<N> {
    fn boxed(weight: &Weight) -> Result<Box<dyn Matrix>> {
        let (rows, cols) = (weight.rows, weight.cols);
        Ok(Box::new(Dense::<N> { rows, cols, data: reserve(weight, rows * cols)? }))
    }

    fn numbers(&self, row: usize) -> &[N] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }
}

impl<N: Number> Matrix for Dense<N> {
    fn load_rows(&mut self, bytes: &[u8]) {
        self.data.extend(bytes.chunks_exact(size_of::<N>()).map(bytemuck::pod_read_unaligned::<N>));
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn wants_blocks(&self) -> bool {
        false
    }

    fn product(&self, x: &Input, out: &mut [f32]) {
        for row in 0..self.rows {
            let (weights, rest) = self.numbers(row).as_chunks::<4>();
            for (t, out) in out.chunks_exact_mut(self.rows).enumerate() {
                let (x, x_rest) = x.row(t).as_chunks::<4>();
                // Four sums hide the latency of the additions.
                let mut sums = [F32x4::splat(0.0); 4];
                for (i, (w, x)) in weights.iter().zip(x).enumerate() {
                    sums[i % 4] = sums[i % 4].add(N::widen(*w).mul(F32x4::from_array(*x)));
                }
                let rest: f32 = rest.iter().zip(x_rest).map(|(w, x)| N::widen([*w; 4]).to_array()[0] * x).sum();
                out[row] = sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() + rest;
            }
        }
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        for (w, out) in self.numbers(row).iter().zip(out) {
            *out = N::widen([*w; 4]).to_array()[0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of pseudo-random bytes whose scales are sensible: every format's f16 fields are set to small numbers.
    fn random_rows(format: Format, rows: usize, cols: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(format.id().into());
        let mut bytes: Vec<u8> = (0..rows * format.row_bytes(cols).unwrap()).map(|_| random.u8(..)).collect();
        let halves: &[usize] = match format {
            Format::Q4_1 | Format::Q4_K => &[0, 2],
            Format::Q6_K => &[208],
            _ => &[0],
        };
        for block in bytes.chunks_exact_mut(format.block_bytes()) {
            for &at in halves {
                let small = random.f32() - 0.5;
                match format {
                    Format::F32 => block.copy_from_slice(&small.to_le_bytes()),
                    Format::BF16 => block.copy_from_slice(&half::bf16::from_f32(small).to_le_bytes()),
                    _ => block[at..at + 2].copy_from_slice(&half::f16::from_f32(small).to_le_bytes()),
                }
            }
        }
        bytes
    }

    #[test]
    fn rows_come_back_and_products_agree_with_decoding() {
        for format in Format::all() {
            for (rows, blocks, tokens) in [(1, 1, 1), (17, 1, 3), (16, 3, 4), (35, 2, 9)] {
                let cols = blocks * format.block_len().max(32);
                let bytes = random_rows(format, rows, cols);
                let weight = Weight { name: "w".into(), tensor: 0, rows, cols, format };
                let mut matrix = matrix(&weight).unwrap();
                let split = (rows / 2 / ROWS * ROWS) * format.row_bytes(cols).unwrap();
                matrix.load_rows(&bytes[..split]);
                matrix.load_rows(&bytes[split..]);

                let mut decoded = vec![0.0; rows * cols];
                format.decode(&bytes, &mut decoded);
                let mut row = vec![0.0; cols];
                for r in 0..rows {
                    matrix.row(r, &mut row);
                    for (a, b) in row.iter().zip(&decoded[r * cols..]) {
                        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{} row {r}: {a} {b}", format.name());
                    }
                }

                let mut random = fastrand::Rng::with_seed(7);
                let x = (0..tokens * cols).map(|_| random.f32() - 0.5).collect();
                let mut input = Input::default();
                input.clear(cols);
                input.x = x;
                if matrix.wants_blocks() {
                    input.quantize();
                    // Compare with what the blocks stand for, so that only the kernel is tested.
                    let blocks = (0..tokens).flat_map(|t| input.blocks(t).to_vec());
                    input.x = blocks
                        .flat_map(|b| b.pairs.into_iter().flatten().map(move |q| b.scale * f32::from(q)))
                        .collect();
                }
                let mut out = vec![0.0; tokens * rows];
                matrix.product(&input, &mut out);
                for (i, got) in out.iter().enumerate() {
                    let (x, w) = (input.row(i / rows), &decoded[i % rows * cols..][..cols]);
                    let (mut sum, mut size) = (0.0, 0.0);
                    for (x, w) in x.iter().zip(w) {
                        sum += f64::from(x * w);
                        size += f64::from((x * w).abs());
                    }
                    let error = (f64::from(*got) - sum).abs() / size;
                    assert!(error < 1e-6, "{} {rows}×{cols}, token {}: {got} {sum}", format.name(), i / rows);
                }
            }
        }
    }
}
