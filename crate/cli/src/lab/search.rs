//! What matters in a model: its map, its importance matrix, and which recipes are worth having.

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;

use clap::Args;
use hearth_engine::cpu::team::Team;
use hearth_engine::quant::Format;
use hearth_lab::imatrix::Imatrix;
use hearth_lab::recipe::Calibration;
use hearth_lab::search::{Trial, glance, ladder, usual};
use hearth_lab::sensitivity::{Plan, map};
use hearth_lab::text::sequences;

use super::{Test, describe, load, tell, tokens};
use crate::{Result, threads};

/// Measures what an error of each matrix costs.
#[derive(Args)]
pub struct Sensitivity {
    /// The GGUF file.
    file: PathBuf,
    /// The text to measure with.
    #[arg(long)]
    text: PathBuf,
    /// Formats whose errors are told.
    #[arg(long, value_delimiter = ',', value_parser = format)]
    formats: Vec<Format>,
    /// Tokens of the text.
    #[arg(long, default_value_t = 256)]
    tokens: usize,
    /// Tokens that are read together.
    #[arg(long, default_value_t = 128)]
    length: usize,
    /// Measures some layers only; what lies between is taken from them.
    #[arg(long)]
    coarse: bool,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = threads)]
    threads: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn format(name: &str) -> std::result::Result<Format, String> {
    Format::from_name(name).ok_or_else(|| format!("there is no format {name}; there are {}", Format::names()))
}

impl Sensitivity {
    pub fn run(&self) -> Result<()> {
        let model = load(&self.file)?;
        let text = tokens(&model, &self.text)?;
        let length = self.length.min(model.program(1)?.config.max_seq);
        let texts = sequences("the text", &text, length, self.tokens, length)?;
        let formats = if self.formats.is_empty() { usual() } else { self.formats.clone() };
        let plan = if self.coarse { Plan::coarse(&formats) } else { Plan::full(&formats) };
        let map = map(&model, &texts, &plan, &mut Team::spawn(self.threads), &mut tell)?;
        if self.json {
            writeln!(stdout(), "{}", serde_json::to_string(&map)?)?;
            return Ok(());
        }
        writeln!(stderr())?;
        let names: String = formats.iter().map(|format| format!(" {:>10}", format.name())).collect();
        writeln!(stdout(), "nats a token that each format is expected to cost\n{:32}{names}", "")?;
        for tensor in &map.tensors {
            let cost = |format: &Format| match tensor.errors.contains_key(format.name()) {
                true => format!(" {:10.7}", tensor.cost(*format)),
                false => format!(" {:>10}", "-"),
            };
            let measured = if tensor.measured { "" } else { " (from its neighbours)" };
            writeln!(stdout(), "{:32}{}{measured}", tensor.name, formats.iter().map(cost).collect::<String>())?;
        }
        Ok(())
    }
}

/// Writes an importance matrix, as llama.cpp's tools read it.
#[derive(Args)]
pub struct Importance {
    /// The GGUF file.
    file: PathBuf,
    /// The file to write.
    output: PathBuf,
    /// The text to read.
    #[arg(long)]
    text: PathBuf,
    /// Tokens of the text.
    #[arg(long, default_value_t = 8192)]
    tokens: usize,
    /// Tokens that are read together.
    #[arg(long, default_value_t = 512)]
    length: usize,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = threads)]
    threads: usize,
}

impl Importance {
    pub fn run(&self) -> Result<()> {
        let model = load(&self.file)?;
        let text = tokens(&model, &self.text)?;
        let calibration = Calibration { tokens: self.tokens, length: self.length };
        let name = self.text.file_name().unwrap_or_default().to_string_lossy();
        let found = Imatrix::read(&model, &name, &text, calibration, &mut Team::spawn(self.threads), &mut tell)?;
        fs::write(&self.output, found.to_gguf()?).map_err(|error| format!("{}: {error}", self.output.display()))?;
        writeln!(stderr())?;
        writeln!(
            stdout(),
            "{} matrices, {} texts of {} tokens",
            found.inputs.len(),
            found.chunk_count,
            found.chunk_size
        )?;
        Ok(())
    }
}

/// Tries a ladder of recipes and tells which are worth having.
#[derive(Args)]
pub struct Search {
    /// The GGUF file.
    file: PathBuf,
    /// The text to calibrate with.
    #[arg(long)]
    text: PathBuf,
    #[command(flatten)]
    test: Test,
    /// How levels are chosen by the text: weighted or, better and slower, gptq.
    #[arg(long, default_value = "weighted")]
    rounding: String,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = threads)]
    threads: usize,
    /// Print JSON: all results, with their recipes.
    #[arg(long)]
    json: bool,
}

impl Search {
    pub fn run(&self) -> Result<()> {
        let team = &mut Team::spawn(self.threads);
        let base = load(&self.file)?;
        let text = tokens(&base, &self.text)?;
        let windows = self.test.windows(&base, &text)?.ok_or("a search compares results: give --test")?;
        let map = glance(&base, &text, &usual(), team, &mut tell)?;
        let trial = Trial::new(&base, &text, &windows, team, &mut tell)?;
        let mut told = |one: &hearth_lab::search::Tried| {
            let _ = writeln!(stderr(), "\r{} {} {}", one.recipe.name, one.tensor_bytes, describe(&one.quality));
        };
        let mut tried = trial.all(&ladder(&map, &self.rounding)?, team, &mut tell, &mut told)?;
        if self.json {
            writeln!(stdout(), "{}", serde_json::to_string(&tried)?)?;
            return Ok(());
        }
        tried.sort_by_key(|one| one.tensor_bytes);
        for one in &tried {
            let verdict = one.dominated_by.as_ref().map_or(String::new(), |other| format!(" (dominated by {other})"));
            writeln!(
                stdout(),
                "{:24} {:>12} bytes, KL {:.5} [{:.5}, {:.5}]{verdict}",
                one.recipe.name,
                one.tensor_bytes,
                one.quality.kl.value,
                one.quality.kl.low,
                one.quality.kl.high
            )?;
        }
        Ok(())
    }
}
