//! Importance matrices: how large each input of each matrix is, in a file of its own, as llama.cpp's `imatrix` writes and its `quantize`
//! reads them. With one, weighted rounding needs no text.
//!
//! A GGUF file of `general.type` `imatrix`. Each matrix has two tensors of F32: `NAME.in_sum2: [1, in]`, `Σ x²` over all tokens, and
//! `NAME.counts: [1, 1]`, how many there were; `imatrix.datasets`, `.chunk_count` and `.chunk_size` say of what texts. Layout:
//! `save_imatrix` in ggml-org/llama.cpp, tools/imatrix/imatrix.cpp.

use std::collections::BTreeMap;

use hearth_engine::cpu::team::Team;
use hearth_engine::formats::{Header, Strings, TensorInfo, Value};
use hearth_engine::quant::Format;

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::model::{Model, decode, encode};
use crate::recipe::{Calibration, FEWEST};
use crate::statistics::Statistics;
use crate::text::sequences;
use crate::walk::{Stage, embed, layers};
use crate::{Progress, Watch};

const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// How large each input of each matrix is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imatrix {
    /// What the texts are called.
    pub datasets: Vec<String>,
    /// Texts that were read.
    pub chunk_count: usize,
    /// Tokens of a text.
    pub chunk_size: usize,
    /// By the name of the matrix: `Σ x²` of each input, and how many tokens there were.
    pub inputs: BTreeMap<String, (Vec<f32>, f32)>,
}

impl Imatrix {
    /// Of a model that reads some texts, called `name`.
    pub fn collect(
        model: &Model,
        name: &str,
        texts: &[Vec<u32>],
        team: &mut Team,
        watch: &mut Watch,
    ) -> Result<Imatrix> {
        let longest = texts.iter().map(Vec::len).max().unwrap_or(1);
        let program = model.program(longest)?;
        let mut found = Imatrix {
            datasets: vec![name.to_owned()],
            chunk_count: texts.len(),
            chunk_size: longest,
            inputs: BTreeMap::new(),
        };
        let mut streams: Vec<Matrix> = texts.iter().map(|tokens| embed(model, &program, tokens)).collect();
        let stages = layers(&program);
        for (done, ops) in stages.iter().enumerate() {
            let stage = Stage::new(model, &program, ops.clone(), longest);
            let mut statistics: BTreeMap<usize, Statistics> = BTreeMap::new();
            for x in &mut streams {
                watch(Progress { what: "calibrating", done, of: stages.len() })?;
                stage.run(x, team, &mut |op, input| {
                    let of_op = statistics.entry(op).or_insert_with(|| Statistics::new(input.cols, false));
                    of_op.see(input, &mut Team::alone());
                });
            }
            for (op, statistics) in statistics {
                for linear in program.ops[op].linears() {
                    let sums = statistics.squares().iter().map(|sum| *sum as f32).collect();
                    let name = program.weights[linear.weight].name.clone();
                    found.inputs.insert(name, (sums, statistics.tokens as f32));
                }
            }
        }
        Ok(found)
    }

    /// The same by a text, cut into sequences. Errors if it is too short for one.
    pub fn read(
        model: &Model,
        name: &str,
        text: &[u32],
        calibration: Calibration,
        team: &mut Team,
        watch: &mut Watch,
    ) -> Result<Imatrix> {
        let length = calibration.length.min(model.program(1)?.config.max_seq);
        let texts = sequences("the text", text, length, calibration.tokens, FEWEST)?;
        Imatrix::collect(model, name, &texts, team, watch)
    }

    /// What it says of the input of a matrix. Errors where it says nothing, or of another width.
    pub fn statistics(&self, name: &str, width: usize) -> Result<Statistics> {
        match self.inputs.get(name) {
            Some((sums, count)) if sums.len() == width => {
                Ok(Statistics::of_squares(*count as usize, sums.iter().map(|sum| f64::from(*sum)).collect()))
            }
            Some((sums, _)) => Err(Error::Unfit(format!(
                "the importance matrix has {} inputs of {name}, which has {width}: it is of another model",
                sums.len()
            ))),
            None => Err(Error::Unfit(format!(
                "the importance matrix says nothing of {name}: it is of another model, or of too little text"
            ))),
        }
    }

    /// The file.
    pub fn to_gguf(&self) -> Result<Vec<u8>> {
        let mut header = Header::default();
        let mut datasets = Strings::default();
        self.datasets.iter().for_each(|name| datasets.push(name));
        for (key, value) in [
            ("general.type", Value::String("imatrix".into())),
            ("imatrix.datasets", Value::Strings(datasets)),
            ("imatrix.chunk_count", Value::Unsigned(self.chunk_count as u64)),
            ("imatrix.chunk_size", Value::Unsigned(self.chunk_size as u64)),
        ] {
            header.metadata.insert(key.into(), value);
        }
        let mut data = Vec::new();
        for (name, (sums, count)) in &self.inputs {
            for (ending, numbers) in [(SUMS, &sums[..]), (COUNTS, &[*count][..])] {
                let bytes = encode(Format::F32, &Matrix::new(numbers.len(), numbers.to_vec()))?;
                let (name, shape) = (format!("{name}{ending}"), vec![1, numbers.len()]);
                let size_bytes = bytes.len() as u64;
                header.tensors.push(TensorInfo { name, shape, format: Format::F32, offset: 0, size_bytes });
                data.push(bytes);
            }
        }
        Model { header, data }.to_gguf()
    }

    /// From the whole bytes of a file, in pieces. Errors where it is none, or one of a mixture of experts.
    pub fn from_gguf<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Imatrix> {
        let file = Model::from_gguf(pieces)?;
        if file.header.string("general.type")? != Some("imatrix") {
            let what = "this is no importance matrix: give a GGUF file as llama.cpp's imatrix writes it";
            return Err(Error::Unfit(what.into()));
        }
        let datasets = match file.header.metadata.get("imatrix.datasets") {
            Some(Value::Strings(names)) => names.iter().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let number = |key| file.header.uint(key).map(Option::unwrap_or_default);
        let mut found = Imatrix {
            datasets,
            chunk_count: number("imatrix.chunk_count")?,
            chunk_size: number("imatrix.chunk_size")?,
            inputs: BTreeMap::new(),
        };
        let numbers = |name: &str| {
            let (i, info) = file.header.tensor(name)?;
            (info.format == Format::F32).then(|| decode(info.format, info.cols(), &file.data[i]).data)
        };
        for name in file.header.tensors.iter().filter_map(|tensor| tensor.name.strip_suffix(SUMS)) {
            let wrong = |what: &str| Error::Unfit(format!("the importance matrix of {name} {what}"));
            let sums = numbers(&format!("{name}{SUMS}")).ok_or_else(|| wrong("is not of F32"))?;
            let counts = numbers(&format!("{name}{COUNTS}")).ok_or_else(|| wrong("does not say of how many tokens"))?;
            let &[count] = &counts[..] else { return Err(wrong("is one of several experts, which Hearth has not")) };
            if !(count >= 1.0 && sums.iter().all(|sum| sum.is_finite() && *sum >= 0.0)) {
                return Err(wrong("has numbers that no squares add up to"));
            }
            found.inputs.insert(name.to_owned(), (sums, count));
        }
        Ok(found)
    }
}
