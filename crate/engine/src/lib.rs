//! Hearth's engine: language models from the bytes of GGUF files or Hugging Face folders to text. It knows no browser, GPU, file
//! system or clock: callers push bytes and ask for steps, so native tests exercise the real thing.
//!
//! ```text
//! bytes ─ formats::gguf::Reader ─┬─ Header ─ models::program ─ Program ─┬─ naive::Naive   the oracle
//!       ─ formats::set::Scan     │            tokenizer::Tokenizer      └─ cpu::Cpu       SIMD lanes
//!                                └─ rows ───────────── load_rows ──────────────┘
//! text ─ Tokenizer ─ ids ─ generate::Session::step ─ executor ─ logits ─ sampling::Sampler ─ token ─ text
//! ```
//!
//! [`loader::Loader`] is the first line, [`generate::Session`] the second.

pub mod adapter;
pub mod chat;
pub mod constraint;
pub mod cpu;
pub mod embed;
pub mod error;
pub mod executor;
pub mod fingerprint;
pub mod formats;
pub mod generate;
pub mod loader;
pub mod lookup;
pub mod models;
pub mod naive;
pub mod program;
pub mod quant;
pub mod sampling;
pub mod tokenizer;
pub mod trial;

pub use error::{Error, Result};

#[cfg(all(test, target_arch = "wasm32"))]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);
