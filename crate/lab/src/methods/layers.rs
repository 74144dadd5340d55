//! Fewer layers, or halves of layers (attention, feed-forward part): the residual stream passes by what is left out.
//!
//! - `influence`: those go that turn the stream least, `1 − E[cos(before, after)]` from one reading of the texts. Men et al. 2024
//!   (ShortGPT), arXiv:2403.03853.
//! - `greedy`: one after the other; of the few that turn it least the one whose loss makes the model least unlike the original, by
//!   Kullback-Leibler divergence. Song et al. 2024 (SLEB), arXiv:2402.09025. What is before a candidate need not be read again.
//!
//! Without halves the file is of the same family. With them it is one of `deci`, see [`structure`]: a layer without attention has
//! sizes of 0; one without a feed-forward part keeps a narrow one that adds nothing, since llama.cpp passes over a layer that has none.

use hearth_engine::cpu::team::Team;
use hearth_engine::formats::Value;
use hearth_engine::program::{Op, Program, Rope};
use hearth_engine::quant::Format;

use super::{Kind, Opt, Spec};
use crate::elementwise::dot;
use crate::error::{Error, Result};
use crate::evaluate::position;
use crate::follow::{Part, Streams, parts};
use crate::matrix::Matrix;
use crate::model::Model;
use crate::pass::{Method, Needs, WholeMethod};
use crate::structure::{self, drop_layers, drop_tensors, settle};
use crate::walk::{Head, Stage, embed};
use crate::{Progress, Watch};

/// Candidates that are tried for each that goes.
const CANDIDATES: usize = 6;

/// Tokens that candidates are judged by.
const TOKENS: usize = 1024;

/// Positions of them whose predictions are compared.
const COMPARED: usize = 256;

/// Width of a feed-forward part that stays for form's sake: a block of most formats.
const NARROW: usize = 32;

pub const SPEC: Spec = Spec {
    name: "layers",
    does: "Leaves out layers, or halves of layers, that change least.",
    options: &[
        Opt { name: "drop", does: "How many.", kind: Kind::Number { min: 0.0, max: 128.0, default: 2.0 } },
        Opt {
            name: "parts",
            does: "Whole layers, or attention and feed-forward parts by themselves (Llama's family only).",
            kind: Kind::Choice { of: &["layers", "halves"], default: "layers" },
        },
        Opt {
            name: "score",
            does: "Which go: by how little they turn what passes, or one by one by what each costs.",
            kind: Kind::Choice { of: &["influence", "greedy"], default: "greedy" },
        },
    ],
    make: |options| {
        Method::whole(Layers {
            drop: options.number("drop") as usize,
            halves: options.choice("parts") == "halves",
            greedy: options.choice("score") == "greedy",
        })
    },
};

struct Layers {
    drop: usize,
    halves: bool,
    greedy: bool,
}

impl WholeMethod for Layers {
    fn needs(&self) -> Needs {
        Needs::Squares
    }

    fn run(
        &self,
        _base: &Model,
        model: &mut Model,
        texts: &[Vec<u32>],
        team: &mut Team,
        watch: &mut Watch,
    ) -> Result<()> {
        if self.drop == 0 {
            return Ok(());
        }
        let longest = texts.iter().map(Vec::len).max().unwrap_or(1);
        let program = model.program(longest)?;
        let family = structure::family(model)?;
        if self.halves && family != "llama" && family != "deci" {
            return Err(Error::Unfit(format!(
                "halves of layers can be left out of Llama's family, and this is {family}: drop whole layers"
            )));
        }
        let sights: Vec<Sight> = program.ops.iter().filter_map(sight).collect();
        let a_list = |value: &Value| matches!(value, Value::Bools(list) if list.len() == program.config.n_layers);
        let listed = model.header.metadata.values().any(a_list);
        if !listed && sights.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Error::Unfit(format!(
                "layers of {family} see more or less by their number, so none can go without changing others: \
                 drop channels or heads"
            )));
        }
        let search = Search { model, program: &program, parts: parts(&program, self.halves) };
        let dropped = match self.greedy {
            true => search.greedy(self.drop, texts, team, watch)?,
            false => search.by_influence(self.drop, texts, team, watch)?,
        };
        let left = search.without(&dropped)?;
        // What a family derives from the number of a layer must be as it was.
        let kept = (0..search.parts.len()).filter(|i| !dropped.contains(i));
        let kept = kept.flat_map(|i| program.ops[search.parts[i].ops.clone()].iter().filter_map(sight));
        if !kept.eq(left.program(longest)?.ops.iter().filter_map(sight)) {
            let what = format!("without these layers others of {family} would see more or less: drop fewer");
            return Err(Error::Unfit(what));
        }
        *model = left;
        Ok(())
    }
}

/// What an attention sees and how: rotation (whichever its divisors), window, scale.
type Sight = (Option<Rope>, Option<usize>, f32);

fn sight(op: &Op) -> Option<Sight> {
    match *op {
        Op::Attention { rope, window, scale, .. } => {
            Some((rope.map(|rope| Rope { divisors: rope.divisors.map(|_| 0), ..rope }), window, scale))
        }
        _ => None,
    }
}

/// A model whose parts are looked at.
struct Search<'a> {
    model: &'a Model,
    program: &'a Program,
    parts: Vec<Part>,
}

impl Search<'_> {
    /// Takes the streams through the parts from `first` on but for those dropped; `see` hears of each what it was given and what came
    /// out.
    fn through(
        &self,
        first: usize,
        dropped: &[usize],
        streams: &mut Streams,
        team: &mut Team,
        mut see: impl FnMut(usize, &Streams, &Streams),
    ) {
        let longest = streams.iter().map(|x| x.rows).max().unwrap_or(1);
        for i in (first..self.parts.len()).filter(|i| !dropped.contains(i)) {
            let stage = Stage::new(self.model, self.program, self.parts[i].ops.clone(), longest);
            let before = streams.clone();
            streams.iter_mut().for_each(|x| stage.run(x, team, &mut |_, _| {}));
            see(i, &before, streams);
        }
    }

    /// Whether what is left is a model that a file can hold: the first layer attends, since readers take the width of heads from it.
    fn stands(&self, dropped: &[usize]) -> bool {
        let mut left = (0..self.parts.len()).filter(|i| !dropped.contains(i)).map(|i| &self.parts[i]);
        left.next().is_some_and(|first| first.attends)
    }

    /// `dropped` and another that leaves a model standing.
    fn with(&self, dropped: &[usize], other: usize) -> Option<Vec<usize>> {
        let all = [dropped, &[other]].concat();
        (!dropped.contains(&other) && self.stands(&all)).then_some(all)
    }

    fn by_influence(&self, count: usize, texts: &[Vec<u32>], team: &mut Team, watch: &mut Watch) -> Result<Vec<usize>> {
        let mut influences = vec![0.0; self.parts.len()];
        for (done, text) in texts.iter().enumerate() {
            watch(Progress { what: "looking for the idle", done, of: texts.len() })?;
            let mut stream = vec![embed(self.model, self.program, text)];
            self.through(0, &[], &mut stream, team, |i, before, after| influences[i] += influence(before, after));
        }
        let mut order: Vec<usize> = (0..self.parts.len()).collect();
        order.sort_by(|&a, &b| influences[a].total_cmp(&influences[b]).then(a.cmp(&b)));
        let mut dropped = Vec::new();
        while dropped.len() < count {
            let next = order.iter().find_map(|&i| self.with(&dropped, i));
            dropped = next.ok_or_else(|| too_many(dropped.len()))?;
        }
        Ok(dropped)
    }

    fn greedy(&self, count: usize, texts: &[Vec<u32>], team: &mut Team, watch: &mut Watch) -> Result<Vec<usize>> {
        let mut room = TOKENS;
        let texts = texts.iter().take_while(|text| {
            let first = room == TOKENS;
            room = room.saturating_sub(text.len());
            first || room > 0
        });
        let texts: Vec<&[u32]> = texts.map(|text| &text[..text.len().min(TOKENS)]).collect();
        let judge = Judge::new(self.model, self.program, &texts)?;
        // What goes into each part, and how far it turns that.
        let mut entries: Vec<Streams> = vec![Vec::new(); self.parts.len()];
        let mut influences = vec![0.0; self.parts.len()];
        let mut streams: Streams = texts.iter().map(|text| embed(self.model, self.program, text)).collect();
        let (mut first, mut dropped, mut original) = (0, Vec::new(), None);
        while dropped.len() < count {
            self.through(first, &dropped, &mut streams, team, |i, before, after| {
                influences[i] = influence(before, after);
                entries[i].clone_from(before);
            });
            let original = original.get_or_insert_with(|| judge.logits(&streams, team));
            let mut order: Vec<usize> = (0..self.parts.len()).collect();
            order.sort_by(|&a, &b| influences[a].total_cmp(&influences[b]).then(a.cmp(&b)));
            let candidates = order.into_iter().filter(|&i| self.with(&dropped, i).is_some()).take(CANDIDATES);
            let mut best = None;
            for candidate in candidates.collect::<Vec<_>>() {
                watch(Progress { what: "trying without", done: dropped.len(), of: count })?;
                let mut streams = entries[candidate].clone();
                self.through(candidate + 1, &dropped, &mut streams, team, |_, _, _| {});
                let cost = judge.divergence(original, &streams, team);
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, candidate));
                }
            }
            let (_, worst) = best.ok_or_else(|| too_many(dropped.len()))?;
            dropped.push(worst);
            (first, streams) = (worst, std::mem::take(&mut entries[worst]));
        }
        Ok(dropped)
    }

    /// The model without these parts.
    fn without(&self, dropped: &[usize]) -> Result<Model> {
        let mut model = self.model.clone();
        let mut gone = Vec::new();
        for layer in 0..self.program.config.n_layers {
            let of_it = |attends: bool| {
                let mut parts = self.parts.iter().enumerate().filter(|(_, part)| part.layer == layer);
                parts.any(|(i, part)| part.attends == attends && !dropped.contains(&i))
            };
            match [of_it(true), of_it(false)] {
                [false, false] => gone.push(layer),
                [false, true] => drop_tensors(&mut model, layer, "attn_"),
                [true, false] if self.parts.iter().any(|part| part.layer == layer && !part.attends) => {
                    silence(&mut model, layer)?;
                }
                [true, _] => {}
            }
        }
        drop_layers(&mut model, &gone)?;
        settle(&mut model)?;
        Ok(model)
    }
}

fn too_many(most: usize) -> Error {
    Error::Unfit(format!("no more than {most} of the model's parts can be left out: drop fewer"))
}

/// `1 − cos(before, after)`, summed over all tokens.
fn influence(before: &Streams, after: &Streams) -> f64 {
    let rows = before.iter().flat_map(Matrix::iter).zip(after.iter().flat_map(Matrix::iter));
    rows.map(|(x, y)| 1.0 - dot(x, y) / (dot(x, x) * dot(y, y)).sqrt().max(f64::MIN_POSITIVE)).sum()
}

/// A feed-forward part that stays narrow and adds nothing.
fn silence(model: &mut Model, layer: usize) -> Result<()> {
    let name = |part: &str| format!("blk.{layer}.{part}");
    let dim = model.tensor(&name("ffn_gate.weight")).expect("Llama's").cols();
    for part in ["ffn_gate.weight", "ffn_up.weight"] {
        let (tensor, info) = model.header.tensor(&name(part)).expect("Llama's");
        let (format, width) = (info.format, info.rows().min(NARROW));
        let bytes = model.data[tensor][..width * format.row_bytes(dim).expect("the header was checked")].to_vec();
        model.set(&name(part), format, dim, bytes);
    }
    let width = model.tensor(&name("ffn_up.weight")).expect("Llama's").rows();
    model.store(&name("ffn_down.weight"), Format::F16, &Matrix::zeros(dim, width))?;
    ["ffn_gate.bias", "ffn_up.bias", "ffn_down.bias"].iter().for_each(|bias| drop_tensors(model, layer, bias));
    Ok(())
}

/// Says how unlike the original's predictions others are, at some positions.
struct Judge {
    head: Head,
    /// Every so many positions one.
    stride: usize,
}

impl Judge {
    fn new(model: &Model, program: &Program, texts: &[&[u32]]) -> Result<Judge> {
        let head = Head::new(model, program);
        if !head.says() {
            let what = "this model says nothing that could be compared: score by influence";
            return Err(Error::Unfit(what.into()));
        }
        let tokens: usize = texts.iter().map(|text| text.len()).sum();
        Ok(Judge { head, stride: tokens.div_ceil(COMPARED) })
    }

    fn logits(&self, streams: &Streams, team: &mut Team) -> Matrix {
        let cols = streams[0].cols;
        // From the end of the first stride on, where there is something before to predict from.
        let rows = streams.iter().flat_map(Matrix::iter).skip(self.stride - 1).step_by(self.stride);
        let hidden = self.head.hidden(&Matrix::new(cols, rows.flatten().copied().collect()), team);
        self.head.logits(&hidden, team)
    }

    /// Sum of divergences.
    fn divergence(&self, original: &Matrix, streams: &Streams, team: &mut Team) -> f64 {
        let other = self.logits(streams, team);
        original.iter().zip(other.iter()).map(|(p, q)| position(p, q, 0).kl).sum()
    }
}
