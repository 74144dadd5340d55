//! Small models of random weights, in every format and of awkward sizes, for comparing executors.

use hearth_engine::executor::{Executor, Logits};
use hearth_engine::models::Architecture;
use hearth_engine::naive::Naive;
use hearth_engine::program::{
    Activation, Config, Linear, Norm, NormKind, Op, Pooling, Program, Rope, RopePairs, Stretch, Weight, WeightId,
};
use hearth_engine::quant::Format;
use pollster::block_on;

/// A model and what its file would hold.
pub struct Made {
    /// What it computes.
    pub program: Program,
    /// Each weight's rows, one after the other.
    pub bytes: Vec<Vec<u8>>,
}

/// What a made model is like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Of all matrices.
    pub format: Format,
    /// D, F, V.
    pub sizes: [usize; 3],
    /// H, K, E.
    pub heads: [usize; 3],
    /// Like Gemma 2 and 3: head norms, norms behind the halves, windows, caps, GELU, halves that turn.
    pub gemma: bool,
    /// Layers.
    pub layers: usize,
}

struct Maker {
    made: Made,
    random: fastrand::Rng,
}

impl Maker {
    fn weight(&mut self, format: Format, rows: usize, cols: usize) -> WeightId {
        let id = self.made.bytes.len();
        let size = 1.0 / (cols as f32).sqrt();
        let mut bytes = Vec::new();
        for _ in 0..rows {
            bytes.extend(header(format, size, &mut self.random));
            (0..cols / format.block_len()).for_each(|_| bytes.extend(block(format, size, rows == 1, &mut self.random)));
        }
        self.made.bytes.push(bytes);
        self.made.program.weights.push(Weight { name: format!("w{id}"), tensor: id, first_row: 0, rows, cols, format });
        id
    }

    fn linear(&mut self, format: Format, rows: usize, cols: usize) -> Linear {
        Linear { weight: self.weight(format, rows, cols), bias: None, low_rank: None }
    }

    fn norm(&mut self, len: usize) -> Norm {
        Norm { kind: NormKind::Rms, weight: self.weight(Format::F32, 1, len), bias: None, eps: 1e-5 }
    }
}

/// What a row begins with: a random table and, where rows have one, a scale that makes numbers about `size`.
fn header(format: Format, size: f32, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..format.header_bytes()).map(|_| random.u8(..)).collect();
    if format == Format::LUT4_ROW {
        bytes[16..].copy_from_slice(&half::f16::from_f32(size / 128.0).to_le_bytes());
    }
    bytes
}

/// A random block whose numbers are about `size`; about 1 for a norm's weight.
fn block(format: Format, size: f32, norm: bool, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..format.block_bytes()).map(|_| random.u8(..)).collect();
    let number = (random.f32() * 2.0 - 1.0) * size;
    let mut put = |at: usize, number: f32| {
        bytes[at..at + 2].copy_from_slice(&half::f16::from_f32(number * (0.5 + random.f32())).to_le_bytes());
    };
    match format {
        Format::F32 => return (if norm { 1.0 + number } else { number }).to_le_bytes().to_vec(),
        Format::F16 => return half::f16::from_f32(number).to_le_bytes().to_vec(),
        Format::BF16 => return half::bf16::from_f32(number).to_le_bytes().to_vec(),
        Format::Q4_0 | Format::S4_16_32 => put(0, size / 8.0),
        Format::Q4_1 => {
            put(0, size / 8.0);
            put(2, -size);
        }
        Format::Q5_0 => put(0, size / 16.0),
        Format::Q5_1 => {
            put(0, size / 16.0);
            put(2, -size);
        }
        Format::Q8_0 | Format::IQ4_NL | Format::LUT4_32 => put(0, size / 128.0),
        Format::LUT4_ROW => {}
        Format::Q2_K => {
            put(80, size / 30.0);
            put(82, size / 20.0);
        }
        Format::Q3_K => put(108, size / 60.0),
        Format::Q4_K => {
            put(0, size / 300.0);
            put(2, size / 40.0);
        }
        Format::Q5_K => {
            put(0, size / 600.0);
            put(2, size / 40.0);
        }
        Format::Q6_K => put(208, size / 4000.0),
        Format::IQ4_XS => put(0, size / 2000.0),
        // The power of two below `size`, over 8 to 32; numbers are up to twelve times that.
        Format::MXFP4 => bytes[0] = (size.to_bits() >> 23) as u8 - 4 + bytes[0] % 3,
    }
    bytes
}

/// A model of this shape; the same one each time.
pub fn made(shape: &Shape) -> Made {
    let Shape { format, sizes: [dim, hidden, vocab], heads: [n_heads, n_kv_heads, head_dim], gemma, layers } = *shape;
    let config = Config {
        architecture: Architecture::Llama,
        n_layers: layers,
        n_caches: layers,
        n_heads,
        n_kv_heads,
        head_dim,
        dim,
        hidden_dim: hidden,
        vocab_size: vocab,
        max_seq: 4096,
        context: 4096,
        encoder: false,
        pooling: Pooling::Last,
    };
    let made = Made { program: Program { config, weights: Vec::new(), ops: Vec::new() }, bytes: Vec::new() };
    let mut m = Maker { made, random: fastrand::Rng::with_seed(7) };
    let table = m.weight(format, vocab, dim);
    let scale = if gemma { (dim as f32).sqrt() } else { 1.0 };
    let mut ops = vec![Op::Embed { table, scale, positions: None, kind: None }];
    let rope = Rope {
        pairs: if gemma { RopePairs::Halves } else { RopePairs::Neighbours },
        dims: head_dim,
        theta: 10_000.0,
        stretch: Stretch::Linear { factor: 1.0 },
        magnitude: 1.0,
        divisors: None,
    };
    for layer in 0..layers {
        ops.push(Op::NormLinear {
            norm: Some(m.norm(dim)),
            linears: [n_heads, n_kv_heads, n_kv_heads].map(|n| m.linear(format, n * head_dim, dim)).to_vec(),
            activation: Activation::None,
        });
        ops.push(Op::Attention {
            layer,
            q_norm: gemma.then(|| m.norm(head_dim)),
            k_norm: gemma.then(|| m.norm(head_dim)),
            rope: Some(rope),
            causal: true,
            window: (gemma && layer % 2 == 0).then_some(5),
            scale: 1.0 / (head_dim as f32).sqrt(),
            softcap: (gemma && layer % 2 == 1).then_some(2.0),
        });
        let linear = m.linear(format, dim, n_heads * head_dim);
        ops.push(Op::LinearAdd { linear, post_norm: gemma.then(|| m.norm(dim)) });
        ops.push(Op::NormLinear {
            norm: Some(m.norm(dim)),
            linears: vec![m.linear(format, hidden, dim), m.linear(format, hidden, dim)],
            activation: if gemma { Activation::GatedGelu } else { Activation::GatedSilu },
        });
        let linear = m.linear(format, dim, hidden);
        ops.push(Op::LinearAdd { linear, post_norm: gemma.then(|| m.norm(dim)) });
    }
    let linear = Some(Linear { weight: table, bias: None, low_rank: None });
    ops.push(Op::Head { transform: None, norm: Some(m.norm(dim)), linear, softcap: gemma.then_some(3.0) });
    m.made.program.ops = ops;
    m.made
}

impl Made {
    /// The logits of all `tokens`, by the oracle.
    pub fn naive(&self, tokens: &[u32]) -> Vec<f32> {
        let mut naive = Naive::new(self.program.clone());
        self.bytes.iter().enumerate().for_each(|(id, bytes)| naive.load_rows(id, 0, bytes).expect("there is memory"));
        block_on(naive.forward(tokens, Logits::All)).expect("the oracle does not fail").to_vec()
    }
}
