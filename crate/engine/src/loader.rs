//! From the bytes of a file to a [`Session`]: header → program and tokenizer → rows straight into the executor.
//!
//! Besides the pieces that are pushed, only a few rows are held outside their final place, so loading peaks barely above the
//! model itself.

use crate::cpu::Cpu;
use crate::cpu::team::Team;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::formats::gguf::{Event, Header, Reader};
use crate::generate::Session;
use crate::models;
use crate::naive::Naive;
use crate::program::{Program, WeightId};
use crate::tokenizer::Tokenizer;

/// Which executor runs the model.
pub enum Device {
    /// Plain loops, the oracle.
    Naive,
    /// SIMD lanes on these threads.
    Cpu(Team),
    /// Another crate's.
    Other(Box<dyn FnOnce(Program) -> Result<Box<dyn Executor>>>),
}

impl Device {
    /// The CPU on a single thread.
    pub fn cpu() -> Device {
        Device::Cpu(Team::alone())
    }
}

/// Takes a GGUF file piece by piece.
pub struct Loader {
    reader: Reader,
    /// Until the header has come.
    device: Option<Device>,
    context: usize,
    loading: Option<Loading>,
}

struct Loading {
    tokenizer: Tokenizer,
    executor: Box<dyn Executor>,
    /// Which weights the rows of each tensor become: none of those that nobody needs, several of one in parts.
    weights: Vec<Vec<WeightId>>,
}

impl Loader {
    /// For one file, run on `device`, with room for `context` positions.
    pub fn new(device: Device, context: usize) -> Loader {
        Loader { reader: Reader::new(), device: Some(device), context, loading: None }
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let Loader { reader, device, context, loading } = self;
        reader.push(bytes, |event| Loading::take(loading, device, *context, event))
    }

    /// Says that the file has ended; gives the model.
    pub fn finish(self) -> Result<Session> {
        let Loader { mut reader, mut device, context, mut loading } = self;
        reader.finish(|event| Loading::take(&mut loading, &mut device, context, event))?;
        let loading = loading.ok_or_else(|| Error::InvalidInput("the file has no header".into()))?;
        Ok(Session::new(loading.tokenizer, loading.executor, context))
    }
}

impl Loading {
    fn take(loading: &mut Option<Loading>, device: &mut Option<Device>, context: usize, event: Event) -> Result<()> {
        match (event, loading) {
            (Event::Header(header), loading) => {
                let device = device.take().expect("a file has one header");
                *loading = Some(Loading::new(&header, device, context)?);
            }
            (Event::Rows { tensor, first_row, bytes }, Some(loading)) => {
                for &weight in &loading.weights[tensor] {
                    let spec = &loading.executor.program().weights[weight];
                    let size = spec.format.row_bytes(spec.cols).expect("the header was checked");
                    let rows = first_row..first_row + bytes.len() / size;
                    let own = rows.start.max(spec.first_row)..rows.end.min(spec.first_row + spec.rows);
                    if !own.is_empty() {
                        let bytes = &bytes[(own.start - first_row) * size..(own.end - first_row) * size];
                        let first_row = own.start - spec.first_row;
                        loading.executor.load_rows(weight, first_row, bytes)?;
                    }
                }
            }
            // The header was refused and the caller pushes on.
            (Event::Rows { .. }, None) => return Err(Error::InvalidInput("this file was refused".into())),
        }
        Ok(())
    }

    fn new(header: &Header, device: Device, context: usize) -> Result<Loading> {
        let program = models::program(header, context)?;
        let tokenizer = Tokenizer::from_header(header)?;
        if tokenizer.vocab_size() > program.config.vocab_size {
            let (expected, found) = (tokenizer.vocab_size(), program.config.vocab_size);
            let what = format!("{expected} tokens but only {found} embeddings");
            return Err(Error::Metadata { key: "tokenizer.ggml.tokens".into(), what });
        }
        let mut weights = vec![Vec::new(); header.tensors.len()];
        for (id, weight) in program.weights.iter().enumerate() {
            weights[weight.tensor].push(id);
        }
        let executor: Box<dyn Executor> = match device {
            Device::Naive => Box::new(Naive::new(program)),
            Device::Cpu(team) => Box::new(Cpu::new(program, team)?),
            Device::Other(make) => make(program)?,
        };
        Ok(Loading { tokenizer, executor, weights })
    }
}
