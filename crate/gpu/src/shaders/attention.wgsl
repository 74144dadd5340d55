// softmax(q K^T scale) V over the visible positions, for the GROUP query heads that share a key head and QUERIES neighbouring
// tokens, in tiles of 64 positions with a running maximum (Milakov & Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022,
// arXiv:2205.14135). Queries and the run's own keys are normed and turned here.
//
// With SPLITS > 1 each workgroup sees a part of the positions and leaves its sums to `merge`. While decoding (APPEND) the
// workgroup that has the newest position stores its key and value first; with several tokens `append` has done so before.
//
// CPU twin: `cpu/attention.rs`. Grid: (key heads, SPLITS, T / QUERIES).

const TILE = 64u;

var<workgroup> q: array<vec4<f32>, ROWS * VECTORS>;
var<workgroup> p: array<f32, ROWS * TILE>;
var<workgroup> most: array<f32, ROWS>;
var<workgroup> total: array<f32, ROWS>;
var<workgroup> shrink: array<f32, ROWS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let kv = group.x;
    let t = group.z * QUERIES;
    let position = state.position + t;
    // From what the first token sees to what the last one does.
    let begin = position + 1u - min(position + 1u, WINDOW);
    let end = state.position + select(state.count, min(t + QUERIES, state.count), CAUSAL);
    let share = (end - begin + SPLITS - 1u) / SPLITS;
    let start = min(begin + group.y * share, end);
    let stop = min(start + share, end);
    if (t >= state.count) {
        return;
    }
    measure_heads(kv, t, i);
    for (var j = i; j < ROWS * VECTORS; j += 64u) {
        let row = j / VECTORS;
        let own = min(t + row / GROUP, state.count - 1u);
        q[j] = turned(query_at(kv, own, row % GROUP), j % VECTORS, state.position + own, query_scale[row], true);
    }
    if (APPEND && start < stop && stop == end) {
        keep(kv, t, position, i);
        storageBarrier();
    }
    if (i < ROWS) {
        most[i] = LOWEST;
        total[i] = 0.0;
    }
    workgroupBarrier();
    var sum{o} = 0.0;
    for (var tile = start; tile < stop; tile += TILE) {
        let s = tile + i;
        if (s < stop) {
            var score{i} = 0.0;
            for (var j = 0u; j < VECTORS; j += 1u) {
                let k = key_at((s * KV_HEADS + kv) * VECTORS + j);
                score{i} += dot(q[{i}u * VECTORS + j], k);
            }
            p[{i}u * TILE + i] = select(LOWEST, capped_score(score{i} * SCALE), visible(s, position + {i}u / GROUP));
        }
        workgroupBarrier();
        let count = min(TILE, stop - tile);
        if (i < ROWS) {
            var high = most[i];
            for (var j = 0u; j < count; j += 1u) {
                high = max(high, p[i * TILE + j]);
            }
            shrink[i] = exp(most[i] - high);
            most[i] = high;
        }
        workgroupBarrier();
        if (s < stop) {
            p[{i}u * TILE + i] = weight(p[{i}u * TILE + i], most[{i}]);
        }
        workgroupBarrier();
        if (i < ROWS) {
            var sum = total[i] * shrink[i];
            for (var j = 0u; j < count; j += 1u) {
                sum += p[i * TILE + j];
            }
            total[i] = sum;
        }
        sum{o} *= shrink[{g}];
        for (var j = 0u; j < count; j += 1u) {
            let at = ((tile + j) * KV_HEADS + kv) * HEAD_DIM + i;
            let v{e} = value_at(at + 64u * {e}u); // past a narrow head's end: unused
            sum{o} += p[{g}u * TILE + j] * v{oe};
        }
        workgroupBarrier();
    }
    finish(kv, group.y, t + {g}u / GROUP, {g}u, i + 64u * {oe}u, sum{o});
}

// Whether the token at `position` sees position s.
fn visible(s: u32, position: u32) -> bool {
    return !CAUSAL || QUERIES == 1u || (s <= position && position - s < WINDOW);
}

fn weight(score: f32, high: f32) -> f32 {
    return select(0.0, exp(score - high), score > LOWEST);
}

fn finish(kv: u32, split: u32, t: u32, row: u32, e: u32, sum: f32) {
    if (e >= HEAD_DIM || t >= state.count) {
        return;
    }
    let head = kv * GROUP + row % GROUP;
    if (SPLITS == 1u) {
        out[t * STRIDE + head * HEAD_DIM + e] = sum / total[row];
        return;
    }
    let at = (split * HEADS + head) * (HEAD_DIM + 2u);
    out[at + e] = sum;
    if (e == 0u) {
        out[at + HEAD_DIM] = most[row];
        out[at + HEAD_DIM + 1u] = total[row];
    }
}
