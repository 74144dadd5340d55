//! The compression lab on the command line.

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use hearth_engine::cpu::team::Team;
use hearth_lab::Progress;
use hearth_lab::model::{Loader, Model};
use hearth_lab::recipe::Recipe;

use crate::files::Files;
use crate::{Result, threads};

/// Applies a recipe to a model.
#[derive(Args)]
pub struct Compress {
    /// The GGUF file, one of its parts, or a Hugging Face folder.
    input: PathBuf,
    /// The GGUF file to write.
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
    let files = Files::find(path)?;
    let mut loader = Loader::of(files.files.clone())?;
    while let Some(want) = loader.wants()? {
        files.read(want, |bytes| Ok(loader.push(bytes)?))?;
    }
    Ok(loader.finish()?)
}

pub fn text(path: &Path) -> Result<String> {
    Ok(fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The tokens of a text file.
pub fn tokens(model: &Model, path: &Path) -> Result<Vec<u32>> {
    Ok(model.tokenizer()?.encode(&text(path)?)?)
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
            false => text(Path::new(&self.recipe))?,
        };
        let recipe = Recipe::from_json(&recipe)?;
        let base = load(&self.input)?;
        let tokens = self.text.as_deref().map_or(Ok(Vec::new()), |path| tokens(&base, path))?;
        let model = recipe.run(&base, &tokens, &mut Team::spawn(self.threads), &mut tell)?;
        fs::write(&self.output, model.to_gguf()?)?;
        writeln!(stderr())?;
        writeln!(stdout(), "{} bytes of tensors became {}", base.tensor_bytes(), model.tensor_bytes())?;
        Ok(())
    }
}
