//! A model's files, whatever they are, as header and rows: a GGUF file from its first byte to its last, as it arrives; of
//! several files, or a Hugging Face folder, first what must be known before any weight, then the weights.
//!
//! Only a few rows are held here at a time. (GPT-2's matrices, which lie the other way round in a folder, are held one by one.)

use super::{Choice, Data, File, Model, Scan, Split, Want};
use crate::error::{Error, Result};
use crate::formats::gguf::Reader;
use crate::formats::hf::Texts;
use crate::formats::{Event, Header};

/// What comes out: one header, then whole rows of its tensors.
pub enum Found<'a> {
    /// Everything but the weights; of a folder, also its texts.
    Header(Header, Option<Texts>),
    /// Rows of a tensor, in order within it.
    Rows {
        /// Its number in the header.
        tensor: usize,
        /// The first of them.
        first_row: usize,
        /// As the header says they are stored.
        bytes: &'a [u8],
    },
}

/// Takes a model's files piece by piece.
pub struct Intake {
    files: Vec<File>,
    stage: Stage,
}

enum Stage {
    /// A single GGUF file.
    Stream {
        reader: Box<Reader>,
        /// Which of the files, if they have names.
        file: usize,
        /// Bytes that have come.
        have: u64,
    },
    /// Several files, before everything but their weights is known.
    Scan(Box<Scan>),
    /// And then.
    Data(Data),
}

impl Intake {
    /// Of one GGUF file without a name: push its bytes from first to last.
    pub fn stream() -> Intake {
        Intake { files: Vec::new(), stage: Stage::Stream { reader: Box::default(), file: 0, have: 0 } }
    }

    /// Of these files: push what [`Intake::wants`] asks for. Errors if they cannot be those of one model.
    pub fn of(files: Vec<File>) -> Result<Intake> {
        let stage = match Choice::of(&files)? {
            Choice::Gguf(file) => Stage::Stream { reader: Box::default(), file, have: 0 },
            choice => Stage::Scan(Box::new(Scan::new(files.clone(), choice)?)),
        };
        Ok(Intake { files, stage })
    }

    /// Which bytes of which file to push next, in pieces of any size; nothing when all has come. Ask again when they are pushed.
    pub fn wants(&mut self, on: impl FnMut(Found) -> Result<()>) -> Result<Option<Want>> {
        if let Stage::Scan(scan) = &mut self.stage {
            let want = scan.wants()?;
            if want.is_some() {
                return Ok(want);
            }
            self.begin(on)?;
        }
        Ok(match &self.stage {
            Stage::Stream { file, have, .. } => {
                let left = self.files.get(*file).and_then(|file| file.size_bytes.checked_sub(*have));
                left.filter(|&left| left > 0).map(|bytes| Want { file: *file, offset: *have, bytes })
            }
            Stage::Scan(_) => None,
            Stage::Data(data) => data.wants(),
        })
    }

    /// Takes the next bytes: those that are wanted or, of a file without a name, those of the file.
    pub fn push(&mut self, bytes: &[u8], mut on: impl FnMut(Found) -> Result<()>) -> Result<()> {
        let Intake { files, stage } = self;
        match stage {
            Stage::Stream { reader, file, have } => {
                *have += bytes.len() as u64;
                reader.push(bytes, |event| whole(event, &mut on)).map_err(|error| error.of(name(files, *file)))
            }
            Stage::Scan(scan) => scan.push(bytes),
            Stage::Data(data) => {
                data.push(bytes, |tensor, first_row, bytes| on(Found::Rows { tensor, first_row, bytes }))
            }
        }
    }

    /// Says that the files have ended. Errors where bytes are missing.
    pub fn finish(mut self, mut on: impl FnMut(Found) -> Result<()>) -> Result<()> {
        let want = self.wants(&mut on)?;
        let Intake { files, stage } = self;
        match (stage, want) {
            (Stage::Stream { mut reader, file, .. }, _) => {
                reader.finish(|event| whole(event, &mut on)).map_err(|error| error.of(name(&files, file)))
            }
            (_, Some(Want { file, offset, bytes })) => {
                let (what, have) = ("the model".into(), offset);
                Err(Error::Truncated { what, have, need: offset + bytes }.of(name(&files, file)))
            }
            (_, None) => Ok(()),
        }
    }

    /// Everything is known of several files: their weights are wanted next.
    fn begin(&mut self, mut on: impl FnMut(Found) -> Result<()>) -> Result<()> {
        let Stage::Scan(scan) = std::mem::replace(&mut self.stage, Stage::Data(Data::default())) else { return Ok(()) };
        let Model { header, texts, made, data } = scan.finish()?;
        on(Found::Header(header, texts))?;
        for (tensor, bytes) in made.iter().enumerate() {
            on(Found::Rows { tensor, first_row: 0, bytes })?;
        }
        self.stage = Stage::Data(data);
        Ok(())
    }
}

/// What a file is called, if it has a name.
fn name(files: &[File], file: usize) -> &str {
    files.get(file).map_or("", |file| &file.name)
}

/// What is found in a single file, which must be a whole model.
fn whole(event: Event, on: &mut impl FnMut(Found) -> Result<()>) -> Result<()> {
    match event {
        Event::Header(header) => {
            let Split { number, count } = Split::of(&header)?;
            if count > 1 {
                let what = format!("this file is part {} of {count} of a model", number + 1);
                return Err(Error::Files(format!("{what}: give all parts together")));
            }
            on(Found::Header(header, None))
        }
        Event::Rows { tensor, first_row, bytes } => on(Found::Rows { tensor, first_row, bytes }),
    }
}
