//! Comparing models.

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;

use clap::Args;
use hearth_engine::cpu::team::Team;
use hearth_lab::evaluate::{Quality, compare, read};
use hearth_lab::text::{PROTOCOLS, check_disjoint};

use super::{cut, describe, load, tell, tokens};
use crate::{Result, threads};

/// Compares models with the one they were made of.
#[derive(Args)]
#[command(after_help = protocols())]
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
    /// How the text is cut; see below.
    #[arg(long, default_value = PROTOCOLS[0].name)]
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

impl Evaluate {
    pub fn run(&self) -> Result<()> {
        let team = &mut Team::spawn(self.threads);
        let original = load(&self.original)?;
        let mut text = tokens(&original, &self.text)?;
        text.truncate(self.tokens);
        if let Some(calibration) = &self.calibration {
            check_disjoint(&tokens(&original, calibration)?, &text)?;
        }
        let windows = cut(&original, &text, &self.protocol, self.context)?;
        let reference = read(&original, &windows, team, &mut tell)?;
        for path in &self.others {
            let other = load(path)?;
            let reading = read(&other, &windows, team, &mut tell)?;
            let quality = Quality::of(&compare(&reference, &reading, &windows, team, &mut tell)?);
            if self.json {
                writeln!(stdout(), "{}", serde_json::to_string(&quality)?)?;
            } else {
                writeln!(stderr())?;
                writeln!(stdout(), "{} {} bytes: {}", path.display(), other.tensor_bytes(), describe(&quality))?;
            }
        }
        Ok(())
    }
}

/// The protocols.
fn protocols() -> String {
    let each = PROTOCOLS.iter().map(|protocol| format!("  {:16}{}\n", protocol.name, protocol.does));
    format!("Protocols:\n{}", each.collect::<String>())
}
