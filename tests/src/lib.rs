//! What the tests share: loading models from bytes.

pub mod made;

use hearth_engine::Result;
use hearth_engine::generate::Session;
use hearth_engine::loader::{Device, Loader};

/// A Llama of a few layers.
pub const LLAMA: &[u8] = include_bytes!("../fixtures/tiny-llama.gguf");
/// A Gemma 3.
pub const GEMMA3: &[u8] = include_bytes!("../fixtures/tiny-gemma3.gguf");

/// A session over a whole file.
pub fn session(file: &[u8], device: Device) -> Result<Session> {
    session_within(usize::MAX, file, device)
}

/// A session over a whole file, with room for so many positions.
pub fn session_within(context: usize, file: &[u8], device: Device) -> Result<Session> {
    let mut loader = Loader::new(device);
    for piece in file.chunks(1 << 20) {
        loader.push(piece)?;
    }
    loader.finish(context)
}

/// `|a − b| / |b|`, Euclidean: the relative error of a vector.
pub fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let size: f64 = b.iter().map(|b| square(*b)).sum();
    (difference / size).sqrt()
}
