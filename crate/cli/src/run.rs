//! Continues a prompt, answers it, or goes on with a saved conversation.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use hearth_engine::chat::Turn;
use hearth_engine::generate::{Logprob, Options, Session, Step};
use pollster::block_on;

use crate::chat::{self, ChatArgs};
use crate::sampling::SamplingArgs;
use crate::{Executor, Result};

/// `hearth run`.
#[derive(Args)]
pub struct Run {
    /// The GGUF file, one of its parts, or a Hugging Face folder.
    file: PathBuf,
    /// What to continue or answer.
    #[arg(long, required_unless_present = "restore", default_value = "")]
    prompt: String,
    /// Longest answer.
    #[arg(long, default_value_t = 256)]
    tokens: usize,
    /// Print token ids as JSON instead of text.
    #[arg(long, conflicts_with = "logprobs")]
    ids: bool,
    /// Go on after the model's end token.
    #[arg(long)]
    ignore_eos: bool,
    /// A text that ends the answer; may be given several times.
    #[arg(long)]
    stop: Vec<String>,
    /// Forget the oldest half when the context is full, and go on.
    #[arg(long)]
    shift: bool,
    /// Print a line for each token: it, its log-probability and so many of the likeliest tokens.
    #[arg(long, value_name = "N")]
    logprobs: Option<usize>,
    /// Where to save the conversation at the end.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// A saved conversation, behind which the prompt is put.
    #[arg(long, value_name = "FILE")]
    restore: Option<PathBuf>,
    /// A LoRA adapter for the model, a GGUF file.
    #[arg(long, value_name = "FILE")]
    lora: Option<PathBuf>,
    #[command(flatten)]
    chat: ChatArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Which executor to use.
    #[arg(long, value_enum, default_value_t)]
    executor: Executor,
    /// Threads of the cpu executor.
    #[arg(long, default_value_t = 1, value_parser = crate::threads)]
    threads: usize,
    /// Positions that the conversation may have.
    #[arg(long)]
    context: Option<usize>,
}

impl Run {
    /// Prints the answer as it is made.
    pub fn run(&self) -> Result<()> {
        let mut session =
            crate::load(&self.file, self.lora.as_deref(), self.executor, self.threads, self.context, false)?;
        if let Some(path) = &self.restore {
            let saved = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            session.restore(&saved)?;
        }
        let mut turn = self.chat.turn(session.tokenizer(), &self.prompt)?;
        let prompt = behind(&session, turn.as_ref().map_or(&self.prompt, Turn::prompt))?;
        let constraint = match &turn {
            Some(turn) => turn.constraint(session.tokenizer())?,
            None => self.chat.format()?.constraint(session.tokenizer())?,
        };
        let options = Options {
            max_tokens: self.tokens,
            sampling: self.sampling.sampling(),
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            logprobs: self.logprobs,
            shift: self.shift,
            ..Options::default()
        };
        session.start_constrained(&prompt, options, constraint)?;
        let mut ids = Vec::new();
        while let Some(step) = block_on(session.step())? {
            ids.extend(step.token);
            if self.logprobs.is_some() {
                print_logprobs(&step)?;
            } else if !self.ids {
                match &mut turn {
                    Some(turn) => chat::print(&turn.tell(&step.text, false))?,
                    None => write!(stdout(), "{}", step.text)?,
                }
                stdout().flush()?;
            }
        }
        if let (Some(turn), None, false) = (&mut turn, self.logprobs, self.ids) {
            chat::print(&turn.tell("", true))?;
        }
        match self.ids {
            true => writeln!(stdout(), "{}", serde_json::to_string(&ids)?)?,
            false => writeln!(stdout())?,
        }
        if let Some(path) = &self.save {
            std::fs::write(path, block_on(session.save())?).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// All tokens that an answer to `text` goes on from: what was said before, and it.
fn behind(session: &Session, text: &str) -> Result<Vec<u32>> {
    let new = session.tokenizer().encode(text)?;
    let before = session.tokens();
    // The token that begins a text begins a conversation only once.
    let begun = !before.is_empty() && new.first() == before.first();
    Ok([before, &new[usize::from(begun)..]].concat())
}

/// A token, its log-probability, and the likeliest.
fn print_logprobs(step: &Step) -> Result<()> {
    let Some(logprobs) = &step.logprobs else { return Ok(()) };
    let show = |of: &Logprob| format!("{:?} {:.3}", String::from_utf8_lossy(&of.bytes), of.logprob);
    let top: Vec<String> = logprobs.top.iter().map(show).collect();
    writeln!(stdout(), "{:>7} {:<24} {}", logprobs.chosen.id, show(&logprobs.chosen), top.join("  "))?;
    Ok(())
}
