//! A model as a short list of fused operations, whoever executes it.
//!
//! Between operations there are two arrays: the residual stream `x: [T, D]` and a scratch `h` whose width is what the last
//! operation wrote. A decoder layer is five operations; see `crate::models`.
//!
//! To add an operation: a variant here, its plain loop in `naive.rs`, its fast twin in `cpu/`, and a line in the agreement
//! tests of `tests/`.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::adapter::ALPHA;
use crate::error::{Error, Result};
use crate::formats::gguf::{Header, ROW_RUN};
use crate::models::Architecture;
use crate::quant::Format;

/// Index into [`Program::weights`].
pub type WeightId = usize;

/// Sizes that settle a model's shapes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The family.
    pub architecture: Architecture,
    /// Decoder layers.
    pub n_layers: usize,
    /// Those of them that attend, each with a cache of keys and values.
    pub n_caches: usize,
    /// Query heads, H.
    pub n_heads: usize,
    /// Key/value heads, K; a divisor of H.
    pub n_kv_heads: usize,
    /// Numbers per head, E.
    pub head_dim: usize,
    /// Width of the residual stream, D.
    pub dim: usize,
    /// Feed-forward width, F; the largest, where layers differ.
    pub hidden_dim: usize,
    /// Tokens there are, V.
    pub vocab_size: usize,
    /// Positions the model was trained for.
    pub max_seq: usize,
    /// Positions that a conversation may have, at most [`max_seq`](Config::max_seq); see [`Room`](crate::models::Room).
    pub context: usize,
    /// Whether it reads a text as a whole and says what it means, instead of going on with it.
    pub encoder: bool,
    /// How it makes one vector of a text.
    pub pooling: Pooling,
}

/// A matrix `[rows, cols]` (or a vector, `rows` 1) and the tensor, or the part of one, that it comes from.
#[derive(Clone, Debug)]
pub struct Weight {
    /// The tensor's name.
    pub name: String,
    /// Index into the header's tensors.
    pub tensor: usize,
    /// Which of the tensor's rows is the first of these.
    pub first_row: usize,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// How the file stores it.
    pub format: Format,
}

/// What a norm takes out of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Its size: `y = x / sqrt(mean(x²) + eps) · weight`. Zhang & Sennrich 2019, arXiv:1910.07467.
    Rms,
    /// Its mean, too: `y = (x − mean(x)) / sqrt(var(x) + eps) · weight + bias`. Ba et al. 2016, arXiv:1607.06450.
    Layer,
}

/// A norm over the last axis.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// Which.
    pub kind: NormKind,
    /// `[D]`, or `[E]` within a head.
    pub weight: WeightId,
    /// As many; only where the mean is taken out.
    pub bias: Option<WeightId>,
    /// Keeps the root away from zero.
    pub eps: f32,
}

/// `W · x + s · B · (A · x) + b`; the second part only where a file, or an adapter for it, has one.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// `[out, in]`; where a file has only the factors, this is B.
    pub weight: WeightId,
    /// `[out]`.
    pub bias: Option<WeightId>,
    /// A matrix of low rank, kept as two.
    pub low_rank: Option<LowRank>,
}

/// `s · B · A`: LoRA's parts. Hu et al. 2021, arXiv:2106.09685.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowRank {
    /// `[r, in]`, in files `NAME.lora_a`.
    pub a: WeightId,
    /// `[out, r]`, in files `NAME.lora_b`.
    pub b: WeightId,
    /// `adapter.lora.alpha / r`, or 1.
    pub scale: f32,
}

impl Linear {
    /// W, where it is not made of its factors alone.
    pub fn whole(self) -> Option<WeightId> {
        Some(self.weight).filter(|&weight| self.low_rank.is_none_or(|low| low.b != weight))
    }

    /// All its matrices.
    pub fn matrices(self) -> impl Iterator<Item = WeightId> {
        self.whole().into_iter().chain(self.low_rank.into_iter().flat_map(|low| [low.a, low.b]))
    }
}

/// What `NormLinear` does with the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// All outputs side by side.
    None,
    /// One matrix: `gelu(W · x)` in the tanh form of Hendrycks & Gimpel, arXiv:1606.08415.
    Gelu,
    /// One matrix: `x · Φ(x)` as it is defined there, by the error function.
    GeluErf,
    /// Two matrices, gate and up: `silu(gate) · up`. Shazeer 2020, arXiv:2002.05202.
    GatedSilu,
    /// Two matrices, gate and up: `gelu(gate) · up`, tanh form.
    GatedGelu,
}

impl Activation {
    /// Whether it joins two matrices.
    pub fn is_gated(self) -> bool {
        matches!(self, Activation::GatedSilu | Activation::GatedGelu)
    }
}

/// Which numbers of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// Neighbours `2i, 2i + 1` (GGUF stores Llama's heads permuted for this).
    Neighbours,
    /// `i` and `i + dims / 2`.
    Halves,
}

/// How a rotation is stretched over more positions than the model was first trained for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stretch {
    /// All frequencies by the same factor: position interpolation, Chen et al. 2023, arXiv:2306.15595. 1 is none.
    Linear {
        /// Of the context's length.
        factor: f32,
    },
    /// Low frequencies by the factor, high ones not at all. Peng et al. 2023, arXiv:2309.00071.
    Yarn {
        /// Of the context's length.
        factor: f32,
        /// Positions before stretching.
        original: usize,
        /// Turns within these positions from which on a frequency stays as it is.
        fast: f32,
        /// Turns up to which it is stretched in full.
        slow: f32,
        /// Whether the ramp between these begins and ends at whole pairs, as in the paper's program.
        whole: bool,
    },
    /// The same with a ramp over wavelengths. Llama 3.1's `rope_type: llama3`.
    Llama3 {
        /// Of the context's length.
        factor: f32,
        /// Positions before stretching.
        original: usize,
        /// Turns within these positions from which on a frequency stays as it is.
        fast: f32,
        /// Turns up to which it is stretched in full.
        slow: f32,
    },
}

/// Rotary position embedding: pair `i` turns by `position · theta^(−2i / dims)`, stretched, and grows by `magnitude`.
/// Su et al. 2021, arXiv:2104.09864.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Which numbers turn together.
    pub pairs: RopePairs,
    /// Numbers per head that turn; the rest pass.
    pub dims: usize,
    /// Base of the frequencies.
    pub theta: f32,
    /// How far positions are stretched.
    pub stretch: Stretch,
    /// What turned numbers are multiplied by: YaRN's and LongRoPE's correction of attention's temperature.
    pub magnitude: f32,
    /// Divisors of the frequencies, `[dims / 2]` (Llama 3's `rope_freqs`, LongRoPE's factors).
    pub divisors: Option<WeightId>,
}

impl Rope {
    /// The angle per position of each pair, `[dims / 2]`.
    pub fn frequencies(&self, divisors: Option<&[f32]>) -> Vec<f32> {
        let stretched = |i: usize| {
            let frequency = libm::pow(f64::from(self.theta), -2.0 * i as f64 / self.dims as f64);
            frequency * self.stretching(i, frequency)
        };
        (0..self.dims / 2).map(|i| stretched(i) as f32 / divisors.map_or(1.0, |d| d[i])).collect()
    }

    /// What stretching multiplies frequency `i` by.
    fn stretching(&self, i: usize, frequency: f64) -> f64 {
        // How much of the frequency stays as it is.
        let (factor, kept) = match self.stretch {
            Stretch::Linear { factor } => (f64::from(factor), 0.0),
            Stretch::Yarn { factor, original, fast, slow, whole } => {
                // The pair that makes so many turns.
                let pair = |turns: f32| {
                    let wavelength = original as f64 / (f64::from(turns) * std::f64::consts::TAU);
                    self.dims as f64 * libm::log(wavelength) / (2.0 * libm::log(f64::from(self.theta)))
                };
                let (low, high) = match whole {
                    true => (libm::floor(pair(fast)), libm::ceil(pair(slow))),
                    false => (pair(fast), pair(slow)),
                };
                let (low, high) = (low.max(0.0), high.min(self.dims as f64 - 1.0));
                let ramp = (i as f64 - low) / (high - low).max(1e-3);
                (f64::from(factor), 1.0 - ramp.clamp(0.0, 1.0))
            }
            Stretch::Llama3 { factor, original, fast, slow } => {
                let turns = original as f64 * frequency / std::f64::consts::TAU;
                let ramp = (turns - f64::from(slow)) / f64::from(fast - slow);
                (f64::from(factor), ramp.clamp(0.0, 1.0))
            }
        };
        kept + (1.0 - kept) / factor
    }
}

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// The first token's: a classifier token's, in encoders.
    Cls,
    /// The last token's, which has seen all others.
    #[default]
    Last,
}

/// One fused operation.
#[derive(Clone, Debug)]
pub enum Op {
    /// `x = table[token] · scale + positions[position] + kind`.
    Embed {
        /// `[V, D]`.
        table: WeightId,
        /// 1, or √D for Gemma.
        scale: f32,
        /// `[S, D]`, learned.
        positions: Option<WeightId>,
        /// `[D]`: BERT's vector for a text that is not one of a pair.
        kind: Option<WeightId>,
    },
    /// `x = norm(x)`.
    Norm {
        /// Over D.
        norm: Norm,
    },
    /// `h = activation(W · norm(x) + b)`, several W side by side.
    NormLinear {
        /// Over D; BERT has none here.
        norm: Option<Norm>,
        /// Each `[out, D]`.
        linears: Vec<Linear>,
        /// Of the products.
        activation: Activation,
    },
    /// From `h: [T, (H + 2K) E]` (queries, keys, values) to `h: [T, H E]`: head norms, rotation, append to the cache,
    /// `softmax(cap(Q Kᵀ · scale)) V` over the visible positions.
    Attention {
        /// Which cache.
        layer: usize,
        /// Over each query head.
        q_norm: Option<Norm>,
        /// Over each key head.
        k_norm: Option<Norm>,
        /// Rotation of queries and keys.
        rope: Option<Rope>,
        /// Whether a token sees no later ones.
        causal: bool,
        /// How many positions are visible, the own one included; all earlier ones if `None`.
        window: Option<usize>,
        /// Factor on the scores.
        scale: f32,
        /// See [`softcap`]; Gemma 2's.
        softcap: Option<f32>,
    },
    /// `x = x + norm(W · h + b)`.
    LinearAdd {
        /// `[D, in]`.
        linear: Linear,
        /// Gemma's norm after the product.
        post_norm: Option<Norm>,
    },
    /// `hidden = norm(x)` and, for the asked positions, `logits = cap(W · hidden + b)`.
    Head {
        /// What a masked-language head does before its norm: `gelu(W · x + b)`, with either GELU. Hidden states are then those
        /// before it.
        transform: Option<(Linear, Activation)>,
        /// Over D.
        norm: Option<Norm>,
        /// `[V, D]`, often the embedding table; an encoder may have none.
        linear: Option<Linear>,
        /// See [`softcap`]; Gemma 2's.
        softcap: Option<f32>,
    },
}

/// `cap · tanh(x / cap)`: nearly `x` where it is small, never beyond the cap. Gemma Team 2024, arXiv:2408.00118.
pub fn softcap(x: f32, cap: f32) -> f32 {
    cap * libm::tanhf(x / cap)
}

/// A model: sizes, the weights it needs and what is done with them.
#[derive(Clone, Debug)]
pub struct Program {
    /// Sizes.
    pub config: Config,
    /// The matrices and vectors, each from one tensor.
    pub weights: Vec<Weight>,
    /// In the order of execution.
    pub ops: Vec<Op>,
}

impl Program {
    /// Bytes of weights that making a token reads, as the file stores them. Of a table that is not the head as well it reads a
    /// row: not counted.
    pub fn weight_bytes(&self) -> usize {
        let linears = self.ops.iter().flat_map(Op::linears).flat_map(Linear::matrices);
        let bytes = |id: WeightId| {
            let Weight { rows, cols, format, .. } = self.weights[id];
            rows * format.row_bytes(cols).expect("the header was checked")
        };
        linears.map(bytes).sum()
    }

    /// How many operations the embedding and the first layers are, up to the one that attends after `layers` others. It begins with
    /// the products that its attention reads; behind the last one is the head.
    pub fn ops_of_layers(&self, layers: usize) -> usize {
        let next = self.ops.iter().position(|op| matches!(op, Op::Attention { layer, .. } if *layer == layers));
        next.unwrap_or(self.ops.len()).saturating_sub(1)
    }

    /// How keys are turned, as far as that depends on more than the file: the bases of the rotations and the names of their
    /// divisors.
    pub fn rotations(&self) -> String {
        let rope = |op: &Op| if let Op::Attention { rope, .. } = op { *rope } else { None };
        let text = |Rope { theta, divisors, .. }: Rope| {
            let divisors = divisors.map_or("", |id| &self.weights[id].name);
            format!("{theta} {divisors}")
        };
        let all: BTreeSet<String> = self.ops.iter().filter_map(rope).map(text).collect();
        Vec::from_iter(all).join(", ")
    }
}

impl Op {
    /// Its products, in order.
    pub fn linears(&self) -> impl Iterator<Item = Linear> {
        let (several, one, another): (&[Linear], _, _) = match self {
            Op::NormLinear { linears, .. } => (linears, None, None),
            Op::LinearAdd { linear, .. } => (&[], Some(*linear), None),
            Op::Head { transform, linear, .. } => (&[], transform.map(|(linear, _)| linear), *linear),
            Op::Embed { .. } | Op::Norm { .. } | Op::Attention { .. } => (&[], None, None),
        };
        several.iter().copied().chain(one).chain(another)
    }

    /// The same, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        let (several, one, another): (&mut [Linear], _, _) = match self {
            Op::NormLinear { linears, .. } => (linears, None, None),
            Op::LinearAdd { linear, .. } => (&mut [], Some(linear), None),
            Op::Head { transform, linear, .. } => {
                (&mut [], transform.as_mut().map(|(linear, _)| linear), linear.as_mut())
            }
            Op::Embed { .. } | Op::Norm { .. } | Op::Attention { .. } => (&mut [], None, None),
        };
        several.iter_mut().chain(one).chain(another)
    }

    /// Its norms.
    pub fn norms(&self) -> impl Iterator<Item = Norm> {
        let (one, another) = match self {
            Op::Norm { norm } => (Some(*norm), None),
            Op::NormLinear { norm, .. } | Op::Head { norm, .. } => (*norm, None),
            Op::LinearAdd { post_norm, .. } => (*post_norm, None),
            Op::Attention { q_norm, k_norm, .. } => (*q_norm, *k_norm),
            Op::Embed { .. } => (None, None),
        };
        one.into_iter().chain(another)
    }
}

/// Collects weights while an architecture lists its operations; every shape is checked here, before any data arrives.
pub struct Builder<'a> {
    header: &'a Header,
    architecture: &'static str,
    weights: Vec<Weight>,
}

impl<'a> Builder<'a> {
    /// For the file with this header.
    pub fn new(header: &'a Header, architecture: &'static str) -> Builder<'a> {
        Builder { header, architecture, weights: Vec::new() }
    }

    /// The matrix `name` of shape `[rows, cols]`.
    pub fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<WeightId> {
        self.weight(name, &[rows, cols], 0..rows)
    }

    /// `part` of the rows of the matrix `name` of shape `[rows, cols]`.
    pub fn rows(&mut self, name: &str, [rows, cols]: [usize; 2], part: Range<usize>) -> Result<WeightId> {
        self.weight(name, &[rows, cols], part)
    }

    /// The vector `name` of `len` numbers.
    pub fn vector(&mut self, name: &str, len: usize) -> Result<WeightId> {
        self.weight(name, &[len], 0..1)
    }

    /// The vector `name`, if the file has it.
    pub fn vector_if_any(&mut self, name: &str, len: usize) -> Result<Option<WeightId>> {
        self.has(name).then(|| self.vector(name, len)).transpose()
    }

    /// `NAME.weight` of shape `[rows, cols]`, whole or in factors or both, and, if the file has it, `NAME.bias`.
    pub fn linear(&mut self, name: &str, rows: usize, cols: usize) -> Result<Linear> {
        let whole = format!("{name}.weight");
        let low_rank = self.low_rank(&whole, rows, cols)?;
        let weight = match low_rank {
            Some(low) if !self.has(&whole) => low.b,
            _ => self.matrix(&whole, rows, cols)?,
        };
        Ok(Linear { weight, bias: self.vector_if_any(&format!("{name}.bias"), rows)?, low_rank })
    }

    /// Whether the file has `NAME.weight`, whole or in factors.
    pub fn has_linear(&self, name: &str) -> bool {
        ["weight", "weight.lora_a"].iter().any(|part| self.has(&format!("{name}.{part}")))
    }

    /// The factors of a matrix, if the file has any.
    fn low_rank(&mut self, name: &str, rows: usize, cols: usize) -> Result<Option<LowRank>> {
        let [a, b] = ["a", "b"].map(|factor| format!("{name}.lora_{factor}"));
        let Some((_, info)) = self.header.tensor(&a) else { return Ok(None) };
        let rank = info.rows();
        let scale = self.header.float(ALPHA)?.map_or(1.0, |alpha| alpha / rank as f32);
        Ok(Some(LowRank { a: self.matrix(&a, rank, cols)?, b: self.matrix(&b, rows, rank)?, scale }))
    }

    /// Whether the file has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.header.tensor(name).is_some()
    }

    /// The weights collected.
    pub fn finish(self) -> Vec<Weight> {
        self.weights
    }

    fn weight(&mut self, name: &str, expected: &[usize], part: Range<usize>) -> Result<WeightId> {
        let (tensor, info) = self
            .header
            .tensor(name)
            .ok_or_else(|| Error::MissingTensor { tensor: name.into(), architecture: self.architecture.into() })?;
        if info.shape != expected {
            return Err(Error::Shape { tensor: name.into(), expected: expected.into(), found: info.shape.clone() });
        }
        if !part.start.is_multiple_of(ROW_RUN) {
            let what = format!("a part of it begins at row {}, which is no multiple of {ROW_RUN}", part.start);
            return Err(Error::Metadata { key: name.into(), what });
        }
        let same =
            |weight: &Weight| weight.tensor == tensor && weight.first_row == part.start && weight.rows == part.len();
        if let Some(known) = self.weights.iter().position(same) {
            return Ok(known);
        }
        let (first_row, rows, cols) = (part.start, part.len(), info.cols());
        self.weights.push(Weight { name: name.into(), tensor, first_row, rows, cols, format: info.format });
        Ok(self.weights.len() - 1)
    }
}
