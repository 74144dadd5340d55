//! How fast this machine reads a prompt and makes tokens.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use hearth_engine::executor::OpTime;
use hearth_engine::generate::{Options, Session};
use hearth_engine::sampling::Sampling;
use hearth_gpu::MOST_TOKENS;
use pollster::block_on;
use serde::Serialize;
use serde_json::json;

use crate::{Executor, Result};

/// Repetitions, of which the median counts.
const RUNS: usize = 5;

#[derive(Args)]
pub struct Bench {
    /// The GGUF file, one of its parts, or a Hugging Face folder.
    file: PathBuf,
    /// Prompt tokens.
    #[arg(long, default_value_t = 128)]
    prompt: usize,
    /// Tokens to make.
    #[arg(long = "gen", default_value_t = 64)]
    generate: usize,
    /// Which executor to use.
    #[arg(long, value_enum, default_value_t)]
    executor: Executor,
    /// Threads.
    #[arg(long, default_value_t = 1, value_parser = crate::threads)]
    threads: usize,
    /// Print what each kind of operation takes, for a prompt's tokens and for one, where the executor has a clock.
    #[arg(long)]
    ops: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn run(&self) -> Result<()> {
        let start = Instant::now();
        let mut session = crate::load(&self.file, None, self.executor, self.threads, None, true)?;
        let load_ms = start.elapsed().as_secs_f64() * 1e3;
        if self.ops {
            for tokens in [self.prompt.min(MOST_TOKENS), 1] {
                for OpTime { op, dispatches, microseconds } in block_on(session.profile(tokens))? {
                    let milliseconds = microseconds / 1e3;
                    writeln!(stdout(), "{tokens:4} tokens  {op:12} {dispatches:4} dispatches {milliseconds:9.3} ms")?;
                }
            }
            return Ok(());
        }
        let mut random = 1_u64;
        let (mut prompt_rates, mut decode_rates) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let (prompt, decode) = rates(&mut session, [self.prompt, self.generate], &mut random)?;
            prompt_rates.push(prompt);
            decode_rates.push(decode);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (prompt, decode) = (Spread::of(prompt_rates), Spread::of(decode_rates));
        if self.json {
            writeln!(
                stdout(),
                "{}",
                json!({"load_ms": load_ms, "prompt_tokens": self.prompt, "tokens": self.generate, "threads": self.threads,
                       "cores": cores, "runs": RUNS, "prompt_per_second": prompt,
                       "decode_per_second": decode})
            )?;
        } else {
            writeln!(stdout(), "load     {load_ms:.0} ms")?;
            writeln!(stdout(), "prompt   {} tok/s over {} tokens", prompt.text(), self.prompt)?;
            writeln!(stdout(), "decode   {} tok/s over {} tokens", decode.text(), self.generate)?;
            writeln!(stdout(), "{} thread(s) on {cores} cores, median of {RUNS} (lowest to highest)", self.threads)?;
        }
        Ok(())
    }
}

/// Tokens a second of reading a prompt of so many, and of making so many behind it. Another prompt each time, from `random`, so
/// that nothing is reused from the cache.
pub fn rates(session: &mut Session, [prompt, generate]: [usize; 2], random: &mut u64) -> Result<(f64, f64)> {
    let vocab = session.config().vocab_size as u64;
    let next = || {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*random >> 33) % vocab) as u32
    };
    let tokens: Vec<u32> = std::iter::repeat_with(next).take(prompt).collect();
    let options = Options {
        max_tokens: generate + 1,
        sampling: Sampling::greedy(),
        ignore_eos: true,
        lookup: false,
        ..Options::default()
    };
    session.reset();
    session.start(&tokens, options)?;
    let start = Instant::now();
    let mut first = None;
    let mut made = 0;
    while let Some(step) = block_on(session.step())? {
        if step.token.is_some() {
            made += 1;
            first.get_or_insert_with(|| start.elapsed());
        }
        if made > generate {
            break;
        }
    }
    let first = first.ok_or("no token was made")?;
    Ok((prompt as f64 / first.as_secs_f64(), (made - 1) as f64 / (start.elapsed() - first).as_secs_f64()))
}

/// The median of some values, and how far they spread.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        Spread { median: values[values.len() / 2], low: values[0], high: values[values.len() - 1] }
    }

    pub fn text(&self) -> String {
        format!("{:.1} ({:.1} to {:.1})", self.median, self.low, self.high)
    }
}
