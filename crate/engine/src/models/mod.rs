//! The families of models we know, each a page that turns metadata into a [`Program`].
//!
//! To add one: write `models/NAME.rs` with `program`, add a line to `TABLE`, and a fixture to
//! `models/fixtures/make_models.py`, which gives it the reference tests on every executor.

mod gemma3;
mod llama;

use crate::cpu::MAX_HEAD_DIM;
use crate::error::{Error, Result};
use crate::formats::gguf::Header;
use crate::program::{Config, Program};

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
    row.ok_or_else(|| Error::UnsupportedArchitecture { found: found.into() })?.2(header)
}

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

    fn float_or(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.header.float(&self.key(name))?.unwrap_or(default))
    }

    /// Only linear position interpolation is known.
    fn rope_scale(&self) -> Result<f32> {
        let key = self.key("rope.scaling.type");
        match self.header.string(&key)? {
            None | Some("none" | "linear") => Ok(1.0 / self.float_or("rope.scaling.factor", 1.0)?),
            Some(other) => Err(Error::Metadata { key, what: format!("\"{other}\" is not supported; linear is") }),
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
