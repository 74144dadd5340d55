//! What compression cost and what it gave: quality beside the original, three sizes, work, and, if it is asked for, speed, time of
//! processors and energy.

use std::io::{Write, sink, stderr, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use hearth_engine::cpu::team::Team;
use hearth_engine::generate::Session;
use hearth_lab::encoder::Likeness;
use hearth_lab::evaluate::Figure;
use hearth_lab::model::Model;
use hearth_lab::reference::{Distance, Reference, Texts};
use hearth_lab::text::{PROTOCOLS, Test};
use hearth_lab::work::Work;
use serde::Serialize;

use super::{load, tell, text};
use crate::bench::{Spread, rates};
use crate::energy::{Counters, processor_ms};
use crate::{Executor, Result, threads};

/// Rounds in which models take turns, so that a machine that gets slower does so for all.
const ROUNDS: usize = 5;

/// Tokens of the prompt and of the answer that speed is measured with.
const SPEED: [usize; 2] = [128, 64];

/// Tokens whose cost is counted: an answer to a single token.
const COST: [usize; 2] = [1, 64];

/// Compares models with the one they were made of.
#[derive(Args)]
#[command(after_help = protocols())]
pub struct Evaluate {
    /// The original: a GGUF file, one of its parts, or a Hugging Face folder.
    original: PathBuf,
    /// The others.
    others: Vec<PathBuf>,
    /// The text to predict; of models that make vectors, the texts, a paragraph each.
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
    /// Measure speed, processor time and energy, too.
    #[arg(long)]
    speed: bool,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = threads)]
    threads: usize,
    /// Print a line of JSON for each model, the original first.
    #[arg(long)]
    json: bool,
}

/// What is known of a model.
#[derive(Serialize)]
struct Report {
    file: String,
    /// Bytes of its file as gzip sends them.
    download_bytes: u64,
    work: Work,
    /// Beside the original.
    distance: Distance,
    cost: Option<Cost>,
}

/// What was measured.
#[derive(Serialize)]
struct Cost {
    threads: usize,
    prompt_per_second: Spread,
    decode_per_second: Spread,
    /// Milliseconds of all processors together for a token of an answer.
    processor_ms_per_token: Option<f64>,
    /// Joules for a token of an answer.
    joules_per_token: Option<f64>,
    /// Who counted them.
    energy_source: Option<String>,
}

impl Evaluate {
    pub fn run(&self) -> Result<()> {
        let team = &mut Team::spawn(self.threads);
        let original = load(&self.original)?;
        let calibration = self.calibration.as_deref().map(text).transpose()?;
        let how = Test { protocol: self.protocol.clone(), context: self.context, tokens: self.tokens };
        let test = text(&self.text)?;
        let texts = Texts { test: &test, calibration: calibration.as_deref() };
        let reference = Reference::read(&original, &original.tokenizer()?, texts, &how, None, team, &mut tell)?;
        let files: Vec<&Path> = [&self.original].into_iter().chain(&self.others).map(PathBuf::as_path).collect();
        let mut reports = vec![report(files[0], &original, reference.itself(team, &mut tell)?)?];
        drop(original);
        for &path in &files[1..] {
            let other = load(path)?;
            reports.push(report(path, &other, reference.distance(&other, team, &mut tell)?)?);
        }
        if self.speed {
            let costs = costs(&files, self.threads)?;
            reports.iter_mut().zip(costs).for_each(|(report, cost)| report.cost = Some(cost));
        }
        writeln!(stderr())?;
        for (i, report) in reports.iter().enumerate() {
            match self.json {
                true => writeln!(stdout(), "{}", serde_json::to_string(report)?)?,
                false => report.tell(i == 0)?,
            }
        }
        Ok(())
    }
}

fn report(path: &Path, model: &Model, distance: Distance) -> Result<Report> {
    let file = path.display().to_string();
    Ok(Report { file, download_bytes: zipped(model)?, work: Work::of(model)?, distance, cost: None })
}

/// Bytes of a model's file as gzip makes them.
fn zipped(model: &Model) -> Result<u64> {
    struct Counted(u64);
    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            sink().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut gzip = GzEncoder::new(Counted(0), Compression::default());
    let mut failed = Ok(());
    model.write(|piece| {
        if failed.is_ok() {
            failed = gzip.write_all(piece);
        }
    })?;
    failed?;
    Ok(gzip.finish()?.0)
}

/// Speed, time and energy of models, in turns.
fn costs(files: &[&Path], threads: usize) -> Result<Vec<Cost>> {
    let open = |path: &&Path| crate::load(path, None, Executor::Cpu, threads, Some(SPEED[0] + SPEED[1] + 2), true);
    let mut sessions: Vec<Session> = files.iter().map(open).collect::<Result<_>>()?;
    if sessions[0].config().encoder {
        return Err("a model that makes vectors makes no tokens: leave --speed out".into());
    }
    let counters = Counters::open();
    let none = || (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut found: Vec<_> = sessions.iter().map(|_| none()).collect();
    let mut source = None;
    let mut random = 1;
    for _ in 0..ROUNDS {
        for (session, (prompts, decodes, times, joules)) in sessions.iter_mut().zip(&mut found) {
            let (prompt, decode) = rates(session, SPEED, &mut random)?;
            prompts.push(prompt);
            decodes.push(decode);
            let mark = counters.as_ref().and_then(Counters::mark);
            let before = processor_ms();
            rates(session, COST, &mut random)?;
            let made = (COST[0] + COST[1]) as f64;
            times.extend(processor_ms().zip(before).map(|(after, before)| (after - before) / made));
            if let Some(energy) = counters.as_ref().zip(mark).and_then(|(counters, mark)| counters.since(&mark)) {
                joules.push(energy.joules / made);
                source = Some(energy.source);
            }
        }
    }
    let median = |values: Vec<f64>| (!values.is_empty()).then(|| Spread::of(values).median);
    let cost = |(prompts, decodes, times, joules)| Cost {
        threads,
        prompt_per_second: Spread::of(prompts),
        decode_per_second: Spread::of(decodes),
        processor_ms_per_token: median(times),
        joules_per_token: median(joules),
        energy_source: source.clone(),
    };
    Ok(found.into_iter().map(cost).collect())
}

impl Report {
    fn tell(&self, original: bool) -> Result<()> {
        let mut out = stdout();
        let between = |figure: &Figure, digits: usize, factor: f64| {
            let [value, low, high] = [figure.value, figure.low, figure.high].map(|x| x * factor);
            format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
        };
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        writeln!(out, "{}{}", self.file, if original { " (the original)" } else { "" })?;
        match &self.distance {
            Distance::Quality(quality) => {
                writeln!(
                    out,
                    "  perplexity  {}, over {} positions",
                    between(&quality.perplexity, 4, 1.0),
                    quality.positions
                )?;
                if !original {
                    writeln!(out, "  of it       {}", between(&quality.perplexity_ratio, 4, 1.0))?;
                    let percentile = |(share, kl): &(f64, f64)| format!("{} % {kl:.4}", share * 100.0);
                    let percentiles: Vec<String> = quality.kl_percentiles.iter().map(percentile).collect();
                    writeln!(out, "  KL          {}; up to {}", between(&quality.kl, 5, 1.0), percentiles.join(", "))?;
                    writeln!(out, "  same top    {} %", between(&quality.same_top, 2, 100.0))?;
                    writeln!(out, "  RMS Δp      {} %", between(&quality.rms_dp, 2, 100.0))?;
                }
            }
            Distance::Likeness(likeness) if !original => {
                let Likeness { texts, cosine, least_cosine, overlap_at_10 } = likeness;
                writeln!(out, "  cosine      {}, least {least_cosine:.5}, {texts} texts", between(cosine, 5, 1.0))?;
                writeln!(out, "  overlap@10  {}", between(overlap_at_10, 4, 1.0))?;
            }
            Distance::Likeness(likeness) => writeln!(out, "  texts       {}", likeness.texts)?,
        }
        let Work { macs_per_token, nonzero_macs_per_token, bytes_per_token, resident_bytes, file_bytes, .. } =
            self.work;
        let [file, zipped, resident] = [file_bytes, self.download_bytes, resident_bytes].map(megabytes);
        writeln!(out, "  size        file {file}, zipped {zipped}, resident {resident}")?;
        let million = |count: u64| format!("{:.1} M", count as f64 / 1e6);
        let [all, nonzero] = [macs_per_token, nonzero_macs_per_token].map(million);
        let read = megabytes(bytes_per_token);
        writeln!(out, "  a token     {all} multiplications ({nonzero} not with zero), {read} read")?;
        let Some(cost) = &self.cost else { return Ok(()) };
        let Cost { threads, prompt_per_second, decode_per_second, processor_ms_per_token, .. } = cost;
        let (prompt, decode) = (prompt_per_second.text(), decode_per_second.text());
        writeln!(out, "  speed       prompt {prompt}, answer {decode} tok/s, {threads} thread(s)")?;
        if let Some(ms) = processor_ms_per_token {
            writeln!(out, "  processors  {ms:.2} ms a token")?;
        }
        match (cost.joules_per_token, &cost.energy_source) {
            (Some(joules), Some(source)) => writeln!(out, "  energy      {joules:.4} J a token: {source}")?,
            _ => writeln!(out, "  energy      this system counts none that may be read")?,
        }
        Ok(())
    }
}

/// The protocols.
fn protocols() -> String {
    let each = PROTOCOLS.iter().map(|protocol| format!("  {:16}{}\n", protocol.name, protocol.does));
    format!("Protocols:\n{}", each.collect::<String>())
}
