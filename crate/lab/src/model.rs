//! A model as its file has it: metadata, tensors and their bytes, all in memory. What a recipe is given and what it makes.
//!
//! The base stays as it was stored: a matrix is decoded when it is worked on, so that a model takes what its file takes.

use hearth_engine::formats::gguf::Writer;
use hearth_engine::formats::set::{File, Found, Intake, Want};
use hearth_engine::formats::{Header, Strings, TensorInfo, Value};
use hearth_engine::models::{self, Room};
use hearth_engine::program::{Linear, LowRank, Op, Program, Weight, WeightId};
use hearth_engine::quant::Format;
use hearth_engine::tokenizer::Tokenizer;

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::walk::layers;

/// The tables of tokens at either end of a model.
pub const TABLES: &[&str] = &["token_embd.weight", "output.weight"];

/// The key of what people should know of how a file was made.
const NOTES: &str = "hearth.notes";

/// Keys of what was found of a model, which another one must not inherit.
const FOUND: &[&str] = &[NOTES, "hearth.kl_mean", "hearth.top1", "hearth.protocol", "hearth.verified"];

/// Takes a model's files piece by piece: one GGUF file, its parts, or a Hugging Face folder.
pub struct Loader {
    intake: Intake,
    model: Model,
}

impl Loader {
    /// For these files: push what [`Loader::wants`] asks for. Errors if they cannot be those of one model.
    pub fn of(files: Vec<File>) -> Result<Loader> {
        Ok(Loader { intake: Intake::of(files)?, model: Model::default() })
    }

    /// Which bytes of which file to push next, in pieces of any size; nothing when all has come. Ask again when they are pushed.
    pub fn wants(&mut self) -> Result<Option<Want>> {
        Ok(self.intake.wants(|found| self.model.take(found))?)
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.intake.push(bytes, |found| self.model.take(found))?)
    }

    /// Says that the files have ended; gives the model.
    pub fn finish(mut self) -> Result<Model> {
        self.intake.finish(|found| self.model.take(found))?;
        Ok(self.model)
    }
}

/// A matrix in a format.
pub struct Coded {
    format: Format,
    cols: usize,
    bytes: Vec<u8>,
}

impl Coded {
    /// Errors where the format cannot say one of the numbers. Panics where rows are no whole blocks.
    pub fn of(format: Format, numbers: &Matrix) -> hearth_engine::Result<Coded> {
        Ok(Coded { format, cols: numbers.cols, bytes: encode(format, numbers)? })
    }

    /// Its numbers.
    pub fn decoded(&self) -> Matrix {
        decode(self.format, self.cols, &self.bytes)
    }
}

/// Metadata, tensors and their bytes.
#[derive(Clone, Default)]
pub struct Model {
    /// Tensors' places are those of the file it came from, and mean nothing here.
    pub header: Header,
    /// The bytes of each tensor.
    pub data: Vec<Vec<u8>>,
}

impl Model {
    /// From the whole bytes of a GGUF file, in pieces.
    pub fn from_gguf<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Model> {
        let mut loader = Loader { intake: Intake::stream(), model: Model::default() };
        pieces.into_iter().try_for_each(|piece| loader.push(piece))?;
        loader.finish()
    }

    /// Takes what was found in its files.
    fn take(&mut self, found: Found) -> hearth_engine::Result<()> {
        match found {
            Found::Header(mut header, texts) => {
                if let Some(texts) = texts {
                    texts.tokenizer().keep(&mut header)?;
                }
                // It becomes one file, whatever it was.
                header.metadata.retain(|key, _| !key.starts_with("split."));
                self.data = header.tensors.iter().map(|_| Vec::new()).collect();
                self.header = header;
            }
            Found::Rows { tensor, first_row, bytes } => {
                let refused = || hearth_engine::Error::InvalidInput("this file was refused".into());
                let data = self.data.get_mut(tensor).ok_or_else(refused)?;
                if first_row == 0 {
                    let TensorInfo { name, size_bytes, .. } = &self.header.tensors[tensor];
                    let bytes = usize::try_from(*size_bytes).unwrap_or(usize::MAX);
                    let refused = |_| hearth_engine::Error::OutOfMemory { what: name.clone(), bytes };
                    data.try_reserve_exact(bytes).map_err(refused)?;
                }
                data.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    /// The program for texts of `context` tokens. Errors if they are more than the model was made for.
    pub fn program(&self, context: usize) -> Result<Program> {
        let program = models::program(&self.header, Room::Asked(context))?;
        match program.config.max_seq {
            most if context > most => Err(Error::Unfit(format!(
                "texts of {context} tokens are longer than the {most} that this model was made for: take shorter ones"
            ))),
            _ => Ok(program),
        }
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Ok(Tokenizer::from_header(&self.header)?.within(self.program(1)?.config.vocab_size)?)
    }

    /// Tells a program what became of its weights: their formats, their shapes where they are whole tensors, and which are factors
    /// now.
    pub fn refresh(&self, program: &mut Program) {
        for b in 0..program.weights.len() {
            let Weight { name, tensor, .. } = &mut program.weights[b];
            let now = &self.header.tensors[*tensor].name;
            if name != now {
                let a = factors(&std::mem::replace(name, now.clone()))[0].clone();
                let (tensor, info) = self.header.tensor(&a).expect("factors come in pairs");
                let (rows, cols, format) = (info.rows(), info.cols(), info.format);
                program.weights.push(Weight { name: a, tensor, first_row: 0, rows, cols, format });
                let low_rank = Some(LowRank { a: program.weights.len() - 1, b, scale: 1.0 });
                let linears = program.ops.iter_mut().flat_map(Op::linears_mut);
                linears.filter(|linear| linear.weight == b).for_each(|linear| linear.low_rank = low_rank);
            }
        }
        let tensors: Vec<usize> = program.weights.iter().map(|weight| weight.tensor).collect();
        for weight in &mut program.weights {
            let info = &self.header.tensors[weight.tensor];
            weight.format = info.format;
            let parts = tensors.iter().filter(|tensor| **tensor == weight.tensor).count();
            if parts == 1 && weight.name.starts_with("blk.") {
                (weight.rows, weight.cols) = (info.rows(), info.cols());
            }
        }
    }

    /// The names of the matrices that products are made with, layer by layer, and of the tables.
    pub fn matrices(&self, program: &Program) -> Vec<String> {
        let tables = TABLES.iter().filter(|name| self.tensor(name).is_some()).map(|name| (*name).to_owned());
        let mut names: Vec<String> = tables.collect();
        for linear in layers(program).into_iter().flat_map(|ops| &program.ops[ops]).flat_map(Op::linears) {
            let name = &program.weights[linear.weight].name;
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Says something that people should know of how this model was made; once is enough.
    pub fn note(&mut self, note: &str) {
        let mut notes = match self.header.metadata.remove(NOTES) {
            Some(Value::Strings(notes)) => notes,
            _ => Strings::default(),
        };
        if notes.iter().all(|other| other != note) {
            notes.push(note);
        }
        self.header.metadata.insert(NOTES.into(), Value::Strings(notes));
    }

    /// What people should know of how this model was made.
    pub fn notes(&self) -> Vec<&str> {
        match self.header.metadata.get(NOTES) {
            Some(Value::Strings(notes)) => notes.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Forgets what was said of how this model was made and what was found of it, since it will be another.
    pub fn forget(&mut self) {
        self.header.metadata.retain(|key, _| !FOUND.contains(&key.as_str()));
    }

    /// A program's weight, decoded: `[rows, cols]`.
    pub fn weight(&self, program: &Program, id: WeightId) -> Matrix {
        let Weight { tensor, first_row, rows, cols, format, .. } = program.weights[id];
        let row_bytes = format.row_bytes(cols).expect("the header was checked");
        let mut out = Matrix::zeros(rows, cols);
        format.decode_rows(
            cols,
            &self.data[tensor][first_row * row_bytes..(first_row + rows) * row_bytes],
            &mut out.data,
        );
        out
    }

    /// What a linear map multiplies by, whole: `[out, in]`, with its part of low rank added.
    pub fn linear(&self, program: &Program, linear: Linear) -> Matrix {
        let Some(LowRank { a, b, scale }) = linear.low_rank else { return self.weight(program, linear.weight) };
        let [a, b] = [a, b].map(|id| self.weight(program, id));
        let mut sum = match linear.whole() {
            Some(id) => self.weight(program, id),
            None => Matrix::zeros(b.rows, a.cols),
        };
        for (sum, factors) in sum.data.chunks_exact_mut(a.cols).zip(b.iter()) {
            for (factor, row) in factors.iter().zip(a.iter()) {
                sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += scale * factor * x);
            }
        }
        sum
    }

    /// How many numbers of a program's weight are not zero.
    pub fn nonzero(&self, program: &Program, id: WeightId) -> u64 {
        self.weight(program, id).data.iter().filter(|x| **x != 0.0).count() as u64
    }

    /// A tensor of this name, decoded: `[rows, cols]`. Panics if there is none.
    pub fn matrix(&self, name: &str) -> Matrix {
        let (tensor, info) = self.header.tensor(name).expect("a tensor of the model");
        decode(info.format, info.cols(), &self.data[tensor])
    }

    /// Makes these the bytes of a tensor, whose rows have `cols` numbers. Panics if there is none.
    pub fn set(&mut self, name: &str, format: Format, cols: usize, bytes: Vec<u8>) {
        let (tensor, _) = self.header.tensor(name).expect("a tensor of the model");
        let info = &mut self.header.tensors[tensor];
        let rows = format.row_bytes(cols).map_or(0, |row| bytes.len() / row);
        info.shape = if info.shape.len() == 1 { vec![cols] } else { vec![rows, cols] };
        (info.format, info.size_bytes) = (format, bytes.len() as u64);
        self.data[tensor] = bytes;
    }

    /// Makes a tensor two, its factors `[r, in]` and `[out, r]`. Panics if there is none.
    pub fn factor(&mut self, name: &str, a: Coded, b: Coded) {
        let (tensor, _) = self.header.tensor(name).expect("a tensor of the model");
        let info = |name: String| TensorInfo { name, shape: vec![0; 2], format: Format::F16, offset: 0, size_bytes: 0 };
        let [name_a, name_b] = factors(name);
        self.header.tensors[tensor] = info(name_b.clone());
        self.header.tensors.push(info(name_a.clone()));
        self.data.push(Vec::new());
        for (name, Coded { format, cols, bytes }) in [(name_a, a), (name_b, b)] {
            self.set(&name, format, cols, bytes);
        }
    }

    /// Whether any matrix is in two factors.
    pub fn is_factored(&self) -> Result<bool> {
        Ok(self.program(1)?.ops.iter().flat_map(Op::linears).any(|linear| linear.low_rank.is_some()))
    }

    /// Stores numbers in a tensor, in this format. Errors where it cannot say one of them.
    pub fn store(&mut self, name: &str, format: Format, numbers: &Matrix) -> Result<()> {
        let bytes = encode(format, numbers).map_err(|error| Error::Unfit(format!("{name}: {error}")))?;
        self.set(name, format, numbers.cols, bytes);
        Ok(())
    }

    /// A tensor of this name, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.header.tensor(name).map(|(_, tensor)| tensor)
    }

    /// Bytes of all tensors.
    pub fn tensor_bytes(&self) -> usize {
        self.data.iter().map(Vec::len).sum()
    }

    /// Bytes of its GGUF file.
    pub fn file_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        self.write(|piece| bytes += piece.len() as u64)?;
        Ok(bytes)
    }

    /// The GGUF file, in pieces as `out` takes them.
    pub fn write(&self, mut out: impl FnMut(&[u8])) -> Result<()> {
        let (mut writer, beginning) = Writer::new(&self.header)?;
        out(&beginning);
        let mut piece = Vec::new();
        for (tensor, bytes) in self.data.iter().enumerate() {
            writer.push(tensor, bytes, &mut piece)?;
            out(&piece);
            piece.clear();
        }
        Ok(writer.finish()?)
    }

    /// The GGUF file.
    pub fn to_gguf(&self) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        self.write(|piece| file.extend_from_slice(piece))?;
        Ok(file)
    }
}

/// The names of a tensor's two factors.
fn factors(name: &str) -> [String; 2] {
    ["a", "b"].map(|factor| format!("{name}.lora_{factor}"))
}

/// The bytes of numbers in a format, a row at a time. Panics where rows are no whole blocks.
pub fn encode(format: Format, numbers: &Matrix) -> hearth_engine::Result<Vec<u8>> {
    let row_bytes = format.row_bytes(numbers.cols).expect("whole blocks");
    let mut bytes = vec![0; numbers.rows * row_bytes];
    for (row, bytes) in numbers.iter().zip(bytes.chunks_exact_mut(row_bytes)) {
        format.encode(row, bytes)?;
    }
    Ok(bytes)
}

/// The numbers of bytes in a format.
pub fn decode(format: Format, cols: usize, bytes: &[u8]) -> Matrix {
    let row_bytes = format.row_bytes(cols).expect("whole blocks");
    let mut out = Matrix::zeros(bytes.len() / row_bytes, cols);
    format.decode_rows(cols, bytes, &mut out.data);
    out
}
