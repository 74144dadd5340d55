//! A layer opened for changes: its matrices as numbers, grouped by the input they share, with what calibration says of it.

use std::collections::BTreeMap;
use std::ops::Range;

use hearth_engine::cpu::team::Team;
use hearth_engine::program::{Activation, Config, Norm, Op, Program, Weight};
use hearth_engine::quant::Format;

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::methods::fitting;
use crate::model::{Coded, Model};
use crate::statistics::Statistics;
use crate::svd::Factors;

/// The bytes of a matrix.
pub enum Stored {
    /// As it is, in a format.
    Whole(Format, Vec<u8>),
    /// As two factors.
    Factors {
        /// `[r, in]`.
        a: Coded,
        /// `[out, r]`.
        b: Coded,
    },
}

/// A matrix of a layer.
pub struct Slot {
    /// The tensor's name.
    pub name: String,
    /// Its numbers, `[out, in]`, as they are now.
    pub weight: Matrix,
    /// Whether they are other numbers than the base's.
    pub changed: bool,
    /// Its bytes, once somebody has settled them; `weight` is then what they say.
    pub stored: Option<Stored>,
    /// Whether it is a tensor of its own, which a file may have as two factors.
    pub alone: bool,
}

impl Slot {
    /// Its numbers, to be changed: bytes that were settled no longer are.
    pub fn change(&mut self) -> &mut Matrix {
        (self.changed, self.stored) = (true, None);
        &mut self.weight
    }

    /// Settles the bytes.
    pub fn settle(&mut self, format: Format, bytes: Vec<u8>, numbers: Matrix) {
        (self.weight, self.changed, self.stored) = (numbers, true, Some(Stored::Whole(format, bytes)));
    }

    /// Settles two factors, in `format` where their rows are whole blocks of it. Errors where it cannot say one of their numbers.
    pub fn factor(&mut self, factors: &Factors, format: Format, team: &mut Team) -> Result<()> {
        let coded = |factor: &Matrix| {
            let coded = Coded::of(fitting(format, factor.cols), factor);
            coded.map_err(|error| Error::Unfit(format!("a factor of {}: {error}", self.name)))
        };
        let (a, b) = (coded(&factors.a)?, coded(&factors.b)?);
        self.weight = Factors { a: a.decoded(), b: b.decoded() }.product(team);
        (self.changed, self.stored) = (true, Some(Stored::Factors { a, b }));
        Ok(())
    }

    /// Whether it is settled as two factors.
    pub fn is_factored(&self) -> bool {
        matches!(self.stored, Some(Stored::Factors { .. }))
    }
}

/// A vector of a layer: a norm's weight or a bias.
pub struct Vector {
    /// The tensor's name.
    pub name: String,
    /// Its numbers.
    pub numbers: Vec<f32>,
    /// Whether they are other numbers than the base's.
    pub changed: bool,
}

impl Vector {
    /// Divides a stretch of them.
    pub fn divide(&mut self, first: usize, scales: &[f32]) {
        self.numbers[first..].iter_mut().zip(scales).for_each(|(x, s)| *x /= s);
        self.changed = true;
    }
}

/// What makes a group's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// A norm's output that nothing else reads.
    Norm,
    /// The heads' outputs.
    Attention,
    /// What was activated, of several matrices side by side.
    Activation(Activation),
    /// The residual stream, which others read, too.
    Stream,
}

/// Matrices that read the same input.
pub struct Group {
    /// The operation.
    pub op: usize,
    /// They.
    pub slots: Vec<Slot>,
    /// The norm before them: weight, and bias if it has one.
    pub norm: Vec<Vector>,
    /// Their biases, where they have any, in the order of the products.
    pub biases: Vec<Option<Vector>>,
    /// What makes the input.
    pub source: Source,
    /// Of the input; empty without calibration.
    pub statistics: Statistics,
}

/// A layer.
pub struct Layer {
    /// Which, from 0.
    pub index: usize,
    /// The model's sizes.
    pub config: Config,
    /// In the order of operations.
    pub groups: Vec<Group>,
    /// What people should know of how it was changed.
    pub notes: Vec<String>,
}

impl Layer {
    /// Opens the operations `ops` of a model; `statistics` by operation.
    pub fn open(
        model: &Model,
        program: &Program,
        index: usize,
        ops: Range<usize>,
        mut statistics: BTreeMap<usize, Statistics>,
    ) -> Layer {
        let mut groups = Vec::new();
        let mut source = Source::Stream;
        for i in ops {
            let op = &program.ops[i];
            let vector = |id: usize| Vector {
                name: program.weights[id].name.clone(),
                numbers: model.weight(program, id).data,
                changed: false,
            };
            let norm: Option<Norm> = match op {
                Op::NormLinear { norm, .. } => *norm,
                _ => None,
            };
            if norm.is_some() {
                source = Source::Norm;
            }
            let linears: Vec<_> = op.linears().collect();
            if !linears.is_empty() {
                let mut slots: Vec<Slot> = Vec::new();
                for linear in &linears {
                    let Weight { name, tensor, .. } = &program.weights[linear.weight];
                    if slots.iter().all(|slot| slot.name != *name) {
                        slots.push(Slot {
                            name: name.clone(),
                            weight: model.matrix(name),
                            changed: false,
                            stored: None,
                            alone: program.weights.iter().filter(|weight| weight.tensor == *tensor).count() == 1,
                        });
                    }
                }
                groups.push(Group {
                    op: i,
                    slots,
                    norm: norm.iter().flat_map(|norm| [Some(norm.weight), norm.bias]).flatten().map(vector).collect(),
                    biases: linears.iter().map(|linear| linear.bias.map(vector)).collect(),
                    source,
                    statistics: statistics.remove(&i).unwrap_or_default(),
                });
            }
            source = match op {
                Op::NormLinear { activation, .. } => Source::Activation(*activation),
                Op::Attention { .. } => Source::Attention,
                _ => Source::Stream,
            };
        }
        Layer { index, config: program.config.clone(), groups, notes: Vec::new() }
    }

    /// Puts what has changed into a model: settled bytes as they are, other matrices as F16 (F32 where a number is too large
    /// for that), vectors as F32.
    pub fn close(self, model: &mut Model) -> Result<()> {
        self.notes.iter().for_each(|note| model.note(note));
        for group in self.groups {
            for slot in group.slots {
                match slot.stored {
                    Some(Stored::Whole(format, bytes)) => model.set(&slot.name, format, slot.weight.cols, bytes),
                    Some(Stored::Factors { a, b }) => model.factor(&slot.name, a, b),
                    None if slot.changed => {
                        let fits = slot.weight.data.iter().all(|x| x.abs() < 65504.0);
                        model.store(&slot.name, if fits { Format::F16 } else { Format::F32 }, &slot.weight)?;
                    }
                    None => {}
                }
            }
            for vector in
                group.norm.into_iter().chain(group.biases.into_iter().flatten()).filter(|vector| vector.changed)
            {
                let cols = vector.numbers.len();
                model.store(&vector.name, Format::F32, &Matrix::new(cols, vector.numbers))?;
            }
        }
        Ok(())
    }
}
