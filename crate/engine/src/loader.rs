//! From the bytes of a model's files to a [`Session`]: header → program and tokenizer → rows straight into the executor.
//!
//! A single GGUF file is pushed from its first byte to its last, as it arrives. Of several files, or a Hugging Face folder, the
//! loader first asks for what it must know before any weight, then for the weights: see [`Loader::wants`].
//!
//! Besides the pieces that are pushed, only a few rows are held outside their final place, so loading peaks barely above the
//! model itself.

use crate::adapter::Adapter;
use crate::cpu::Cpu;
use crate::cpu::team::Team;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::fingerprint::Fingerprint;
use crate::formats::set::{File, Found, Intake, Want};
use crate::formats::{Header, TensorInfo, hf};
use crate::generate::Session;
use crate::models::{self, Room};
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

/// Takes a model's files piece by piece.
pub struct Loader {
    /// Until the header has come.
    plan: Option<Plan>,
    intake: Intake,
    loading: Option<Loading>,
}

/// What is to become of a model.
struct Plan {
    device: Device,
    room: Room,
    adapter: Option<Adapter>,
}

struct Loading {
    tokenizer: Tokenizer,
    executor: Box<dyn Executor>,
    fingerprint: Fingerprint,
    tensors: Vec<TensorInfo>,
    places: Places,
}

/// Which weights the rows of each tensor become: none of those that nobody needs, several of one in parts.
pub struct Places(Vec<Vec<WeightId>>);

impl Places {
    /// Of a file with this header, for its program.
    pub fn new(header: &Header, program: &Program) -> Places {
        let mut places = vec![Vec::new(); header.tensors.len()];
        for (id, weight) in program.weights.iter().enumerate() {
            places[weight.tensor].push(id);
        }
        Places(places)
    }

    /// Brings rows of a tensor to where they are used.
    pub fn load(&self, executor: &mut dyn Executor, tensor: usize, first_row: usize, bytes: &[u8]) -> Result<()> {
        for &weight in &self.0[tensor] {
            let spec = &executor.program().weights[weight];
            let size = spec.format.row_bytes(spec.cols).expect("the header was checked");
            let rows = first_row..first_row + bytes.len() / size;
            let own = rows.start.max(spec.first_row)..rows.end.min(spec.first_row + spec.rows);
            if !own.is_empty() {
                let bytes = &bytes[(own.start - first_row) * size..(own.end - first_row) * size];
                let first_row = own.start - spec.first_row;
                executor.load_rows(weight, first_row, bytes)?;
            }
        }
        Ok(())
    }
}

impl Device {
    /// The executor of a program on it.
    pub fn executor(self, program: Program) -> Result<Box<dyn Executor>> {
        Ok(match self {
            Device::Naive => Box::new(Naive::new(program)),
            Device::Cpu(team) => Box::new(Cpu::new(program, team)?),
            Device::Other(make) => make(program)?,
        })
    }
}

impl Loader {
    /// For one GGUF file, run on `device` with this room for a conversation: push its bytes from first to last.
    pub fn new(device: Device, room: impl Into<Room>) -> Loader {
        Loader {
            plan: Some(Plan { device, room: room.into(), adapter: None }),
            intake: Intake::stream(),
            loading: None,
        }
    }

    /// The model will have these matrices of low rank beside its own. To be said before anything is pushed.
    #[must_use]
    pub fn adapted(mut self, adapter: Adapter) -> Loader {
        self.plan = self.plan.map(|plan| Plan { adapter: Some(adapter), ..plan });
        self
    }

    /// For these files, run on `device` with this room for a conversation: push what [`Loader::wants`] asks for. Errors if they
    /// cannot be those of one model.
    pub fn of(files: Vec<File>, device: Device, room: impl Into<Room>) -> Result<Loader> {
        let plan = Plan { device, room: room.into(), adapter: None };
        Ok(Loader { plan: Some(plan), intake: Intake::of(files)?, loading: None })
    }

    /// Which bytes of which file to push next, in pieces of any size; nothing when all has come. Ask again when they are pushed.
    pub fn wants(&mut self) -> Result<Option<Want>> {
        let Loader { plan, intake, loading } = self;
        intake.wants(|found| Loading::take(loading, plan, found))
    }

    /// Takes the next bytes: those that are wanted or, of a single GGUF file without a name, those of the file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let Loader { plan, intake, loading } = self;
        intake.push(bytes, |found| Loading::take(loading, plan, found))
    }

    /// Says that the files have ended; gives the model.
    pub fn finish(self) -> Result<Session> {
        let Loader { mut plan, intake, mut loading } = self;
        intake.finish(|found| Loading::take(&mut loading, &mut plan, found))?;
        let loading = loading.ok_or_else(refused)?;
        Ok(Session::new(loading.tokenizer, loading.executor, loading.fingerprint.finish()))
    }
}

/// The header was refused and the caller goes on.
fn refused() -> Error {
    Error::InvalidInput("this file was refused".into())
}

impl Loading {
    fn take(loading: &mut Option<Loading>, plan: &mut Option<Plan>, found: Found) -> Result<()> {
        match found {
            Found::Header(header, texts) => {
                let plan = plan.take().ok_or_else(refused)?;
                *loading = Some(Loading::new(header, texts.as_ref(), plan)?);
                Ok(())
            }
            Found::Rows { tensor, first_row, bytes } => {
                loading.as_mut().ok_or_else(refused)?.rows(tensor, first_row, bytes)
            }
        }
    }

    fn rows(&mut self, tensor: usize, first_row: usize, bytes: &[u8]) -> Result<()> {
        if first_row == 0 {
            self.fingerprint.rows(&self.tensors[tensor], bytes);
        }
        self.places.load(&mut *self.executor, tensor, first_row, bytes)
    }

    /// From a header and, of a folder, its texts.
    fn new(mut header: Header, texts: Option<&hf::Texts>, plan: Plan) -> Result<Loading> {
        let Plan { device, room, adapter } = plan;
        let own = header.tensors.len();
        adapter.iter().try_for_each(|adapter| adapter.join(&mut header))?;
        let program = models::program(&header, room)?;
        let tokenizer = tokenizer(&header, texts)?.within(program.config.vocab_size)?;
        if tokenizer.vocab_size() > program.config.vocab_size {
            let (expected, found) = (tokenizer.vocab_size(), program.config.vocab_size);
            let what = format!("{expected} tokens but only {found} embeddings");
            return Err(Error::Metadata { key: "tokenizer.ggml.tokens".into(), what });
        }
        let places = Places::new(&header, &program);
        let (fingerprint, tensors) = (Fingerprint::new(&header), header.tensors);
        let executor = device.executor(program)?;
        let mut loading = Loading { tokenizer, executor, fingerprint, tensors, places };
        for (i, bytes) in adapter.iter().flat_map(Adapter::data).enumerate() {
            loading.rows(own + i, 0, bytes)?;
        }
        Ok(loading)
    }
}

/// The tokenizer of a model with this header and, of a folder, these texts.
pub fn tokenizer(header: &Header, texts: Option<&hf::Texts>) -> Result<Tokenizer> {
    match texts {
        None => Tokenizer::from_header(header),
        Some(texts) => Tokenizer::from_json(&texts.tokenizer()).map_err(|error| error.of(hf::Texts::TOKENIZER)),
    }
}
