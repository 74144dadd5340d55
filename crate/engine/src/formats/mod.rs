//! File formats: bytes pushed in as they arrive, header and tensors out.
//!
//! - `header`: what every format comes to: metadata under GGUF's keys, and tensors under GGUF's names.
//! - `rows`: tensor data from pushed bytes, in runs of whole rows.
//! - `gguf`, `safetensors`: the two formats. `hf`: a folder of Hugging Face's, told in GGUF's words.
//! - `shards`: names of files that are parts of one model. `set`: all files of a model as one.

pub mod gguf;
mod header;
pub mod hf;
mod rows;
pub mod safetensors;
pub mod set;
pub mod shards;

pub use header::{Header, Strings, TensorInfo, Value, bad};
pub use rows::{Event, Extent, ROW_RUN, Rows};
