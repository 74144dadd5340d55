//! Weight sharing: the numbers of a matrix, or of each of its rows, become one of up to sixteen levels that suit them.
//!
//! - `tensor`: a table for the whole matrix, as TensorFlow's `cluster_weights` has it.
//! - `row`: a table for each row, `w = d · table[q]`. With tables by the inputs' squares this is SqueezeLLM's; Kim et al. 2023,
//!   arXiv:2306.07629.
//! - `group`: a table for each row and a scale for each 32 numbers, `w = d_g · table[q]`: any4's; Elhoushi & Johnson 2025,
//!   arXiv:2507.04610.
//!
//! Tables are of whole numbers from −127 to 127, so that kernels look them up at the speed of IQ4_NL; they are stored as LUT4_ROW and
//! LUT4_32, which are Hearth's own. Levels are found by [`kmeans`](crate::kmeans); which level a number takes is the nearest, or settled by [`gptq`](crate::gptq).

use half::f16;
use hearth_engine::cpu::divide::Rows;
use hearth_engine::cpu::team::Team;
use hearth_engine::quant::{Format, put_lut4};

use super::{Kind, Opt, Spec};
use crate::error::{Error, Result};
use crate::gptq::{self, Spread};
use crate::grid::GROUP;
use crate::kmeans::{How, Start, levels};
use crate::layer::{Layer, Slot};
use crate::matrix::Matrix;
use crate::model::decode;
use crate::pass::{LayerMethod, Method, Needs};

pub const SPEC: Spec = Spec {
    name: "share",
    does: "Lets numbers share a few levels that are made for them.",
    options: &[
        Opt {
            name: "table",
            does: "Whose levels: the matrix's, each row's, or each row's with a scale for every 32 numbers.",
            kind: Kind::Choice { of: &["tensor", "row", "group"], default: "group" },
        },
        Opt { name: "levels", does: "Of a table.", kind: Kind::Number { min: 2.0, max: 16.0, default: 16.0 } },
        Opt {
            name: "start",
            does: "How levels are found: the best there are, or by iteration from a start.",
            kind: Kind::Choice {
                of: &["exact", "linear", "density_based", "kmeans_plus_plus", "random"],
                default: "exact",
            },
        },
        Opt { name: "weighted", does: "Levels heed how large inputs are.", kind: Kind::Flag { default: true } },
        Opt {
            name: "rounding",
            does: "How a number's level is chosen.",
            kind: Kind::Choice { of: &["nearest", "gptq"], default: "gptq" },
        },
        Opt { name: "preserve_sparsity", does: "Zeros stay zeros.", kind: Kind::Flag { default: false } },
        Opt { name: "seed", does: "Of random starts.", kind: Kind::Number { min: 0.0, max: 1e9, default: 0.0 } },
    ],
    make: |options| {
        let seed = options.number("seed") as u64;
        Method::layer(Share {
            table: match options.choice("table") {
                "tensor" => Of::Tensor,
                "row" => Of::Row,
                _ => Of::Group,
            },
            levels: options.number("levels") as usize,
            how: match options.choice("start") {
                "exact" => How::Exact,
                "linear" => How::Lloyd(Start::Linear),
                "density_based" => How::Lloyd(Start::DensityBased),
                "random" => How::Lloyd(Start::Random(seed)),
                _ => How::Lloyd(Start::KmeansPlusPlus(seed)),
            },
            weighted: options.flag("weighted"),
            gptq: options.choice("rounding") == "gptq",
            zero: options.flag("preserve_sparsity"),
        })
    },
};

/// The largest number of a table.
const MOST: f32 = 127.0;

/// Whose tables.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Tensor,
    Row,
    Group,
}

struct Share {
    table: Of,
    levels: usize,
    how: How,
    weighted: bool,
    gptq: bool,
    zero: bool,
}

impl LayerMethod for Share {
    fn needs(&self) -> Needs {
        match (self.gptq, self.weighted) {
            (true, _) => Needs::Hessian,
            (_, true) => Needs::Squares,
            _ => Needs::Nothing,
        }
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        for group in &mut layer.groups {
            let spread = group
                .statistics
                .hessian()
                .filter(|_| self.gptq)
                .map(|hessian| Spread::new(&hessian, group.statistics.tokens, gptq::DAMPING, true, team));
            let squares = match self.weighted {
                true => group.statistics.mean_squares(),
                false => Vec::new(),
            };
            for slot in &mut group.slots {
                self.share(slot, &squares, spread.as_ref(), team)?;
            }
        }
        Ok(())
    }
}

impl Share {
    fn share(&self, slot: &mut Slot, squares: &[f32], spread: Option<&Spread>, team: &mut Team) -> Result<()> {
        let weight = &slot.weight;
        let unfit = |what: &str| Err(Error::Unfit(format!("{} {what}", slot.name)));
        if !weight.data.iter().all(|w| w.is_finite()) {
            return unfit("has numbers that are none: they cannot share levels");
        }
        if !weight.cols.is_multiple_of(GROUP) {
            return unfit(&format!(
                "has rows of {}, which are no multiple of {GROUP}: its levels cannot be stored",
                weight.cols
            ));
        }
        let ones = vec![1.0; weight.cols];
        let squares = if squares.is_empty() { &ones } else { squares };
        let books = self.books(weight, squares, team);
        let round = |row: usize, at: usize, x: f32| books[row].round(at, x);
        let codes = match spread {
            Some(spread) => gptq::codes(weight, spread, team, round),
            None => (0..weight.rows)
                .flat_map(|row| weight.row(row).iter().enumerate().map(move |(at, w)| round(row, at, *w).0))
                .collect(),
        };
        let format = if self.table == Of::Group { Format::LUT4_32 } else { Format::LUT4_ROW };
        let row_bytes = format.row_bytes(weight.cols).expect("whole groups");
        let mut bytes = vec![0; weight.rows * row_bytes];
        let rows = bytes.chunks_exact_mut(row_bytes).zip(codes.chunks_exact(weight.cols));
        for ((bytes, codes), book) in rows.zip(&books) {
            let scales: Vec<f32> = book.scales.iter().map(|scale| scale.d).collect();
            put_lut4(format, book.table, &scales, codes, bytes);
        }
        let numbers = decode(format, weight.cols, &bytes);
        slot.settle(format, bytes, numbers);
        Ok(())
    }

    /// The levels of every row.
    fn books(&self, weight: &Matrix, squares: &[f32], team: &mut Team) -> Vec<Book> {
        if self.table == Of::Tensor {
            // In halves there are few different numbers, which is all that clustering many takes.
            let halves: Vec<f32> = weight.data.iter().map(|w| f16::from_f32(*w).to_f32()).collect();
            let levels = levels(&halves, &squares.repeat(weight.rows), self.levels, self.how, self.zero);
            return vec![Book::of(&levels); weight.rows];
        }
        let mut books = vec![Book::default(); weight.rows];
        team.each(Rows::new(&mut books, weight.rows), |row, book| {
            let (w, how) = (weight.row(row), self.how.of_row(row));
            book[0] = match self.table {
                Of::Row => Book::of(&levels(w, squares, self.levels, how, self.zero)),
                _ => {
                    let scales: Vec<Scale> = w.chunks_exact(GROUP).map(Scale::of).collect();
                    let each = |f: &dyn Fn(Scale, f32, f32) -> f32| -> Vec<f32> {
                        let pairs = w.iter().zip(squares).enumerate();
                        pairs.map(|(at, (w, x2))| f(scales[at / GROUP], *w, *x2)).collect()
                    };
                    let (t, v) = (each(&|scale, w, _| w * scale.inverse), each(&|scale, _, x2| x2 * scale.d * scale.d));
                    let levels = levels(&t, &v, self.levels, how, self.zero);
                    Book::new(levels.into_iter(), scales)
                }
            };
        });
        books
    }
}

/// What a table is multiplied by, as the file says it.
#[derive(Clone, Copy, Default)]
struct Scale {
    d: f32,
    /// `1 / d`, 0 for 0.
    inverse: f32,
}

impl Scale {
    /// So that the largest of these numbers is a table's largest.
    fn of(numbers: &[f32]) -> Scale {
        let largest = numbers.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        let d = f16::from_f32((largest / MOST).min(f16::MAX.to_f32())).to_f32();
        Scale { d, inverse: if d == 0.0 { 0.0 } else { 1.0 / d } }
    }
}

/// The levels of a row.
#[derive(Clone, Default)]
struct Book {
    /// Ascending; behind the last level it is repeated.
    table: [i8; 16],
    /// Between neighbours of the table.
    middles: [f32; 15],
    /// Of each 32 numbers, or one for all.
    scales: Vec<Scale>,
}

impl Book {
    /// One scale for all.
    fn of(levels: &[f32]) -> Book {
        let scale = Scale::of(levels);
        Book::new(levels.iter().map(|level| level * scale.inverse), vec![scale])
    }

    /// With levels in units of the scales.
    fn new(levels: impl Iterator<Item = f32>, scales: Vec<Scale>) -> Book {
        let mut table: Vec<i8> = levels.map(|level| (level + 0.5).floor().clamp(-MOST, MOST) as i8).collect();
        let last = *table.last().expect("a row has numbers");
        table.resize(16, last);
        let table: [i8; 16] = table.try_into().expect("at most 16 levels");
        let middles = std::array::from_fn(|i| 0.5 * (f32::from(table[i]) + f32::from(table[i + 1])));
        Book { table, middles, scales }
    }

    fn scale(&self, at: usize) -> Scale {
        if self.scales.len() == 1 { self.scales[0] } else { self.scales[at / GROUP] }
    }

    /// The code of the level nearest to `x`, number `at` of the row, and what it stands for.
    fn round(&self, at: usize, x: f32) -> (u8, f32) {
        let scale = self.scale(at);
        let t = x * scale.inverse;
        let code = self.middles.iter().filter(|middle| t > **middle).count() as u8;
        (code, self.number(at, code))
    }

    /// What a code stands for as number `at` of the row.
    fn number(&self, at: usize, code: u8) -> f32 {
        self.scale(at).d * f32::from(self.table[code as usize])
    }
}
