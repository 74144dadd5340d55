//! A model as a short list of fused operations, whoever executes it.
//!
//! Between operations there are two arrays: the residual stream `x: [T, D]` and a scratch `h` whose width is what the last
//! operation wrote. A decoder layer is five operations; see `crate::models` for the two that are built this way.
//!
//! To add an operation: a variant here, its plain loop in `naive.rs`, its fast twin in `cpu/`, and a line in the agreement
//! tests of `tests/`.

use crate::error::{Error, Result};
use crate::formats::gguf::Header;
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
    /// Query heads, H.
    pub n_heads: usize,
    /// Key/value heads, K; a divisor of H.
    pub n_kv_heads: usize,
    /// Numbers per head, E.
    pub head_dim: usize,
    /// Width of the residual stream, D.
    pub dim: usize,
    /// Feed-forward width, F.
    pub hidden_dim: usize,
    /// Tokens there are, V.
    pub vocab_size: usize,
    /// Positions the model was trained for.
    pub max_seq: usize,
}

/// A matrix `[rows, cols]` (or a vector, `rows` 1) and the tensor it comes from.
#[derive(Clone, Debug)]
pub struct Weight {
    /// The tensor's name.
    pub name: String,
    /// Index into the header's tensors.
    pub tensor: usize,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// How the file stores it.
    pub format: Format,
}

/// Root-mean-square norm, `y = x / sqrt(mean(x²) + eps) · weight`. Zhang & Sennrich 2019, arXiv:1910.07467.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// `[D]`, or `[E]` within a head.
    pub weight: WeightId,
    /// Keeps the root away from zero.
    pub eps: f32,
}

/// What `NormLinear` does with the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// All outputs side by side.
    None,
    /// Two matrices, gate and up: `silu(gate) · up`. Shazeer 2020, arXiv:2002.05202.
    GatedSilu,
    /// Two matrices, gate and up: `gelu(gate) · up` with the tanh form of Hendrycks & Gimpel, arXiv:1606.08415.
    GatedGelu,
}

/// Which numbers of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// Neighbours `2i, 2i + 1` (GGUF stores Llama's heads permuted for this).
    Neighbours,
    /// `i` and `i + dims / 2`.
    Halves,
}

/// Rotary position embedding: pair `i` turns by `position · scale · theta^(−2i / dims)`. Su et al. 2021, arXiv:2104.09864.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Which numbers turn together.
    pub pairs: RopePairs,
    /// Numbers per head that turn; the rest pass.
    pub dims: usize,
    /// Base of the frequencies.
    pub theta: f32,
    /// Position interpolation: 1 over the scaling factor. Chen et al. 2023, arXiv:2306.15595.
    pub scale: f32,
    /// Divisors of the frequencies, `[dims / 2]` (Llama 3's `rope_freqs`).
    pub divisors: Option<WeightId>,
}

impl Rope {
    /// The angle per position of each pair, `[dims / 2]`.
    pub fn frequencies(&self, divisors: Option<&[f32]>) -> Vec<f32> {
        (0..self.dims / 2)
            .map(|i| {
                let frequency = libm::pow(f64::from(self.theta), -2.0 * i as f64 / self.dims as f64);
                (frequency * f64::from(self.scale)) as f32 / divisors.map_or(1.0, |d| d[i])
            })
            .collect()
    }
}

/// One fused operation.
#[derive(Clone, Debug)]
pub enum Op {
    /// `x = table[token] · scale`.
    Embed {
        /// `[V, D]`.
        table: WeightId,
        /// 1, or √D for Gemma.
        scale: f32,
    },
    /// `h = activation(W · norm(x))`, several W side by side.
    NormLinear {
        /// Over D.
        norm: Norm,
        /// Each `[out, D]`.
        linears: Vec<WeightId>,
        /// Joins gate and up.
        activation: Activation,
    },
    /// From `h: [T, (H + 2K) E]` (queries, keys, values) to `h: [T, H E]`: head norms, rotation, append to the cache,
    /// `softmax(Q Kᵀ · scale) V` over the visible positions.
    Attention {
        /// Which cache.
        layer: usize,
        /// Over each query head.
        q_norm: Option<Norm>,
        /// Over each key head.
        k_norm: Option<Norm>,
        /// Rotation of queries and keys.
        rope: Rope,
        /// How many positions are visible, the own one included; all earlier ones if `None`.
        window: Option<usize>,
        /// Factor on the scores.
        scale: f32,
    },
    /// `x = x + norm(W · h)`.
    LinearAdd {
        /// `[D, in]`.
        linear: WeightId,
        /// Gemma's norm after the product.
        post_norm: Option<Norm>,
    },
    /// `logits = W · norm(x)` for the asked positions.
    Head {
        /// Over D.
        norm: Norm,
        /// `[V, D]`, often the embedding table.
        linear: WeightId,
    },
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
        let linears = self.ops.iter().flat_map(|op| match op {
            Op::NormLinear { linears, .. } => linears.as_slice(),
            Op::LinearAdd { linear, .. } | Op::Head { linear, .. } => std::slice::from_ref(linear),
            Op::Embed { .. } | Op::Attention { .. } => &[],
        });
        let bytes = |&id: &WeightId| {
            let Weight { rows, cols, format, .. } = self.weights[id];
            rows * format.row_bytes(cols).expect("the header was checked")
        };
        linears.map(bytes).sum()
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
        self.weight(name, &[rows, cols])
    }

    /// The vector `name` of `len` numbers.
    pub fn vector(&mut self, name: &str, len: usize) -> Result<WeightId> {
        self.weight(name, &[len])
    }

    /// Whether the file has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.header.tensor(name).is_some()
    }

    /// The weights collected.
    pub fn finish(self) -> Vec<Weight> {
        self.weights
    }

    fn weight(&mut self, name: &str, expected: &[usize]) -> Result<WeightId> {
        let (tensor, info) = self
            .header
            .tensor(name)
            .ok_or_else(|| Error::MissingTensor { tensor: name.into(), architecture: self.architecture.into() })?;
        if info.shape != expected {
            return Err(Error::Shape { tensor: name.into(), expected: expected.into(), found: info.shape.clone() });
        }
        if let Some(known) = self.weights.iter().position(|weight| weight.tensor == tensor) {
            return Ok(known);
        }
        let (rows, cols) = (info.rows(), info.cols());
        self.weights.push(Weight { name: name.into(), tensor, rows, cols, format: info.format });
        Ok(self.weights.len() - 1)
    }
}
