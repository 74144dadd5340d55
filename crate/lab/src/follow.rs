//! A changed model beside the one that it was made of, a part of a layer at a time: what the residual stream of the one should be, by
//! the other's.
//!
//! Both read the same texts. Where layers are gone, the one before them is to give what they gave.

use std::ops::Range;

use hearth_engine::cpu::team::Team;
use hearth_engine::formats::Value;
use hearth_engine::program::{Op, Program};

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::model::Model;
use crate::structure::ORIGINS;
use crate::walk::{Stage, embed, layers};

/// The residual streams of all texts.
pub type Streams = Vec<Matrix>;

/// What can be left out of a model: operations between two additions to the residual stream, or all of a layer.
pub struct Part {
    /// The layer it is of.
    pub layer: usize,
    /// Its operations.
    pub ops: Range<usize>,
    /// Whether there is attention in it.
    pub attends: bool,
}

/// The layers of a program, or their halves.
pub fn parts(program: &Program, halves: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    for (layer, ops) in layers(program).into_iter().enumerate() {
        let mut start = ops.start;
        let adds = |i: usize| matches!(program.ops[i], Op::LinearAdd { .. });
        for i in ops.clone() {
            // What stands behind the last addition, such as BERT's norm, is of the same half.
            if i + 1 == ops.end || halves && adds(i) && (i + 1..ops.end).any(adds) {
                let attends = program.ops[start..=i].iter().any(|op| matches!(op, Op::Attention { .. }));
                parts.push(Part { layer, ops: start..i + 1, attends });
                start = i + 1;
            }
        }
    }
    parts
}

/// A base that goes ahead of a model.
pub struct Follow<'a> {
    base: &'a Model,
    program: Program,
    base_parts: Vec<Part>,
    /// For each part of the model, how many of the base's lie before what follows it.
    until: Vec<usize>,
    at: usize,
    /// What the base makes of the texts, as far as it has come.
    pub targets: Streams,
    /// The model's halves.
    pub parts: Vec<Part>,
    /// What goes into the next of them.
    pub streams: Streams,
}

impl<'a> Follow<'a> {
    /// Errors where the model has parts that the base does not have.
    pub fn new(base: &'a Model, model: &Model, program: &Program, texts: &[Vec<u32>]) -> Result<Follow<'a>> {
        let longest = texts.iter().map(Vec::len).max().unwrap_or(1);
        let base_program = base.program(longest)?;
        let (base_parts, parts) = (parts(&base_program, true), parts(program, true));
        let [theirs, ours] = [(base, &base_program), (model, program)].map(|(model, program)| origins(model, program));
        let counterpart = |part: &Part| {
            let layer = theirs.iter().position(|origin| *origin == ours[part.layer]);
            let same = |other: &Part| Some(other.layer) == layer && other.attends == part.attends;
            base_parts.iter().position(same).ok_or_else(|| {
                Error::Unfit(format!(
                    "layer {} has a part that the base does not have: it is another model",
                    part.layer
                ))
            })
        };
        let mut until = parts.iter().skip(1).map(counterpart).collect::<Result<Vec<_>>>()?;
        until.push(base_parts.len());
        let targets: Streams = texts.iter().map(|text| embed(base, &base_program, text)).collect();
        let streams = texts.iter().map(|text| embed(model, program, text)).collect();
        Ok(Follow { base, program: base_program, base_parts, until, at: 0, targets, parts, streams })
    }

    /// Takes the base to where the model should be behind part `i`.
    pub fn lead(&mut self, i: usize, team: &mut Team) {
        let longest = self.targets.iter().map(|x| x.rows).max().unwrap_or(1);
        for part in &self.base_parts[self.at..self.until[i]] {
            let stage = Stage::new(self.base, &self.program, part.ops.clone(), longest);
            self.targets.iter_mut().for_each(|x| stage.run(x, team, &mut |_, _| {}));
        }
        self.at = self.until[i];
    }
}

/// The layers of the first base of all that these are.
fn origins(model: &Model, program: &Program) -> Vec<usize> {
    match model.header.metadata.get(ORIGINS) {
        Some(Value::Integers(layers)) if layers.len() == program.config.n_layers => {
            layers.iter().map(|&layer| layer as usize).collect()
        }
        _ => (0..program.config.n_layers).collect(),
    }
}
