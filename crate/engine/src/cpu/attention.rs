//! `softmax(Q Kᵀ · scale) V` a page of positions at a time, with a running maximum (Dao et al. 2022, arXiv:2205.14135).
//!
//! The work is cut into units: a key/value head, some tokens with all the query heads that share it, and a stretch of
//! positions. Each leaves the sum of its weighted values, its maximum and its sum of weights; `merge` joins them. How it is cut
//! depends on the sizes alone, so that answers do not depend on the number of threads.

use super::cache::{Head, PAGE, Page, Row, WIDTH};
use super::lanes::{F32x4, HALF_SCALE};
use crate::program::Config;

/// Widest head there is room for: twice the widest model we know.
pub const MAX_HEAD_DIM: usize = 512;

/// Query rows in a unit, at most (unless more heads share a key).
const ROWS: usize = 12;

/// Positions of a stretch. They begin at its multiples whatever is run, so that a token gets the same numbers alone and among
/// others.
const STRETCH: usize = 2 * PAGE;

/// How the attention of some tokens is cut into units.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    head_dim: usize,
    /// Query heads to a key/value head.
    group: usize,
    kv_heads: usize,
    /// Cached positions before the first token.
    first: usize,
    tokens: usize,
    window: usize,
    /// Tokens of a unit.
    block: usize,
    stretches: usize,
}

/// What a unit is about.
struct Unit {
    kv_head: usize,
    tokens: std::ops::Range<usize>,
    positions: std::ops::Range<usize>,
}

impl Cut {
    /// For `tokens` behind `first` cached ones; `window` as in [`Op::Attention`](crate::program::Op::Attention).
    pub fn new(config: &Config, first: usize, tokens: usize, window: Option<usize>) -> Cut {
        let group = config.n_heads / config.n_kv_heads;
        let window = window.unwrap_or(usize::MAX);
        let start = (first + 1).saturating_sub(window) / STRETCH;
        let stretches = (first + tokens).div_ceil(STRETCH) - start;
        let block = (ROWS / group).max(1).min(tokens);
        let (head_dim, kv_heads) = (config.head_dim, config.n_kv_heads);
        Cut { head_dim, group, kv_heads, first, tokens, window, block, stretches }
    }

    /// Numbers each unit leaves: for every row its weighted values, maximum and sum.
    fn unit_len(&self) -> usize {
        self.block * self.group * self.row_len()
    }

    fn row_len(&self) -> usize {
        self.head_dim.next_multiple_of(WIDTH) + 2
    }

    fn blocks(&self) -> usize {
        self.tokens.div_ceil(self.block)
    }

    /// How many units there are.
    pub fn units(&self) -> usize {
        self.kv_heads * self.blocks() * self.stretches
    }

    /// Numbers all units leave.
    pub fn len(&self) -> usize {
        self.units() * self.unit_len()
    }

    /// First position that token `t` sees.
    fn start(&self, t: usize) -> usize {
        (self.first + t + 1).saturating_sub(self.window)
    }

    fn unit(&self, i: usize) -> Unit {
        let (rest, stretch) = (i / self.stretches, i % self.stretches);
        let (kv_head, block) = (rest / self.blocks(), rest % self.blocks());
        let tokens = block * self.block..((block + 1) * self.block).min(self.tokens);
        let (start, end) = (self.start(tokens.start), self.first + tokens.end);
        let stretch = (self.start(0) / STRETCH + stretch) * STRETCH;
        let positions = start.max(stretch)..end.min(stretch + STRETCH);
        Unit { kv_head, tokens, positions }
    }

    /// Does unit `i`. `queries: [T, width]` begins each row with the queries of all heads.
    pub fn attend(&self, i: usize, heads: &[Head], queries: &[f32], width: usize, scale: f32, out: &mut [f32]) {
        let unit = self.unit(i);
        let head = &heads[unit.kv_head];
        let e = self.head_dim;
        // The queries, times what the halves lack, and the positions each row sees.
        let mut scaled = [0.0; 4 * MAX_HEAD_DIM];
        let first_row = unit.tokens.start * self.group;
        let rows = unit.tokens.len() * self.group;
        let most = (scaled.len() / e).min(ROWS);
        for part in (0..rows).step_by(most) {
            let count = most.min(rows - part);
            for (r, scaled) in scaled.chunks_exact_mut(e).take(count).enumerate() {
                let (t, h) = ((first_row + part + r) / self.group, (part + r) % self.group);
                let query = &queries[t * width + (unit.kv_head * self.group + h) * e..][..e];
                scaled.iter_mut().zip(query).for_each(|(scaled, q)| *scaled = q * scale * HALF_SCALE);
            }
            let out = &mut out[part * self.row_len()..(part + count) * self.row_len()];
            let visible = |r: usize| {
                let t = (first_row + part + r) / self.group;
                self.start(t)..self.first + t + 1
            };
            let attend = if count <= FEW { attend_rows::<FEW> } else { attend_rows::<ROWS> };
            attend(head, &scaled[..count * e], e, unit.positions.clone(), &visible, out);
        }
    }

    /// Joins what the units left for token `t` into `out: [H · E]`.
    pub fn merge(&self, t: usize, units: &[f32], out: &mut [f32]) {
        let (e, row_len) = (self.head_dim, self.row_len());
        for (head, out) in out.chunks_exact_mut(e).enumerate() {
            let unit = (head / self.group * self.blocks() + t / self.block) * self.stretches;
            let row = t % self.block * self.group + head % self.group;
            let parts = || {
                (unit..unit + self.stretches).map(|unit| &units[unit * self.unit_len() + row * row_len..][..row_len])
            };
            let max = parts().map(|part| part[row_len - 2]).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = parts().map(|part| part[row_len - 1] * exp(part[row_len - 2] - max)).sum();
            out.fill(0.0);
            for part in parts() {
                let factor = exp(part[row_len - 2] - max) / sum;
                out.iter_mut().zip(part).for_each(|(out, value)| *out += value * factor);
            }
        }
    }
}

/// Rows when decoding: a smaller stack frame to fill.
const FEW: usize = 4;

/// At most `MOST` rows `[R, E]` of scaled queries over `positions`, into `out: [R, row_len]`; row `r` sees `visible(r)` of them.
fn attend_rows<const MOST: usize>(
    head: &Head,
    queries: &[f32],
    e: usize,
    positions: std::ops::Range<usize>,
    visible: &dyn Fn(usize) -> std::ops::Range<usize>,
    out: &mut [f32],
) {
    let rows = queries.len() / e;
    let row_len = out.len() / rows;
    for out in out.chunks_exact_mut(row_len) {
        out.fill(0.0);
        out[row_len - 2] = f32::NEG_INFINITY;
    }
    let mut scores = [[0.0; PAGE]; MOST];
    let scores = &mut scores[..rows];
    let mut start = positions.start;
    while start < positions.end {
        let end = (start / PAGE * PAGE + PAGE).min(positions.end);
        let page = &head.pages[start / PAGE];
        let (from, to) = (start % PAGE, start % PAGE + end - start);
        for tile in from / WIDTH..to.div_ceil(WIDTH) {
            in_threes(rows, |r, count| match count {
                3 => score::<3>(page.keys(tile), queries, e, r, tile, scores),
                2 => score::<2>(page.keys(tile), queries, e, r, tile, scores),
                _ => score::<1>(page.keys(tile), queries, e, r, tile, scores),
            });
        }
        for (r, (scores, out)) in scores.iter_mut().zip(out.chunks_exact_mut(row_len)).enumerate() {
            let visible = visible(r);
            let seen = visible.start.clamp(start, end) - start + from..visible.end.clamp(start, end) - start + from;
            weigh(scores, from..to, seen, out);
        }
        for tile in 0..e.div_ceil(WIDTH) {
            in_threes(rows, |r, count| match count {
                3 => mix::<3>(page, tile, from..to, r, scores, out),
                2 => mix::<2>(page, tile, from..to, r, scores, out),
                _ => mix::<1>(page, tile, from..to, r, scores, out),
            });
        }
        start = end;
    }
}

/// Calls `each` with the first of every three rows and their number; four are two and two.
#[inline(always)]
fn in_threes(rows: usize, mut each: impl FnMut(usize, usize)) {
    let mut r = 0;
    while r < rows {
        let count = match rows - r {
            4 | 2 => 2,
            1 => 1,
            _ => 3,
        };
        each(r, count);
        r += count;
    }
}

/// The lanes' own exponential: the standard library's differs between the browser and elsewhere.
fn exp(x: f32) -> f32 {
    F32x4::splat(x).exp().to_array()[0]
}

/// Adds row `j` of `tile` times `factors[r][j]` to `sums[r]`.
#[inline(always)]
fn accumulate<const R: usize>(tile: &[Row], factors: [&[f32]; R], sums: &mut [[F32x4; WIDTH / 4]; R]) {
    let mask = Row::mask();
    let factors = factors.map(|factors| &factors[..tile.len()]);
    for (j, row) in tile.iter().enumerate() {
        let numbers = row.widen(mask);
        for (sums, factors) in sums.iter_mut().zip(factors) {
            let factor = F32x4::splat(factors[j]);
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum = sum.add(number.mul(factor)));
        }
    }
}

/// Scores of rows `r` and on with the sixteen positions of a tile.
#[inline(never)]
fn score<const R: usize>(keys: &[Row], queries: &[f32], e: usize, r: usize, tile: usize, scores: &mut [[f32; PAGE]]) {
    let mut sums = [[F32x4::splat(0.0); WIDTH / 4]; R];
    accumulate(keys, std::array::from_fn(|i| &queries[(r + i) * e..(r + i + 1) * e]), &mut sums);
    for (scores, sums) in scores[r..].iter_mut().zip(sums) {
        scores[tile * WIDTH..][..WIDTH].copy_from_slice(sums.map(F32x4::to_array).as_flattened());
    }
}

/// Turns the scores in `seen` into weights relative to the running maximum and those of the rest of `all` into nothing.
/// Weights carry [`HALF_SCALE`], which the values lack. What was summed before is scaled to the new maximum.
fn weigh(scores: &mut [f32; PAGE], all: std::ops::Range<usize>, seen: std::ops::Range<usize>, out: &mut [f32]) {
    let n = out.len() - 2;
    scores[all.start..seen.start].fill(0.0);
    scores[seen.end..all.end].fill(0.0);
    let scores = &mut scores[seen];
    if scores.is_empty() {
        return;
    }
    let (lanes, rest) = scores.as_chunks_mut::<4>();
    let mut max = F32x4::splat(out[n]);
    lanes.iter().for_each(|scores| max = max.max(F32x4::from_array(*scores)));
    let max = max.to_array().into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max);
    let factor = exp(out[n] - max);
    if factor != 1.0 {
        out.iter_mut().for_each(|out| *out *= factor);
    }
    let mut sum = F32x4::splat(0.0);
    for scores in lanes {
        let weights = F32x4::from_array(*scores).sub(F32x4::splat(max)).exp();
        sum = sum.add(weights);
        *scores = weights.mul(F32x4::splat(HALF_SCALE)).to_array();
    }
    let mut total = sum.sum();
    for score in rest {
        let weight = exp(*score - max);
        total += weight;
        *score = weight * HALF_SCALE;
    }
    out[n] = max;
    out[n + 1] += total;
}

/// Adds the weighted values at `positions` of a page to the sums of rows `r` and on.
#[inline(never)]
fn mix<const R: usize>(
    page: &Page,
    tile: usize,
    positions: std::ops::Range<usize>,
    r: usize,
    weights: &[[f32; PAGE]],
    out: &mut [f32],
) {
    let row_len = out.len() / weights.len();
    let at = |i: usize| (r + i) * row_len + tile * WIDTH;
    let mut sums: [[F32x4; WIDTH / 4]; R] =
        std::array::from_fn(|i| std::array::from_fn(|j| F32x4::from_array(out[at(i)..].as_chunks().0[j])));
    let factors = std::array::from_fn(|i| &weights[r + i][positions.clone()]);
    accumulate(&page.values(tile)[positions.clone()], factors, &mut sums);
    for (i, sums) in sums.into_iter().enumerate() {
        out[at(i)..][..WIDTH].copy_from_slice(sums.map(F32x4::to_array).as_flattened());
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::super::cache::Cache;
    use super::*;
    use crate::models::Architecture;

    /// Attention of the last `tokens` of `total` positions, cut as for so many tokens at a time.
    fn attention(config: &Config, total: usize, tokens: usize, at_a_time: usize, window: Option<usize>) -> Vec<f32> {
        let (e, queries) = (config.head_dim, config.n_heads * config.head_dim);
        let keys = config.n_kv_heads * e;
        let width = queries + 2 * keys;
        let mut random = fastrand::Rng::with_seed(3);
        let h: Vec<f32> = (0..total * width).map(|_| random.f32() * 4.0 - 2.0).collect();
        let mut cache = Cache::new(config);
        cache.reserve(total).unwrap();
        for (i, head) in cache.heads.iter_mut().enumerate() {
            head.append(0, &h, width, (queries + i * e, queries + keys + i * e), e);
        }
        let mut out = vec![0.0; tokens * queries];
        for (first, out) in (total - tokens..total).step_by(at_a_time).zip(out.chunks_mut(at_a_time * queries)) {
            let count = out.len() / queries;
            let cut = Cut::new(config, first, count, window);
            let mut units = vec![f32::NAN; cut.len()];
            let rows = &h[first * width..(first + count) * width];
            for (i, unit) in units.chunks_exact_mut(cut.len() / cut.units()).enumerate() {
                cut.attend(i, &cache.heads, rows, width, 0.3, unit);
            }
            out.chunks_exact_mut(queries).enumerate().for_each(|(t, out)| cut.merge(t, &units, out));
        }
        // The plain way, on what the cache stores.
        let stored = |x: f32| f64::from(f16::from_f32(x).to_f32());
        for (t, out) in out.chunks_exact(queries).enumerate() {
            let position = total - tokens + t;
            let start = (position + 1).saturating_sub(window.unwrap_or(usize::MAX));
            for (head, out) in out.chunks_exact(e).enumerate() {
                let q = &h[position * width + head * e..][..e];
                let at = |s: usize, part: usize| {
                    &h[s * width + queries + part * keys + head / (config.n_heads / config.n_kv_heads) * e..][..e]
                };
                let weights: Vec<f64> = (start..=position)
                    .map(|s| (0.3 * q.iter().zip(at(s, 0)).map(|(q, k)| f64::from(*q) * stored(*k)).sum::<f64>()).exp())
                    .collect();
                let sum: f64 = weights.iter().sum();
                for (i, out) in out.iter().enumerate() {
                    let mixed: f64 = weights.iter().zip(start..).map(|(w, s)| w * stored(at(s, 1)[i])).sum();
                    assert!(
                        (f64::from(*out) - mixed / sum).abs() < 2e-5,
                        "{position} {head} {i}: {out} {}",
                        mixed / sum
                    );
                }
            }
        }
        out
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn attention_is_the_plain_one_however_it_is_cut() {
        for (n_heads, n_kv_heads, head_dim) in [(9, 3, 64), (4, 1, 40), (2, 2, 16), (16, 1, 8)] {
            let config = Config {
                architecture: Architecture::Llama,
                n_layers: 1,
                n_heads,
                n_kv_heads,
                head_dim,
                dim: 64,
                hidden_dim: 64,
                vocab_size: 64,
                max_seq: 2048,
            };
            for (total, tokens, window) in [(5, 5, None), (700, 21, None), (1100, 5, Some(530)), (300, 9, Some(4))] {
                let alone = attention(&config, total, tokens, 1, window);
                for at_a_time in [3, 64] {
                    let together = attention(&config, total, tokens, at_a_time, window);
                    assert!(alone == together, "{n_heads} heads, {total} positions, {at_a_time} at a time, {window:?}");
                }
            }
        }
    }
}
