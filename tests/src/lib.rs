//! What the tests share: loading models from bytes.

pub mod files;
#[cfg(not(target_arch = "wasm32"))]
pub mod gpt2;
pub mod made;

use hearth_engine::Result;
use hearth_engine::formats::gguf::{Event, Header, Reader, Value};
use hearth_engine::generate::Session;
use hearth_engine::loader::{Device, Loader};
use hearth_engine::models::Room;

/// A Llama of a few layers.
pub const LLAMA: &[u8] = include_bytes!("../fixtures/tiny-llama.gguf");
/// A Gemma 3.
pub const GEMMA3: &[u8] = include_bytes!("../fixtures/tiny-gemma3.gguf");

/// One of every other architecture, and what makes it another.
pub const ARCHITECTURES: &[(&str, &[u8])] = &[
    ("deci", include_bytes!("../fixtures/tiny-deci.gguf")),
    ("smollm3", include_bytes!("../fixtures/tiny-smollm3.gguf")),
    ("qwen2", include_bytes!("../fixtures/tiny-qwen2.gguf")),
    ("qwen3", include_bytes!("../fixtures/tiny-qwen3.gguf")),
    ("gemma2", include_bytes!("../fixtures/tiny-gemma2.gguf")),
    ("phi3", include_bytes!("../fixtures/tiny-phi3.gguf")),
    ("phi3-longrope", include_bytes!("../fixtures/tiny-phi3-longrope.gguf")),
    ("gpt2", include_bytes!("../fixtures/tiny-gpt2.gguf")),
    ("bert", include_bytes!("../fixtures/tiny-bert.gguf")),
    ("bert-mlm", include_bytes!("../fixtures/tiny-bert-mlm.gguf")),
];

/// A session over a whole file.
pub fn session(file: &[u8], device: Device) -> Result<Session> {
    session_within(usize::MAX, file, device)
}

/// A session over a whole file, with this room for a conversation.
pub fn session_within(room: impl Into<Room>, file: &[u8], device: Device) -> Result<Session> {
    let mut loader = Loader::new(device, room);
    for piece in file.chunks(1 << 20) {
        loader.push(piece)?;
    }
    loader.finish()
}

/// A file's header.
pub fn header(file: &[u8]) -> Header {
    let mut header = None;
    let mut reader = Reader::new();
    let keep = |event: Event| {
        if let Event::Header(found) = event {
            header = Some(found);
        }
        Ok(())
    };
    reader.push(file, keep).unwrap();
    header.unwrap()
}

/// The tokens and the numbers that the fixture carries: logits or, of an encoder without a head, hidden states.
pub fn reference(file: &[u8]) -> (Vec<u32>, Vec<f32>) {
    let mut metadata = header(file).metadata;
    let Some(Value::Integers(tokens)) = metadata.remove("reference.tokens") else { panic!("no tokens") };
    let numbers = ["reference.logits", "reference.hidden"].into_iter().find_map(|key| metadata.remove(key));
    let Some(Value::Floats(numbers)) = numbers else { panic!("no numbers") };
    (tokens.into_iter().map(|token| token as u32).collect(), numbers)
}

/// How far a session is from the reference numbers of its file.
pub async fn reference_error(session: &mut Session, file: &[u8]) -> f64 {
    let (tokens, expected) = reference(file);
    let hidden = header(file).metadata.contains_key("reference.hidden");
    let numbers = if hidden { session.hidden(&tokens).await } else { session.logits(&tokens).await };
    relative_error(&numbers.unwrap(), &expected)
}

/// The same where a decoder reads the tokens one by one, each after the one before was told of.
pub async fn one_by_one_error(session: &mut Session, file: &[u8]) -> f64 {
    let (tokens, expected) = reference(file);
    let mut logits = Vec::new();
    for end in 1..=tokens.len() {
        logits.extend(session.next_logits(&tokens[..end]).await.unwrap());
    }
    relative_error(&logits, &expected)
}

/// `|a − b| / |b|`, Euclidean: the relative error of a vector.
pub fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let size: f64 = b.iter().map(|b| square(*b)).sum();
    (difference / size).sqrt()
}
