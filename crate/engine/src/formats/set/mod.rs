//! All files of a model as one: a GGUF file in parts, or a Hugging Face folder.
//!
//! Every shape must be known before the first weight is taken, so there are two passes. [`Scan`] asks for the small files and for
//! the beginnings of those with weights; it ends in a [`Model`]: one header, and [`Data`], which asks for the weights file by
//! file. Neither reads: they say what they want next, a [`Want`], and whoever has the files pushes those bytes, in pieces of any
//! size. A browser thus reads a `File.slice(...)` at a time, and never more than it must.
//!
//! - `choice`: which of the files belong to the model. `scan`, `data`: the two passes. `split`: GGUF files in parts. `intake`:
//!   whichever it is, the way from files to header and rows.

mod choice;
mod data;
mod intake;
mod scan;
mod split;

pub use choice::{Choice, beside};
pub use data::Data;
pub use intake::{Found, Intake};
pub use scan::{Model, Scan};
pub use split::Split;

use serde::{Deserialize, Serialize};

/// A file that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct File {
    /// Its name, with `/` between folders.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
}

/// Bytes that are to be pushed next, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Want {
    /// Which file, by the order in which they were named.
    pub file: usize,
    /// First byte.
    pub offset: u64,
    /// How many: one or more.
    pub bytes: u64,
}
