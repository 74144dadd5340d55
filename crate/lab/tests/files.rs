//! What a model comes in: one file, parts, a Hugging Face folder; and what is made of it is one file that says the same.

use std::fs;
use std::path::PathBuf;

use hearth_engine::formats::Value;
use hearth_engine::formats::set::{File, Want};
use hearth_engine::loader::{self, Device};
use hearth_lab::info::Info;
use hearth_lab::model::{Loader, Model};
use pollster::block_on;

/// A file's name and bytes.
type Named = (String, Vec<u8>);

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"))
}

/// The files of a folder of fixtures.
fn folder(name: &str) -> Vec<Named> {
    let entries = fs::read_dir(fixtures().join("folders").join(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<Named> = entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn known(files: &[Named]) -> Vec<File> {
    files.iter().map(|(name, bytes)| File { name: name.clone(), size_bytes: bytes.len() as u64 }).collect()
}

fn open(files: &[Named]) -> hearth_lab::Result<Model> {
    let mut loader = Loader::of(known(files))?;
    while let Some(Want { file, offset, bytes }) = loader.wants()? {
        let wanted = &files[file].1[offset as usize..(offset + bytes) as usize];
        wanted.chunks(1000).try_for_each(|piece| loader.push(piece))?;
    }
    loader.finish()
}

/// What the engine says of a model in these files: the tokens of a text, and what comes after them.
fn says(files: &[Named]) -> (Vec<u32>, Vec<f32>) {
    let mut loader = loader::Loader::of(known(files), Device::Naive, 64).unwrap();
    while let Some(Want { file, offset, bytes }) = loader.wants().unwrap() {
        loader.push(&files[file].1[offset as usize..(offset + bytes) as usize]).unwrap();
    }
    let mut session = loader.finish().unwrap();
    let tokens = session.tokenizer().encode("the cat said hello, and ate").unwrap();
    let numbers = block_on(session.logits(&tokens)).unwrap();
    (tokens, numbers)
}

#[test]
fn a_folder_becomes_one_file_that_says_the_same() {
    let folders = fs::read_dir(fixtures().join("folders")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut count = 0;
    for name in folders.map(|name| name.into_string().unwrap()) {
        let files = folder(&name);
        let model = open(&files).unwrap();
        let whole = vec![("whole.gguf".to_owned(), model.to_gguf().unwrap())];
        assert_eq!(model.file_bytes().unwrap(), whole[0].1.len() as u64);
        assert_eq!(says(&whole), says(&files), "{name}");
        let again = open(&whole).unwrap();
        assert_eq!(again.to_gguf().unwrap(), whole[0].1, "{name}");
        assert_eq!(Info::of(&again).unwrap(), Info::of(&model).unwrap(), "{name}");
        count += 1;
    }
    assert!(count >= 16);
}

#[test]
fn parts_become_the_file_they_were() {
    let parts = open(&folder("tiny-llama-gguf")).unwrap();
    let file = fs::read(fixtures().join("tiny-llama.gguf")).unwrap();
    let mut whole = Model::from_gguf(file.chunks(777)).unwrap();
    whole.header.metadata.retain(|key, _| !key.starts_with("reference."));
    assert!(parts.to_gguf().unwrap() == whole.to_gguf().unwrap());
}

#[test]
fn files_that_are_no_whole_model_are_refused() {
    let parts = folder("tiny-llama-gguf");
    for (files, code) in [
        (&parts[..2], "bad_files"),
        (&parts[1..2], "bad_files"),
        (&folder("tiny-llama-f32")[..1], "bad_files"),
        (&[("model.gguf".to_owned(), parts[0].1[..40].to_vec())], "truncated"),
    ] {
        assert_eq!(open(files).err().map(|error| error.code()), Some(code));
    }
    // A part that nobody knows to be one.
    let error = Model::from_gguf([&parts[1].1[..]]).err().unwrap();
    assert!(error.to_string().contains("part 2 of 3"), "{error}");
    let mut loader = Loader::of(known(&[("a.gguf".to_owned(), vec![0; 100])])).unwrap();
    assert!(loader.push(&[0; 50]).is_err() && loader.push(&[0; 50]).is_err(), "it was refused before");
}

#[test]
fn a_tokenizer_in_ggufs_own_way_comes_first() {
    let file = fs::read(fixtures().join("tiny-llama.gguf")).unwrap();
    let mut model = Model::from_gguf([&file[..]]).unwrap();
    let before = model.tokenizer().unwrap().encode("the cat").unwrap();
    model.header.metadata.insert("tokenizer.huggingface.json".into(), Value::String("{}".into()));
    assert_eq!(model.tokenizer().unwrap().encode("the cat").unwrap(), before);
    model.header.metadata.remove("tokenizer.ggml.model");
    assert!(model.tokenizer().is_err());
}

#[test]
fn a_model_tells_what_it_is() {
    let file = fs::read(fixtures().join("tiny-llama-q8_0.gguf")).unwrap();
    let info = Info::of(&Model::from_gguf([&file[..]]).unwrap()).unwrap();
    assert_eq!((info.architecture, info.quantized, info.encoder), ("llama", Some("Q8_0"), false));
    assert_eq!(info.size_bytes, file.len() as u64);
    let query = info.tensors.iter().find(|tensor| tensor.name == "blk.1.attn_q.weight").unwrap();
    assert_eq!((query.layer, query.kind.as_str(), query.format), (Some(1), "attn_q", "Q8_0"));
    assert_eq!(info.tensors.iter().map(|tensor| tensor.bytes).sum::<u64>(), info.tensor_bytes as u64);
    let bert = fs::read(fixtures().join("tiny-bert.gguf")).unwrap();
    let info = Info::of(&Model::from_gguf([&bert[..]]).unwrap()).unwrap();
    assert_eq!((info.encoder, info.quantized), (true, None));
}
