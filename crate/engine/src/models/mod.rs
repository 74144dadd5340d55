//! The families of models we know, each a page that turns metadata into a [`Program`].
//!
//! To add one: write `models/NAME.rs` with `program`, add a line to `TABLE`, and a fixture to
//! `tests/fixtures/make_architectures.py`, which gives it the reference tests on every executor.

mod bert;
mod deci;
mod decoder;
mod gemma2;
mod gemma3;
mod gpt2;
mod keys;
mod llama;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::formats::gguf::Header;
use crate::program::Program;
use keys::Keys;

/// A family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama, Mistral, TinyLlama, SmolLM and SmolLM2, and their like.
    Llama,
    /// DeciLM, Nemotron: a Llama whose layers differ in width, and some do not attend.
    Deci,
    /// SmolLM3: a Llama with layers that know no positions.
    SmolLm3,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3.
    Qwen3,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, text.
    Gemma3,
    /// Phi 3, 3.5 and 4-mini.
    Phi3,
    /// GPT-2.
    Gpt2,
    /// BERT and encoders built like it: MiniLM, BGE, E5.
    Bert,
}

/// Family, its name in `general.architecture`, and its page.
type Row = (Architecture, &'static str, fn(Keys) -> Result<Program>);

const TABLE: &[Row] = &[
    (Architecture::Llama, "llama", llama::program),
    (Architecture::Deci, "deci", deci::program),
    (Architecture::SmolLm3, "smollm3", smollm3::program),
    (Architecture::Qwen2, "qwen2", qwen2::program),
    (Architecture::Qwen3, "qwen3", qwen3::program),
    (Architecture::Gemma2, "gemma2", gemma2::program),
    (Architecture::Gemma3, "gemma3", gemma3::program),
    (Architecture::Phi3, "phi3", phi3::program),
    (Architecture::Gpt2, "gpt2", gpt2::program),
    (Architecture::Bert, "bert", bert::program),
];

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

/// How long a conversation may become. Some rotations depend on it (LongRoPE, dynamic NTK), so it is part of what a model
/// computes, and must not depend on where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// So many positions, or all that the model was made for; rotations are as they suit that many.
    Asked(usize),
    /// As many as there is room for, where nobody asked: no more than turn as they did before the model was stretched, if the
    /// rotation would depend on it.
    Usual(usize),
}

impl From<usize> for Room {
    fn from(positions: usize) -> Room {
        Room::Asked(positions)
    }
}

/// The program of the file with this header, for a conversation that has this room. All tensors are named and all shapes checked
/// by it.
pub fn program(header: &Header, room: impl Into<Room>) -> Result<Program> {
    let room = room.into();
    let found = header.string("general.architecture")?.ok_or_else(|| Error::Metadata {
        key: "general.architecture".into(),
        what: "missing, so the kind of model is unknown".into(),
    })?;
    let &(architecture, _, page) = TABLE
        .iter()
        .find(|row| row.1 == found)
        .ok_or_else(|| Error::UnsupportedArchitecture { found: found.into() })?;
    let program = page(Keys { header, architecture, room })?;
    // Biases, norms and experts that the page does not compute would be plausible nonsense if they were passed over.
    let used: HashSet<usize> = program.weights.iter().map(|weight| weight.tensor).collect();
    let matters = |name: &str| {
        let part = name.starts_with("blk.") || name.starts_with("output") || name.starts_with("token_embd");
        part && !name.contains("rope_freqs") && !name.contains("rot_embd")
    };
    match header.tensors.iter().enumerate().find(|(i, tensor)| !used.contains(i) && matters(&tensor.name)) {
        Some((_, tensor)) => Err(Error::UnsupportedArchitecture { found: format!("{found} with {}", tensor.name) }),
        None => Ok(program),
    }
}
