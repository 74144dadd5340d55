//! `softmax(Q Kᵀ · scale) V` a page of positions at a time, with a running maximum (Dao et al. 2022, arXiv:2205.14135).
//!
//! The work is cut into units: a key/value head, some tokens with all the query heads that share it, and a stretch of
//! positions. Each leaves the sum of its weighted values, its maximum and its sum of weights; `merge` joins them. How it is cut
//! depends on the sizes alone, so that answers do not depend on the number of threads.
//!
//! Both products are of integers: the cache's bytes with queries and weights of sixteen bits, so that only the cache itself is
//! rounded noticeably. Products of bytes would not be faster: on most machines they need as many instructions for sixteen.

use super::cache::{BLOCK, Head, PAGE, Page, Row, STEP, WIDTH, key_rows};
use super::elementwise;
use super::lanes::{Exp, F32x4, I16x8, I32x4};
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
    causal: bool,
    window: usize,
    scale: f32,
    softcap: Option<f32>,
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
    /// For `tokens` behind `first` cached ones; the rest as in [`Op::Attention`](crate::program::Op::Attention).
    pub fn new(
        config: &Config,
        (first, tokens): (usize, usize),
        (causal, window): (bool, Option<usize>),
        (scale, softcap): (f32, Option<f32>),
    ) -> Cut {
        let group = config.n_heads / config.n_kv_heads;
        let window = window.unwrap_or(usize::MAX);
        let start = if causal { (first + 1).saturating_sub(window) / STRETCH } else { 0 };
        let stretches = (first + tokens).div_ceil(STRETCH) - start;
        let block = (ROWS / group).max(1).min(tokens);
        let (head_dim, kv_heads) = (config.head_dim, config.n_kv_heads);
        Cut { head_dim, group, kv_heads, first, tokens, causal, window, scale, softcap, block, stretches }
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

    /// The positions that token `t` sees.
    fn visible(&self, t: usize) -> std::ops::Range<usize> {
        let end = self.first + if self.causal { t + 1 } else { self.tokens };
        end.saturating_sub(self.window)..end
    }

    fn unit(&self, i: usize) -> Unit {
        let (rest, stretch) = (i / self.stretches, i % self.stretches);
        let (kv_head, block) = (rest / self.blocks(), rest % self.blocks());
        let tokens = block * self.block..((block + 1) * self.block).min(self.tokens);
        let (start, end) = (self.visible(tokens.start).start, self.visible(tokens.end - 1).end);
        let stretch = (self.visible(0).start / STRETCH + stretch) * STRETCH;
        let positions = start.max(stretch)..end.min(stretch + STRETCH);
        Unit { kv_head, tokens, positions }
    }

    /// Does unit `i`. `queries: [T, width]` begins each row with the queries of all heads.
    pub fn attend(&self, i: usize, heads: &[Head], queries: &[f32], width: usize, out: &mut [f32]) {
        let unit = self.unit(i);
        let head = &heads[unit.kv_head];
        let e = self.head_dim;
        // The queries' codes and scales.
        let mut codes = [[0; 2]; 2 * MAX_HEAD_DIM];
        let mut scales = [0.0; ROWS];
        let first_row = unit.tokens.start * self.group;
        let rows = unit.tokens.len() * self.group;
        let stride = key_rows(e);
        let most = (codes.len() / stride).min(ROWS);
        for part in (0..rows).step_by(most) {
            let count = most.min(rows - part);
            for (r, (codes, out)) in codes.chunks_exact_mut(stride).zip(&mut scales).take(count).enumerate() {
                let (t, h) = ((first_row + part + r) / self.group, (part + r) % self.group);
                let query = &queries[t * width + (unit.kv_head * self.group + h) * e..][..e];
                *out = self.scale * quantize(query, codes);
            }
            let out = &mut out[part * self.row_len()..(part + count) * self.row_len()];
            let visible = |r: usize| self.visible((first_row + part + r) / self.group);
            let attend = if count <= FEW { attend_rows::<FEW> } else { attend_rows::<ROWS> };
            let queries = Queries { codes: &codes[..count * stride], scales: &scales[..count], softcap: self.softcap };
            attend(head, queries, e, unit.positions.clone(), &visible, out);
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

/// Largest code of a query or a weight. With the cache's bytes, a page's sum of products stays within an i32.
const LARGEST: f32 = 32767.0;

/// Rows of queries.
#[derive(Clone, Copy)]
struct Queries<'a> {
    /// `[R, E]`, two neighbours together, with zeros up to whole steps of rows of keys.
    codes: &'a [[i16; 2]],
    /// What a row's codes are to be multiplied by.
    scales: &'a [f32],
    /// Of the scores.
    softcap: Option<f32>,
}

/// Codes in ±[`LARGEST`] of as many numbers; returns their scale.
fn quantize(numbers: &[f32], codes: &mut [[i16; 2]]) -> f32 {
    let max = numbers.iter().fold(0.0, |max: f32, number| max.max(number.abs()));
    let (scale, inverse) = steps(max);
    let round = |x: f32| (x * inverse).round_ties_even() as i16;
    codes.iter_mut().zip(numbers.as_chunks().0).for_each(|(codes, &[a, b])| *codes = [round(a), round(b)]);
    scale
}

/// A step of numbers up to `max`, and steps to the number one.
fn steps(max: f32) -> (f32, f32) {
    // Smaller than any number that counts, and large enough for the quotient.
    const SMALLEST: f32 = 1e-30;
    if max > SMALLEST { (max / LARGEST, LARGEST / max) } else { (0.0, 0.0) }
}

/// At most `MOST` rows of queries over `positions`, into `out: [R, row_len]`; row `r` sees `visible(r)` of them.
fn attend_rows<const MOST: usize>(
    head: &Head,
    queries: Queries<'_>,
    e: usize,
    positions: std::ops::Range<usize>,
    visible: &dyn Fn(usize) -> std::ops::Range<usize>,
    out: &mut [f32],
) {
    let rows = queries.scales.len();
    let row_len = out.len() / rows;
    for out in out.chunks_exact_mut(row_len) {
        out.fill(0.0);
        out[row_len - 2] = f32::NEG_INFINITY;
    }
    let (mut weights, mut codes) = ([[0.0; PAGE]; MOST], [[[0; 2]; PAGE / 2]; MOST]);
    let (weights, codes) = (&mut weights[..rows], &mut codes[..rows]);
    let mut scales = [0.0; MOST];
    let mut start = positions.start;
    while start < positions.end {
        let end = (start / PAGE * PAGE + PAGE).min(positions.end);
        let page = &head.pages[start / PAGE];
        let (from, to) = (start % PAGE, start % PAGE + end - start);
        let tiles = from / WIDTH..to.div_ceil(WIDTH);
        in_fours(rows, |r, count| match count {
            4 => score::<4>(page, tiles.clone(), queries, r, weights),
            3 => score::<3>(page, tiles.clone(), queries, r, weights),
            2 => score::<2>(page, tiles.clone(), queries, r, weights),
            _ => score::<1>(page, tiles.clone(), queries, r, weights),
        });
        // Whole lanes of codes: what is not seen weighs nothing.
        let (from, to) = (from / WIDTH * WIDTH, to.next_multiple_of(WIDTH));
        for (r, (weights, out)) in weights.iter_mut().zip(out.chunks_exact_mut(row_len)).enumerate() {
            let visible = visible(r);
            let at = |position: usize| position.clamp(start, end) - start / PAGE * PAGE;
            let (seen, mut scale) = (at(visible.start)..at(visible.end), queries.scales[r]);
            if let Some(cap) = queries.softcap {
                weights[seen.clone()].iter_mut().for_each(|score| *score *= scale);
                elementwise::softcap(&mut weights[seen.clone()], cap);
                scale = 1.0;
            }
            weigh(weights, from..to, seen, scale, out);
        }
        for (block, tiles) in (0..e.div_ceil(BLOCK)).zip((0..).step_by(BLOCK / WIDTH)) {
            for ((weights, codes), scale) in weights.iter().zip(codes.iter_mut()).zip(&mut scales) {
                *scale =
                    scaled_codes(&weights[from..to], &page.value_scales(block)[from..to], &mut codes[from / 2..to / 2]);
            }
            for tile in tiles..(tiles + BLOCK / WIDTH).min(e.div_ceil(WIDTH)) {
                let values = &page.values(tile)[from / 2..to / 2];
                let codes: &[_] = codes;
                let at = from / 2;
                in_fours(rows, |r, count| match count {
                    4 => mix::<4, MOST>(values, tile, at, codes, &scales, r, out),
                    3 => mix::<3, MOST>(values, tile, at, codes, &scales, r, out),
                    2 => mix::<2, MOST>(values, tile, at, codes, &scales, r, out),
                    _ => mix::<1, MOST>(values, tile, at, codes, &scales, r, out),
                });
            }
        }
        start = end;
    }
}

/// Calls `each` with the first of every four rows and their number.
#[inline(always)]
fn in_fours(rows: usize, mut each: impl FnMut(usize, usize)) {
    (0..rows).step_by(4).for_each(|r| each(r, (rows - r).min(4)));
}

/// The lanes' own exponential: the standard library's differs between the browser and elsewhere.
fn exp(x: f32) -> f32 {
    Exp::new().of(F32x4::splat(x)).to_array()[0]
}

/// For each row of factors, the sums over `rows` of their products, a sum for each column.
#[inline(always)]
fn products<const R: usize>(rows: &[Row], factors: [&[[i16; 2]]; R]) -> [[I32x4; 2]; R] {
    let rows = rows.as_chunks::<STEP>().0;
    let factors = factors.map(|factors| &factors.as_chunks::<STEP>().0[..rows.len()]);
    let mut sums = [[I32x4::splat(0); 2]; R];
    for (j, rows) in rows.iter().enumerate() {
        for (i, row) in rows.iter().enumerate() {
            let numbers = row.widen();
            for (sums, factors) in sums.iter_mut().zip(factors) {
                let factor = I16x8::splat_pair(factors[j][i]);
                sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum = sum.add(number.dot(factor)));
            }
        }
    }
    sums
}

/// Scores of rows `r` and on with the positions of some tiles, in steps of each row's scale.
#[inline(never)]
fn score<const R: usize>(
    page: &Page,
    tiles: std::ops::Range<usize>,
    queries: Queries<'_>,
    r: usize,
    scores: &mut [[f32; PAGE]],
) {
    let stride = page.keys(0).len();
    let queries: [_; R] = std::array::from_fn(|i| &queries.codes[(r + i) * stride..][..stride]);
    let scores: &mut [_; R] = scores[r..].first_chunk_mut().expect("as many rows");
    for tile in tiles {
        let keys = page.keys(tile);
        let mut totals = [[F32x4::splat(0.0); 2]; R];
        for (block, (rows, scales)) in keys.chunks(BLOCK / 2).zip(page.key_scales(tile)).enumerate() {
            let sums = products::<R>(rows, queries.map(|codes| &codes[block * BLOCK / 2..]));
            let scales = [0, 1].map(|i| F32x4::from_array(scales.as_chunks().0[i]));
            for (totals, sums) in totals.iter_mut().zip(sums) {
                for ((total, sum), scale) in totals.iter_mut().zip(sums).zip(scales) {
                    *total = total.add(sum.to_f32().mul(scale));
                }
            }
        }
        for (scores, totals) in scores.iter_mut().zip(totals) {
            scores[tile * WIDTH..][..WIDTH].copy_from_slice(totals.map(F32x4::to_array).as_flattened());
        }
    }
}

/// Turns the scores in `seen` into weights relative to the running maximum and those of the rest of `all` into nothing.
/// What was summed before is scaled to the new maximum.
fn weigh(
    scores: &mut [f32; PAGE],
    all: std::ops::Range<usize>,
    seen: std::ops::Range<usize>,
    scale: f32,
    out: &mut [f32],
) {
    let n = out.len() - 2;
    scores[all.start..seen.start.min(all.end)].fill(0.0);
    scores[seen.end..all.end].fill(0.0);
    let scores = &mut scores[seen];
    if scores.is_empty() {
        return;
    }
    let (lanes, rest) = scores.as_chunks_mut::<4>();
    let mut max = F32x4::splat(f32::NEG_INFINITY);
    lanes.iter().for_each(|scores| max = max.max(F32x4::from_array(*scores)));
    let max = max.to_array().into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max);
    let max = (max * scale).max(out[n]);
    let factor = exp(out[n] - max);
    if factor != 1.0 {
        out.iter_mut().for_each(|out| *out *= factor);
    }
    let (exps, mut sum) = (Exp::new(), F32x4::splat(0.0));
    for scores in lanes {
        let weights = exps.of(F32x4::from_array(*scores).mul(F32x4::splat(scale)).sub(F32x4::splat(max)));
        sum = sum.add(weights);
        *scores = weights.to_array();
    }
    let mut total = sum.sum();
    for score in rest {
        *score = exp(*score * scale - max);
        total += *score;
    }
    out[n] = max;
    out[n + 1] += total;
}

/// Codes of the weights times the scales of their values; returns the codes' own scale.
fn scaled_codes(weights: &[f32], scales: &[f32], codes: &mut [[i16; 2]]) -> f32 {
    let (weights, scales) = (weights.as_chunks::<4>().0, scales.as_chunks::<4>().0);
    let product = |i: usize| F32x4::from_array(weights[i]).mul(F32x4::from_array(scales[i]));
    let max = (0..weights.len()).fold(F32x4::splat(0.0), |max, i| max.max(product(i)));
    let (scale, inverse) = steps(max.to_array().into_iter().fold(0.0, f32::max));
    for (i, codes) in codes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let rounded = |i: usize| product(i).mul(F32x4::splat(inverse)).nearest();
        *codes = bytemuck::must_cast(I16x8::narrow(rounded(2 * i), rounded(2 * i + 1)).to_bytes());
    }
    scale
}

/// Adds the values, weighted by codes `at` and on of rows `r` and on, to the sums of these rows.
#[inline(never)]
fn mix<const R: usize, const MOST: usize>(
    values: &[Row],
    tile: usize,
    at: usize,
    codes: &[[[i16; 2]; PAGE / 2]],
    scales: &[f32; MOST],
    r: usize,
    out: &mut [f32],
) {
    let row_len = out.len() / codes.len();
    let sums = products::<R>(values, std::array::from_fn(|i| &codes[r + i][at..]));
    for (i, sums) in sums.into_iter().enumerate() {
        let scale = F32x4::splat(scales[r + i]);
        let out = &mut out[(r + i) * row_len + tile * WIDTH..].as_chunks_mut().0[..2];
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = F32x4::from_array(*out).add(sum.to_f32().mul(scale)).to_array();
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::super::cache::Cache;
    use super::*;
    use crate::models::Architecture;
    use crate::program::Pooling;

    /// The numbers in whole steps, `most` of them to the largest.
    fn rounded_to(numbers: &[f32], most: f32) -> Vec<f32> {
        let max = numbers.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
        numbers.iter().map(|x| (x * (most / max)).round_ties_even() * (max / most)).collect()
    }

    /// Every head of a row in blocks of bytes, as the cache stores it.
    fn stored(row: &[f32], head_dim: usize) -> Vec<f32> {
        let blocks = row.chunks_exact(head_dim).flat_map(|head| head.chunks(BLOCK));
        blocks.flat_map(|block| rounded_to(block, 127.0)).collect()
    }

    /// Attention of the last `tokens` of `total` positions, cut as for so many tokens at a time.
    fn attention(
        config: &Config,
        (total, tokens, at_a_time): (usize, usize, usize),
        (causal, window): (bool, Option<usize>),
        softcap: Option<f32>,
    ) -> Vec<f32> {
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
            let cut = Cut::new(config, (first, count), (causal, window), (0.3, softcap));
            let mut units = vec![f32::NAN; cut.len()];
            let rows = &h[first * width..(first + count) * width];
            for (i, unit) in units.chunks_exact_mut(cut.len() / cut.units()).enumerate() {
                cut.attend(i, &cache.heads, rows, width, unit);
            }
            out.chunks_exact_mut(queries).enumerate().for_each(|(t, out)| cut.merge(t, &units, out));
        }
        // The plain way, on what the cache stores.
        let stored: Vec<f32> = h.chunks_exact(width).flat_map(|row| stored(row, e)).collect();
        for (t, out) in out.chunks_exact(queries).enumerate() {
            let position = total - tokens + t;
            let end = if causal { position + 1 } else { total };
            let start = end.saturating_sub(window.unwrap_or(usize::MAX));
            for (head, out) in out.chunks_exact(e).enumerate() {
                let q = rounded_to(&h[position * width + head * e..][..e], LARGEST);
                let at = |s: usize, part: usize| {
                    &stored[s * width + queries + part * keys + head / (config.n_heads / config.n_kv_heads) * e..][..e]
                };
                let score = |s| 0.3 * q.iter().zip(at(s, 0)).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>();
                let capped = |score: f64| softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh());
                let weights: Vec<f64> = (start..end).map(|s| capped(score(s)).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for (i, out) in out.iter().enumerate() {
                    let mixed: f64 = weights.iter().zip(start..).map(|(w, s)| w * f64::from(at(s, 1)[i])).sum();
                    // Each weight is off by up to half of 1 / 32767; over 700 positions with values up to 2 that was 3e-4.
                    // The bytes of the values, which the plain way has too, are off ten times as much.
                    assert!(
                        (f64::from(*out) - mixed / sum).abs() < 5e-4,
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
                n_caches: 1,
                n_heads,
                n_kv_heads,
                head_dim,
                dim: 64,
                hidden_dim: 64,
                vocab_size: 64,
                max_seq: 2048,
                context: 2048,
                encoder: false,
                pooling: Pooling::Last,
            };
            for (total, tokens, window, softcap) in [
                (5, 5, None, None),
                (700, 21, None, None),
                (1100, 5, Some(530), None),
                (300, 9, Some(4), None),
                (300, 9, None, Some(2.0)),
            ] {
                let alone = attention(&config, (total, tokens, 1), (true, window), softcap);
                for at_a_time in [3, 64] {
                    let together = attention(&config, (total, tokens, at_a_time), (true, window), softcap);
                    assert!(alone == together, "{n_heads} heads, {total} positions, {at_a_time} at a time, {window:?}");
                }
            }
            for total in [1, 5, 300] {
                attention(&config, (total, total, total), (false, None), None);
            }
        }
    }
}
