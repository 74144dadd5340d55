//! A GPT-2 of full size, 124 million weights, made by a formula, so that its reference is a few numbers and no file.
//! `fixtures/make_parity.py` makes the same one.

use hearth_engine::executor::Logits;
use hearth_engine::formats::{Header, TensorInfo, Value};
use hearth_engine::loader::{Device, Places};
use hearth_engine::models;
use hearth_engine::quant::Format;
use serde::Deserialize;

use crate::relative_error;

/// What `transformers` says to it.
#[derive(Deserialize)]
pub struct Gpt2 {
    tokens: Vec<u32>,
    /// Of every fifth position every 97th logit.
    logits: Vec<Vec<f32>>,
}

const LAYERS: usize = 12;
const DIM: usize = 768;
const VOCAB: usize = 50257;
const POSITIONS: usize = 1024;

impl Gpt2 {
    /// The fixture's name.
    pub const FIXTURE: &str = "gpt2";

    /// How far the logits of an executor are from these.
    pub async fn error(&self, device: Device) -> f64 {
        let header = header();
        let program = models::program(&header, POSITIONS).expect("it is a GPT-2");
        let places = Places::new(&header, &program);
        let mut executor = device.executor(program).expect("there is memory");
        for (seed, tensor) in header.tensors.iter().enumerate() {
            places.load(&mut *executor, seed, 0, &bytes(seed as u64, tensor)).expect("rows fit");
        }
        let logits = executor.forward(&self.tokens, Logits::All).await.expect("it fits");
        let found: Vec<f32> =
            logits.chunks_exact(VOCAB).step_by(5).flat_map(|row| row.iter().step_by(97).copied()).collect();
        relative_error(&found, &self.logits.concat())
    }
}

/// Its tensors in the order of their seeds.
fn header() -> Header {
    let mut header = Header::default();
    header.metadata.insert("general.architecture".into(), Value::String("gpt2".into()));
    for (key, size) in [
        ("block_count", LAYERS),
        ("context_length", POSITIONS),
        ("embedding_length", DIM),
        ("feed_forward_length", 4 * DIM),
        ("attention.head_count", 12),
    ] {
        header.metadata.insert(format!("gpt2.{key}"), Value::Unsigned(size as u64));
    }
    let mut add = |name: String, shape: Vec<usize>| {
        let format = if shape.len() == 1 { Format::F32 } else { Format::F16 };
        let size_bytes = (shape.iter().product::<usize>() * format.block_bytes()) as u64;
        header.tensors.push(TensorInfo { name, shape, format, offset: 0, size_bytes });
    };
    add("token_embd.weight".into(), vec![VOCAB, DIM]);
    add("position_embd.weight".into(), vec![POSITIONS, DIM]);
    for layer in 0..LAYERS {
        for (part, shape) in [
            ("attn_norm", vec![DIM]),
            ("attn_qkv", vec![3 * DIM, DIM]),
            ("attn_output", vec![DIM, DIM]),
            ("ffn_norm", vec![DIM]),
            ("ffn_up", vec![4 * DIM, DIM]),
            ("ffn_down", vec![DIM, 4 * DIM]),
        ] {
            add(format!("blk.{layer}.{part}.bias"), vec![shape[0]]);
            add(format!("blk.{layer}.{part}.weight"), shape);
        }
    }
    add("output_norm.weight".into(), vec![DIM]);
    add("output_norm.bias".into(), vec![DIM]);
    // Weights come before biases.
    header.tensors[2..2 + 12 * LAYERS].chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    header
}

/// The tensor's numbers, as its format stores them.
fn bytes(seed: u64, tensor: &TensorInfo) -> Vec<u8> {
    let count = tensor.shape.iter().product::<usize>() as u64;
    let numbers = |scale: f64| (0..count).map(move |i| number(seed, i, scale));
    match (tensor.format, tensor.name.ends_with("weight")) {
        (Format::F16, _) => numbers(0.08).flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect(),
        (_, true) => numbers(0.2).flat_map(|x| (x + 1.0).to_le_bytes()).collect(),
        (_, false) => numbers(0.1).flat_map(f32::to_le_bytes).collect(),
    }
}

/// A number within ±scale: SplitMix64 (Steele et al. 2014) of seed and place, its upper 24 bits.
fn number(seed: u64, i: u64, scale: f64) -> f32 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let z = ((seed << 32) + i).wrapping_mul(GAMMA).wrapping_add(GAMMA);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let unit = ((z ^ z >> 31) >> 40) as f64 / f64::from(1 << 24);
    ((unit * 2.0 - 1.0) * scale) as f32
}
