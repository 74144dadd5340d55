//! Models in several files, as somebody would give them.

use hearth_engine::Result;
use hearth_engine::formats::set::{File, Want};
use hearth_engine::generate::Session;
use hearth_engine::loader::{Device, Loader};

/// A file and its name.
#[derive(Clone)]
pub struct Named {
    /// Its name, with `/` between folders.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

macro_rules! files {
    ($($folder:literal: $($weights:literal),+;)+) => {
        &[$(($folder, &[
            $(($weights, include_bytes!(concat!("../fixtures/folders/", $folder, "/", $weights)))),+,
            ("config.json", include_bytes!(concat!("../fixtures/folders/", $folder, "/config.json"))),
            ("tokenizer.json", include_bytes!(concat!("../fixtures/folders/", $folder, "/tokenizer.json"))),
            ("tokenizer_config.json", include_bytes!(concat!("../fixtures/folders/", $folder, "/tokenizer_config.json"))),
            ("reference.json", include_bytes!(concat!("../fixtures/folders/", $folder, "/reference.json"))),
        ])),+]
    };
}

/// A folder's name, and its files with theirs.
type Folder = (&'static str, &'static [(&'static str, &'static [u8])]);

/// The folders of `fixtures/folders`, each with its weights.
pub const FOLDERS: &[Folder] = files! {
    "tiny-llama-f32": "model.safetensors";
    "tiny-llama-bf16": "model.safetensors";
    "tiny-llama-f16-sharded":
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json";
    "tiny-gemma3-bf16": "model.safetensors";
    "tiny-gemma3-f32-sharded": "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors", "model.safetensors.index.json";
    "tiny-mistral-f16": "model.safetensors";
    "tiny-smollm3-f16": "model.safetensors";
    "tiny-qwen2-f16": "model.safetensors";
    "tiny-qwen3-f16": "model.safetensors";
    "tiny-gemma2-f16": "model.safetensors";
    "tiny-phi3-f16": "model.safetensors";
    "tiny-gpt2-f16": "model.safetensors";
    "tiny-bert-f16": "model.safetensors";
    "tiny-bert-mlm-f16": "model.safetensors";
    "tiny-bert-mlm-tanh-f16": "model.safetensors";
};

const PARTS: &[(&str, &[u8])] = &[
    (
        "tiny-llama-00001-of-00003.gguf",
        include_bytes!("../fixtures/folders/tiny-llama-gguf/tiny-llama-00001-of-00003.gguf"),
    ),
    (
        "tiny-llama-00002-of-00003.gguf",
        include_bytes!("../fixtures/folders/tiny-llama-gguf/tiny-llama-00002-of-00003.gguf"),
    ),
    (
        "tiny-llama-00003-of-00003.gguf",
        include_bytes!("../fixtures/folders/tiny-llama-gguf/tiny-llama-00003-of-00003.gguf"),
    ),
];

fn named(files: &[(&str, &[u8])]) -> Vec<Named> {
    files.iter().map(|&(name, bytes)| Named { name: name.into(), bytes: bytes.into() }).collect()
}

/// `tiny-llama.gguf` in three parts, the first without a tensor.
pub fn parts() -> Vec<Named> {
    named(PARTS)
}

/// The files of a folder of `fixtures/folders`.
pub fn folder(name: &str) -> Vec<Named> {
    let folder = FOLDERS.iter().find(|folder| folder.0 == name).expect("it is in the list");
    named(folder.1)
}

/// A session over a folder of a disk, which may have other files, too.
#[cfg(not(target_arch = "wasm32"))]
pub fn open(folder: &std::path::Path, device: Device) -> Session {
    let read = |name: &str| {
        let bytes = std::fs::read(folder.join(name)).ok()?;
        Some(Named { name: name.into(), bytes })
    };
    let names = ["config.json", "tokenizer.json", "tokenizer_config.json", "modules.json", "1_Pooling/config.json"];
    let files: Vec<Named> = names.into_iter().chain(["model.safetensors"]).filter_map(read).collect();
    assert!(!files.is_empty(), "{}: no model; see cargo xtask models", folder.display());
    session(&files, device, 4 << 20).expect("a model")
}

/// A session over these files, read as they are wanted and in pieces of at most `piece` bytes. No byte of weights is wanted twice.
pub fn session(files: &[Named], device: Device, piece: usize) -> Result<Session> {
    let known = |file: &Named| File { name: file.name.clone(), size_bytes: file.bytes.len() as u64 };
    let mut loader = Loader::of(files.iter().map(known).collect(), device, usize::MAX)?;
    while let Some(Want { file, offset, bytes }) = loader.wants()? {
        let wanted = &files[file].bytes[offset as usize..(offset + bytes) as usize];
        wanted.chunks(piece).try_for_each(|piece| loader.push(piece))?;
    }
    loader.finish()
}
