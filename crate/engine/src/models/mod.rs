//! The families of models we know, each a page that turns metadata into a [`Program`].
//!
//! To add one: write `models/NAME.rs` with `program`, add a line to `TABLE`, and a fixture to
//! `tests/fixtures/make_models.py`, which gives it the reference tests on every executor.

mod gemma3;
mod llama;

use crate::cpu::MAX_HEAD_DIM;
use crate::error::{Error, Result};
use crate::formats::{Header, Value, bad};
use crate::program::{Config, Program, RopePairs};

/// A family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama, SmolLM and their like.
    Llama,
    /// Gemma 3, text.
    Gemma3,
}

/// Family, its name in `general.architecture`, and its page.
type Row = (Architecture, &'static str, fn(&Header) -> Result<Program>);

const TABLE: &[Row] =
    &[(Architecture::Llama, "llama", llama::program), (Architecture::Gemma3, "gemma3", gemma3::program)];

impl Architecture {
    /// The name in `general.architecture`.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).expect("every family has a line in TABLE").1
    }

    /// All names, comma-separated, for error messages.
    pub fn names() -> String {
        TABLE.iter().map(|row| row.1).collect::<Vec<_>>().join(", ")
    }
}

/// The program of the file with this header. All tensors are named and all shapes checked by it.
pub fn program(header: &Header) -> Result<Program> {
    let found = header.string("general.architecture")?.ok_or_else(|| Error::Metadata {
        key: "general.architecture".into(),
        what: "missing, so the kind of model is unknown".into(),
    })?;
    let row = TABLE.iter().find(|row| row.1 == found);
    let program = row.ok_or_else(|| Error::UnsupportedArchitecture { found: found.into() })?.2(header)?;
    // Biases and experts that the page does not compute would be plausible nonsense if they were passed over.
    let stranger = |name: &str| name.ends_with(".bias") || name.contains("_exps.") || name.contains("_inp.");
    match header.tensors.iter().find(|tensor| stranger(&tensor.name)) {
        Some(tensor) => Err(Error::UnsupportedArchitecture { found: format!("{found} with {}", tensor.name) }),
        None => Ok(program),
    }
}

/// Widest layer there is room for, sixteen times that of the largest models: whatever a file claims, a run's buffers stay
/// within reason, and no product of sizes overflows 32 bits.
const MAX_WIDTH: usize = 1 << 20;

/// Metadata under the architecture's own prefix.
struct Keys<'a> {
    header: &'a Header,
    architecture: Architecture,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture.name())
    }

    fn uint_or(&self, name: &str, default: Option<usize>) -> Result<usize> {
        let key = self.key(name);
        let value = self.header.uint(&key)?.or(default);
        let value = value.ok_or_else(|| Error::Metadata { key: key.clone(), what: "missing".into() })?;
        if value == 0 || value > 1 << 28 {
            return Err(Error::Metadata { key, what: format!("{value} is out of range") });
        }
        Ok(value)
    }

    fn uint(&self, name: &str) -> Result<usize> {
        self.uint_or(name, None)
    }

    /// A number above zero.
    fn positive_or(&self, name: &str, default: f32) -> Result<f32> {
        let key = self.key(name);
        let value = self.header.float(&key)?.unwrap_or(default);
        match value.is_finite() && value > 0.0 {
            true => Ok(value),
            false => Err(Error::Metadata { key, what: format!("{value} is out of range") }),
        }
    }

    /// Only linear position interpolation is known. A factor of 0 means none, as in llama.cpp.
    fn rope_scale(&self) -> Result<f32> {
        let key = self.key("rope.scaling.type");
        let name = match self.header.string(&key)? {
            Some("none") => return Ok(1.0),
            Some("linear") => "rope.scaling.factor",
            None if self.header.metadata.contains_key(&self.key("rope.scale_linear")) => "rope.scale_linear",
            None => "rope.scaling.factor",
            Some(other) => {
                return Err(Error::Metadata { key, what: format!("\"{other}\" is not supported; linear is") });
            }
        };
        match self.header.float(&self.key(name))? {
            Some(0.0) => Ok(1.0),
            _ => Ok(1.0 / self.positive_or(name, 1.0)?),
        }
    }

    /// Whether a layer sees no more than a window: as the file says, one by one or all but the last of every so many, or as
    /// `usual`.
    fn slides(&self, layer: usize, usual: bool) -> Result<bool> {
        let key = self.key("attention.sliding_window_pattern");
        match self.header.metadata.get(&key) {
            None => Ok(usual),
            Some(&Value::Unsigned(period)) => Ok(!(layer as u64 + 1).is_multiple_of(period)),
            Some(Value::Bools(layers)) if layer < layers.len() => Ok(layers[layer]),
            Some(_) => Err(bad(&key, format!("a flag for layer {layer} was expected"))),
        }
    }

    /// Neighbours, unless queries and keys were left as Hugging Face has them.
    fn rope_pairs(&self) -> Result<RopePairs> {
        Ok(match self.header.bool("hearth.rope.halves")? {
            Some(true) => RopePairs::Halves,
            _ => RopePairs::Neighbours,
        })
    }

    /// How many numbers of a head turn.
    fn rope_dims(&self, head_dim: usize) -> Result<usize> {
        let name = "rope.dimension_count";
        let dims = self.uint_or(name, Some(head_dim))?;
        match dims % 2 == 0 && dims <= head_dim {
            true => Ok(dims),
            false => Err(Error::Metadata { key: self.key(name), what: format!("{dims} of {head_dim} cannot turn") }),
        }
    }

    fn config(&self) -> Result<Config> {
        let n_heads = self.uint("attention.head_count")?;
        let n_kv_heads = self.uint_or("attention.head_count_kv", Some(n_heads))?;
        let dim = self.uint("embedding_length")?;
        let head_dim = self.uint_or("attention.key_length", Some((dim / n_heads).max(1)))?;
        if n_heads % n_kv_heads != 0 {
            let what = format!("{n_heads} query heads cannot share {n_kv_heads}");
            return Err(Error::Metadata { key: self.key("attention.head_count_kv"), what });
        }
        if self.uint_or("attention.value_length", Some(head_dim))? != head_dim {
            let what = "keys and values of different width are not supported".into();
            return Err(Error::Metadata { key: self.key("attention.value_length"), what });
        }
        if head_dim % 4 != 0 || head_dim > MAX_HEAD_DIM {
            let what = format!("{head_dim} is not a multiple of four up to {MAX_HEAD_DIM}");
            return Err(Error::Metadata { key: self.key("attention.key_length"), what });
        }
        let widths = [dim, self.uint("feed_forward_length")?, n_heads.saturating_mul(head_dim)];
        if let Some(width) = widths.into_iter().find(|&width| width > MAX_WIDTH) {
            let what = format!("a layer {width} numbers wide is more than the {MAX_WIDTH} there is room for");
            return Err(Error::Metadata { key: self.key("embedding_length"), what });
        }
        let embeddings = self.header.tensor("token_embd.weight").ok_or_else(|| Error::MissingTensor {
            tensor: "token_embd.weight".into(),
            architecture: self.architecture.name().into(),
        })?;
        Ok(Config {
            architecture: self.architecture,
            n_layers: self.uint("block_count")?,
            n_heads,
            n_kv_heads,
            head_dim,
            dim,
            hidden_dim: self.uint("feed_forward_length")?,
            vocab_size: embeddings.1.rows(),
            max_seq: self.uint("context_length")?,
        })
    }
}
