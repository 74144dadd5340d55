//! The compression lab: makes a model smaller and measures what it cost. Natively and in a tab, on any number of threads, the same
//! recipe, base and texts give the same bytes.
//!
//! ```text
//! file ─ model::Model ─┬─ pass: texts ─ walk ─ statistics ─ layer::Layer ─ methods ─┬─ Model ─ file
//!                      │         recipe::Recipe ────────────────────────────────────┘     │
//!                      └─ reference::Reference ─────── Distance ──────────────────────────┘
//! ```
//!
//! - `evaluate`, `encoder`: how far a model is from its original, by what it says or by its vectors.
//! - `matrix`, `cholesky`, `least_squares`, `eigen`, `elementwise`: numbers, each sum in one order.
//! - `walk`: layer by layer over whole texts. `statistics`: what inputs are like. `text`: how texts are cut.
//! - `info`: what a model is. `work`: what a token costs, counted. `structure`: what a file says of its layers' sizes.
//! - `follow`: a changed model beside its base. `feed_forward`: half of a layer, forwards and backwards.
//! - `sensitivity`: what each matrix matters; `allocate`: which gets how many bits.
//! - `presets`: recipes with a name. `search`: which recipes are worth having. `verify`: what a result must hold.
//! - `imatrix`: what llama.cpp's tools know of inputs.
//! - `layer`: a layer opened for changes. `methods`: what changes it, with `grid` (levels of formats), `gptq` and `obs` (who makes up
//!   for whose errors), `pattern` (where zeros may be), `kmeans` (levels that suit some numbers), `svd` (low rank).
//! - `adapter`: a second file that makes up for rounding.

pub mod adapter;
pub mod allocate;
pub mod cholesky;
pub mod eigen;
pub mod elementwise;
pub mod encoder;
pub mod error;
pub mod evaluate;
pub mod feed_forward;
pub mod follow;
pub mod gptq;
pub mod grid;
pub mod imatrix;
pub mod info;
pub mod kmeans;
pub mod layer;
pub mod least_squares;
pub mod matrix;
pub mod methods;
pub mod model;
pub mod obs;
pub mod pass;
pub mod pattern;
pub mod presets;
pub mod recipe;
pub mod reference;
pub mod search;
pub mod sensitivity;
pub mod statistics;
pub mod structure;
pub mod svd;
pub mod text;
pub mod verify;
pub mod walk;
pub mod work;

pub use error::{Error, Result};

/// How far a long task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// What is being done.
    pub what: &'static str,
    /// Steps done.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

/// Is told of progress, often; by an error, usually [`Error::Cancelled`], it ends the task. Whatever was to be changed is then as
/// it was.
pub type Watch<'a> = dyn FnMut(Progress) -> Result<()> + 'a;
