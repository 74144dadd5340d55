//! A program of the engine on WebGPU: the list of operations becomes a static list of dispatches over weights that lie on the
//! device.
//!
//! ```text
//!   device.rs     the adapter, its device, how it fails
//!   layout.rs     how each format's rows lie on the device
//!   weight.rs     weights, cut into parts a kernel can see, filled as the file arrives
//!   buffers.rs    activations, keys and values
//!   text.rs       the text of shaders;  shaders/  their files
//!   steps.rs      dispatches, made once
//!   plan.rs       a program as dispatches, for one token and for several: matvec.rs and matmul.rs (products), attend.rs
//!   kernels.rs    ways of making products;  tune.rs  which of them suit an adapter
//!   executor.rs   runs them
//!   profile.rs    how long each takes
//!   ahead.rs      tokens chosen on the device, several under way
//! ```

mod ahead;
mod attend;
mod buffers;
mod device;
mod executor;
mod finish;
mod kernels;
mod layout;
mod matmul;
mod matvec;
mod plan;
mod profile;
mod steps;
mod text;
mod tune;
mod weight;

pub use buffers::MOST_TOKENS;
pub use device::Gpu;
pub use executor::GpuExecutor;
pub use kernels::{Kernels, Offers, Product};
pub use plan::CacheFormat;
