//! File formats: bytes pushed in as they arrive, header and tensors out.

pub mod gguf;
