//! Everything on the device but the weights: activations, keys and values, what norms and rotations need.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use hearth_engine::Result;
use hearth_engine::program::{Linear, Op, Program, Rope, WeightId};

use crate::device::Gpu;
use crate::layout::BLOCK;

/// Tokens of a decoder's run at most.
pub const MOST_TOKENS: usize = 64;

/// Tokens of a decoder's run at most that gives the logits of them all.
const MOST_LOGITS: usize = 16;

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
    /// Weights and biases of norms, and BERT's vector of a kind, filled up with zeros.
    pub vectors: HashMap<WeightId, wgpu::Buffer>,
    /// Where the bias of a product is, and at which number there: those of an operation lie side by side, as their products do.
    pub biases: HashMap<WeightId, (wgpu::Buffer, usize)>,
    pub widths: Widths,
    /// Tokens of a run at most: all of a text where tokens see later ones.
    pub most_tokens: usize,
    /// Tokens of a run at most that gives the logits of them all.
    pub most_logits: usize,
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
        let has_logits = matches!(program.ops.last(), Some(Op::Head { linear: Some(_), .. }));
        let (most_tokens, most_logits) = match (c.encoder, has_logits) {
            (false, _) => (MOST_TOKENS, MOST_LOGITS),
            (true, true) => (context, context),
            (true, false) => (context, 1),
        };
        let widest = widths.x.max(widths.heads).max(widths.hidden);
        let rows = |label: &str, width: usize| gpu.storage(label, most_tokens * width * 4);
        let cache = |label: &str| gpu.storage(label, context * c.n_kv_heads * c.head_dim * cache_bytes);
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let mut turns: Vec<(Rope, wgpu::Buffer)> = Vec::new();
        let (mut vectors, mut biases) = (HashMap::new(), HashMap::new());
        for op in &program.ops {
            if let Op::Attention { rope: Some(rope), .. } = op
                && !turns.iter().any(|(known, _)| known == rope)
            {
                turns.push((*rope, gpu.storage("turns", context * rope.dims * 4)?));
            }
            let norms = op.norms().flat_map(|norm| [Some(norm.weight), norm.bias]).flatten();
            let kind = if let Op::Embed { kind, .. } = op { *kind } else { None };
            for id in norms.chain(kind) {
                if let Entry::Vacant(entry) = vectors.entry(id) {
                    entry.insert(gpu.buffer("vector", blocks(program.weights[id].cols) * 4, uniform)?);
                }
            }
            match op {
                // A head's are of two products.
                Op::Head { .. } => {
                    op.linears().try_for_each(|linear| biases_of(gpu, program, [linear], &mut biases))?
                }
                _ => biases_of(gpu, program, op.linears(), &mut biases)?,
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
            words: gpu.storage("words", most_tokens * widest)?,
            factors: gpu.storage("factors", most_tokens * widest / BLOCK * 4)?,
            logits: gpu.storage("logits", most_logits * c.vocab_size * 4)?,
            choice: gpu.buffer("choice", 32, uniform)?,
            chunks: gpu.storage("chunks", c.vocab_size.div_ceil(CHUNK) * 12)?,
            cache: (0..c.n_caches).map(|_| Ok([cache("keys")?, cache("values")?])).collect::<Result<_>>()?,
            turns,
            vectors,
            biases,
            widths,
            most_tokens,
            most_logits,
        })
    }
}

/// Room for the biases of products that lie side by side, if any of them has one.
fn biases_of(
    gpu: &Gpu,
    program: &Program,
    linears: impl IntoIterator<Item = Linear>,
    biases: &mut HashMap<WeightId, (wgpu::Buffer, usize)>,
) -> Result<()> {
    let mut width = 0;
    let mut found = Vec::new();
    for Linear { weight, bias, .. } in linears {
        found.extend(bias.map(|id| (id, width)));
        width += program.weights[weight].rows;
    }
    if !found.is_empty() {
        let buffer = gpu.storage("bias", width * 4)?;
        biases.extend(found.into_iter().map(|(id, at)| (id, (buffer.clone(), at))));
    }
    Ok(())
}
