//! A weight as the CPU executor keeps it, and its product with activations.

use std::ops::Range;

use super::along::{Lut32, LutRow, Sparse};
use super::codes::{Masks, QUADS, ROWS};
use super::dense::{Bf16, Dense, F16};
use super::divide::Strip;
use super::dots::{self, Dots, unroll};
use super::input::{BLOCK, Block, Forms, Input};
use super::lanes::{F32x4, RELAXED};
use super::tiles::{self, Ranged, Scaled, Tile};
use super::tiles_k::{Q2K, RangedK, ScaledK};
use crate::error::{Error, Result};
use crate::program::Weight;
use crate::quant::Format;

/// How codes are multiplied, see `dots`. All give the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Products of i16.
    Plain,
    /// Products of bytes, summed in i16.
    Relaxed16,
    /// Products of bytes, summed in i32.
    Relaxed32,
}

impl Kernel {
    /// Whether this build multiplies codes of less than eight bits as i16, too. With relaxed SIMD that was never the best for one
    /// token (on x86-64, Chromium and Firefox: up to 1.6 times as slow; ARM was not measured): its build goes without, and is 5 %
    /// smaller.
    const PLAIN: bool = !(RELAXED && cfg!(target_family = "wasm"));

    /// Those this build has.
    pub const ALL: &[Kernel] = match (RELAXED, Kernel::PLAIN) {
        (false, _) => &[Kernel::Plain],
        (true, false) => &[Kernel::Relaxed16, Kernel::Relaxed32],
        (true, true) => &[Kernel::Plain, Kernel::Relaxed16, Kernel::Relaxed32],
    };

    /// The likely best one.
    pub const DEFAULT: Kernel = if RELAXED { Kernel::Relaxed16 } else { Kernel::Plain };

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Plain => "plain",
            Kernel::Relaxed16 => "relaxed16",
            Kernel::Relaxed32 => "relaxed32",
        }
    }

    /// The kernel of this name, if the build has it.
    pub fn from_name(name: &str) -> Option<Kernel> {
        Kernel::ALL.iter().copied().find(|kernel| kernel.name() == name)
    }
}

/// A matrix `[rows, cols]`, filled row by row, then only read. Sixteen rows are a band.
pub trait Matrix: Send + Sync {
    /// Appends rows as the file stores them: a multiple of [`ROWS`] unless they are the last.
    fn load_rows(&mut self, bytes: &[u8]);

    /// Number of rows: outputs.
    fn rows(&self) -> usize;

    /// Bytes a band takes.
    fn band_bytes(&self) -> usize;

    /// The forms of activations that [`Matrix::product`] reads.
    fn forms(&self, kernel: Kernel) -> Forms;

    /// `out[t, row] = Σ W[row, k] x[t, k]` for the rows of `bands`; `out` has these rows as its columns.
    fn product(&self, kernel: Kernel, x: &Input, bands: Range<usize>, out: &mut Strip);

    /// Decodes one row into `out: [cols]`.
    fn row(&self, row: usize, out: &mut [f32]);
}

/// An empty matrix for this weight, with its memory reserved.
pub fn matrix(weight: &Weight) -> Result<Box<dyn Matrix>> {
    match weight.format {
        Format::F32 => Dense::<f32>::boxed(weight),
        Format::F16 => Dense::<F16>::boxed(weight),
        Format::BF16 => Dense::<Bf16>::boxed(weight),
        Format::Q4_0 => Tiled::<Scaled<tiles::Q4_0>>::boxed(weight),
        Format::Q4_1 => Tiled::<Ranged<tiles::Q4_1>>::boxed(weight),
        Format::Q5_0 => Tiled::<Scaled<tiles::Q5_0>>::boxed(weight),
        Format::Q5_1 => Tiled::<Ranged<tiles::Q5_1>>::boxed(weight),
        Format::Q8_0 => Tiled::<Scaled<tiles::Q8_0>>::boxed(weight),
        Format::Q2_K => Tiled::<Q2K>::boxed(weight),
        Format::Q3_K => Tiled::<ScaledK<tiles::Q3_K>>::boxed(weight),
        Format::Q4_K => Tiled::<RangedK<tiles::Q4_K>>::boxed(weight),
        Format::Q5_K => Tiled::<RangedK<tiles::Q5_K>>::boxed(weight),
        Format::Q6_K => Tiled::<ScaledK<tiles::Q6_K>>::boxed(weight),
        Format::IQ4_NL => Tiled::<Scaled<tiles::IQ4_NL>>::boxed(weight),
        Format::IQ4_XS => Tiled::<ScaledK<tiles::IQ4_XS>>::boxed(weight),
        Format::MXFP4 => Tiled::<Scaled<tiles::MXFP4>>::boxed(weight),
        Format::S4_16_32 => Tiled::<Sparse>::boxed(weight),
        Format::LUT4_32 => Tiled::<Lut32>::boxed(weight),
        Format::LUT4_ROW => Tiled::<LutRow>::boxed(weight),
    }
}

/// Room for `len` items of a weight.
pub fn reserve<T>(weight: &Weight, len: usize) -> Result<Vec<T>> {
    let mut data = Vec::new();
    let refused = |_| Error::OutOfMemory { what: weight.name.clone(), bytes: len.saturating_mul(size_of::<T>()) };
    data.try_reserve_exact(len).map_err(refused)?;
    Ok(data)
}

/// Quantized: tiles of sixteen rows, those of the same rows one after the other.
struct Tiled<T: Tile> {
    rows: usize,
    cols: usize,
    /// One for a band.
    heads: Vec<T::Head>,
    tiles: Vec<T>,
}

impl<T: Tile + 'static> Tiled<T> {
    fn boxed(weight: &Weight) -> Result<Box<dyn Matrix>> {
        let (rows, cols) = (weight.rows, weight.cols);
        let bands = rows.div_ceil(ROWS);
        let tiles = reserve(weight, bands * (cols / T::FORMAT.block_len()))?;
        Ok(Box::new(Tiled::<T> { rows, cols, heads: reserve(weight, bands)?, tiles }))
    }

    /// The tiles of rows `ROWS · i` and on, and what they have in common.
    fn band(&self, i: usize) -> (&T::Head, &[T]) {
        let n = self.cols / T::FORMAT.block_len();
        (&self.heads[i], &self.tiles[i * n..(i + 1) * n])
    }

    /// Decoding: one token, all sixteen rows at once, so that an activation is read once.
    #[inline(never)]
    fn one<D: Dots>((head, band): (&T::Head, &[T]), x: &[Block<D::Form>]) -> [[f32; 4]; QUADS] {
        let (n, masks) = (T::FORMAT.block_len() / BLOCK, Masks::new());
        let mut sums = [[F32x4::splat(0.0)]; QUADS];
        for (i, tile) in band.iter().enumerate() {
            tile.dot::<D, QUADS, 1>(head, 0, [&x[i * n..(i + 1) * n]], &mut sums, &masks);
        }
        sums.map(|[sums]| sums.mul(F32x4::splat(T::DOWN)).to_array())
    }

    /// Reading a prompt: N tokens, a quad at a time.
    #[inline(never)]
    fn many<D: Dots, const N: usize>(
        (head, band): (&T::Head, &[T]),
        x: [&[Block<D::Form>]; N],
    ) -> [[[f32; 4]; QUADS]; N] {
        let (n, masks) = (T::FORMAT.block_len() / BLOCK, Masks::new());
        let mut sums = [[[F32x4::splat(0.0); N]; 1]; QUADS];
        for (i, tile) in band.iter().enumerate() {
            let x = x.map(|blocks| &blocks[i * n..(i + 1) * n]);
            unroll!(quad < QUADS, { tile.dot::<D, 1, N>(head, quad, x, &mut sums[quad], &masks) });
        }
        std::array::from_fn(|n| std::array::from_fn(|quad| sums[quad][0][n].mul(F32x4::splat(T::DOWN)).to_array()))
    }

    fn bands<D: Dots>(&self, x: &Input, blocks: &[Block<D::Form>], bands: Range<usize>, out: &mut Strip) {
        let tokens = x.tokens();
        for (i, band) in bands.enumerate() {
            let rows = ROWS.min(self.rows - band * ROWS);
            let tiles = self.band(band);
            let mut store = |t: usize, products: &[[f32; 4]; QUADS]| {
                out.row(t)[i * ROWS..][..rows].copy_from_slice(&products.as_flattened()[..rows]);
            };
            let mut t = 0;
            // What is left over is done at once too, with the last token in the places that are empty.
            let row = |t: usize| x.row_of(blocks, t.min(tokens - 1));
            while t < tokens {
                let left = tokens - t;
                t += match left {
                    1 => {
                        store(t, &Self::one::<D>(tiles, row(t)));
                        1
                    }
                    2..=4 => {
                        let products = Self::many::<D, 4>(tiles, std::array::from_fn(|n| row(t + n)));
                        products.iter().take(left).enumerate().for_each(|(n, products)| store(t + n, products));
                        4
                    }
                    _ => {
                        let products = Self::many::<D, 8>(tiles, std::array::from_fn(|n| row(t + n)));
                        products.iter().take(left).enumerate().for_each(|(n, products)| store(t + n, products));
                        8
                    }
                };
            }
        }
    }
}

impl<T: Tile + 'static> Matrix for Tiled<T> {
    fn load_rows(&mut self, bytes: &[u8]) {
        let (header, block_bytes) = (T::FORMAT.header_bytes(), T::FORMAT.block_bytes());
        let row_bytes = T::FORMAT.row_bytes(self.cols).expect("whole blocks");
        let zeros = vec![0; header.max(block_bytes)];
        for band in bytes.chunks(ROWS * row_bytes) {
            let part = |at: usize, len: usize| {
                let of = |row: usize| band.get(row * row_bytes + at..).and_then(|rest| rest.get(..len));
                std::array::from_fn(|row| of(row).unwrap_or(&zeros[..len]))
            };
            self.heads.push(T::head(part(0, header)));
            self.tiles.extend((header..row_bytes).step_by(block_bytes).map(|at| T::pack(part(at, block_bytes))));
        }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn band_bytes(&self) -> usize {
        size_of::<T::Head>() + self.cols / T::FORMAT.block_len() * size_of::<T>()
    }

    fn forms(&self, kernel: Kernel) -> Forms {
        // There is no product of signed bytes that every machine computes alike.
        let pairs = T::BITS == 8 || kernel == Kernel::Plain;
        Forms { pairs, bytes: !pairs }
    }

    fn product(&self, kernel: Kernel, x: &Input, bands: Range<usize>, out: &mut Strip) {
        match kernel {
            #[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
            Kernel::Relaxed16 if T::BITS < 8 => self.bands::<dots::Relaxed16>(x, &x.bytes, bands, out),
            #[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
            Kernel::Relaxed32 if T::BITS < 8 => self.bands::<dots::Relaxed32>(x, &x.bytes, bands, out),
            _ if T::BITS == 8 || Kernel::PLAIN => self.bands::<dots::Plain>(x, &x.pairs, bands, out),
            _ => unreachable!("a kernel that this build lacks"),
        }
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        let (head, tiles) = self.band(row / ROWS);
        for (tile, out) in tiles.iter().zip(out.chunks_exact_mut(T::FORMAT.block_len())) {
            tile.decode(head, row % ROWS, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::divide::Columns;
    use super::super::input::{Pairs, UP, quantize};
    use super::super::measure::random_rows;
    use super::super::team::Team;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn rows_come_back_and_products_agree_with_decoding() {
        for format in Format::all() {
            for (rows, blocks, tokens) in [(1, 1, 1), (17, 1, 3), (16, 3, 4), (35, 2, 13)] {
                let cols = blocks * format.block_len().max(32);
                let bytes = random_rows(format, rows, cols);
                let weight = Weight { name: "w".into(), tensor: 0, first_row: 0, rows, cols, format };
                let mut matrix = matrix(&weight).unwrap();
                let split = (rows / 2 / ROWS * ROWS) * format.row_bytes(cols).unwrap();
                matrix.load_rows(&bytes[..split]);
                matrix.load_rows(&bytes[split..]);

                let mut decoded = vec![0.0; rows * cols];
                format.decode_rows(cols, &bytes, &mut decoded);
                let mut row = vec![0.0; cols];
                for r in 0..rows {
                    matrix.row(r, &mut row);
                    for (a, b) in row.iter().zip(&decoded[r * cols..]) {
                        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{} row {r}: {a} {b}", format.name());
                    }
                }

                let mut others: Option<Vec<f32>> = None;
                for &kernel in Kernel::ALL {
                    let mut random = fastrand::Rng::with_seed(7);
                    let mut input = Input::default();
                    input.resize(tokens, cols, matrix.forms(kernel));
                    input.x.iter_mut().for_each(|x| *x = random.f32() - 0.5);
                    let Input { x, pairs, bytes, .. } = &mut input;
                    quantize(x, pairs, bytes);
                    // Compare with what the blocks stand for, so that only the kernel is tested.
                    let forms = matrix.forms(kernel);
                    if forms != Forms::default() {
                        let mut blocks = vec![Block::<Pairs>::default(); x.len() / BLOCK];
                        quantize(x, &mut blocks, &mut []);
                        for (x, block) in x.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks) {
                            let codes = block.codes.as_flattened().as_flattened();
                            x.iter_mut().zip(codes).for_each(|(x, q)| *x = block.scale_up / UP * f32::from(*q));
                        }
                    }
                    let mut out = vec![0.0; tokens * rows];
                    let bands = rows.div_ceil(ROWS);
                    let bounds: Vec<_> = (0..=bands).map(|band| (band * ROWS).min(rows)).collect();
                    Team::alone().each(Columns::new(&mut out, rows, &bounds), |band, mut strip| {
                        matrix.product(kernel, &input, band..band + 1, &mut strip);
                    });
                    // Sums of integers are exact, so all kernels agree bit for bit.
                    assert!(others.get_or_insert_with(|| out.clone()) == &out, "{} {kernel:?}", format.name());
                    for (i, got) in out.iter().enumerate() {
                        let (x, w) = (input.row(i / rows), &decoded[i % rows * cols..][..cols]);
                        let (mut sum, mut size) = (0.0, 0.0);
                        for (x, w) in x.iter().zip(w) {
                            sum += f64::from(x * w);
                            size += f64::from((x * w).abs());
                        }
                        let error = (f64::from(*got) - sum).abs() / size;
                        assert!(
                            error < 1e-6,
                            "{} {kernel:?} {rows}×{cols}, token {}: {got} {sum}",
                            format.name(),
                            i / rows
                        );
                    }
                }
            }
        }
    }
}
