//! Quantization: every number of a matrix becomes one of a few levels.
//!
//! - `nearest`: as the format's encoder does it, without a text.
//! - `weighted`: scales are searched so that `Σ v (w − q)²` is least, with `v = E[x²] · sqrt(σ² + w²)` (ik_llama.cpp's; llama.cpp's
//!   importance matrix).
//! - `gptq`: with those scales, levels are chosen so that later inputs make up for earlier errors; see [`gptq`](crate::gptq).
//!
//! Each matrix may have its own format: because `tensors` says so, or because `format` is a mix, whose formats are chosen for as few
//! bits as `bits` says, by what each matrix costs; see [`sensitivity`] and [`allocate`].

use hearth_engine::cpu::divide::Rows;
use hearth_engine::cpu::team::Team;
use hearth_engine::quant::Format;

use super::{Kind, Opt, Spec};
use crate::Watch;
use crate::allocate::{Mix, allocate};
use crate::error::{Error, Result};
use crate::gptq::{self, Spread, levels};
use crate::grid::{GROUP, Grid, Scale};
use crate::layer::{Layer, Slot};
use crate::matrix::Matrix;
use crate::model::{Model, TABLES, decode, encode};
use crate::pass::{LayerMethod, Method, Needs};
use crate::sensitivity::{self, Plan, Tensor};

pub const SPEC: Spec = Spec {
    name: "quantize",
    does: "Stores every number in a few bits.",
    options: &[
        Opt {
            name: "format",
            does: "Of matrices; mix: to each its own, by what it matters.",
            kind: Kind::Choice { of: CHOICES, default: "Q4_0" },
        },
        Opt {
            name: "embeddings",
            does: "Of the tables of tokens; mix: as with matrices.",
            kind: Kind::Choice { of: CHOICES, default: "Q8_0" },
        },
        Opt {
            name: "bits",
            does: "Of a mix: at most so many bits a number, all matrices and tables together.",
            kind: Kind::Number { min: 1.0, max: 32.0, default: 5.0 },
        },
        Opt { name: "mix", does: "Of a mix: its formats.", kind: Kind::Several { of: GRIDS, default: MIXED } },
        Opt {
            name: "tensors",
            does: "The formats of single tensors, whatever the others have.",
            kind: Kind::Tensors { of: FORMATS },
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
        let format = |name: &str| Format::from_name(name);
        let known = |name: &str| format(name).expect("FORMATS are formats");
        Method::layer(Quantize {
            format: format(options.choice("format")),
            embeddings: format(options.choice("embeddings")),
            bits: options.number("bits"),
            mix: options.several("mix").into_iter().map(known).collect(),
            tensors: options.tensors("tensors").into_iter().map(|(name, word)| (name.into(), known(word))).collect(),
            rounding: match options.choice("rounding") {
                "nearest" => Rounding::Nearest,
                "weighted" => Rounding::Weighted,
                _ => Rounding::Gptq { damping: options.number("damping") as f32, by_energy: options.flag("act_order") },
            },
        })
    },
};

/// A format, or a mix of several.
const CHOICES: &[&str] =
    &["F32", "F16", "Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q5_K", "Q4_1", "Q4_K", "Q4_0", "IQ4_NL", "S4_16_32", "mix"];

const FORMATS: &[&str] =
    &["F32", "F16", "Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q5_K", "Q4_1", "Q4_K", "Q4_0", "IQ4_NL", "S4_16_32"];

/// Formats that can be chosen by a text.
const GRIDS: &[&str] = &["Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL"];

/// Those of a mix, if nothing is said.
pub(crate) const MIXED: &[&str] = &["IQ4_NL", "Q4_1", "Q5_0", "Q5_1", "Q8_0"];

/// Texts, and tokens of each, that are enough to see what matters.
pub(crate) const GLANCE: [usize; 2] = [2, 128];

#[derive(Clone, Copy)]
enum Rounding {
    Nearest,
    Weighted,
    Gptq { damping: f32, by_energy: bool },
}

struct Quantize {
    /// Of matrices; `None`: a mix.
    format: Option<Format>,
    /// Of tables; `None`: a mix.
    embeddings: Option<Format>,
    bits: f64,
    mix: Vec<Format>,
    rounding: Rounding,
    /// By name: those that were asked for, and those of a mix once it is made.
    tensors: Mix,
}

impl Quantize {
    /// The format of a tensor `cols` wide.
    fn format_of(&self, name: &str, cols: usize) -> Format {
        let usual = if TABLES.contains(&name) { self.embeddings } else { self.format };
        let asked = self.tensors.get(name).copied().or(usual);
        fitting(asked.expect("a mix has all matrices"), cols)
    }

    /// The format that was asked for; none where a mix is to choose it.
    fn asked(&self, tensor: &Tensor) -> Option<Format> {
        let usual = if tensor.layer.is_none() { self.embeddings } else { self.format };
        self.tensors.get(&tensor.name).copied().or(usual)
    }

    /// Chooses a format for each matrix that has none.
    fn choose(&mut self, model: &Model, texts: &[Vec<u32>], team: &mut Team, watch: &mut Watch) -> Result<()> {
        let [most, length] = GLANCE;
        let glance: Vec<_> = texts.iter().take(most).map(|text| text[..text.len().min(length)].to_vec()).collect();
        // What is settled takes bytes, too, and so does what stands for it where a row is no whole blocks.
        let settled = self.tensors.values().copied().chain([self.format, self.embeddings].into_iter().flatten());
        let mut formats = self.mix.clone();
        for format in settled.flat_map(|format| [format, fitting(format, GROUP)]) {
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        let map = sensitivity::map(model, &glance, &Plan::coarse(&formats), team, watch)?;
        let numbers: usize = map.tensors.iter().map(|tensor| tensor.numbers).sum();
        let choices = |tensor: &Tensor| match self.asked(tensor) {
            None => self.mix.clone(),
            Some(format) => {
                let known = |format: &Format| tensor.bytes.contains_key(format.name());
                [format, fitting(format, GROUP)].into_iter().find(known).into_iter().collect()
            }
        };
        let mut mix = allocate(&map, &choices, (self.bits * numbers as f64 / 8.0) as usize)?;
        mix.retain(|name, _| map.tensors.iter().any(|tensor| tensor.name == *name && self.asked(tensor).is_none()));
        self.tensors.extend(mix);
        Ok(())
    }
}

impl LayerMethod for Quantize {
    fn needs(&self) -> Needs {
        let mixes = self.format.is_none() || self.embeddings.is_none();
        match self.rounding {
            Rounding::Nearest if !mixes => Needs::Nothing,
            Rounding::Nearest | Rounding::Weighted => Needs::Squares,
            Rounding::Gptq { .. } => Needs::Hessian,
        }
    }

    fn prepare(&mut self, model: &Model, texts: &[Vec<u32>], team: &mut Team, watch: &mut Watch) -> Result<()> {
        let matrices = model.matrices(&model.program(1)?);
        if let Some(name) = self.tensors.keys().find(|name| !matrices.contains(name)) {
            return Err(Error::Unfit(format!(
                "there is no matrix {name} to quantize; there are {} of them, from {} to {}",
                matrices.len(),
                matrices.first().map_or("none", String::as_str),
                matrices.last().map_or("none", String::as_str)
            )));
        }
        match self.format.is_none() || self.embeddings.is_none() {
            true => self.choose(model, texts, team, watch),
            false => Ok(()),
        }
    }

    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()> {
        for group in &mut layer.groups {
            let spread = match (self.rounding, group.statistics.hessian()) {
                (Rounding::Gptq { damping, by_energy }, Some(hessian)) => {
                    let tokens = group.statistics.tokens;
                    let spread = Spread::new(&hessian, tokens, damping, by_energy, team);
                    if spread.damping > damping {
                        layer.notes.push(format!(
                            "damping was raised to {:.3} where {tokens} tokens were seen of {} inputs: more text would do better",
                            spread.damping, hessian.rows
                        ));
                    }
                    Some(spread)
                }
                _ => None,
            };
            let squares = group.statistics.mean_squares();
            for slot in &mut group.slots {
                if slot.is_factored() && !self.tensors.contains_key(&slot.name) {
                    continue;
                }
                if !slot.weight.data.iter().all(|w| w.is_finite()) {
                    return Err(Error::Unfit(format!(
                        "{} has numbers that are none: it cannot be quantized",
                        slot.name
                    )));
                }
                let format = self.format_of(&slot.name, slot.weight.cols);
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
            let format = self.format_of(name, info.cols());
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
pub(crate) fn fitting(format: Format, cols: usize) -> Format {
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
