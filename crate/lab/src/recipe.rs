//! What is to be done with a model, as JSON that page and command line share: the same recipe, texts and base give the same bytes
//! in either.
//!
//! ```json
//! {"version": 1, "calibration": {"tokens": 8192, "length": 512}, "steps": [{"method": "awq"}, {"method": "quantize", "format": "IQ4_NL"}]}
//! ```

use std::hint::black_box;

use hearth_engine::cpu::team::Team;
use hearth_engine::formats::Value;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::Watch;
use crate::error::{Error, Result};
use crate::imatrix::Imatrix;
use crate::methods;
use crate::model::Model;
use crate::pass::{self, LayerMethod, Method, Needs};
use crate::text::sequences;
use crate::verify::Gates;

/// The version of recipes that this build writes and understands.
pub const VERSION: u32 = 1;

/// Tokens of calibration without which no method that needs a text begins.
pub const FEWEST: usize = 128;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Of the recipe's language.
    pub version: u32,
    /// What it is called.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How the calibration text is used.
    #[serde(default)]
    pub calibration: Calibration,
    /// What the result must hold.
    #[serde(default, skip_serializing_if = "Gates::is_none")]
    pub gates: Gates,
    /// In order: each a method and its options.
    pub steps: Vec<Map<String, serde_json::Value>>,
}

/// How much of a text is used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calibration {
    /// At most so many tokens.
    pub tokens: usize,
    /// In sequences of so many, or of as many as the model was made for.
    pub length: usize,
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration { tokens: 8192, length: 512 }
    }
}

impl Recipe {
    /// From JSON. Errors where it is none, or a newer version's.
    pub fn from_json(text: &str) -> Result<Recipe> {
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let wrong = |error: serde_json::Error| Error::Recipe(error.to_string());
        let Any { version } = serde_json::from_str(text).map_err(wrong)?;
        if version > VERSION {
            let what = format!("it is of version {version}, and this Hearth knows {VERSION}: take a newer Hearth");
            return Err(Error::Recipe(what));
        }
        let recipe: Recipe = serde_json::from_str(text).map_err(wrong)?;
        recipe.methods()?;
        if recipe.calibration.length < 2 {
            return Err(Error::Recipe("calibration in sequences of fewer than 2 tokens".into()));
        }
        Ok(recipe)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a recipe is JSON")
    }

    fn methods(&self) -> Result<Vec<Method>> {
        let make = |(i, step): (usize, &Map<String, serde_json::Value>)| {
            let method = step.get("method").and_then(|name| name.as_str()).unwrap_or("?").to_owned();
            methods::make(step).map_err(|what| Error::Step { step: i + 1, method, what })
        };
        self.steps.iter().enumerate().map(make).collect()
    }

    /// A compressed copy of the base. `text` calibrates, if any step needs one. Errors if it is too short; also if `watch` says so.
    pub fn run(&self, base: &Model, text: &[u32], team: &mut Team, watch: &mut Watch) -> Result<Model> {
        let methods = self.methods()?;
        if base.is_factored()? {
            let what = "this model has matrices in two factors already: compress the one it was made of";
            return Err(Error::Unfit(what.into()));
        }
        let texts = match methods.iter().any(|method| method.needs() > Needs::Nothing) {
            true => {
                let config = base.program(1)?.config;
                let length = self.calibration.length.min(config.max_seq);
                let cut = |length| sequences("the calibration text", text, length, self.calibration.tokens, FEWEST);
                match config.encoder.then(|| base.tokenizer()?.encode("").map_err(Error::from)).transpose()?.as_deref()
                {
                    // An encoder reads whole texts, each between its marks.
                    Some([begin, end]) => {
                        let between = |text: Vec<u32>| [&[*begin], &text[..], &[*end]].concat();
                        cut(length.saturating_sub(2).max(1))?.into_iter().map(between).collect()
                    }
                    _ => cut(length)?,
                }
            }
            false => Vec::new(),
        };
        self.follow(base, methods, Inputs::Texts(&texts), team, watch)
    }

    /// The same by an importance matrix, without a text. Errors where a step needs more.
    pub fn run_by(&self, importance: &Imatrix, base: &Model, team: &mut Team, watch: &mut Watch) -> Result<Model> {
        self.follow(base, self.methods()?, Inputs::Importance(importance), team, watch)
    }

    /// Applies methods in order, neighbouring ones that work layer by layer together.
    fn follow(
        &self,
        base: &Model,
        methods: Vec<Method>,
        inputs: Inputs,
        team: &mut Team,
        watch: &mut Watch,
    ) -> Result<Model> {
        room(base)?;
        let mut model = base.clone();
        model.forget();
        let mut methods = methods.into_iter().peekable();
        while let Some(method) = methods.next() {
            if model.is_factored()? {
                let what = "a step for the whole model does not work on matrices in two factors: put it before lowrank";
                return Err(Error::Unfit(what.into()));
            }
            match method {
                Method::Layer(method) => {
                    let mut together: Vec<Box<dyn LayerMethod>> = vec![method];
                    while let Some(Method::Layer(method)) = methods.next_if(|next| matches!(next, Method::Layer(_))) {
                        together.push(method);
                    }
                    match inputs {
                        Inputs::Texts(texts) => pass::run(&mut model, &mut together, texts, team, watch)?,
                        Inputs::Importance(known) => pass::run_by(known, &mut model, &mut together, team, watch)?,
                    }
                }
                Method::Whole(method) => match inputs {
                    Inputs::Texts(texts) => method.run(base, &mut model, texts, team, watch)?,
                    Inputs::Importance(_) if method.needs() == Needs::Nothing => {
                        method.run(base, &mut model, &[], team, watch)?;
                    }
                    Inputs::Importance(_) => {
                        let what = "a step for the whole model needs a text, not an importance matrix: give one";
                        return Err(Error::Unfit(what.into()));
                    }
                },
            }
        }
        let json = serde_json::to_string(self).expect("a recipe is JSON");
        model.header.metadata.insert("hearth.recipe".into(), Value::String(json));
        model.header.metadata.insert("general.quantization_version".into(), Value::Unsigned(2));
        Ok(model)
    }
}

/// Errors where memory is refused for the least that a recipe takes: a copy of the base, and its largest matrix as numbers. (A
/// browser ends a module that is refused memory later on, and then nobody can say how much it was.)
fn room(base: &Model) -> Result<()> {
    let numbers = base.header.tensors.iter().map(|tensor| tensor.rows() * tensor.cols()).max().unwrap_or(0);
    let bytes = base.tensor_bytes() + numbers * size_of::<f32>();
    let mut room: Vec<u8> = Vec::new();
    let refused = |_| hearth_engine::Error::OutOfMemory { what: "the recipe".into(), bytes };
    room.try_reserve_exact(bytes).map_err(refused)?;
    // Memory that nobody looks at would not be asked for.
    black_box(&room);
    Ok(())
}

/// What tells of the inputs of products.
#[derive(Clone, Copy)]
enum Inputs<'a> {
    Texts(&'a [Vec<u32>]),
    Importance(&'a Imatrix),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_read_and_refused() {
        let good = r#"{"version": 1, "steps": [{"method": "awq"}, {"method": "quantize", "format": "IQ4_NL", "damping": 0.1}]}"#;
        let recipe = Recipe::from_json(good).unwrap();
        assert_eq!(Recipe::from_json(&recipe.to_json()).unwrap(), recipe);
        for (bad, said) in [
            (r#"{"version": 2, "steps": [], "more": 1}"#, "newer Hearth"),
            (
                r#"{"version": 1, "steps": [{"method": "magic"}]}"#,
                "step 1 (magic): there is no method magic; there are ",
            ),
            (r#"{"version": 1, "steps": [{"method": "quantize", "format": "Q9"}]}"#, "one of F32"),
            (r#"{"version": 1, "steps": [{"method": "quantize", "damping": 7}]}"#, "from 0.0001 to 1"),
            (r#"{"version": 1, "steps": [{"method": "quantize", "act_order": 1}]}"#, "true or false"),
            (r#"{"version": 1, "steps": [{"method": "quantize", "beats": 4}]}"#, "no option beats"),
            (r#"{"version": 1, "steps": [{"method": "quantize", "mix": []}]}"#, "a list of some of Q8_0"),
            (r#"{"version": 1, "steps": [{"method": "quantize", "mix": ["Q4_K"]}]}"#, "a list of some of Q8_0"),
            (r#"{"version": 1, "steps": [{"method": "quantize", "tensors": {"a": "Q9"}}]}"#, "each with one of F32"),
            (r#"{"version": 1, "calibration": {"length": 0}, "steps": []}"#, "fewer than 2"),
            (r#"{"version": 1, "gates": {"kl": "low"}, "steps": []}"#, "invalid type"),
            (r#"{"version": 1, "gates": {"speed": 1}, "steps": []}"#, "unknown field `speed`"),
            (r#"{"version": 1}"#, "steps"),
            ("[]", "cannot be read"),
        ] {
            let error = Recipe::from_json(bad).unwrap_err().to_string();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }
}
