//! Adapters on the command line: what makes up for rounding, and LoRA files added to a model.

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;

use clap::Args;
use hearth_engine::cpu::team::Team;
use hearth_engine::quant::Format;
use hearth_lab::adapter::{between, merge};
use hearth_lab::recipe::Calibration;

use crate::lab::{load, tell, tokens};
use crate::{Result, threads};

/// Makes a LoRA file that brings a quantized model nearer to its original.
#[derive(Args)]
pub struct Adapter {
    /// The original, a GGUF file.
    original: PathBuf,
    /// What was made of it by rounding.
    quantized: PathBuf,
    /// The file to write.
    output: PathBuf,
    /// A text to calibrate with.
    #[arg(long)]
    text: PathBuf,
    /// Of the two thin matrices.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    rank: u32,
    /// At most so many tokens of the text.
    #[arg(long, default_value_t = Calibration::default().tokens)]
    tokens: usize,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = threads)]
    threads: usize,
}

/// Adds a LoRA file to the matrices of a model.
#[derive(Args)]
pub struct Merge {
    /// The model, a GGUF file.
    input: PathBuf,
    /// The adapter, a GGUF file.
    adapter: PathBuf,
    /// The file to write.
    output: PathBuf,
    /// The format of the matrices that it changes.
    #[arg(long, default_value = "F16")]
    to: String,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = threads)]
    threads: usize,
}

impl Adapter {
    pub fn run(&self) -> Result<()> {
        let (original, quantized) = (load(&self.original)?, load(&self.quantized)?);
        let text = tokens(&quantized, &self.text)?;
        let calibration = Calibration { tokens: self.tokens, ..Calibration::default() };
        let team = &mut Team::spawn(self.threads);
        let adapter = between(&original, &quantized, &text, calibration, self.rank as usize, team, &mut tell)?;
        fs::write(&self.output, adapter.to_gguf()?)?;
        writeln!(stderr())?;
        let added = adapter.tensor_bytes();
        writeln!(stdout(), "{added} bytes beside {} of the model", quantized.tensor_bytes())?;
        Ok(())
    }
}

impl Merge {
    pub fn run(&self) -> Result<()> {
        let format = Format::from_name(&self.to).ok_or_else(|| format!("there is no format {}", self.to))?;
        let (base, adapter) = (load(&self.input)?, load(&self.adapter)?);
        let merged = merge(&base, &adapter, format, &mut Team::spawn(self.threads))?;
        fs::write(&self.output, merged.to_gguf()?)?;
        writeln!(stdout(), "{} bytes of tensors became {}", base.tensor_bytes(), merged.tensor_bytes())?;
        Ok(())
    }
}
