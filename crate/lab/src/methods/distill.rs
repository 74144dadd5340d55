//! Block distillation: the feed-forward half of each layer is tuned until what leaves the layer is what leaves it in the base, given
//! what the layers before have become. Its norm, its biases and those of its matrices that are not quantized, by Adam (Kingma & Ba
//! 2014, arXiv:1412.6980) on the error `‖x − x_base‖² / ‖x_base‖²` of each token.
//!
//! A step is taken by one text; one text of several is held out, and where it is no better off in the end, a half stays as it was.

use hearth_engine::cpu::team::Team;
use hearth_engine::program::{Linear, Norm, Op, Program, WeightId};
use hearth_engine::quant::Format;

use super::refit::{HELD, MAY_HAVE_BIASES};
use super::{Kind, Opt, Spec};
use crate::error::Result;
use crate::feed_forward::FeedForward;
use crate::follow::Follow;
use crate::matrix::Matrix;
use crate::model::Model;
use crate::pass::{Method, Needs, WholeMethod};
use crate::structure;
use crate::walk::Stage;
use crate::{Progress, Watch};

/// How much of the mean gradient, and of its mean square, a step keeps.
const KEEP: [f32; 2] = [0.9, 0.98];

pub const SPEC: Spec = Spec {
    name: "distill",
    does: "Tunes the feed-forward part of each layer until the layer says what the original's says.",
    options: &[
        Opt { name: "steps", does: "For each layer.", kind: Kind::Number { min: 1.0, max: 1000.0, default: 32.0 } },
        Opt {
            name: "rate",
            does: "How far the first step goes, as a share of the numbers' size.",
            kind: Kind::Number { min: 1e-5, max: 0.1, default: 0.005 },
        },
    ],
    make: |options| {
        Method::whole(Distill { steps: options.number("steps") as usize, rate: options.number("rate") as f32 })
    },
};

struct Distill {
    steps: usize,
    rate: f32,
}

impl WholeMethod for Distill {
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
        let biases = MAY_HAVE_BIASES.contains(&structure::family(&made)?.as_str());
        let mut follow = Follow::new(base, &made, &program, texts)?;
        for i in 0..follow.parts.len() {
            follow.lead(i, team);
            let ops = follow.parts[i].ops.clone();
            if let Some(half) = Half::open(&made, &program, &program.ops[ops.clone()], biases) {
                let mut tell = || watch(Progress { what: "tuning", done: i, of: follow.parts.len() });
                if let Some(tuned) = self.tune(&half, &follow, team, &mut tell)? {
                    half.close(&mut made, &program, tuned)?;
                    program = made.program(longest)?;
                }
            }
            let stage = Stage::new(&made, &program, ops, longest);
            follow.streams.iter_mut().for_each(|x| stage.run(x, team, &mut |_, _| {}));
        }
        *model = made;
        Ok(())
    }
}

impl Distill {
    /// The half as it should be, unless it is best as it is.
    fn tune(
        &self,
        half: &Half,
        follow: &Follow,
        team: &mut Team,
        tell: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<FeedForward>> {
        let count = follow.streams.len();
        let (held, fit): (Vec<usize>, Vec<usize>) = (0..count).partition(|t| count >= HELD && t % HELD == HELD - 1);
        let judged = if held.is_empty() { &fit } else { &held };
        let error = |half: &FeedForward, team: &mut Team| -> f64 {
            judged.iter().map(|&t| missing(half, &follow.streams[t], &follow.targets[t], team).2).sum()
        };
        let mut now = half.numbers.clone();
        let before = error(&now, team);
        let [mut means, mut squares] = [now.zeros(), now.zeros()];
        // What a step may change each of the numbers by.
        let reach = half.reach(&follow.targets[fit[0]]);
        for step in 0..self.steps {
            tell()?;
            let t = fit[step % fit.len()];
            let (tape, lacks, _) = missing(&now, &follow.streams[t], &follow.targets[t], team);
            let mut gradient = now.backward(&tape, &lacks, team);
            let rate = self.rate * (1.0 - step as f32 / self.steps as f32);
            let unbiased = KEEP.map(|keep| 1.0 - libm::powf(keep, step as f32 + 1.0));
            let all = now.numbers().into_iter().zip(gradient.numbers()).zip(means.numbers()).zip(squares.numbers());
            for ((((w, g), m), v), reach) in all.zip(&reach) {
                if *reach == 0.0 {
                    continue;
                }
                for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                    *m = KEEP[0] * *m + (1.0 - KEEP[0]) * *g;
                    *v = KEEP[1] * *v + (1.0 - KEEP[1]) * *g * *g;
                    *w -= rate * reach * (*m / unbiased[0]) / ((*v / unbiased[1]).sqrt() + 1e-12);
                }
            }
        }
        Ok((error(&now, team) < before).then_some(now))
    }
}

/// The way forwards, what a loss says of the output, and the loss: `Σ ‖x + f(x) − y‖² / ‖y‖²`.
fn missing(half: &FeedForward, x: &Matrix, y: &Matrix, team: &mut Team) -> (crate::feed_forward::Tape, Matrix, f64) {
    let tape = half.forward(x, team);
    let mut lacks = Matrix::zeros(x.rows, x.cols);
    let mut loss = 0.0;
    for (t, lacks) in lacks.data.chunks_exact_mut(x.cols).enumerate() {
        let size = y.row(t).iter().map(|y| y * y).sum::<f32>().max(1e-9);
        for (j, lack) in lacks.iter_mut().enumerate() {
            let difference = x.row(t)[j] + tape.out.row(t)[j] - y.row(t)[j];
            loss += f64::from(difference * difference / size);
            *lack = difference / size;
        }
    }
    (tape, lacks, loss)
}

/// A feed-forward half of a model.
struct Half {
    norm: Norm,
    ups: Vec<Linear>,
    down: Linear,
    numbers: FeedForward,
    /// Which numbers may change, in their order.
    free: Vec<bool>,
}

impl Half {
    /// Of these operations, if that is what they are.
    fn open(model: &Model, program: &Program, ops: &[Op], biases: bool) -> Option<Half> {
        let [Op::NormLinear { norm: Some(norm), linears, activation }, Op::LinearAdd { linear: down, post_norm: None }] =
            ops
        else {
            return None;
        };
        let parts = if activation.is_gated() { 2 } else { 1 };
        if linears.len() != parts {
            return None;
        }
        let whole = |id: WeightId| {
            program.weights.iter().filter(|weight| weight.tensor == program.weights[id].tensor).count() == 1
        };
        let dense = |id: WeightId| program.weights[id].format.block_len() == 1 && whole(id);
        let vector = |id: Option<WeightId>| id.map_or(Vec::new(), |id| model.weight(program, id).data);
        let mut down_bias = vector(down.bias);
        if down_bias.is_empty() && biases {
            down_bias = vec![0.0; program.config.dim];
        }
        let numbers = FeedForward {
            norm: (norm.kind, norm.eps),
            activation: *activation,
            gain: vector(Some(norm.weight)),
            shift: vector(norm.bias),
            ups: linears.iter().map(|linear| model.weight(program, linear.weight)).collect(),
            up_biases: linears.iter().map(|linear| vector(linear.bias)).collect(),
            down: model.weight(program, down.weight),
            down_bias,
        };
        let mut free = vec![true, true];
        free.extend(linears.iter().map(|linear| dense(linear.weight)));
        free.extend(linears.iter().map(|_| true));
        free.extend([dense(down.weight), true]);
        Some(Half { norm: *norm, ups: linears.clone(), down: *down, numbers, free })
    }

    /// By how much a full step changes the numbers: by their size or, of biases that are nothing yet, by a tenth of that of the
    /// stream; not at all where they may not change.
    fn reach(&self, stream: &Matrix) -> Vec<f32> {
        let size = |numbers: &[f32]| {
            let sum: f32 = numbers.iter().map(|w| w * w).sum();
            (sum / numbers.len().max(1) as f32).sqrt()
        };
        let mut numbers = self.numbers.clone();
        let reach = |(numbers, free): (&mut Vec<f32>, &bool)| match (free, size(numbers)) {
            (false, _) => 0.0,
            (true, 0.0) => 0.1 * size(&stream.data),
            (true, size) => size,
        };
        numbers.numbers().into_iter().zip(&self.free).map(reach).collect()
    }

    /// Puts other numbers in their place.
    fn close(&self, model: &mut Model, program: &Program, numbers: FeedForward) -> Result<()> {
        let name = |id: WeightId| program.weights[id].name.clone();
        let mut vector = |name: String, numbers: Vec<f32>| structure::put_vector(model, &name, numbers);
        vector(name(self.norm.weight), numbers.gain)?;
        if let Some(shift) = self.norm.bias {
            vector(name(shift), numbers.shift)?;
        }
        for (up, bias) in self.ups.iter().zip(numbers.up_biases) {
            if let Some(id) = up.bias {
                vector(name(id), bias)?;
            }
        }
        if !numbers.down_bias.is_empty() {
            vector(name(self.down.weight).replace(".weight", ".bias"), numbers.down_bias)?;
        }
        let matrices = self.ups.iter().chain([&self.down]).zip(numbers.ups.into_iter().chain([numbers.down]));
        let free = self.free[2..2 + self.ups.len()].iter().chain([&self.free[self.free.len() - 2]]);
        for ((linear, matrix), _) in matrices.zip(free).filter(|(_, free)| **free) {
            model.store(&name(linear.weight), Format::F16, &matrix)?;
        }
        Ok(())
    }
}
