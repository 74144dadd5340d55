//! The compression lab on the command line.

mod compress;
mod evaluate;
mod search;

use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use clap::Args;
use hearth_lab::Progress;
use hearth_lab::evaluate::Quality;
use hearth_lab::model::{Loader, Model};
use hearth_lab::text::{PROTOCOLS, Protocol, Window, check_disjoint};

pub use compress::Compress;
pub use evaluate::Evaluate;
pub use search::{Importance, Search, Sensitivity};

use crate::files::Files;
use crate::{Result, files};

/// The text that results are measured with.
#[derive(Args)]
pub struct Test {
    /// A text to measure the result with; another than that to calibrate with.
    #[arg(long)]
    test: Option<PathBuf>,
    /// How it is cut; see evaluate --help.
    #[arg(long, default_value = PROTOCOLS[0].name)]
    protocol: String,
    /// Tokens of a window.
    #[arg(long, default_value_t = 512)]
    context: usize,
    /// At most so many tokens of it.
    #[arg(long, default_value_t = 4096)]
    test_tokens: usize,
}

impl Test {
    /// Its windows, if there is one. Errors if it repeats the text to calibrate with.
    fn windows(&self, model: &Model, calibration: &[u32]) -> Result<Option<Vec<Window>>> {
        let Some(path) = &self.test else { return Ok(None) };
        let mut text = tokens(model, path)?;
        text.truncate(self.test_tokens);
        check_disjoint(calibration, &text)?;
        Ok(Some(cut(model, &text, &self.protocol, self.context)?))
    }

    /// How it is cut, with the length of a window.
    fn protocol(&self) -> String {
        format!("{} {}", self.protocol, self.context)
    }
}

/// The bytes of a file, in pieces.
fn pieces(path: &Path) -> Result<Vec<Vec<u8>>> {
    let mut pieces = Vec::new();
    files::read(path, |bytes| {
        pieces.push(bytes.to_vec());
        Ok(())
    })?;
    Ok(pieces)
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

/// The windows of a text, each with what the model wants in front, if anything.
fn cut(model: &Model, text: &[u32], protocol: &str, context: usize) -> Result<Vec<Window>> {
    let begin = model.tokenizer()?.encode("")?.first().copied();
    Ok(Protocol::find(protocol)?.windows(text, begin, context)?)
}

pub fn tell(progress: Progress) -> hearth_lab::Result<()> {
    let Progress { what, done, of } = progress;
    let _ = write!(stderr(), "\r{what} {done}/{of}      ");
    Ok(())
}

/// Quality in a line.
fn describe(quality: &Quality) -> String {
    let Quality { original_perplexity: a, perplexity: b, kl, same_top, rms_dp, .. } = quality;
    format!(
        "perplexity {:.4} (original {:.4}), KL {:.5} [{:.5}, {:.5}], same top {:.2} %, rms dp {:.2} %",
        b.value,
        a.value,
        kl.value,
        kl.low,
        kl.high,
        100.0 * same_top.value,
        100.0 * rms_dp.value
    )
}
