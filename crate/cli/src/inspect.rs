//! Looking into a file: metadata, tensors, program.

use std::io::{Write, stdout};
use std::path::Path;

use hearth_engine::formats::gguf::{Event, Header, Reader, Value};
use hearth_engine::models;
use hearth_engine::tokenizer::Tokenizer;

use crate::Result;

/// Reads the header and no further.
fn header(file: &Path) -> Result<Header> {
    let mut reader = Reader::new();
    let mut header = None;
    let whole = crate::read(file, |bytes| {
        reader.push(bytes, |event| {
            if let Event::Header(found) = event {
                header = Some(found);
            }
            Ok(())
        })?;
        match header {
            Some(_) => Err("enough".into()),
            None => Ok(()),
        }
    });
    if let Some(header) = header {
        return Ok(header);
    }
    whole?;
    let mut late = None;
    let finished = reader.finish(|event| {
        if let Event::Header(found) = event {
            late = Some(found);
        }
        Ok(())
    });
    match late {
        Some(header) => Ok(header),
        None => Err(finished.err().map_or("the file has no header".into(), Into::into)),
    }
}

/// The file's tokenizer.
pub fn tokenizer(file: &Path) -> Result<Tokenizer> {
    Ok(Tokenizer::from_header(&header(file)?)?)
}

/// Prints what is in the file.
pub fn inspect(file: &Path) -> Result<()> {
    let header = header(file)?;
    writeln!(stdout(), "GGUF version {}, {} bytes", header.version, header.file_bytes())?;
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
