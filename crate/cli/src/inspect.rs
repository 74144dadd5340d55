//! Looking into a file: metadata, tensors, program.

use std::io::{Write, stdout};
use std::path::Path;

use hearth_engine::formats::Value;
use hearth_engine::formats::set::Model;
use hearth_engine::tokenizer::Tokenizer;
use hearth_engine::{loader, models};

use crate::Result;
use crate::files::Files;

/// The model's tokenizer.
pub fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let Model { header, texts, .. } = Files::find(path)?.scan()?;
    Ok(loader::tokenizer(&header, texts.as_ref())?)
}

/// Prints what is in the model's files.
pub fn inspect(path: &Path) -> Result<()> {
    let files = Files::find(path)?;
    let Model { header, .. } = files.scan()?;
    let format = match header.version {
        0 => "Hugging Face folder".to_owned(),
        version => format!("GGUF version {version}"),
    };
    let size: u64 = header.tensors.iter().map(|tensor| tensor.size_bytes).sum();
    writeln!(stdout(), "{format}, {size} bytes of tensors")?;
    writeln!(stdout(), "\nMetadata")?;
    for (key, value) in &header.metadata {
        writeln!(stdout(), "  {key} = {}", describe(value))?;
    }
    writeln!(stdout(), "\nTensors")?;
    for tensor in &header.tensors {
        writeln!(stdout(), "  {:<36} {:<6} {:?}", tensor.name, tensor.format.name(), tensor.shape)?;
    }
    let program = models::program(&header, usize::MAX)?;
    writeln!(stdout(), "\nProgram: {} operations, {:?}", program.ops.len(), program.config)?;
    Ok(())
}

fn describe(value: &Value) -> String {
    const LONGEST: usize = 100;
    let text = match value {
        Value::Unsigned(value) => value.to_string(),
        Value::Signed(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::String(value) => format!("{value:?}"),
        Value::Strings(values) => {
            format!("{} strings: {:?}", values.len(), values.iter().take(6).collect::<Vec<_>>())
        }
        Value::Floats(values) => format!("{} numbers", values.len()),
        Value::Integers(values) => format!("{} integers", values.len()),
        Value::Bools(values) => format!("{} flags", values.len()),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
