//! What was taken from a model is made up for against the original: the last matrix of each half of a layer, and its bias, are fitted
//! so that the residual stream becomes what it is there in the base, however far it had come away from it before.
//!
//! With `a` what the matrix reads, `r` what its output lacks, both divided by the stream's size at their token (the next norm does
//! that, too), `ΔW = E[r aᵀ] (E[a aᵀ] + λI)⁻¹`: the least change that does it. The λ is the one that is best on texts held out, or
//! none, where every change would be for the worse.

use hearth_engine::cpu::team::Team;
use hearth_engine::program::Op;
use hearth_engine::quant::Format;

use super::{Kind, Opt, Spec};
use crate::elementwise::add_row;
use crate::error::Result;
use crate::follow::Follow;
use crate::least_squares::Inverse;
use crate::matrix::{Matrix, Packed, add_gram, mirror, times};
use crate::model::Model;
use crate::pass::{Method, Needs, WholeMethod};
use crate::structure;
use crate::walk::Stage;
use crate::{Progress, Watch};

/// Shares of the mean of the diagonal that may be added to it.
const DAMPINGS: &[f32] = &[0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];

/// One text of so many is held out.
pub(super) const HELD: usize = 4;

/// Families whose readers look for biases that not every file has.
pub(super) const MAY_HAVE_BIASES: &[&str] = &["llama", "deci"];

pub const SPEC: Spec = Spec {
    name: "refit",
    does: "Fits the last matrix of each half of a layer so that the stream is the original's again.",
    options: &[Opt { name: "bias", does: "Adds biases, where readers know them.", kind: Kind::Flag { default: true } }],
    make: |options| Method::whole(Refit { bias: options.flag("bias") }),
};

struct Refit {
    bias: bool,
}

impl WholeMethod for Refit {
    fn needs(&self) -> Needs {
        Needs::Squares
    }

    fn run(
        &self,
        base: &Model,
        model: &mut Model,
        texts: &[Vec<u32>],
        team: &mut Team,
        watch: &mut Watch,
    ) -> Result<()> {
        let longest = texts.iter().map(Vec::len).max().unwrap_or(1);
        let mut made = model.clone();
        let mut program = made.program(longest)?;
        let biases = self.bias && MAY_HAVE_BIASES.contains(&structure::family(&made)?.as_str());
        let mut follow = Follow::new(base, &made, &program, texts)?;
        let mut strength = DAMPINGS.len() / 2;
        for i in 0..follow.parts.len() {
            watch(Progress { what: "fitting", done: i, of: follow.parts.len() })?;
            follow.lead(i, team);
            let ops = follow.parts[i].ops.clone();
            let last = ops.end - 1;
            let stage = Stage::new(&made, &program, ops, longest);
            // Numbers that are quantized stay; a bias is added where readers know it.
            let fitted = match &program.ops[last] {
                Op::LinearAdd { linear, post_norm: None } => {
                    let weight = &program.weights[linear.weight];
                    Some((weight, weight.format.block_len() == 1, linear.bias.is_some() || biases))
                }
                _ => None,
            };
            let Some((weight, weights, bias)) = fitted.filter(|(_, weights, bias)| *weights || *bias) else {
                follow.streams.iter_mut().for_each(|x| stage.run(x, team, &mut |_, _| {}));
                continue;
            };
            let mut moments = Moments { weights, bias, sums: [None, None] };
            let mut inputs = Vec::new();
            for (t, (x, target)) in follow.streams.iter().zip(&follow.targets).enumerate() {
                let mut after = x.clone();
                stage.run(&mut after, team, &mut |op, input| {
                    if op == last {
                        inputs.push(input.clone());
                    }
                });
                let held = texts.len() >= HELD && t % HELD == HELD - 1;
                moments.see(&inputs[t], &after, target, held, team);
            }
            if let Some(change) = moments.solve(&mut strength, team) {
                let name = weight.name.clone();
                apply(&mut made, &name, &change)?;
                program = made.program(longest)?;
            }
            // Only the last product is another.
            let linear = program.ops[last].linears().next().expect("it was fitted");
            let weight = Packed::new(&made.weight(&program, linear.weight));
            let bias = linear.bias.map(|bias| made.weight(&program, bias).data);
            for (x, input) in follow.streams.iter_mut().zip(&inputs) {
                weight.add_times(input, x, team);
                bias.iter().for_each(|bias| add_row(x, bias));
            }
        }
        *model = made;
        Ok(())
    }
}

/// Changes a matrix and its bias by `[ΔW, Δb]`, or by one of both.
fn apply(model: &mut Model, name: &str, change: &Matrix) -> Result<()> {
    let mut numbers = model.matrix(name);
    let inputs = numbers.cols;
    if change.cols >= inputs {
        for (row, change) in numbers.data.chunks_exact_mut(inputs).zip(change.iter()) {
            row.iter_mut().zip(change).for_each(|(w, change)| *w += change);
        }
        let fits = numbers.data.iter().all(|x| x.abs() < 65504.0);
        model.store(name, if fits { Format::F16 } else { Format::F32 }, &numbers)?;
    }
    let name = name.replace(".weight", ".bias");
    if change.cols % inputs == 1 {
        let before = model.tensor(&name).map(|_| model.matrix(&name).data);
        let mut bias = before.unwrap_or(vec![0.0; change.rows]);
        bias.iter_mut().zip(change.iter()).for_each(|(b, change)| *b += change[change.len() - 1]);
        structure::put_vector(model, &name, bias)?;
    }
    Ok(())
}

/// Second moments of inputs and of what is missing.
struct Moments {
    /// Whether the inputs are among them,
    weights: bool,
    /// and a 1 behind them.
    bias: bool,
    /// To fit, and held out: `Σ a aᵀ`, `Σ r aᵀ`.
    sums: [Option<(Matrix, Matrix)>; 2],
}

impl Moments {
    /// Sees the inputs of some tokens, and the stream as it is and as it should be.
    fn see(&mut self, input: &Matrix, found: &Matrix, target: &Matrix, held: bool, team: &mut Team) {
        let width = if self.weights { input.cols } else { 0 };
        let mut inputs = Matrix::zeros(input.rows, width + usize::from(self.bias));
        let mut lacks = Matrix::zeros(target.rows, target.cols);
        for t in 0..input.rows {
            let size = target.row(t).iter().map(|x| x * x).sum::<f32>() / target.cols as f32;
            let scale = 1.0 / size.sqrt().max(1e-6);
            let row = inputs.row_mut(t);
            row[..width].iter_mut().zip(input.row(t)).for_each(|(a, x)| *a = x * scale);
            row[width..].fill(scale);
            let pairs = target.row(t).iter().zip(found.row(t));
            lacks.row_mut(t).iter_mut().zip(pairs).for_each(|(r, (y, x))| *r = (y - x) * scale);
        }
        let new = || (Matrix::zeros(inputs.cols, inputs.cols), Matrix::zeros(lacks.cols, inputs.cols));
        let (gram, cross) = self.sums[usize::from(held)].get_or_insert_with(new);
        add_gram(&inputs, gram, team);
        let more = times(&lacks.transposed(), &inputs.transposed(), team);
        cross.data.iter_mut().zip(more.data).for_each(|(sum, more)| *sum += more);
    }

    /// `[ΔW, Δb]`, or nothing, where that is best on what is held out. `strength` says which damping was best last, and is.
    fn solve(self, strength: &mut usize, team: &mut Team) -> Option<Matrix> {
        let [Some((mut gram, mut cross)), held] = self.sums else { return None };
        mirror(&mut gram);
        let Some((mut held_gram, held_cross)) = held else {
            return Some(Inverse::new(&gram, DAMPINGS[*strength], team).solve(&cross, team));
        };
        mirror(&mut held_gram);
        // By how much a change lessens the error on what is held out.
        let mut gain = |i: usize| {
            let change = Inverse::new(&gram, DAMPINGS[i], team).solve(&cross, team);
            let spread = times(&change, &held_gram, team);
            let pairs = change.data.iter().zip(spread.data.iter().zip(&held_cross.data));
            pairs.map(|(d, (s, c))| f64::from(*d) * f64::from(2.0 * c - s)).sum::<f64>()
        };
        let mut best = gain(*strength);
        for up in [true, false] {
            loop {
                let next = if up { *strength + 1 } else { strength.wrapping_sub(1) };
                if next >= DAMPINGS.len() {
                    break;
                }
                let found = gain(next);
                if found <= best {
                    break;
                }
                (best, *strength) = (found, next);
            }
        }
        if best <= 0.0 {
            return None;
        }
        gram.data.iter_mut().zip(held_gram.data).for_each(|(sum, more)| *sum += more);
        cross.data.iter_mut().zip(held_cross.data).for_each(|(sum, more)| *sum += more);
        Some(Inverse::new(&gram, DAMPINGS[*strength], team).solve(&cross, team))
    }
}
