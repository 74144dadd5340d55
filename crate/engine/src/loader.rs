//! From the bytes of a file to a [`Session`]: header → program and tokenizer → rows straight into the executor.
//!
//! Besides the pieces that are pushed, only a few rows are held outside their final place, so loading peaks barely above the
//! model itself.

use crate::cpu::Cpu;
use crate::cpu::team::Team;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::fingerprint::Fingerprint;
use crate::formats::gguf::{Event, Header, Reader, TensorInfo};
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
    loading: Option<Loading>,
}

struct Loading {
    tokenizer: Tokenizer,
    executor: Box<dyn Executor>,
    fingerprint: Fingerprint,
    tensors: Vec<TensorInfo>,
    /// Which weight a tensor becomes; tensors nobody needs are skipped.
    weights: Vec<Option<WeightId>>,
}

impl Loader {
    /// For one file, run on `device`.
    pub fn new(device: Device) -> Loader {
        Loader { reader: Reader::new(), device: Some(device), loading: None }
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let (device, loading) = (&mut self.device, &mut self.loading);
        self.reader.push(bytes, |event| Loading::take(loading, device, event))
    }

    /// Says that the file has ended; gives the model, with room for `context` positions.
    pub fn finish(mut self, context: usize) -> Result<Session> {
        let (device, loading) = (&mut self.device, &mut self.loading);
        self.reader.finish(|event| Loading::take(loading, device, event))?;
        let loading = self.loading.ok_or_else(|| Error::InvalidInput("the file has no header".into()))?;
        Ok(Session::new(loading.tokenizer, loading.executor, loading.fingerprint.finish(), context))
    }
}

impl Loading {
    fn take(loading: &mut Option<Loading>, device: &mut Option<Device>, event: Event) -> Result<()> {
        match (event, loading) {
            (Event::Header(header), loading) => {
                let device = device.take().expect("a file has one header");
                *loading = Some(Loading::new(&header, device)?);
            }
            (Event::Rows { tensor, first_row, bytes }, Some(loading)) => {
                if first_row == 0 {
                    loading.fingerprint.rows(&loading.tensors[tensor], bytes);
                }
                if let Some(weight) = loading.weights[tensor] {
                    loading.executor.load_rows(weight, first_row, bytes)?;
                }
            }
            // The header was refused and the caller pushes on.
            (Event::Rows { .. }, None) => return Err(Error::InvalidInput("this file was refused".into())),
        }
        Ok(())
    }

    fn new(header: &Header, device: Device) -> Result<Loading> {
        let program = models::program(header)?;
        let tokenizer = Tokenizer::from_header(header)?;
        if tokenizer.vocab_size() > program.config.vocab_size {
            let (expected, found) = (tokenizer.vocab_size(), program.config.vocab_size);
            let what = format!("{expected} tokens but only {found} embeddings");
            return Err(Error::Metadata { key: "tokenizer.ggml.tokens".into(), what });
        }
        let mut weights = vec![None; header.tensors.len()];
        for (id, weight) in program.weights.iter().enumerate() {
            weights[weight.tensor] = Some(id);
        }
        let executor: Box<dyn Executor> = match device {
            Device::Naive => Box::new(Naive::new(program)),
            Device::Cpu(team) => Box::new(Cpu::new(program, team)?),
            Device::Other(make) => make(program)?,
        };
        let (fingerprint, tensors) = (Fingerprint::new(header), header.tensors.clone());
        Ok(Loading { tokenizer, executor, fingerprint, tensors, weights })
    }
}
