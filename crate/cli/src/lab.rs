//! The compression lab on the command line.

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use hearth_engine::cpu::team::Team;
use hearth_lab::Progress;
use hearth_lab::model::Model;
use hearth_lab::recipe::Recipe;

use crate::{Result, files, threads};

/// Applies a recipe to a model.
#[derive(Args)]
pub struct Compress {
    /// The GGUF file.
    input: PathBuf,
    /// The file to write.
    output: PathBuf,
    /// The recipe, JSON; or its text.
    #[arg(long)]
    recipe: String,
    /// A text to calibrate with, which the recipe may need.
    #[arg(long)]
    text: Option<PathBuf>,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = threads)]
    threads: usize,
}

pub fn load(path: &Path) -> Result<Model> {
    let mut pieces = Vec::new();
    files::read(path, |bytes| {
        pieces.push(bytes.to_vec());
        Ok(())
    })?;
    Ok(Model::from_gguf(pieces.iter().map(Vec::as_slice))?)
}

pub fn tokens(model: &Model, path: &Path) -> Result<Vec<u32>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(model.tokenizer()?.encode(&text)?)
}

pub fn tell(progress: Progress) -> hearth_lab::Result<()> {
    let Progress { what, done, of } = progress;
    let _ = write!(stderr(), "\r{what} {done}/{of}      ");
    Ok(())
}

impl Compress {
    pub fn run(&self) -> Result<()> {
        let recipe = match self.recipe.trim_start().starts_with('{') {
            true => self.recipe.clone(),
            false => fs::read_to_string(&self.recipe).map_err(|error| format!("{}: {error}", self.recipe))?,
        };
        let recipe = Recipe::from_json(&recipe)?;
        let base = load(&self.input)?;
        let text = self.text.as_deref().map_or(Ok(Vec::new()), |text| tokens(&base, text))?;
        let model = recipe.run(&base, &text, &mut Team::spawn(self.threads), &mut tell)?;
        fs::write(&self.output, model.to_gguf()?)?;
        writeln!(stderr())?;
        writeln!(stdout(), "{} bytes of tensors became {}", base.tensor_bytes(), model.tensor_bytes())?;
        Ok(())
    }
}
