//! Storing a model in another format.

use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use hearth_engine::formats::gguf::{Reader, Requantizer};
use hearth_engine::quant::Format;

use crate::{Result, files};

#[derive(Args)]
pub struct Quantize {
    /// The GGUF file.
    input: PathBuf,
    /// The file to write.
    output: PathBuf,
    /// The format of matrices. Vectors and norms become F32. Where rows are no whole blocks, Q5_0 stands for Q4_K, Q5_1 for Q5_K,
    /// Q8_0 for Q6_K, and F16 for the rest.
    #[arg(long, value_parser = format)]
    to: Format,
    /// The format of the tables of tokens, token_embd and output, if it is another.
    #[arg(long, value_parser = format)]
    embeddings: Option<Format>,
}

/// A format that can be written.
fn format(text: &str) -> std::result::Result<Format, String> {
    Format::from_name(text).filter(|format| format.encodes()).ok_or_else(|| {
        let names: Vec<_> = Format::all().filter(|format| format.encodes()).map(Format::name).collect();
        format!("there are {}", names.join(", "))
    })
}

impl Quantize {
    pub fn run(&self) -> Result<()> {
        files::save(&self.output, |file| self.write(file))?;
        let [before, after] = [&self.input, &self.output].map(fs::metadata);
        writeln!(stdout(), "{} bytes became {}", before?.len(), after?.len())?;
        Ok(())
    }

    /// Reads one file while it writes the other.
    fn write(&self, file: &mut impl Write) -> Result<()> {
        let mut reader = Reader::new();
        let mut requantizer = Requantizer::new(self.to, self.embeddings.unwrap_or(self.to));
        let mut out = Vec::new();
        files::read(&self.input, |bytes| {
            reader.push(bytes, |event| requantizer.take(event, &mut out))?;
            file.write_all(&out)?;
            out.clear();
            Ok(())
        })?;
        reader.finish(|event| requantizer.take(event, &mut out))?;
        requantizer.finish()?;
        file.write_all(&out)?;
        Ok(())
    }
}
