//! A Hugging Face folder (`config.json`, `tokenizer.json`, `*.safetensors`), told in GGUF's words: the same [`Header`] comes out
//! as from a GGUF file, with the names of keys and tensors that llama.cpp's converter would write, so that a model's page in
//! `crate::models` reads one kind of header. The converter is `convert_hf_to_gguf.py` of ggml-org/llama.cpp, its names are in
//! `gguf-py/gguf/constants.py` and `tensor_mapping.py`; what `transformers` assumes where a configuration is silent is in
//! `families`.
//!
//! Three keys are our own. `hearth.rope.halves`, a flag: the numbers that turn together are half a head apart. GGUF files of Llama
//! have their queries and keys permuted so that they are neighbours; here they are as they were. `hearth.rope.truncate`, a flag:
//! false where YaRN's ramp does not begin and end at whole pairs. `hearth.activation`: a name of `families`, where a model has
//! another than its family usually has.
//!
//! Others are llama.cpp's, though its converter does not write them all for every model: `ARCHITECTURE.attention.scale`, the factor
//! on the scores that `query_pre_attn_scalar` asks for; `ARCHITECTURE.attention.sliding_window_pattern`, a flag for each layer, true
//! where it sees a window only; `ARCHITECTURE.rope.scaling.type` "llama3", with `low_freq_factor` and `high_freq_factor` beside it,
//! and "dynamic". LongRoPE's factors become the tensors `rope_factors_long.weight` and `rope_factors_short.weight`, as in GGUF.
//! BERT's head for masked words, which the converter drops, is `mlm_dense`, `mlm_norm` and `mlm_output`.

mod change;
mod config;
mod families;
mod fields;
mod names;
mod rope;
mod texts;

pub use change::{Change, Changed};
pub use config::Config;
pub use texts::{Texts, parse};

use std::collections::BTreeMap;

use super::header::{Header, TensorInfo, Value};
use super::rows::Extent;
use super::safetensors::Entry;
use crate::error::{Error, Result};
use crate::quant::Format;
use names::Target;

/// A tensor of the header and how it comes out of its file.
#[derive(Debug)]
pub struct Source {
    /// As the header lists it.
    pub info: TensorInfo,
    /// Where its rows lie in the file.
    pub extent: Extent,
    /// What happens to them.
    pub change: Change,
    /// How the file stores them.
    pub format: Format,
}

/// What a folder's texts say: everything of the header but the files' tensors, and the tensors that no file has.
pub fn header(config: &Config, texts: &Texts) -> Result<(Header, Vec<Vec<u8>>)> {
    let mut metadata: BTreeMap<String, Value> = config.metadata()?;
    texts.pooling(config.architecture(), &mut metadata)?;
    let mut header = Header { metadata, ..Header::default() };
    let mut made = Vec::new();
    for (name, numbers) in rope::describe(config, &mut header.metadata)? {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number: &f32| number.to_le_bytes()).collect();
        let (shape, size_bytes) = (vec![numbers.len()], bytes.len() as u64);
        header.tensors.push(TensorInfo { name: name.into(), shape, format: Format::F32, offset: 0, size_bytes });
        made.push(bytes);
    }
    Ok((header, made))
}

/// Heads that may be the embedding table.
const HEADS: [&str; 2] = ["output.weight", "mlm_output.weight"];

/// The tensors of a file that the model needs, in the order of their data.
pub fn sources(config: &Config, entries: Vec<Entry>) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for entry in entries {
        match names::target(config.family(), &entry.name) {
            Target::Skip => {}
            // The embedding table is the head as well, whatever else the file may have in its place.
            Target::Tensor(name) if config.is_tied() && HEADS.contains(&name.as_str()) => {}
            Target::Tensor(name) => sources.push(source(config, name, &entry)?),
            Target::Unknown => {
                let found = format!("{} with {}", config.architecture(), entry.name);
                return Err(Error::UnsupportedArchitecture { found });
            }
        }
    }
    Ok(sources)
}

fn source(config: &Config, name: String, entry: &Entry) -> Result<Source> {
    let impossible = || Error::Header {
        offset: entry.offset,
        what: format!("tensor {} of shape {:?} cannot be a weight", entry.name, entry.shape),
    };
    let format = entry.format()?;
    let change = config.family().change(&entry.name);
    if entry.shape.is_empty() || entry.shape.contains(&0) {
        return Err(impossible());
    }
    let info =
        TensorInfo { name, shape: entry.shape.clone(), format, offset: entry.offset, size_bytes: entry.size_bytes };
    let extent = Extent::of(&info);
    let info = change.target(info).ok_or_else(impossible)?;
    Ok(Source { info, extent, change, format })
}
