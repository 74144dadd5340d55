//! A layer opened for changes: its matrices as numbers, grouped by the input they share, with what calibration says of it.

use std::collections::BTreeMap;
use std::ops::Range;

use hearth_engine::program::{Activation, Config, Norm, Op, Program};
use hearth_engine::quant::Format;

use crate::error::Result;
use crate::matrix::Matrix;
use crate::model::Model;
use crate::statistics::Statistics;

/// A matrix of a layer.
pub struct Slot {
    /// The tensor's name.
    pub name: String,
    /// Its numbers, `[out, in]`, as they are now.
    pub weight: Matrix,
    /// Whether they are other numbers than the base's.
    pub changed: bool,
    /// Its bytes in a format, once somebody has settled them; `weight` is then what they say.
    pub stored: Option<(Format, Vec<u8>)>,
}

impl Slot {
    /// Its numbers, to be changed: bytes that were settled no longer are.
    pub fn change(&mut self) -> &mut Matrix {
        (self.changed, self.stored) = (true, None);
        &mut self.weight
    }

    /// Settles the bytes.
    pub fn settle(&mut self, format: Format, bytes: Vec<u8>, numbers: Matrix) {
        (self.weight, self.changed, self.stored) = (numbers, true, Some((format, bytes)));
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
                    let name = &program.weights[linear.weight].name;
                    if slots.iter().all(|slot| slot.name != *name) {
                        slots.push(Slot {
                            name: name.clone(),
                            weight: model.matrix(name),
                            changed: false,
                            stored: None,
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
                    Some((format, bytes)) => model.set(&slot.name, format, slot.weight.cols, bytes),
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
