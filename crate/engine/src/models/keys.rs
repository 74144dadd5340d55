//! Metadata under an architecture's own prefix, and what all architectures read of it.

use super::{Architecture, Room};
use crate::cpu::MAX_HEAD_DIM;
use crate::error::{Error, Result};
use crate::formats::{Header, Value, bad};
use crate::program::{Builder, Config, Linear, Norm, NormKind, Op, Pooling, Rope, RopePairs, Stretch, WeightId};

/// Widest layer there is room for, sixteen times that of the largest models: whatever a file claims, a run's buffers stay
/// within reason, and no product of sizes overflows 32 bits.
const MAX_WIDTH: usize = 1 << 20;

/// Positions there is room for.
const MOST_POSITIONS: usize = 1 << 28;

/// A size of each layer.
pub enum Sizes {
    /// The same in all.
    All(usize),
    /// One by one.
    Each(Vec<usize>),
}

impl Sizes {
    /// A layer's.
    pub fn of(&self, layer: usize) -> usize {
        match self {
            Sizes::All(size) => *size,
            Sizes::Each(sizes) => sizes[layer],
        }
    }

    /// The largest.
    pub fn most(&self) -> usize {
        match self {
            Sizes::All(size) => *size,
            Sizes::Each(sizes) => sizes.iter().copied().max().unwrap_or(0),
        }
    }
}

/// Metadata under the architecture's own prefix.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// All of it.
    pub header: &'a Header,
    /// Whose prefix.
    pub architecture: Architecture,
    /// For a conversation.
    pub room: Room,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture.name())
    }

    pub fn uint_or(&self, name: &str, default: Option<usize>) -> Result<usize> {
        let key = self.key(name);
        let value = self.header.uint(&key)?.or(default);
        let value = value.ok_or_else(|| Error::Metadata { key: key.clone(), what: "missing".into() })?;
        if value == 0 || value > MOST_POSITIONS {
            return Err(Error::Metadata { key, what: format!("{value} is out of range") });
        }
        Ok(value)
    }

    /// A count above zero, if there is one that is not zero.
    pub fn uint_if_any(&self, name: &str) -> Result<Option<usize>> {
        match self.header.uint(&self.key(name))? {
            None | Some(0) => Ok(None),
            Some(_) => self.uint(name).map(Some),
        }
    }

    pub fn uint(&self, name: &str) -> Result<usize> {
        self.uint_or(name, None)
    }

    /// A count for each layer: one for all or, in the family where layers differ, a list in which zeros may be.
    pub fn sizes(&self, name: &str) -> Result<Sizes> {
        let key = self.key(name);
        let layers = self.uint("block_count")?;
        match self.header.metadata.get(&key) {
            Some(Value::Integers(sizes)) if self.architecture == Architecture::Deci => {
                let size =
                    |&size: &i32| usize::try_from(size).map_err(|_| bad(&key, format!("{size} is out of range")));
                match sizes.len() == layers {
                    true => Ok(Sizes::Each(sizes.iter().map(size).collect::<Result<_>>()?)),
                    false => Err(bad(&key, format!("{layers} sizes were expected"))),
                }
            }
            _ => Ok(Sizes::All(self.uint(name)?)),
        }
    }

    /// A number above zero.
    pub fn positive_or(&self, name: &str, default: f32) -> Result<f32> {
        let key = self.key(name);
        let value = self.header.float(&key)?.unwrap_or(default);
        match value.is_finite() && value > 0.0 {
            true => Ok(value),
            false => Err(Error::Metadata { key, what: format!("{value} is out of range") }),
        }
    }

    /// How many numbers of a head turn.
    fn rope_dims(&self, head_dim: usize) -> Result<usize> {
        let name = "rope.dimension_count";
        let dims = self.uint_or(name, Some(head_dim))?;
        match dims % 2 == 0 && dims <= head_dim {
            true => Ok(dims),
            false => Err(Error::Metadata { key: self.key(name), what: format!("{dims} of {head_dim} cannot turn") }),
        }
    }

    /// The factor by which positions are stretched; 0 means none, as in llama.cpp.
    fn rope_factor(&self) -> Result<f32> {
        let (name, old) = ("rope.scaling.factor", "rope.scale_linear");
        let has = |name| self.header.metadata.contains_key(&self.key(name));
        let name = if !has(name) && has(old) { old } else { name };
        match self.header.float(&self.key(name))? {
            Some(0.0) => Ok(1.0),
            _ => self.positive_or(name, 1.0),
        }
    }

    /// Positions before stretching.
    fn original_context(&self) -> Result<usize> {
        self.uint_or("rope.scaling.original_context_length", self.uint_if_any("context_length")?)
    }

    /// How the rotation is stretched: see the table of [`Keys::rope`].
    fn stretch_kind(&self) -> Result<&str> {
        // Phi's converter names no kind.
        let default = if self.rows_of("rope_factors_long.weight").is_some() { "longrope" } else { "linear" };
        Ok(self.header.string(&self.key("rope.scaling.type"))?.unwrap_or(default))
    }

    /// Positions that a conversation may have, of `max_seq`.
    fn context(&self, max_seq: usize) -> Result<usize> {
        let positions = match self.room {
            Room::Usual(most) if matches!(self.stretch_kind()?, "longrope" | "dynamic") => {
                most.min(self.original_context()?)
            }
            Room::Asked(positions) | Room::Usual(positions) => positions,
        };
        Ok(positions.clamp(2, max_seq))
    }

    /// The rotation of heads, stretched as the file says. `theta`: the base where it names none.
    ///
    /// | `rope.scaling.type` | |
    /// | --- | --- |
    /// | none, linear, yarn, longrope | as llama.cpp writes and reads them; `hearth.rope.truncate` false is YaRN's of `transformers` |
    /// | llama3 | Hugging Face's; a GGUF file has a tensor of divisors instead |
    /// | dynamic | Hugging Face's: the base grows with the context (`DynamicNTKScalingRotaryEmbedding`) |
    pub fn rope(&self, b: &mut Builder, config: &Config, pairs: RopePairs, theta: f32) -> Result<Rope> {
        let dims = self.rope_dims(config.head_dim)?;
        let mut rope = Rope {
            pairs,
            dims,
            theta: self.positive_or("rope.freq_base", theta)?,
            stretch: Stretch::Linear { factor: 1.0 },
            magnitude: self.positive_or("rope.scaling.attn_factor", 1.0)?,
            divisors: b.vector_if_any("rope_freqs.weight", dims / 2)?,
        };
        let key = self.key("rope.scaling.type");
        let factor = self.rope_factor()?;
        let original = self.original_context()?;
        let context = config.context;
        match self.stretch_kind()? {
            "none" => {}
            "linear" => rope.stretch = Stretch::Linear { factor },
            "yarn" => {
                let fast = self.positive_or("rope.scaling.yarn_beta_fast", 32.0)?;
                let slow = self.positive_or("rope.scaling.yarn_beta_slow", 1.0)?;
                let whole = self.header.bool("hearth.rope.truncate")?.unwrap_or(true);
                rope.stretch = Stretch::Yarn { factor, original, fast, slow, whole };
                rope.magnitude *= 1.0 + 0.1 * libm::logf(factor.max(1.0));
            }
            "llama3" => {
                let slow = self.positive_or("rope.scaling.low_freq_factor", 1.0)?;
                let fast = self.positive_or("rope.scaling.high_freq_factor", 4.0)?;
                if fast <= slow {
                    return Err(Error::Metadata { key, what: format!("frequencies from {fast} to {slow} are none") });
                }
                rope.stretch = Stretch::Llama3 { factor, original, fast, slow };
            }
            "longrope" => {
                let which = if context > original { "long" } else { "short" };
                rope.divisors = Some(b.vector(&format!("rope_factors_{which}.weight"), dims / 2)?);
            }
            "dynamic" if context > original && dims > 2 => {
                let grown = f64::from(factor) * context as f64 / original as f64 - f64::from(factor - 1.0);
                let power = dims as f64 / (dims as f64 - 2.0);
                rope.theta = (f64::from(rope.theta) * libm::pow(grown, power)) as f32;
            }
            "dynamic" => {}
            other => {
                let what = format!("\"{other}\" is not supported; linear, yarn, longrope, llama3 and dynamic are");
                return Err(Error::Metadata { key, what });
            }
        }
        Ok(rope)
    }

    /// A root-mean-square norm over `len` numbers.
    pub fn rms(&self, b: &mut Builder, name: &str, len: usize) -> Result<Norm> {
        let eps = self.positive_or("attention.layer_norm_rms_epsilon", 1e-6)?;
        Ok(Norm { kind: NormKind::Rms, weight: b.vector(&format!("{name}.weight"), len)?, bias: None, eps })
    }

    /// A norm that takes the mean out, too.
    pub fn layer_norm(&self, b: &mut Builder, name: &str, len: usize) -> Result<Norm> {
        let eps = self.positive_or("attention.layer_norm_epsilon", 1e-5)?;
        let weight = b.vector(&format!("{name}.weight"), len)?;
        let bias = b.vector_if_any(&format!("{name}.bias"), len)?;
        Ok(Norm { kind: NormKind::Layer, weight, bias, eps })
    }

    /// Queries, keys and values: three matrices or one.
    pub fn qkv(&self, b: &mut Builder, config: &Config, layer: usize) -> Result<Vec<Linear>> {
        let Config { dim, head_dim, .. } = *config;
        let (q_dim, kv_dim) = (config.n_heads * head_dim, config.n_kv_heads * head_dim);
        let together = format!("blk.{layer}.attn_qkv");
        if b.has_linear(&together) {
            return Ok(vec![b.linear(&together, q_dim + 2 * kv_dim, dim)?]);
        }
        let mut part = |name, rows| b.linear(&format!("blk.{layer}.{name}"), rows, dim);
        Ok(vec![part("attn_q", q_dim)?, part("attn_k", kv_dim)?, part("attn_v", kv_dim)?])
    }

    /// Gate and up: two matrices, or one with the gate's rows first.
    pub fn gate_and_up(&self, b: &mut Builder, [width, dim]: [usize; 2], layer: usize) -> Result<Vec<Linear>> {
        let [gate, up] = ["ffn_gate", "ffn_up"].map(|part| format!("blk.{layer}.{part}"));
        if b.has_linear(&gate) {
            return Ok(vec![b.linear(&gate, width, dim)?, b.linear(&up, width, dim)?]);
        }
        let mut half = |first| {
            let weight = b.rows(&format!("{up}.weight"), [2 * width, dim], first..first + width)?;
            Ok(Linear { weight, bias: None, low_rank: None })
        };
        Ok(vec![half(0)?, half(width)?])
    }

    /// Factor on the scores of attention: the file's, or by the width of a head, or, `wide`, by that of the stream per head.
    pub fn attention_scale(&self, config: &Config, wide: bool) -> Result<f32> {
        let width = if wide { config.dim / config.n_heads } else { config.head_dim };
        self.positive_or("attention.scale", 1.0 / (width as f32).sqrt())
    }

    /// Which numbers of a head turn together: as GGUF has it for this family, or as the file says.
    pub fn pairs(&self, gguf: RopePairs) -> Result<RopePairs> {
        match self.header.metadata.get("hearth.rope.halves") {
            Some(Value::Bool(true)) => Ok(RopePairs::Halves),
            _ => Ok(gguf),
        }
    }

    /// Which layers see a window only: as the file says, one by one or all but the last of every so many, or as `usual`.
    pub fn slides(&self, usual: fn(usize) -> bool) -> Result<Box<dyn Fn(usize) -> bool>> {
        let name = "attention.sliding_window_pattern";
        let layers = self.uint("block_count")?;
        Ok(match self.header.metadata.get(&self.key(name)) {
            None => Box::new(usual),
            Some(Value::Bools(slides)) if slides.len() == layers => {
                let slides = slides.clone();
                Box::new(move |layer| slides[layer])
            }
            Some(Value::Bools(_)) => return Err(bad(&self.key(name), format!("{layers} flags were expected"))),
            Some(_) => {
                let period = self.uint(name)?;
                Box::new(move |layer| !(layer + 1).is_multiple_of(period))
            }
        })
    }

    /// Rows of the tensor called `name`, if there is one.
    pub fn rows_of(&self, name: &str) -> Option<usize> {
        self.header.tensor(name).map(|(_, tensor)| tensor.rows())
    }

    /// The head of a decoder: `output`, or the embedding table where the file has none.
    pub fn head(&self, b: &mut Builder, config: &Config, norm: Norm, table: WeightId) -> Result<Op> {
        let linear = match b.has_linear("output") {
            true => b.linear("output", config.vocab_size, config.dim)?,
            false => Linear { weight: table, bias: None, low_rank: None },
        };
        let softcap = self.positive_if_any("final_logit_softcapping")?;
        Ok(Op::Head { transform: None, norm: Some(norm), linear: Some(linear), softcap })
    }

    /// The embedding table of tokens.
    pub fn table(&self, b: &mut Builder, config: &Config) -> Result<WeightId> {
        b.matrix("token_embd.weight", config.vocab_size, config.dim)
    }

    /// Positions the model was made for, stretched ones included.
    fn max_seq(&self) -> Result<usize> {
        let trained = self.uint("context_length")?;
        let stretched = match self.header.string(&self.key("rope.scaling.type"))? {
            Some("yarn" | "dynamic") => {
                let stretched = self.original_context()? as f64 * f64::from(self.rope_factor()?);
                stretched as usize
            }
            _ => trained,
        };
        Ok(trained.max(stretched).min(MOST_POSITIONS))
    }

    fn pooling(&self, default: Pooling) -> Result<Pooling> {
        let key = self.key("pooling_type");
        match self.header.uint(&key)? {
            None | Some(0) => Ok(default),
            Some(1) => Ok(Pooling::Mean),
            Some(2) => Ok(Pooling::Cls),
            Some(3) => Ok(Pooling::Last),
            Some(other) => Err(Error::Metadata { key, what: format!("{other} is no pooling we know") }),
        }
    }

    /// A number above zero, if there is one that is not zero.
    pub fn positive_if_any(&self, name: &str) -> Result<Option<f32>> {
        match self.header.float(&self.key(name))? {
            None | Some(0.0) => Ok(None),
            Some(_) => self.positive_or(name, 1.0).map(Some),
        }
    }

    /// The largest of these sizes, which is not zero.
    fn some(&self, name: &str, sizes: &Sizes) -> Result<usize> {
        match sizes.most() {
            0 => Err(bad(&self.key(name), "no layer has any")),
            most => Ok(most),
        }
    }

    pub fn config(&self) -> Result<Config> {
        let heads = self.sizes("attention.head_count")?;
        let n_heads = self.some("attention.head_count", &heads)?;
        let n_kv_heads = match self.header.metadata.contains_key(&self.key("attention.head_count_kv")) {
            true => self.some("attention.head_count_kv", &self.sizes("attention.head_count_kv")?)?,
            false => n_heads,
        };
        let n_layers = self.uint("block_count")?;
        let n_caches = match &heads {
            Sizes::All(_) => n_layers,
            Sizes::Each(heads) => heads.iter().filter(|heads| **heads > 0).count(),
        };
        let hidden_dim = self.some("feed_forward_length", &self.sizes("feed_forward_length")?)?;
        let dim = self.uint("embedding_length")?;
        let head_dim = self.uint_or("attention.key_length", Some((dim / n_heads).max(1)))?;
        if n_heads % n_kv_heads != 0 {
            let what = format!("{n_heads} query heads cannot share {n_kv_heads}");
            return Err(Error::Metadata { key: self.key("attention.head_count_kv"), what });
        }
        if self.uint_or("attention.value_length", Some(head_dim))? != head_dim {
            let what = "keys and values of different width are not supported".into();
            return Err(Error::Metadata { key: self.key("attention.value_length"), what });
        }
        if head_dim % 4 != 0 || head_dim > MAX_HEAD_DIM {
            let what = format!("{head_dim} is not a multiple of four up to {MAX_HEAD_DIM}");
            return Err(Error::Metadata { key: self.key("attention.key_length"), what });
        }
        let widths = [dim, hidden_dim, n_heads.saturating_mul(head_dim)];
        if let Some(width) = widths.into_iter().find(|&width| width > MAX_WIDTH) {
            let what = format!("a layer {width} numbers wide is more than the {MAX_WIDTH} there is room for");
            return Err(Error::Metadata { key: self.key("embedding_length"), what });
        }
        let embeddings = self.header.tensor("token_embd.weight").ok_or_else(|| Error::MissingTensor {
            tensor: "token_embd.weight".into(),
            architecture: self.architecture.name().into(),
        })?;
        let max_seq = self.max_seq()?;
        // A matrix of one row would be taken for a vector.
        if [dim, hidden_dim, embeddings.1.rows(), max_seq].into_iter().any(|size| size < 2) {
            let what = "layers, vocabulary and context have at least two numbers, tokens and positions each".into();
            return Err(Error::Metadata { key: self.key("embedding_length"), what });
        }
        let encoder = self.architecture == Architecture::Bert;
        Ok(Config {
            architecture: self.architecture,
            n_layers,
            n_caches,
            n_heads,
            n_kv_heads,
            head_dim,
            dim,
            hidden_dim,
            vocab_size: embeddings.1.rows(),
            max_seq,
            context: self.context(max_seq)?,
            encoder,
            pooling: self.pooling(if encoder { Pooling::Mean } else { Pooling::Last })?,
        })
    }
}

/// Attention of heads that neither turn nor are normed, over all earlier positions or, unless it is `causal`, over all.
pub fn plain_attention(layer: usize, head_dim: usize, causal: bool) -> Op {
    let scale = 1.0 / (head_dim as f32).sqrt();
    Op::Attention { layer, q_norm: None, k_norm: None, rope: None, causal, window: None, scale, softcap: None }
}
