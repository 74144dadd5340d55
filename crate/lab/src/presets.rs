//! Recipes with a name. Those for quantization are called as TensorFlow Lite's are, and make of a language model what those make of
//! others.

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::recipe::Recipe;

/// A recipe with a name.
#[derive(Serialize)]
pub struct Preset {
    /// What it is called.
    pub name: &'static str,
    /// What it does, for people.
    pub does: &'static str,
    /// The recipe, as JSON.
    #[serde(serialize_with = "as_json")]
    recipe: &'static str,
}

/// Those there are.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "dynamic-range",
        does: "Matrices in 8 bits, without a text; activations are rounded to 8 bits while the model runs.",
        recipe: r#"{"version": 1, "name": "dynamic-range", "steps": [
            {"method": "quantize", "format": "Q8_0", "embeddings": "F16", "rounding": "nearest"}]}"#,
    },
    Preset {
        name: "full-integer",
        does: "Everything in 8 bits, tables too, with ranges that a text calibrates.",
        recipe: r#"{"version": 1, "name": "full-integer", "steps": [
            {"method": "quantize", "format": "Q8_0", "embeddings": "Q8_0", "rounding": "weighted"}]}"#,
    },
    Preset {
        name: "float16",
        does: "Everything in 16-bit floating point, without a text.",
        recipe: r#"{"version": 1, "name": "float16", "steps": [
            {"method": "quantize", "format": "F16", "embeddings": "F16", "rounding": "nearest"}]}"#,
    },
    Preset {
        name: "article",
        does: "Prunes a third of the numbers in three rounds, lets the others make up for them, and quantizes to 4 bits.",
        recipe: r#"{"version": 1, "name": "article", "calibration": {"tokens": 4096, "length": 512}, "steps": [
            {"method": "prune", "score": "obs", "share": 0.33, "rounds": 3},
            {"method": "quantize", "format": "Q4_0", "embeddings": "Q8_0", "rounding": "gptq"}]}"#,
    },
    Preset {
        name: "smallest",
        does: "To each matrix the format it needs: as few bits as a divergence below 0.05 allows.",
        recipe: r#"{"version": 1, "name": "smallest", "gates": {"kl": 0.05}, "steps": [
            {"method": "awq"},
            {"method": "quantize", "format": "mix", "embeddings": "mix", "bits": 5, "rounding": "gptq"}]}"#,
    },
    Preset {
        name: "fastest",
        does: "Everything in the format whose products are cheapest and that every engine has a kernel for.",
        recipe: r#"{"version": 1, "name": "fastest", "steps": [
            {"method": "awq", "format": "Q4_0"},
            {"method": "quantize", "format": "Q4_0", "embeddings": "Q4_0", "rounding": "gptq"}]}"#,
    },
    Preset {
        name: "faithful",
        does: "Everything in 8 bits, each number chosen so that later ones make up for its error; must answer as the original does.",
        recipe: r#"{"version": 1, "name": "faithful", "gates": {"kl": 0.002, "same_top": 0.97}, "steps": [
            {"method": "quantize", "format": "Q8_0", "embeddings": "Q8_0", "rounding": "gptq"}]}"#,
    },
];

impl Preset {
    /// The preset of a name.
    pub fn find(name: &str) -> Result<&'static Preset> {
        let names = || PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ");
        let found = PRESETS.iter().find(|preset| preset.name == name);
        found.ok_or_else(|| Error::Recipe(format!("there is no preset {name}; there are {}", names())))
    }

    /// Its recipe.
    pub fn recipe(&self) -> Recipe {
        Recipe::from_json(self.recipe).expect("presets are recipes")
    }
}

fn as_json<S: Serializer>(recipe: &str, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let json: serde_json::Value = serde_json::from_str(recipe).expect("presets are JSON");
    json.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_recipes_of_their_names() {
        for preset in PRESETS {
            assert_eq!(Preset::find(preset.name).unwrap().recipe().name, preset.name);
            let json = serde_json::to_value(preset).unwrap();
            assert_eq!(Recipe::from_json(&json["recipe"].to_string()).unwrap(), preset.recipe(), "{}", preset.name);
        }
        let error = Preset::find("magic").map(drop).unwrap_err().to_string();
        assert!(error.contains("no preset magic; there are dynamic-range, full-integer"), "{error}");
    }
}
