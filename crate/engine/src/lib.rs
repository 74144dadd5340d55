//! The engine.
#![allow(clippy::module_inception)]

pub mod error;
pub mod executor;
pub mod formats;
pub mod models;
pub mod naive;
pub mod program;
pub mod quant;
pub mod sampling;
pub mod tokenizer;

pub use error::{Error, Result};
