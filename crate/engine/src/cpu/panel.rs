//! Products of f32 that are the same bits everywhere, for whoever compresses models: each output is one sum over `k` in ascending order,
//! rounded after every multiplication and every addition. Lanes are outputs.

use super::lanes::F32x4;

/// Rows of a weight that are multiplied side by side: with four rows of inputs, half of the registers of SSE and SIMD128 hold sums.
pub const PANEL: usize = 8;

/// `out[r][i] = Σ_k rows[r][k] · panel[k][i]`. Panics if a row is shorter than the panel.
#[inline(always)]
pub fn products<const R: usize>(panel: &[[f32; PANEL]], rows: [&[f32]; R]) -> [[f32; PANEL]; R] {
    let mut sums = [[F32x4::splat(0.0); PANEL / 4]; R];
    let rows = rows.map(|row| &row[..panel.len()]);
    for (k, lanes) in panel.iter().enumerate() {
        let (lanes, _) = lanes.as_chunks::<4>();
        for (sums, row) in sums.iter_mut().zip(rows) {
            let x = F32x4::splat(row[k]);
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                *sum = sum.add(x.mul(F32x4::from_array(*lanes)));
            }
        }
    }
    sums.map(|[low, high]| {
        let (low, high) = (low.to_array(), high.to_array());
        std::array::from_fn(|i| if i < 4 { low[i] } else { high[i - 4] })
    })
}
