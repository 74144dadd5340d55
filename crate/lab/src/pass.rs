//! From a base to a compressed model, layer by layer: the texts go through a layer, its inputs are counted, the methods change it,
//! and the texts go on through the changed layer, so that what comes later makes up for what was lost before.

use std::collections::BTreeMap;

use hearth_engine::cpu::team::Team;

use crate::error::{Error, Result};
use crate::imatrix::Imatrix;
use crate::layer::Layer;
use crate::matrix::Matrix;
use crate::model::Model;
use crate::statistics::Statistics;
use crate::walk::{Stage, embed, layers};
use crate::{Progress, Watch};

/// What a method must know of the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing: no text is needed.
    Nothing,
    /// How large each is.
    Squares,
    /// How each goes with each other.
    Hessian,
}

/// A step of a recipe.
pub enum Method {
    /// Works on a layer at a time; neighbouring steps of this kind share one pass.
    Layer(Box<dyn LayerMethod>),
    /// Works on the model as a whole.
    Whole(Box<dyn WholeMethod>),
}

impl Method {
    /// Of a method that works layer by layer.
    pub fn layer(method: impl LayerMethod + 'static) -> Method {
        Method::Layer(Box::new(method))
    }

    /// Of a method that works on the whole.
    pub fn whole(method: impl WholeMethod + 'static) -> Method {
        Method::Whole(Box::new(method))
    }

    /// What it must know.
    pub fn needs(&self) -> Needs {
        match self {
            Method::Layer(method) => method.needs(),
            Method::Whole(method) => method.needs(),
        }
    }
}

/// A method that needs more than one layer at a time.
pub trait WholeMethod {
    /// What it must know: texts, if not [`Needs::Nothing`].
    fn needs(&self) -> Needs;

    /// Changes a model that steps before may have changed; `base` is what the recipe began with.
    fn run(
        &self,
        base: &Model,
        model: &mut Model,
        texts: &[Vec<u32>],
        team: &mut Team,
        watch: &mut Watch,
    ) -> Result<()>;
}

/// A method that works layer by layer.
pub trait LayerMethod {
    /// What it must know.
    fn needs(&self) -> Needs;

    /// Looks at the model as it is before the pass, and makes its plan.
    fn prepare(&mut self, _model: &Model, _texts: &[Vec<u32>], _team: &mut Team, _watch: &mut Watch) -> Result<()> {
        Ok(())
    }

    /// Changes a layer. Errors where it cannot.
    fn layer(&self, layer: &mut Layer, team: &mut Team) -> Result<()>;

    /// Changes what belongs to no layer, at the end: tables, the head.
    fn rest(&self, _model: &mut Model) -> Result<()> {
        Ok(())
    }
}

/// Applies `methods` to each layer of a model in turn, by what an importance matrix says of the inputs. Errors where that is not
/// enough for a method.
pub fn run_by(
    importance: &Imatrix,
    model: &mut Model,
    methods: &mut [Box<dyn LayerMethod>],
    team: &mut Team,
    watch: &mut Watch,
) -> Result<()> {
    if methods.iter().any(|method| method.needs() == Needs::Hessian) {
        let what =
            "an importance matrix does not say how inputs go together: give a text, or take another rounding or score";
        return Err(Error::Unfit(what.into()));
    }
    for method in &mut *methods {
        method.prepare(model, &[], team, watch)?;
    }
    let mut program = model.program(1)?;
    let stages = layers(&program);
    for (index, ops) in stages.iter().enumerate() {
        let mut statistics = BTreeMap::new();
        for op in ops.clone() {
            if let Some(linear) = program.ops[op].linears().next() {
                let weight = &program.weights[linear.weight];
                statistics.insert(op, importance.statistics(&weight.name, weight.cols)?);
            }
        }
        let mut layer = Layer::open(model, &program, index, ops.clone(), statistics);
        for method in &*methods {
            watch(Progress { what: "compressing", done: index, of: stages.len() })?;
            method.layer(&mut layer, team)?;
        }
        layer.close(model)?;
        model.refresh(&mut program);
    }
    methods.iter().try_for_each(|method| method.rest(model))
}

/// Applies `methods` to each layer of a model in turn. `texts` are sequences of tokens for calibration.
pub fn run(
    model: &mut Model,
    methods: &mut [Box<dyn LayerMethod + '_>],
    texts: &[Vec<u32>],
    team: &mut Team,
    watch: &mut Watch,
) -> Result<()> {
    for method in &mut *methods {
        method.prepare(model, texts, team, watch)?;
    }
    let needs = methods.iter().map(|method| method.needs()).max().unwrap_or(Needs::Nothing);
    let texts = if needs == Needs::Nothing { &[] } else { texts };
    let longest = texts.iter().map(Vec::len).max().unwrap_or(1);
    let mut program = model.program(longest)?;
    let mut streams: Vec<Matrix> = texts.iter().map(|tokens| embed(model, &program, tokens)).collect();
    let stages = layers(&program);
    for (index, ops) in stages.iter().enumerate() {
        let mut tell = |what| watch(Progress { what, done: index, of: stages.len() });
        let mut statistics: BTreeMap<usize, Statistics> = BTreeMap::new();
        if !streams.is_empty() {
            let stage = Stage::new(model, &program, ops.clone(), longest);
            let counting = &mut Team::alone();
            for x in &streams {
                tell("calibrating")?;
                let mut inputs = Vec::new();
                stage.run(&mut x.clone(), team, &mut |op, input| inputs.push((op, input.clone())));
                for (op, input) in inputs {
                    let new = || Statistics::new(input.cols, needs == Needs::Hessian);
                    let team = if needs == Needs::Hessian { &mut *team } else { &mut *counting };
                    statistics.entry(op).or_insert_with(new).see(&input, team);
                }
            }
        }
        let mut layer = Layer::open(model, &program, index, ops.clone(), statistics);
        for method in &*methods {
            tell("compressing")?;
            method.layer(&mut layer, team)?;
        }
        layer.close(model)?;
        model.refresh(&mut program);
        if index + 1 < stages.len() && !streams.is_empty() {
            let stage = Stage::new(model, &program, ops.clone(), longest);
            for x in &mut streams {
                tell("going on")?;
                stage.run(x, team, &mut |_, _| {});
            }
        }
    }
    methods.iter().try_for_each(|method| method.rest(model))
}
