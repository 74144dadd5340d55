//! `hearth`: the browser's engine on the command line, for looking into models, measuring, and comparing with others.

mod adapter;
mod bench;
mod chat;
mod energy;
mod files;
mod inspect;
mod kernels;
mod lab;
mod quantize;
mod run;
mod sampling;
mod score;

use std::error::Error;
use std::io::{ErrorKind, Write, stdout};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use hearth_engine::adapter::Adapter;
use hearth_engine::cpu::team::{MAX_THREADS, Team};
use hearth_engine::generate::Session;
use hearth_engine::loader::{Device, Loader};
use hearth_engine::models::Room;
use hearth_gpu::Gpu;
use pollster::block_on;

use files::Files;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs language models in GGUF files and Hugging Face folders with Hearth's engine.
#[derive(Parser)]
#[command(name = "hearth", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows a model's metadata, tensors and program.
    Inspect {
        /// The GGUF file, one of its parts, or a Hugging Face folder.
        file: PathBuf,
    },
    /// Prints the tokens of a text, as JSON.
    Tokenize {
        /// The GGUF file, one of its parts, or a Hugging Face folder.
        file: PathBuf,
        /// The text.
        text: String,
    },
    /// Continues a prompt, or answers it with --chat.
    Run(Box<run::Run>),
    /// Prints the perplexity of a text.
    Perplexity {
        #[command(flatten)]
        score: Score,
    },
    /// Prints, for each position of a text, its token, that token's log-probability and the likeliest tokens.
    Logprobs {
        #[command(flatten)]
        score: Score,
        /// How many of the likeliest tokens to list.
        #[arg(long, default_value_t = 1)]
        top: usize,
        /// One JSON object a position.
        #[arg(long)]
        json: bool,
    },
    /// Measures reading a prompt and making tokens.
    Bench(bench::Bench),
    /// Stores a model's matrices in another format.
    Quantize(quantize::Quantize),
    /// Makes a model smaller by a recipe.
    Compress(lab::Compress),
    /// Makes an adapter: a small second file that makes up for rounding.
    Adapter(adapter::Adapter),
    /// Adds an adapter to a model.
    Merge(adapter::Merge),
    /// Measures what compression cost.
    Evaluate(lab::Evaluate),
    /// Measures what an error of each matrix costs.
    Sensitivity(lab::Sensitivity),
    /// Writes an importance matrix, as llama.cpp's tools read it.
    Imatrix(lab::Importance),
    /// Tries many recipes and tells which are worth having.
    Search(lab::Search),
    /// Measures every kernel on every format.
    Kernels {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Score {
    /// The GGUF file, one of its parts, or a Hugging Face folder.
    file: PathBuf,
    /// The text.
    #[arg(long)]
    text: String,
    /// Which executor to use.
    #[arg(long, value_enum, default_value_t)]
    executor: Executor,
    /// Threads of the cpu executor.
    #[arg(long, default_value_t = 1, value_parser = threads)]
    threads: usize,
    /// Positions that the text may have.
    #[arg(long)]
    context: Option<usize>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Executor {
    /// Plain loops.
    Naive,
    /// SIMD lanes.
    #[default]
    Cpu,
    /// Shaders, on the adapter that the system prefers.
    Gpu,
}

/// A number of threads.
fn threads(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(threads) if (1..=MAX_THREADS).contains(&threads) => Ok(threads),
        _ => Err(format!("threads are 1 to {MAX_THREADS}")),
    }
}

fn main() {
    if let Err(error) = dispatch(Cli::parse().command) {
        // Whoever reads our output has read enough.
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            return;
        }
        eprintln!("hearth: {error}");
        std::process::exit(1);
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Inspect { file } => inspect::inspect(&file),
        Command::Tokenize { file, text } => {
            let tokens = inspect::tokenizer(&file)?.encode(&text)?;
            writeln!(stdout(), "{}", serde_json::to_string(&tokens)?)?;
            Ok(())
        }
        Command::Run(run) => run.run(),
        Command::Perplexity { score } => score::perplexity(&score),
        Command::Logprobs { score, top, json } => score::logprobs(&score, top, json),
        Command::Bench(bench) => bench.run(),
        Command::Quantize(quantize) => quantize.run(),
        Command::Compress(compress) => compress.run(),
        Command::Adapter(adapter) => adapter.run(),
        Command::Merge(merge) => merge.run(),
        Command::Evaluate(evaluate) => evaluate.run(),
        Command::Sensitivity(sensitivity) => sensitivity.run(),
        Command::Imatrix(imatrix) => imatrix.run(),
        Command::Search(search) => search.run(),
        Command::Kernels { json } => kernels::kernels(json),
    }
}

/// Positions that a GPU reserves memory for.
const GPU_CONTEXT: usize = 4096;

/// Loads a model with room for `context` positions or, if it is not said, for all it was made for (of models whose positions turn
/// otherwise in long contexts, for no more than do not), on a GPU for fewer. A GPU has plain kernels, so that what it says can be
/// repeated, or, `tuned`, those that are fastest. With an adapter, if there is one.
fn load(
    path: &Path,
    lora: Option<&Path>,
    executor: Executor,
    threads: usize,
    context: Option<usize>,
    tuned: bool,
) -> Result<Session> {
    let device = match executor {
        Executor::Naive => Device::Naive,
        Executor::Cpu => Device::Cpu(Team::spawn(threads)),
        Executor::Gpu => {
            let mut gpu = block_on(Gpu::open())?;
            if tuned {
                let kernels = block_on(gpu.tune(kernels::now))?;
                writeln!(std::io::stderr(), "{}: {kernels}", gpu.name)?;
            }
            gpu.device()
        }
    };
    let usual = if executor == Executor::Gpu { GPU_CONTEXT } else { usize::MAX };
    let room = context.map_or(Room::Usual(usual), Room::Asked);
    let files = Files::find(path)?;
    let mut loader = Loader::of(files.files.clone(), device, room)?;
    if let Some(lora) = lora {
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", lora.display());
        let file = std::fs::read(lora).map_err(|error| told(&error))?;
        loader = loader.adapted(Adapter::from_gguf(&file).map_err(|error| told(&error))?);
    }
    while let Some(want) = loader.wants()? {
        files.read(want, |bytes| Ok(loader.push(bytes)?))?;
    }
    Ok(loader.finish()?)
}
