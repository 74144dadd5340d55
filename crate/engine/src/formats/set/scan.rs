//! The first pass: texts and headers, from which everything about the model follows but its numbers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;

use super::choice::{Choice, missing, without_index};
use super::data::Data;
use super::split::join;
use super::{File, Want};
use crate::error::{Error, Result};
use crate::formats::gguf::HeaderReader;
use crate::formats::header::{Header, twice};
use crate::formats::hf::{self, Config, Source, Texts};
use crate::formats::safetensors;

/// So much of a GGUF file is read at a time until its header is whole.
const GGUF_BYTES: u64 = 1 << 20;

/// What is to be read of a file, and what for.
enum Step {
    /// All of it: the text of this name.
    Text(&'static str),
    /// The next stretch of a GGUF file's beginning.
    Gguf(Box<HeaderReader>),
    /// The length of a safetensors file's header.
    Length,
    /// That header.
    Entries,
}

/// What has been found of a model whose weights are to be read next.
pub struct Model {
    /// Metadata, and the tensors of all files.
    pub header: Header,
    /// A folder's texts.
    pub texts: Option<Texts>,
    /// The rows of the header's first tensors, which no file has.
    pub made: Vec<Vec<u8>>,
    /// Asks for the weights.
    pub data: Data,
}

/// Reads texts and headers of a model in several files.
pub struct Scan {
    files: Vec<File>,
    choice: Choice,
    /// What is to be done: file, first byte, number of bytes.
    steps: VecDeque<(usize, u64, u64, Step)>,
    /// What has come of the first step's bytes.
    held: Vec<u8>,
    texts: Texts,
    config: Option<Config>,
    /// Of GGUF files.
    headers: Vec<(usize, Header)>,
    /// Of safetensors files.
    sources: Vec<(usize, Vec<Source>)>,
    /// Every tensor that safetensors files have, and where.
    names: BTreeMap<String, usize>,
    /// In which file the index says each is.
    index: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Scan {
    /// For a choice of `files` that is more than one.
    pub fn new(files: Vec<File>, choice: Choice) -> Result<Scan> {
        let mut scan = Scan {
            files,
            choice,
            steps: VecDeque::new(),
            held: Vec::new(),
            texts: Texts::default(),
            config: None,
            headers: Vec::new(),
            sources: Vec::new(),
            names: BTreeMap::new(),
            index: None,
        };
        match &scan.choice {
            Choice::Gguf(file) => scan.gguf(*file)?,
            Choice::GgufParts(parts) => parts.clone().into_iter().try_for_each(|file| scan.gguf(file))?,
            Choice::Folder { texts, weights, root } => {
                for &(name, file) in texts {
                    scan.steps.push_back((file, 0, scan.files[file].size_bytes, Step::Text(name)));
                }
                if !texts.iter().any(|text| text.0 == Texts::INDEX) {
                    let weights = without_index(&scan.files, weights, *root)?;
                    weights.into_iter().for_each(|file| scan.safetensors(file));
                }
            }
        }
        Ok(scan)
    }

    fn gguf(&mut self, file: usize) -> Result<()> {
        let bytes = GGUF_BYTES.min(self.files[file].size_bytes);
        self.steps.push_back((file, 0, bytes, Step::Gguf(Box::default())));
        Ok(())
    }

    fn safetensors(&mut self, file: usize) {
        self.steps.push_back((file, 0, safetensors::LENGTH_BYTES, Step::Length));
    }

    /// What is to be pushed next; nothing when everything is known. Errors if a file cannot give it.
    pub fn wants(&mut self) -> Result<Option<Want>> {
        // A file of no bytes has all it will ever have.
        while self.steps.front().is_some_and(|step| step.2 == 0) {
            self.take()?;
        }
        let Some((file, offset, bytes, _)) = self.steps.front() else { return Ok(None) };
        let File { name, size_bytes } = &self.files[*file];
        if offset + bytes > *size_bytes {
            let (have, need) = (*size_bytes, offset + bytes);
            return Err(Error::Truncated { what: "the header".into(), have, need }.of(name));
        }
        let have = self.held.len() as u64;
        Ok(Some(Want { file: *file, offset: offset + have, bytes: bytes - have }))
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let most = self.wants()?.map_or(0, |want| want.bytes);
        if bytes.len() as u64 > most {
            return Err(Error::InvalidInput(format!("{} bytes came where {most} were wanted", bytes.len())));
        }
        self.held.extend_from_slice(bytes);
        if bytes.len() as u64 == most { self.take() } else { Ok(()) }
    }

    /// The first step's bytes are all here.
    fn take(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.held);
        let Some((file, offset, _, step)) = self.steps.pop_front() else { return Ok(()) };
        let File { name, size_bytes } = self.files[file].clone();
        self.done(file, size_bytes, offset, step, bytes).map_err(|error| match error {
            // These name the files they speak of.
            Error::Files(_) => error,
            other => other.of(&name),
        })
    }

    fn done(&mut self, file: usize, size: u64, offset: u64, step: Step, bytes: Vec<u8>) -> Result<()> {
        match step {
            Step::Text(name) => {
                if name == Texts::CONFIG {
                    self.config = Some(Config::new(&bytes)?);
                }
                if name == Texts::INDEX {
                    self.index(&bytes)?;
                }
                self.texts.insert(name, bytes);
            }
            Step::Gguf(mut reader) => {
                let next = offset + bytes.len() as u64;
                match reader.push(&bytes)? {
                    Some(header) => self.headers.push((file, header)),
                    None if next == size => self.headers.push((file, reader.finish()?)),
                    None => self.steps.push_front((file, next, GGUF_BYTES.min(size - next), Step::Gguf(reader))),
                }
            }
            Step::Length => {
                let first = bytes.try_into().expect("eight bytes were wanted");
                let len = safetensors::header_bytes(first, size)?;
                self.steps.push_front((file, safetensors::LENGTH_BYTES, len, Step::Entries));
            }
            Step::Entries => self.entries(file, safetensors::entries(&bytes, size)?)?,
        }
        Ok(())
    }

    /// The index says which files have weights.
    fn index(&mut self, text: &[u8]) -> Result<()> {
        let Choice::Folder { weights, root, .. } = &self.choice else { return Ok(()) };
        let find = |name: &str| weights.iter().copied().find(|&i| &self.files[i].name[*root..] == name);
        // As `transformers` does: a file that has everything comes first.
        if let Some(model) = find("model.safetensors") {
            self.safetensors(model);
            return Ok(());
        }
        let Index { weight_map } = hf::parse(text)?;
        let files: BTreeSet<&String> = weight_map.values().collect();
        let mut found = Vec::new();
        for name in &files {
            found.push(find(name).ok_or_else(|| missing(name, files.len()).of(Texts::INDEX))?);
        }
        found.into_iter().for_each(|file| self.safetensors(file));
        self.index = Some(weight_map);
        Ok(())
    }

    fn entries(&mut self, file: usize, entries: Vec<safetensors::Entry>) -> Result<()> {
        for entry in &entries {
            if let Some(other) = self.names.insert(entry.name.clone(), file) {
                let (name, a, b) = (&entry.name, &self.files[other].name, &self.files[file].name);
                let what = format!("tensor {name} is in both {a} and {b}: one of them is not of this model");
                return Err(Error::Files(what));
            }
        }
        let config = self.config.as_ref().expect("the configuration is read before any weights");
        self.sources.push((file, hf::sources(config, entries)?));
        Ok(())
    }

    /// Everything is known: the model.
    pub fn finish(mut self) -> Result<Model> {
        match self.config.take() {
            None => join(self.files, self.headers),
            Some(config) => self.folder(&config),
        }
    }

    fn folder(self, config: &Config) -> Result<Model> {
        self.check_index()?;
        let (mut header, made) = hf::header(config, &self.texts).map_err(|error| error.of(Texts::CONFIG))?;
        let mut data = Data::new(self.files);
        for (file, sources) in self.sources {
            let first = header.tensors.len();
            header.tensors.extend(sources.iter().map(|source| source.info.clone()));
            data.changed(file, first, sources);
        }
        // Two may have come to one name.
        if let Some(name) = twice(header.tensors.iter().map(|tensor| tensor.name.as_str())) {
            return Err(Error::Files(format!("two tensors of these files are {name}: one is of another model")));
        }
        Ok(Model { header, texts: Some(self.texts), made, data })
    }

    /// Every tensor must be in the file that the index names, and no other tensor in any.
    fn check_index(&self) -> Result<()> {
        let (Choice::Folder { root, .. }, Some(index)) = (&self.choice, &self.index) else { return Ok(()) };
        let name = Texts::INDEX;
        for (tensor, &file) in &self.names {
            let file = &self.files[file].name[*root..];
            if index.get(tensor).is_none_or(|expected| expected != file) {
                let what = format!("{file} has tensor {tensor}, which is not what {name} says");
                return Err(Error::Files(format!("{what}: the file is of another model")));
            }
        }
        match index.iter().find(|(tensor, _)| !self.names.contains_key(*tensor)) {
            None => Ok(()),
            Some((tensor, file)) => {
                let what = format!("{file} has no tensor {tensor}, which is not what {name} says");
                Err(Error::Files(format!("{what}: the file is of another model")))
            }
        }
    }
}
