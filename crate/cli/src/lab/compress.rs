//! Applying recipes.

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;

use clap::Args;
use hearth_engine::cpu::team::Team;
use hearth_lab::imatrix::Imatrix;
use hearth_lab::methods::{Kind, METHODS};
use hearth_lab::model::Model;
use hearth_lab::presets::{PRESETS, Preset};
use hearth_lab::recipe::Recipe;
use hearth_lab::search::{Trial, formats, glance};

use super::{Test, describe, load, pieces, tell, tokens};
use crate::{Result, files, threads};

/// Applies a recipe to a model.
#[derive(Args)]
#[command(after_help = help())]
pub struct Compress {
    /// The GGUF file.
    input: PathBuf,
    /// The file to write.
    output: PathBuf,
    /// The recipe, JSON; or its text.
    #[arg(long, required_unless_present = "preset")]
    recipe: Option<String>,
    /// A recipe with a name; see below.
    #[arg(long, conflicts_with = "recipe")]
    preset: Option<String>,
    /// A text to calibrate with, which the recipe may need.
    #[arg(long)]
    text: Option<PathBuf>,
    /// An importance matrix, in place of a text.
    #[arg(long, conflicts_with = "text")]
    imatrix: Option<PathBuf>,
    /// Finds the fewest bits of the recipe's mix with which its gates hold.
    #[arg(long, requires = "test", requires = "text")]
    smallest: bool,
    #[command(flatten)]
    test: Test,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = threads)]
    threads: usize,
}

impl Compress {
    pub fn run(&self) -> Result<()> {
        let recipe = self.recipe()?;
        let base = load(&self.input)?;
        let text = self.text.as_deref().map_or(Ok(Vec::new()), |text| tokens(&base, text))?;
        let team = &mut Team::spawn(self.threads);
        let windows = self.test.windows(&base, &text)?;
        let trial = windows.as_ref().map(|windows| Trial::new(&base, &text, windows, team, &mut tell)).transpose()?;
        let (mut model, quality) = match &trial {
            Some(trial) if self.smallest => {
                let map = glance(&base, &text, &formats(&recipe)?, team, &mut tell)?;
                let (model, settled, quality) = trial.smallest(&recipe, &map, team, &mut tell)?;
                writeln!(stdout(), "{}", settled.to_json())?;
                (model, Some(quality))
            }
            trial => {
                let model = match &self.imatrix {
                    Some(path) => {
                        let importance = Imatrix::from_gguf(pieces(path)?.iter().map(Vec::as_slice))?;
                        recipe.run_by(&importance, &base, team, &mut tell)?
                    }
                    None => recipe.run(&base, &text, team, &mut tell)?,
                };
                let quality = trial.as_ref().map(|trial| trial.measure(&model, team, &mut tell)).transpose()?;
                (model, quality)
            }
        };
        writeln!(stderr())?;
        writeln!(stdout(), "{} bytes of tensors became {}", base.tensor_bytes(), model.tensor_bytes())?;
        model.notes().iter().try_for_each(|note| writeln!(stdout(), "note: {note}"))?;
        if let Some(quality) = quality {
            writeln!(stdout(), "{}", describe(&quality))?;
            for passage in recipe.gates.verify(&mut model, &quality, &self.test.protocol()) {
                let verdict = if passage.passed { "passed" } else { "FAILED" };
                writeln!(stdout(), "gate {}: {:.5}, asked {}: {verdict}", passage.gate, passage.found, passage.wanted)?;
            }
        }
        self.write(&model)
    }

    fn recipe(&self) -> Result<Recipe> {
        let json = match (&self.preset, &self.recipe) {
            (Some(name), _) => return Ok(Preset::find(name)?.recipe()),
            (None, Some(json)) if json.trim_start().starts_with('{') => json.clone(),
            (None, Some(path)) => fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
            (None, None) => unreachable!("one is required"),
        };
        Ok(Recipe::from_json(&json)?)
    }

    fn write(&self, model: &Model) -> Result<()> {
        files::save(&self.output, |file| {
            let mut told = Ok(());
            model.write(|piece| {
                if told.is_ok() {
                    told = file.write_all(piece);
                }
            })?;
            Ok(told?)
        })
    }
}

/// Presets, methods and their options.
fn help() -> String {
    let mut help = String::from("Presets:\n");
    for preset in PRESETS {
        help += &format!("  {:16}{}\n", preset.name, preset.does);
    }
    help += "\nMethods, and what can be chosen:\n";
    for method in METHODS {
        help += &format!("  {:16}{}\n", method.name, method.does);
        for option in method.options {
            let may_be = match option.kind {
                Kind::Number { min, max, default } => format!("{min} to {max}, else {default}"),
                Kind::Choice { of, default } => format!("{}; else {default}", of.join(", ")),
                Kind::Flag { default } => format!("true or false, else {default}"),
                Kind::Several { of, default } => format!("a list of {}; else {}", of.join(", "), default.join(", ")),
                Kind::Tensors { of } => format!("{{NAME: FORMAT}} of {}", of.join(", ")),
            };
            help += &format!("    {:14}{} {may_be}\n", option.name, option.does);
        }
    }
    help
}
