//! The sampler's options as flags, with the engine's defaults.

use clap::Args;
use hearth_engine::sampling::{LogitBias, Sampling};

/// How tokens are chosen.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Always take the likeliest token; nothing is penalised unless a penalty is given.
    #[arg(long)]
    greedy: bool,
    /// Seed of the random choices.
    #[arg(long)]
    seed: Option<u64>,
    /// Divides the logits; 0 takes the likeliest.
    #[arg(long)]
    temperature: Option<f32>,
    /// How far the temperature moves with the model's doubt.
    #[arg(long)]
    dynatemp_range: Option<f32>,
    /// How the way between is bent.
    #[arg(long)]
    dynatemp_exponent: Option<f32>,
    /// Keep so many of the likeliest tokens; 0 keeps all.
    #[arg(long)]
    top_k: Option<usize>,
    /// Keep the likeliest tokens that together have this probability.
    #[arg(long)]
    top_p: Option<f32>,
    /// Drop tokens less likely than this times the likeliest.
    #[arg(long)]
    min_p: Option<f32>,
    /// Keep the tokens nearest to the expected surprise that together have this probability.
    #[arg(long)]
    typical_p: Option<f32>,
    /// Keep tokens within so many standard deviations of the likeliest; 0 is off.
    #[arg(long)]
    top_n_sigma: Option<f32>,
    /// How often top choices are excluded.
    #[arg(long)]
    xtc_probability: Option<f32>,
    /// The probability that top choices have at least.
    #[arg(long)]
    xtc_threshold: Option<f32>,
    /// Filters by probability leave so many tokens at least.
    #[arg(long)]
    min_keep: Option<usize>,
    /// The surprise that Mirostat 2 steers to, in bits; 0 is off.
    #[arg(long)]
    mirostat_tau: Option<f32>,
    /// How fast Mirostat 2 learns.
    #[arg(long)]
    mirostat_eta: Option<f32>,
    /// Divides the logits of recent tokens; 1 is off.
    #[arg(long)]
    repetition_penalty: Option<f32>,
    /// Taken from a recent token's logit each time it was said.
    #[arg(long, allow_negative_numbers = true)]
    frequency_penalty: Option<f32>,
    /// Taken from a recent token's logit.
    #[arg(long, allow_negative_numbers = true)]
    presence_penalty: Option<f32>,
    /// How many tokens are recent; -1 is all.
    #[arg(long, allow_negative_numbers = true)]
    repetition_window: Option<i32>,
    /// Added to a token's logit, TOKEN=BIAS, -inf to take it out; may be given several times.
    #[arg(long, value_parser = bias, value_name = "TOKEN=BIAS")]
    logit_bias: Vec<(u32, f32)>,
}

/// A token and its bias.
fn bias(text: &str) -> Result<(u32, f32), String> {
    let parts = text.split_once('=').and_then(|(token, bias)| Some((token.parse().ok()?, bias.parse().ok()?)));
    parts.ok_or_else(|| "a bias is TOKEN=BIAS, such as 17=-2.5 or 17=-inf".into())
}

impl SamplingArgs {
    /// What is asked for; the defaults for the rest.
    pub fn sampling(&self) -> Sampling {
        let d = if self.greedy { Sampling::greedy() } else { Sampling::default() };
        Sampling {
            temperature: if self.greedy { 0.0 } else { self.temperature.unwrap_or(d.temperature) },
            dynatemp_range: self.dynatemp_range.unwrap_or(d.dynatemp_range),
            dynatemp_exponent: self.dynatemp_exponent.unwrap_or(d.dynatemp_exponent),
            top_k: self.top_k.unwrap_or(d.top_k),
            top_p: self.top_p.unwrap_or(d.top_p),
            min_p: self.min_p.unwrap_or(d.min_p),
            typical_p: self.typical_p.unwrap_or(d.typical_p),
            top_n_sigma: self.top_n_sigma.unwrap_or(d.top_n_sigma),
            xtc_probability: self.xtc_probability.unwrap_or(d.xtc_probability),
            xtc_threshold: self.xtc_threshold.unwrap_or(d.xtc_threshold),
            min_keep: self.min_keep.unwrap_or(d.min_keep),
            mirostat_tau: self.mirostat_tau.unwrap_or(d.mirostat_tau),
            mirostat_eta: self.mirostat_eta.unwrap_or(d.mirostat_eta),
            repetition_penalty: self.repetition_penalty.unwrap_or(d.repetition_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(d.frequency_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(d.presence_penalty),
            repetition_window: self.repetition_window.unwrap_or(d.repetition_window),
            logit_bias: LogitBias(self.logit_bias.clone()),
            seed: self.seed.unwrap_or(d.seed),
        }
    }
}
