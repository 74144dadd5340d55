//! Timing of single kernels and of memory, for `cargo xtask bench` and the page's bench.

use std::hint::black_box;

use serde::Serialize;

use super::codes::ROWS;
use super::divide::{Columns, Rows};
use super::input::{Forms, Input, quantize};
use super::matrix::{Kernel, matrix};
use super::team::{Clock, Team};
use crate::program::Weight;
use crate::quant::Format;

/// Rows and columns of the matrix that is timed: in most formats it fits into a second-level cache.
const SHAPE: (usize, usize) = (512, 1024);

/// Runs; for a kernel the median counts.
const RUNS: usize = 5;

/// How fast one kernel is.
#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    /// The weights' format.
    pub format: &'static str,
    /// The kernel, `dense` for the one on floats, or `naive` for the plain loop over decoded rows.
    pub kernel: &'static str,
    /// Tokens at a time: 1 is decoding, 4 and more is reading a prompt.
    pub tokens: usize,
    /// 10⁹ multiplications and additions a second.
    pub gmacs: f64,
    /// 10⁹ bytes of weights a second.
    pub gigabytes: f64,
}

/// Pseudo-random rows; scales are as small as those of real models, in K formats so small that many are subnormal f16.
pub(super) fn random_rows(format: Format, rows: usize, cols: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(format.id().map_or(100, u64::from));
    let row_bytes = format.row_bytes(cols).expect("whole blocks");
    let mut bytes: Vec<u8> = (0..rows * row_bytes).map(|_| random.u8(..)).collect();
    // Where a block keeps its f16, and their size.
    let (halves, size): (&[usize], f32) = match format {
        Format::F32 | Format::BF16 | Format::MXFP4 => (&[], 0.05),
        Format::F16 | Format::Q4_0 | Format::Q5_0 | Format::Q8_0 | Format::IQ4_NL => (&[0], 0.05),
        Format::Q4_1 | Format::Q5_1 => (&[0, 2], 0.05),
        Format::Q2_K => (&[80, 82], 1e-3),
        Format::Q3_K => (&[108], 1e-3),
        Format::Q4_K | Format::Q5_K => (&[0, 2], 1e-4),
        Format::Q6_K => (&[208], 1e-4),
        Format::IQ4_XS => (&[0], 1e-4),
        Format::S4_16_32 | Format::LUT4_32 => (&[0], 0.05),
        Format::LUT4_ROW => (&[], 0.05),
    };
    for row in bytes.chunks_exact_mut(row_bytes) {
        let mut number = || (random.f32() - 0.5) * size;
        let (header, blocks) = row.split_at_mut(format.header_bytes());
        if format == Format::LUT4_ROW {
            header[16..].copy_from_slice(&half::f16::from_f32(number()).to_le_bytes());
        }
        for block in blocks.chunks_exact_mut(format.block_bytes()) {
            match format {
                Format::F32 => block.copy_from_slice(&number().to_le_bytes()),
                Format::BF16 => block.copy_from_slice(&half::bf16::from_f32(number()).to_le_bytes()),
                Format::MXFP4 => block[0] = 119 + block[0] % 6,
                _ => halves.iter().for_each(|&at| {
                    block[at..at + 2].copy_from_slice(&half::f16::from_f32(number()).to_le_bytes());
                }),
            }
        }
    }
    bytes
}

/// Activations for a matrix.
fn random_input(tokens: usize, cols: usize, forms: Forms) -> Input {
    let mut random = fastrand::Rng::with_seed(1);
    let mut input = Input::default();
    input.resize(tokens, cols, forms);
    input.x.iter_mut().for_each(|x| *x = random.f32() - 0.5);
    let Input { x, pairs, bytes, .. } = &mut input;
    quantize(x, pairs, bytes);
    input
}

/// Milliseconds of `work` in each run, in ascending order; in a run it is repeated until `budget_ms` have passed.
fn times(clock: Clock, budget_ms: f64, mut work: impl FnMut()) -> [f64; RUNS] {
    work();
    let mut times = [(); RUNS].map(|()| {
        let start = clock();
        let mut count = 0;
        loop {
            work();
            count += 1;
            let passed = clock() - start;
            if passed >= budget_ms {
                return passed / f64::from(count);
            }
        }
    });
    times.sort_by(f64::total_cmp);
    times
}

/// Times one kernel; `budget_ms` for each of five runs.
pub fn kernel(format: Format, kernel: Kernel, tokens: usize, clock: Clock, budget_ms: f64) -> Speed {
    let (rows, cols) = SHAPE;
    let weight = Weight { name: format.name().into(), tensor: 0, first_row: 0, rows, cols, format };
    let mut matrix = matrix(&weight).expect("half a megabyte");
    matrix.load_rows(&random_rows(format, rows, cols));
    let input = random_input(tokens, cols, matrix.forms(kernel));
    let mut out = vec![0.0; tokens * rows];
    let mut team = Team::alone();
    let times = times(clock, budget_ms, || {
        team.each(Columns::new(black_box(&mut out), rows, &[0, rows]), |_, mut strip| {
            matrix.product(kernel, &input, 0..rows / ROWS, &mut strip);
        });
    });
    // Floats have one way only.
    speed(format, if format.block_len() > 1 { kernel.name() } else { "dense" }, tokens, times)
}

/// Times the plain loop of `naive`: a row is decoded once for all tokens.
pub fn naive(format: Format, tokens: usize, clock: Clock, budget_ms: f64) -> Speed {
    let (rows, cols) = SHAPE;
    let bytes = random_rows(format, rows, cols);
    let input = random_input(tokens, cols, Forms::default());
    let mut out = vec![0.0; tokens * rows];
    let mut row = vec![0.0; cols];
    let row_bytes = bytes.len() / rows;
    let times = times(clock, budget_ms, || {
        for r in 0..rows {
            format.decode(&bytes[r * row_bytes..(r + 1) * row_bytes], &mut row);
            for t in 0..tokens {
                out[t * rows + r] = row.iter().zip(input.row(t)).map(|(w, x)| w * x).sum();
            }
        }
        black_box(&mut out);
    });
    speed(format, "naive", tokens, times)
}

fn speed(format: Format, kernel: &'static str, tokens: usize, times: [f64; RUNS]) -> Speed {
    let ((rows, cols), ms) = (SHAPE, times[RUNS / 2]);
    let bytes = rows * format.row_bytes(cols).expect("whole blocks");
    let gmacs = (rows * cols * tokens) as f64 / ms / 1e6;
    Speed { format: format.name(), kernel, tokens, gmacs, gigabytes: bytes as f64 / ms / 1e6 }
}

/// Every kernel of this build on every format, decoding and reading a prompt, beside the naive loop.
pub fn kernels(clock: Clock, budget_ms: f64) -> Vec<Speed> {
    let mut speeds = Vec::new();
    for format in Format::all() {
        for tokens in [1, 16] {
            speeds.push(naive(format, tokens, clock, budget_ms));
            let block_quantized = format.block_len() > 1;
            for &variant in Kernel::ALL.iter().take(if block_quantized { Kernel::ALL.len() } else { 1 }) {
                speeds.push(kernel(format, variant, tokens, clock, budget_ms));
            }
        }
    }
    speeds
}

/// Bytes a second that this machine's memory gives `team`, at best: it reads 128 MB, more than most caches hold.
pub fn read_bandwidth(team: &mut Team, clock: Clock, budget_ms: f64) -> f64 {
    const WORDS: usize = 16 << 20;
    const PIECES: usize = 256;
    let words: Vec<u64> = (0..WORDS as u64).collect();
    let mut sums = [0; PIECES];
    let [best, ..] = times(clock, budget_ms, || {
        team.each(Rows::new(&mut sums, PIECES), |i, sum| {
            let part = &words[i * (WORDS / PIECES)..(i + 1) * (WORDS / PIECES)];
            let mut sums = [0_u64; 8];
            for words in part.as_chunks::<8>().0 {
                sums.iter_mut().zip(words).for_each(|(sum, word)| *sum ^= word);
            }
            sum[0] = sums.into_iter().fold(0, |a, b| a ^ b);
        });
        black_box(&mut sums);
    });
    (WORDS * 8) as f64 / best * 1e3
}
