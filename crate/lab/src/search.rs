//! Many recipes tried on one model, and which of them are worth having: a result is dominated if another is no larger and no worse.
//! And the fewest bits of a mix with which a recipe's gates hold.

use hearth_engine::cpu::team::Team;
use hearth_engine::quant::Format;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Watch;
use crate::allocate::{Mix, allocate};
use crate::error::{Error, Result};
use crate::evaluate::{Quality, Reading, compare, read};
use crate::methods::{GLANCE, MIXED};
use crate::model::Model;
use crate::recipe::Recipe;
use crate::sensitivity::{self, Map, Plan};
use crate::text::{Window, sequences};

/// Models that are made to find the fewest bits.
const RUNS: usize = 6;

/// Bits a number between which there is nothing to find.
const NEAR: f64 = 0.05;

/// Bits a number of the mixes that are tried.
const BITS: &[f64] = &[4.5, 4.75, 5.0, 5.5, 6.0, 7.0];

/// A recipe that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// The recipe, with a name.
    pub recipe: Recipe,
    /// Bytes of the result's tensors.
    pub tensor_bytes: usize,
    /// How good the result is.
    pub quality: Quality,
    /// The name of one that is no larger and no worse, if there is any.
    pub dominated_by: Option<String>,
}

/// The recipes that are worth trying on any model: to the nearest in each format, chosen by the text, and mixes by the map.
pub fn ladder(map: &Map, rounding: &str) -> Result<Vec<Recipe>> {
    let mut steps = vec![("Q8_0".to_owned(), vec![step("Q8_0", "nearest")])];
    for format in ["Q5_1", "Q5_0", "Q4_1", "IQ4_NL", "Q4_0"] {
        steps.push((format!("{format} nearest"), vec![step(format, "nearest")]));
        steps.push((format!("{format} awq {rounding}"), vec![json!({"method": "awq"}), step(format, rounding)]));
    }
    for &bits in BITS {
        // Fewer than the smallest formats take are none.
        let Ok(mix) = mix(map, &usual(), bits) else { continue };
        let mut quantize = step("Q8_0", rounding);
        quantize["tensors"] = named(&mix);
        steps.push((format!("mix of {bits} bits awq {rounding}"), vec![json!({"method": "awq"}), quantize]));
    }
    let recipe = |(name, steps): (String, Vec<Value>)| {
        Recipe::from_json(&json!({"version": 1, "name": name, "steps": steps}).to_string())
    };
    steps.into_iter().map(recipe).collect()
}

fn step(format: &str, rounding: &str) -> Value {
    json!({"method": "quantize", "format": format, "rounding": rounding})
}

fn named(mix: &Mix) -> Value {
    mix.iter()
        .map(|(name, format)| (name.clone(), Value::from(format.name())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn mix(map: &Map, formats: &[Format], bits: f64) -> Result<Mix> {
    let numbers: usize = map.tensors.iter().map(|tensor| tensor.numbers).sum();
    allocate(map, &|_| formats.to_vec(), (bits * numbers as f64 / 8.0) as usize)
}

/// A coarse map of a model by the beginning of a text.
pub fn glance(base: &Model, text: &[u32], formats: &[Format], team: &mut Team, watch: &mut Watch) -> Result<Map> {
    let [texts, length] = GLANCE;
    let length = length.min(base.program(1)?.config.max_seq);
    let texts = sequences("the calibration text", text, length, texts * length, length)?;
    sensitivity::map(base, &texts, &Plan::coarse(formats), team, watch)
}

/// A model, a text to calibrate with, and what its results are compared by.
pub struct Trial<'a> {
    /// The model.
    pub base: &'a Model,
    /// Tokens to calibrate with.
    pub text: &'a [u32],
    /// The test text, cut.
    pub windows: &'a [Window],
    reference: Reading,
}

impl<'a> Trial<'a> {
    /// Reads the test text with the base.
    pub fn new(
        base: &'a Model,
        text: &'a [u32],
        windows: &'a [Window],
        team: &mut Team,
        watch: &mut Watch,
    ) -> Result<Trial<'a>> {
        Ok(Trial { base, text, windows, reference: read(base, windows, team, watch)? })
    }

    /// Follows a recipe and measures the result.
    pub fn run(&self, recipe: &Recipe, team: &mut Team, watch: &mut Watch) -> Result<(Model, Quality)> {
        let made = recipe.run(self.base, self.text, team, watch)?;
        let quality = self.measure(&made, team, watch)?;
        Ok((made, quality))
    }

    /// Measures a result.
    pub fn measure(&self, made: &Model, team: &mut Team, watch: &mut Watch) -> Result<Quality> {
        let reading = read(made, self.windows, team, watch)?;
        Ok(Quality::of(&compare(&self.reference, &reading, self.windows, team, watch)?))
    }

    /// Tries recipes; `told` hears of each result.
    pub fn all(
        &self,
        recipes: &[Recipe],
        team: &mut Team,
        watch: &mut Watch,
        told: &mut dyn FnMut(&Tried),
    ) -> Result<Vec<Tried>> {
        let mut tried = Vec::new();
        for recipe in recipes {
            let (made, quality) = self.run(recipe, team, watch)?;
            let tensor_bytes = made.tensor_bytes();
            tried.push(Tried { recipe: recipe.clone(), tensor_bytes, quality, dominated_by: None });
            told(&tried[tried.len() - 1]);
        }
        dominate(&mut tried);
        Ok(tried)
    }

    /// The smallest model that this recipe's gates let pass, and the recipe that makes it: of its mix, formats of all matrices are
    /// settled by `map`, which must know the mix's [`formats`], with more bits or fewer. Errors if the recipe has no gates or no mix,
    /// or if even the largest formats do not pass.
    pub fn smallest(
        &self,
        recipe: &Recipe,
        map: &Map,
        team: &mut Team,
        watch: &mut Watch,
    ) -> Result<(Model, Recipe, Quality)> {
        let formats = formats(recipe)?;
        if recipe.gates.is_none() {
            return Err(Error::Recipe("nothing says how good the smallest has to be: give it gates".into()));
        }
        let numbers: usize = map.tensors.iter().map(|tensor| tensor.numbers).sum();
        let bits = |bytes: usize| 8.0 * bytes as f64 / numbers as f64;
        // Between what fails, or is too little, and what passes, or is all there is.
        let mut low = bits(map.tensors.iter().filter_map(|tensor| tensor.bytes.values().min()).sum());
        let mut high = bits(map.tensors.iter().filter_map(|tensor| tensor.bytes.values().max()).sum());
        let mut best = None;
        // How much worse the test finds a mix than the map does.
        let mut factor = 1.0;
        for _ in 0..RUNS {
            let expected = |bits: f64| {
                mix(map, &formats, bits).map_or(f64::INFINITY, |mix| factor * map.predicted(|tensor| mix[&tensor.name]))
            };
            let passes = |bits: &f64| recipe.gates.kl.is_some_and(|most| expected(*bits) <= most);
            let steps = ((high - low) / NEAR) as usize;
            let guess = (1..steps).map(|step| low + NEAR * step as f64).find(passes);
            let next = guess.unwrap_or(if best.is_none() { high } else { 0.5 * (low + high) });

            let mix = mix(map, &formats, next)?;
            let settled = settle(recipe, &mix);
            let (made, quality) = self.run(&settled, team, watch)?;
            factor = quality.kl.value / map.predicted(|tensor| mix[&tensor.name]).max(f64::MIN_POSITIVE);
            if recipe.gates.check(&quality).iter().all(|passage| passage.passed) {
                (best, high) = (Some((made, settled, quality)), next);
            } else {
                low = next;
            }
            if high - low <= NEAR {
                break;
            }
        }
        best.ok_or_else(|| {
            Error::Unfit(format!(
                "no mix of up to {high:.2} bits a number passes the gates: loosen them, or give the mix larger formats"
            ))
        })
    }
}

/// The formats of a recipe's mix.
pub fn formats(recipe: &Recipe) -> Result<Vec<Format>> {
    let mixes = |step: &&serde_json::Map<String, Value>| step.get("format").is_some_and(|format| format == "mix");
    let step = recipe.steps.iter().find(mixes);
    let step =
        step.ok_or_else(|| Error::Recipe("it has no mix whose bits could be fewer: set format to mix".into()))?;
    let listed = step.get("mix").and_then(Value::as_array);
    let named = |list: &Vec<Value>| list.iter().filter_map(|name| Format::from_name(name.as_str()?)).collect();
    Ok(listed.map_or_else(usual, named))
}

/// The formats of a mix if nothing is said.
pub fn usual() -> Vec<Format> {
    MIXED.iter().filter_map(|name| Format::from_name(name)).collect()
}

/// The recipe with formats of all matrices in place of its mix.
fn settle(recipe: &Recipe, mix: &Mix) -> Recipe {
    let mut recipe = recipe.clone();
    for step in recipe.steps.iter_mut().filter(|step| step.get("format").is_some_and(|format| format == "mix")) {
        for option in ["format", "embeddings", "bits", "mix"] {
            step.remove(option);
        }
        let mut tensors = named(mix);
        // What was asked for stays.
        if let (Some(Value::Object(asked)), Value::Object(all)) = (step.get("tensors"), &mut tensors) {
            all.extend(asked.clone());
        }
        step.insert("tensors".into(), tensors);
    }
    recipe
}

/// Says of each which other is no larger and no worse, and in one of both better.
pub fn dominate(tried: &mut [Tried]) {
    let points: Vec<(usize, f64)> = tried.iter().map(|one| (one.tensor_bytes, one.quality.kl.value)).collect();
    for i in 0..tried.len() {
        let (bytes, kl) = points[i];
        let better = |other: &(usize, f64)| other.0 <= bytes && other.1 <= kl && *other != (bytes, kl);
        tried[i].dominated_by = points.iter().position(better).map(|other| tried[other].recipe.name.clone());
    }
}
