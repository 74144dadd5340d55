//! The compression lab: `Intake` takes a model's files piece by piece and becomes `Weights`; a `Lab` makes others of them and
//! tells them apart. Calls last minutes and answer when they are done; on the way they tell a listener of their progress.
#![cfg(target_arch = "wasm32")]

use bindings::team::team;
use bindings::{error, from_js, to_js};
use hearth_engine::cpu::team::Team;
use hearth_engine::quant::Format;
use hearth_engine::tokenizer::Tokenizer;
use hearth_lab::adapter::{between, merge};
use hearth_lab::imatrix::Imatrix;
use hearth_lab::info::Info;
use hearth_lab::methods::METHODS;
use hearth_lab::model::{Loader, Model};
use hearth_lab::presets::PRESETS;
use hearth_lab::recipe::Recipe;
use hearth_lab::reference::{Reference, Texts};
use hearth_lab::search::glance;
use hearth_lab::text::{PROTOCOLS, Test};
use hearth_lab::work::Work;
use hearth_lab::{Error, Progress};
use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;

fn lab_error(problem: Error) -> JsValue {
    error(problem.code(), &problem.to_string())
}

/// Takes the bytes of a model's files as it asks for them.
#[wasm_bindgen]
pub struct Intake(Loader);

#[wasm_bindgen]
impl Intake {
    /// For these files, `[{name, size_bytes}]`.
    #[wasm_bindgen(constructor)]
    pub fn new(files: JsValue) -> Result<Intake, JsValue> {
        Ok(Intake(Loader::of(from_js(files)?).map_err(lab_error)?))
    }

    /// Which bytes of which file to push next, `{file, offset, bytes}`, in pieces of any size; null when all has come.
    pub fn wants(&mut self) -> Result<JsValue, JsValue> {
        to_js(&self.0.wants().map_err(lab_error)?)
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        self.0.push(bytes).map_err(lab_error)
    }

    /// All has come: gives the model.
    pub fn finish(self) -> Result<Weights, JsValue> {
        let model = self.0.finish().map_err(lab_error)?;
        let tokenizer = model.tokenizer().map_err(lab_error)?;
        Ok(Weights { model, tokenizer })
    }
}

/// A model as its file has it.
#[wasm_bindgen]
pub struct Weights {
    model: Model,
    tokenizer: Tokenizer,
}

impl Weights {
    fn tokens(&self, text: &str) -> Result<Vec<u32>, JsValue> {
        self.tokenizer.encode(text).map_err(|problem| lab_error(problem.into()))
    }
}

#[wasm_bindgen]
impl Weights {
    /// What it is, see `hearth_lab::info`.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        to_js(&Info::of(&self.model).map_err(lab_error)?)
    }

    /// What a token costs, see `hearth_lab::work`.
    pub fn work(&self) -> Result<JsValue, JsValue> {
        to_js(&Work::of(&self.model).map_err(lab_error)?)
    }

    /// How many tokens a text is.
    pub fn count(&self, text: &str) -> Result<usize, JsValue> {
        Ok(self.tokens(text)?.len())
    }
}

/// A model, or a file that goes with one, on its way out.
#[wasm_bindgen]
pub struct Made {
    model: Model,
    recipe: Option<Recipe>,
}

#[wasm_bindgen]
impl Made {
    /// What it is, see `hearth_lab::info`.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        to_js(&Info::of(&self.model).map_err(lab_error)?)
    }

    /// The recipe that was followed; null of what no recipe made.
    pub fn recipe(&self) -> Result<JsValue, JsValue> {
        to_js(&self.recipe)
    }

    /// Calls `out` with the GGUF file, a piece at a time.
    pub fn write(&self, out: &Function) -> Result<(), JsValue> {
        let mut told = Ok(());
        let written = self.model.write(|piece| {
            if told.is_ok() {
                told = out.call1(&JsValue::NULL, &Uint8Array::from(piece)).map(drop);
            }
        });
        written.map_err(lab_error)?;
        told
    }
}

/// The threads, and what they have read.
#[wasm_bindgen]
pub struct Lab {
    team: Team,
    reference: Option<Reference>,
}

#[wasm_bindgen]
impl Lab {
    /// Of `threads`, all but one are workers that will call [`help`](bindings::team::help).
    #[wasm_bindgen(constructor)]
    pub fn new(threads: usize) -> Lab {
        Lab { team: team(threads), reference: None }
    }

    /// The methods that recipes may have: `[{name, does, options}]`.
    pub fn methods() -> Result<JsValue, JsValue> {
        to_js(&METHODS)
    }

    /// Recipes with a name: `[{name, does, recipe}]`.
    pub fn presets() -> Result<JsValue, JsValue> {
        to_js(&PRESETS)
    }

    /// How a text may be cut for a test: `[{name, does}]`.
    pub fn protocols() -> Result<JsValue, JsValue> {
        to_js(&PROTOCOLS)
    }

    /// Follows a recipe, JSON; `text` calibrates, or the bytes of an importance matrix. `progress` is called, often, with `{what,
    /// done, of}`.
    pub fn compress(
        &mut self,
        base: &Weights,
        recipe: &str,
        text: Option<String>,
        imatrix: Option<Vec<u8>>,
        progress: &Function,
    ) -> Result<Made, JsValue> {
        self.reference = None; // its memory is needed
        let recipe = Recipe::from_json(recipe).map_err(lab_error)?;
        let (team, watch) = (&mut self.team, &mut telling(progress));
        let model = match imatrix {
            Some(file) => {
                let importance = Imatrix::from_gguf([&file[..]]).map_err(lab_error)?;
                recipe.run_by(&importance, &base.model, team, watch)
            }
            None => {
                let tokens = text.map_or(Ok(Vec::new()), |text| base.tokens(&text))?;
                recipe.run(&base.model, &tokens, team, watch)
            }
        };
        Ok(Made { model: model.map_err(lab_error)?, recipe: Some(recipe) })
    }

    /// An importance matrix of the base by a text called `name`, cut as `calibration` says, `{tokens, length}`: the file's bytes.
    pub fn imatrix(
        &mut self,
        base: &Weights,
        name: &str,
        text: &str,
        calibration: JsValue,
        progress: &Function,
    ) -> Result<Vec<u8>, JsValue> {
        self.reference = None; // its memory is needed
        let (tokens, calibration) = (base.tokens(text)?, from_js(calibration)?);
        let found = Imatrix::read(&base.model, name, &tokens, calibration, &mut self.team, &mut telling(progress));
        found.and_then(|found| found.to_gguf()).map_err(lab_error)
    }

    /// An adapter of this rank that brings `other`, made of the base by rounding, nearer to the base.
    pub fn adapter(
        &mut self,
        base: &Weights,
        other: &Weights,
        text: &str,
        calibration: JsValue,
        rank: usize,
        progress: &Function,
    ) -> Result<Made, JsValue> {
        self.reference = None; // its memory is needed
        let (tokens, calibration) = (base.tokens(text)?, from_js(calibration)?);
        let watch = &mut telling(progress);
        let model = between(&base.model, &other.model, &tokens, calibration, rank, &mut self.team, watch);
        Ok(Made { model: model.map_err(lab_error)?, recipe: None })
    }

    /// The base with an adapter, the bytes of a LoRA file, added to its matrices; those become `format`.
    pub fn merge(&mut self, base: &Weights, adapter: &[u8], format: &str) -> Result<Made, JsValue> {
        self.reference = None; // its memory is needed
        let format = self::format(format)?;
        let adapter = Model::from_gguf([adapter]).map_err(lab_error)?;
        let model = merge(&base.model, &adapter, format, &mut self.team).map_err(lab_error)?;
        Ok(Made { model, recipe: None })
    }

    /// Compares a model, or the base itself, with the base: see `hearth_lab::reference::Distance`. `test`: `{protocol, context,
    /// tokens}`.
    pub fn evaluate(
        &mut self,
        base: &Weights,
        other: &Weights,
        text: &str,
        calibration: Option<String>,
        test: JsValue,
        progress: &Function,
    ) -> Result<JsValue, JsValue> {
        let test: Test = from_js(test)?;
        let (Lab { team, reference }, Weights { model, tokenizer }) = (self, base);
        let texts = Texts { test: text, calibration: calibration.as_deref() };
        let watch = &mut telling(progress);
        let read = Reference::read(model, tokenizer, texts, &test, reference.take(), team, watch).map_err(lab_error)?;
        let distance = match std::ptr::eq(base, other) {
            true => read.itself(team, watch),
            false => read.distance(&other.model, team, watch),
        };
        *reference = Some(read);
        to_js(&distance.map_err(lab_error)?)
    }

    /// How much each matrix of the base matters, by the beginning of a text, and what it loses in each of these formats: see
    /// `hearth_lab::sensitivity::Map`.
    pub fn sensitivity(
        &mut self,
        base: &Weights,
        text: &str,
        formats: JsValue,
        progress: &Function,
    ) -> Result<JsValue, JsValue> {
        self.reference = None; // its memory is needed
        let names: Vec<String> = from_js(formats)?;
        let formats = names.iter().map(|name| format(name)).collect::<Result<Vec<_>, _>>()?;
        let map = glance(&base.model, &base.tokens(text)?, &formats, &mut self.team, &mut telling(progress));
        to_js(&map.map_err(lab_error)?)
    }
}

/// A format to quantize to.
fn format(name: &str) -> Result<Format, JsValue> {
    Format::from_name(name).filter(|format| format.encodes()).ok_or_else(|| {
        let names: Vec<_> = Format::all().filter(|format| format.encodes()).map(Format::name).collect();
        error("invalid_input", &format!("there is no format {name} to quantize to; there are {}", names.join(", ")))
    })
}

/// Tells a JavaScript function of progress.
fn telling(listener: &Function) -> impl FnMut(Progress) -> hearth_lab::Result<()> {
    move |progress| {
        // A listener that throws must not end the work; whoever wants it ended ends the worker.
        let told = to_js(&progress).and_then(|progress| listener.call1(&JsValue::NULL, &progress));
        drop(told);
        Ok(())
    }
}
