//! The compression lab on the command line.

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use hearth_engine::cpu::team::Team;
use hearth_lab::Progress;
use hearth_lab::evaluate::{Quality, compare, read};
use hearth_lab::model::Model;
use hearth_lab::recipe::Recipe;
use hearth_lab::text::{Protocol, check_disjoint};

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

/// Compares models with the one they were made of.
#[derive(Args)]
pub struct Evaluate {
    /// The original, a GGUF file.
    original: PathBuf,
    /// The others.
    others: Vec<PathBuf>,
    /// The text to predict.
    #[arg(long)]
    text: PathBuf,
    /// The text that calibrated them, to make sure that it is another.
    #[arg(long)]
    calibration: Option<PathBuf>,
    /// How the text is cut: llama.cpp, disjoint or sliding.
    #[arg(long, default_value = "llama.cpp")]
    protocol: String,
    /// Tokens of a window.
    #[arg(long, default_value_t = 512)]
    context: usize,
    /// At most so many tokens of the text.
    #[arg(long, default_value_t = 8192)]
    tokens: usize,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = threads)]
    threads: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn load(path: &Path) -> Result<Model> {
    let mut pieces = Vec::new();
    files::read(path, |bytes| {
        pieces.push(bytes.to_vec());
        Ok(())
    })?;
    Ok(Model::from_gguf(pieces.iter().map(Vec::as_slice))?)
}

fn tokens(model: &Model, path: &Path) -> Result<Vec<u32>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(model.tokenizer()?.encode(&text)?)
}

fn tell(progress: Progress) -> hearth_lab::Result<()> {
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

impl Evaluate {
    pub fn run(&self) -> Result<()> {
        let team = &mut Team::spawn(self.threads);
        let original = load(&self.original)?;
        let mut text = tokens(&original, &self.text)?;
        text.truncate(self.tokens);
        if let Some(calibration) = &self.calibration {
            check_disjoint(&tokens(&original, calibration)?, &text)?;
        }
        // What is put in front of every text, if anything is.
        let begin = original.tokenizer()?.encode("")?.first().copied();
        let windows = Protocol::find(&self.protocol)?.windows(&text, begin, self.context)?;
        let reference = read(&original, &windows, team, &mut tell)?;
        for path in &self.others {
            let other = load(path)?;
            let reading = read(&other, &windows, team, &mut tell)?;
            let quality = Quality::of(&compare(&reference, &reading, &windows, team, &mut tell)?);
            if self.json {
                writeln!(stdout(), "{}", serde_json::to_string(&quality)?)?;
            } else {
                writeln!(stderr())?;
                let Quality { original_perplexity: a, perplexity: b, kl, same_top, rms_dp, .. } = &quality;
                writeln!(
                    stdout(),
                    "{} {} bytes: perplexity {:.4} (original {:.4}), KL {:.5} [{:.5}, {:.5}], same top {:.2} %, rms dp {:.2} %",
                    path.display(),
                    other.tensor_bytes(),
                    b.value,
                    a.value,
                    kl.value,
                    kl.low,
                    kl.high,
                    100.0 * same_top.value,
                    100.0 * rms_dp.value
                )?;
            }
        }
        Ok(())
    }
}
