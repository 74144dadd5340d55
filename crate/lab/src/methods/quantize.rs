//! Quantization: every number of a matrix becomes one of a few levels.
//!
//! - `nearest`: as the format's encoder does it, without a text.
//! - `weighted`: scales are searched so that `Σ v (w − q)²` is least, with `v = E[x²] · sqrt(σ² + w²)` (ik_llama.cpp's; llama.cpp's
//!   importance matrix).
//! - `gptq`: with those scales, levels are chosen so that later inputs make up for earlier errors; see [`gptq`](crate::gptq).

use hearth_engine::cpu::divide::Rows;
use hearth_engine::cpu::team::Team;
use hearth_engine::quant::Format;

use super::{Kind, Opt, Spec};
use crate::error::{Error, Result};
use crate::gptq::{self, Spread, levels};
use crate::grid::{GROUP, Grid, Scale};
use crate::layer::{Layer, Slot};
use crate::matrix::Matrix;
use crate::model::{Model, decode, encode};
use crate::pass::{LayerMethod, Method, Needs};

pub const SPEC: Spec = Spec {
    name: "quantize",
    does: "Stores every number in a few bits.",
    options: &[
        Opt { name: "format", does: "Of matrices.", kind: Kind::Choice { of: FORMATS, default: "Q4_0" } },
        Opt {
            name: "embeddings",
            does: "Of the tables of tokens.",
            kind: Kind::Choice { of: FORMATS, default: "Q8_0" },
        },
        Opt {
            name: "rounding",
            does: "How levels are chosen.",
            kind: Kind::Choice { of: &["nearest", "weighted", "gptq"], default: "gptq" },
        },
        Opt {
            name: "damping",
            does: "GPTQ: how little the texts are trusted.",
            kind: Kind::Number { min: 1e-4, max: 1.0, default: gptq::DAMPING as f64 },
        },
        Opt { name: "act_order", does: "GPTQ: the most used inputs first.", kind: Kind::Flag { default: true } },
    ],
    make: |options| {
        let format = |name| Format::from_name(options.choice(name)).expect("FORMATS are formats");
        Method::layer(Quantize {
            format: format("format"),
            embeddings: format("embeddings"),
            rounding: match options.choice("rounding") {
                "nearest" => Rounding::Nearest,
                "weighted" => Rounding::Weighted,
                _ => Rounding::Gptq { damping: options.number("damping") as f32, by_energy: options.flag("act_order") },
            },
        })
    },
};

const FORMATS: &[&str] =
    &["F32", "F16", "Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q5_K", "Q4_1", "Q4_K", "Q4_0", "IQ4_NL", "S4_16_32"];

/// Tables at either end of a model.
const TABLES: &[&str] = &["token_embd.weight", "output.weight"];

#[derive(Clone, Copy)]
enum Rounding {
    Nearest,
    Weighted,
    Gptq { damping: f32, by_energy: bool },
}

struct Quantize {
    format: Format,
    embeddings: Format,
    rounding: Rounding,
}

impl LayerMethod for Quantize {
    fn needs(&self) -> Needs {
        match self.rounding {
            Rounding::Nearest => Needs::Nothing,
            Rounding::Weighted => Needs::Squares,
            Rounding::Gptq { .. } => Needs::Hessian,
        }
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        for group in &mut layer.groups {
            let spread = match (self.rounding, group.statistics.hessian()) {
                (Rounding::Gptq { damping, by_energy }, Some(hessian)) => {
                    Some(Spread::new(&hessian, group.statistics.tokens, damping, by_energy, team))
                }
                _ => None,
            };
            let squares = group.statistics.mean_squares();
            for slot in &mut group.slots {
                if !slot.weight.data.iter().all(|w| w.is_finite()) {
                    return Err(Error::Unfit(format!(
                        "{} has numbers that are none: it cannot be quantized",
                        slot.name
                    )));
                }
                let format = fitting(self.format, slot.weight.cols);
                check_zeros(&slot.name, format, &slot.weight)?;
                match (self.rounding, Grid::of(format)) {
                    (Rounding::Weighted | Rounding::Gptq { .. }, Some(grid)) if !squares.is_empty() => {
                        let scales = scales(&slot.weight, &squares, grid, team);
                        let codes = match &spread {
                            Some(spread) => levels(&slot.weight, &scales, grid, spread, team),
                            None => nearest(&slot.weight, &scales, grid),
                        };
                        settle(slot, grid, &scales, &codes);
                    }
                    (Rounding::Weighted | Rounding::Gptq { .. }, None) if format.block_len() > 1 => {
                        let grids = Grid::all().map(|grid| grid.format.name()).collect::<Vec<_>>().join(", ");
                        return Err(Error::Unfit(format!(
                            "{} would become {}, which can only be rounded to the nearest; by a text there are {grids}",
                            slot.name,
                            format.name()
                        )));
                    }
                    _ => {
                        let bytes = encode(format, &slot.weight)
                            .map_err(|error| Error::Unfit(format!("{}: {error}", slot.name)))?;
                        let numbers = decode(format, slot.weight.cols, &bytes);
                        slot.settle(format, bytes, numbers);
                    }
                }
            }
        }
        Ok(())
    }

    fn rest(&self, model: &mut Model) -> Result<()> {
        for name in TABLES {
            let Some(info) = model.tensor(name) else { continue };
            let format = fitting(self.embeddings, info.cols());
            if format != info.format {
                let numbers = model.matrix(name);
                check_zeros(name, format, &numbers)?;
                model.store(name, format, &numbers)?;
            }
        }
        Ok(())
    }
}

/// The format, or the one that stands for it where rows are no whole blocks of it.
fn fitting(format: Format, cols: usize) -> Format {
    let instead = match format {
        Format::Q4_K => Format::Q5_0,
        Format::Q5_K => Format::Q5_1,
        Format::Q6_K => Format::Q8_0,
        _ => Format::F16,
    };
    [format, instead].into_iter().find(|format| format.row_bytes(cols).is_some()).unwrap_or(Format::F16)
}

/// Errors where a format that keeps sixteen of 32 would have to drop some that nobody has pruned.
fn check_zeros(name: &str, format: Format, weight: &Matrix) -> Result<()> {
    let most = weight.data.chunks(GROUP).map(|group| group.iter().filter(|x| **x != 0.0).count()).max().unwrap_or(0);
    match format == Format::S4_16_32 && most > GROUP / 2 {
        false => Ok(()),
        true => Err(Error::Unfit(format!(
            "{name} has {most} numbers among {GROUP} that are not zero; {} keeps {}: prune it 16:32 before",
            format.name(),
            GROUP / 2
        ))),
    }
}

/// The scale of every group of a matrix.
pub fn scales(weight: &Matrix, squares: &[f32], grid: Grid, team: &mut Team) -> Vec<Scale> {
    let groups = weight.cols / GROUP;
    let mut scales = vec![Scale::default(); weight.rows * groups];
    team.each(Rows::new(&mut scales, weight.rows), |row, scales| {
        let w = weight.row(row);
        let variance = w.iter().map(|w| w * w).sum::<f32>() / w.len() as f32;
        let mut v = [0.0; GROUP];
        for (i, (scale, w)) in scales.iter_mut().zip(w.chunks_exact(GROUP)).enumerate() {
            let squares = &squares[i * GROUP..];
            v.iter_mut().zip(w).zip(squares).for_each(|((v, w), x2)| *v = x2 * (variance + w * w).sqrt());
            if v.iter().all(|v| *v == 0.0) {
                v = [1.0; GROUP];
            }
            *scale = grid.search(w, &v);
        }
    });
    scales
}

/// The nearest levels.
pub fn nearest(weight: &Matrix, scales: &[Scale], grid: Grid) -> Vec<u8> {
    weight.data.chunks_exact(GROUP).zip(scales).flat_map(|(w, scale)| w.iter().map(|&w| grid.code(*scale, w))).collect()
}

/// Levels and scales become bytes.
fn settle(slot: &mut Slot, grid: Grid, scales: &[Scale], codes: &[u8]) {
    let block = grid.format.block_bytes();
    let mut bytes = vec![0; scales.len() * block];
    for ((scale, codes), bytes) in scales.iter().zip(codes.chunks_exact(GROUP)).zip(bytes.chunks_exact_mut(block)) {
        grid.put(*scale, codes, bytes);
    }
    let numbers = decode(grid.format, slot.weight.cols, &bytes);
    slot.settle(grid.format, bytes, numbers);
}
