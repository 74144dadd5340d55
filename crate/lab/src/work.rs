//! What a token costs, counted from the model and not measured: the same on every device, so that models can be compared where
//! nothing tells joules.

use hearth_engine::program::{Linear, Op, WeightId};
use serde::Serialize;

use crate::error::Result;
use crate::model::Model;

/// Work and sizes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Work {
    /// Multiplications with weights that making one token takes, zeros included: kernels do those, too.
    pub macs_per_token: u64,
    /// Of these, with weights that are not zero.
    pub nonzero_macs_per_token: u64,
    /// Bytes of weights that making one token reads.
    pub bytes_per_token: u64,
    /// Bytes of all weights, as they are held while the model runs.
    pub resident_bytes: u64,
    /// Bytes of keys and values of one position, as 16-bit numbers.
    pub cache_bytes_per_token: u64,
    /// Bytes of its file.
    pub file_bytes: u64,
}

impl Work {
    /// Of a model.
    pub fn of(model: &Model) -> Result<Work> {
        let program = model.program(1)?;
        let (mut all, mut nonzero) = (0, 0);
        let products: Vec<WeightId> = program.ops.iter().flat_map(Op::linears).flat_map(Linear::matrices).collect();
        for &id in &products {
            let weight = &program.weights[id];
            all += (weight.rows * weight.cols) as u64;
            nonzero += model.nonzero(&program, id);
        }
        let attentions = program.ops.iter().filter(|op| matches!(op, Op::Attention { .. })).count();
        let width = 2 * program.config.n_kv_heads * program.config.head_dim;
        Ok(Work {
            macs_per_token: all,
            nonzero_macs_per_token: nonzero,
            bytes_per_token: program.weight_bytes() as u64,
            resident_bytes: model.tensor_bytes() as u64,
            cache_bytes_per_token: (attentions * width * 2) as u64,
            file_bytes: model.file_bytes()?,
        })
    }
}
