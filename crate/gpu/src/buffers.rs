//! Everything on the device but the weights: activations, keys and values, what norms and rotations need.

use std::collections::HashMap;

use hearth_engine::Result;
use hearth_engine::program::{Op, Program, Rope, WeightId};

use crate::device::Gpu;
use crate::layout::BLOCK;

/// Tokens of a run at most.
pub const MOST_TOKENS: usize = 64;

/// Tokens of a run at most that gives the logits of them all.
pub const MOST_LOGITS: usize = 16;

/// Parts that attention over a long context is split into at most.
pub const MOST_SPLITS: usize = 16;

/// Logits that a workgroup looks through when a token is chosen.
pub const CHUNK: usize = 1024;

/// Widths of rows, filled up to whole blocks.
#[derive(Clone, Copy)]
pub struct Widths {
    /// Of the residual stream, D.
    pub x: usize,
    /// Of queries, keys and values, (H + 2K) E.
    pub qkv: usize,
    /// Of what attention makes, H E.
    pub heads: usize,
    /// Of the feed-forward part, F.
    pub hidden: usize,
}

/// The buffers.
pub struct Buffers {
    pub state: wgpu::Buffer,
    /// All tokens of the conversation by position, and room for the one after the last.
    pub tokens: wgpu::Buffer,
    /// Residual stream, `[T, D]`, and another where the next one is made while this one is read.
    pub x: [wgpu::Buffer; 2],
    /// Normed activations, or what is still to be normed and added, `[T, D]`.
    pub y: wgpu::Buffer,
    /// `[T, (H + 2K) E]`.
    pub qkv: wgpu::Buffer,
    /// `[T, H E]`.
    pub heads: wgpu::Buffer,
    /// `[SPLITS, H, E + 2]`.
    pub splits: wgpu::Buffer,
    /// `[T, F]`: gate, up, and their product.
    pub hidden: [wgpu::Buffer; 3],
    /// Activations in bytes, `[T, blocks, 32]`.
    pub words: wgpu::Buffer,
    /// What each block of them is to be multiplied by, `[T, blocks]`.
    pub factors: wgpu::Buffer,
    /// `[T, V]`.
    pub logits: wgpu::Buffer,
    /// How tokens are to be chosen.
    pub choice: wgpu::Buffer,
    /// What is known of every [`CHUNK`] logits.
    pub chunks: wgpu::Buffer,
    /// Keys and values of each layer, `[S, K, E]`.
    pub cache: Vec<[wgpu::Buffer; 2]>,
    /// Cosine and sine of each position and pair, for each rotation in use.
    pub turns: Vec<(Rope, wgpu::Buffer)>,
    /// Weights of norms, filled up with zeros.
    pub vectors: HashMap<WeightId, wgpu::Buffer>,
    pub widths: Widths,
}

impl Buffers {
    /// Room for `context` positions, in `cache_bytes` for a number of the cache.
    pub fn new(gpu: &Gpu, program: &Program, context: usize, cache_bytes: usize) -> Result<Buffers> {
        let c = &program.config;
        let blocks = |width: usize| width.next_multiple_of(BLOCK);
        let widths = Widths {
            x: blocks(c.dim),
            qkv: blocks((c.n_heads + 2 * c.n_kv_heads) * c.head_dim),
            heads: blocks(c.n_heads * c.head_dim),
            hidden: blocks(c.hidden_dim),
        };
        let widest = widths.x.max(widths.heads).max(widths.hidden);
        let rows = |label: &str, width: usize| gpu.storage(label, MOST_TOKENS * width * 4);
        let cache = |label: &str| gpu.storage(label, context * c.n_kv_heads * c.head_dim * cache_bytes);
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let mut turns: Vec<(Rope, wgpu::Buffer)> = Vec::new();
        let mut vectors = HashMap::new();
        for op in &program.ops {
            let norms = match op {
                Op::NormLinear { norm, .. } | Op::Head { norm, .. } => [Some(*norm), None],
                Op::LinearAdd { post_norm, .. } => [*post_norm, None],
                Op::Attention { q_norm, k_norm, rope, .. } => {
                    if !turns.iter().any(|(known, _)| known == rope) {
                        turns.push((*rope, gpu.storage("turns", context * rope.dims * 4)?));
                    }
                    [*q_norm, *k_norm]
                }
                Op::Embed { .. } => [None, None],
            };
            for norm in norms.into_iter().flatten() {
                let cols = program.weights[norm.weight].cols;
                if let std::collections::hash_map::Entry::Vacant(entry) = vectors.entry(norm.weight) {
                    entry.insert(gpu.buffer("norm", blocks(cols) * 4, uniform)?);
                }
            }
        }
        Ok(Buffers {
            state: gpu.storage("state", 16)?,
            tokens: gpu.storage("tokens", (context + 1) * 4)?,
            x: [rows("x", widths.x)?, rows("x", widths.x)?],
            y: rows("y", widths.x)?,
            qkv: rows("qkv", widths.qkv)?,
            heads: rows("heads", widths.heads)?,
            splits: gpu.storage("splits", MOST_SPLITS * c.n_heads * (c.head_dim + 2) * 4)?,
            hidden: [rows("gate", widths.hidden)?, rows("up", widths.hidden)?, rows("hidden", widths.hidden)?],
            words: gpu.storage("words", MOST_TOKENS * widest)?,
            factors: gpu.storage("factors", MOST_TOKENS * widest / BLOCK * 4)?,
            logits: gpu.storage("logits", MOST_LOGITS * c.vocab_size * 4)?,
            choice: gpu.buffer("choice", 32, uniform)?,
            chunks: gpu.storage("chunks", c.vocab_size.div_ceil(CHUNK) * 12)?,
            cache: (0..c.n_layers).map(|_| Ok([cache("keys")?, cache("values")?])).collect::<Result<_>>()?,
            turns,
            vectors,
            widths,
        })
    }
}
