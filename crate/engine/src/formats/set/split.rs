//! A GGUF file in parts, as llama.cpp's `gguf-split` makes them: `split.no` of `split.count`, the model's metadata in the first
//! only, `split.tensors.count` tensors in all.

use super::File;
use super::data::Data;
use super::scan::Model;
use crate::error::{Error, Result};
use crate::formats::header::{Header, bad, twice};

/// Which part of a model a GGUF file is.
pub struct Split {
    /// From 0.
    pub number: usize,
    /// How many there are: 1 for a whole file.
    pub count: usize,
}

impl Split {
    /// What the header says.
    pub fn of(header: &Header) -> Result<Split> {
        let count = header.uint("split.count")?.unwrap_or(1).max(1);
        let number = header.uint("split.no")?.unwrap_or(0);
        match number < count {
            true => Ok(Split { number, count }),
            false => Err(bad("split.no", format!("{number} of {count} cannot be"))),
        }
    }
}

/// One model from the headers of its parts, each with the number of its file.
pub fn join(files: Vec<File>, headers: Vec<(usize, Header)>) -> Result<Model> {
    let count = headers.len();
    let mut parts: Vec<Option<(usize, Header)>> = (0..count).map(|_| None).collect();
    let name = |file: usize| files[file].name.as_str();
    for (file, header) in headers {
        let Split { number, count: of } = Split::of(&header).map_err(|error| error.of(name(file)))?;
        if of != count {
            let what = match of {
                1 => format!("{} is a model of its own", name(file)),
                _ => format!("{} is one of {of} files, but {count} are given", name(file)),
            };
            return Err(Error::Files(format!("{what}: give all files of one model and no other")));
        }
        if let Some((other, _)) = &parts[number] {
            let (a, b, number) = (name(*other), name(file), number + 1);
            return Err(Error::Files(format!("{a} and {b} are both part {number} of {count}: leave one out")));
        }
        parts[number] = Some((file, header));
    }
    let (mut whole, mut data) = (Header::default(), Data::new(files.clone()));
    for (number, (file, part)) in parts.into_iter().flatten().enumerate() {
        let stranger = |what: String| Err(Error::Files(format!("{} is of another model: {what}", name(file))));
        let first = whole.tensors.len();
        let tensors = |header: &Header| header.uint("split.tensors.count").map_err(|error| error.of(name(file)));
        if number == 0 {
            whole = Header { tensors: Vec::new(), ..part.clone() };
        }
        if tensors(&part)? != tensors(&whole)? {
            return stranger("its split.tensors.count is not that of the first part".into());
        }
        let both = whole.tensors.iter().chain(&part.tensors);
        if let Some(name) = twice(both.map(|tensor| tensor.name.as_str())) {
            return stranger(format!("tensor {name} is in a part before it, too"));
        }
        let (have, need) = (files[file].size_bytes, part.file_bytes());
        if need > have {
            return Err(Error::Truncated { what: "its last tensor".into(), have, need }.of(name(file)));
        }
        data.plain(file, first, &part.tensors);
        whole.tensors.extend(part.tensors);
    }
    let found = whole.tensors.len();
    match whole.uint("split.tensors.count")? {
        Some(expected) if expected != found => Err(Error::Files(format!(
            "{} and the other parts have {found} tensors of {expected}: one is of another model",
            files.first().map_or("", |file| &file.name)
        ))),
        _ => Ok(Model { header: whole, texts: None, made: Vec::new(), data }),
    }
}
