// softmax(q K^T scale) V over the visible positions, for the GROUP query heads that share a key head, in tiles of 64 positions
// with a running maximum (Milakov & Gimelshein 2018, arXiv:1805.02867). Queries and the run's own keys are normed and turned here.
//
// With SPLITS > 1 each workgroup sees a part of the positions and leaves its sums to `merge`. While decoding (APPEND) the
// workgroup that has the newest position stores its key and value first; with several tokens `append` has done so before.
//
// CPU twin: `cpu/attention.rs`. Grid: (key heads, SPLITS, T).

const TILE = 64u;

var<workgroup> q: array<vec4<f32>, GROUP * VECTORS>;
var<workgroup> p: array<f32, GROUP * TILE>;
var<workgroup> most: array<f32, GROUP>;
var<workgroup> total: array<f32, GROUP>;
var<workgroup> shrink: array<f32, GROUP>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let kv = group.x;
    let t = group.z;
    let position = state.position + t;
    let end = position + 1u;
    let begin = end - min(end, WINDOW);
    let share = (end - begin + SPLITS - 1u) / SPLITS;
    let start = min(begin + group.y * share, end);
    let stop = min(start + share, end);
    if (t >= state.count) {
        return;
    }
    measure_heads(kv, t, i);
    for (var j = i; j < GROUP * VECTORS; j += 64u) {
        let head = j / VECTORS;
        q[j] = turned(query_at(kv, t, head), j % VECTORS, position, query_scale[head], true);
    }
    if (APPEND && start < stop && stop == end) {
        keep(kv, t, position, i);
        storageBarrier();
    }
    if (i < GROUP) {
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
            p[{i}u * TILE + i] = score{i} * SCALE;
        }
        workgroupBarrier();
        let count = min(TILE, stop - tile);
        if (i < GROUP) {
            var high = most[i];
            for (var j = 0u; j < count; j += 1u) {
                high = max(high, p[i * TILE + j]);
            }
            shrink[i] = exp(most[i] - high);
            most[i] = high;
        }
        workgroupBarrier();
        if (s < stop) {
            p[{i}u * TILE + i] = exp(p[{i}u * TILE + i] - most[{i}]);
        }
        workgroupBarrier();
        if (i < GROUP) {
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
    finish(kv, group.y, t, {g}u, i + 64u * {oe}u, sum{o});
}

fn finish(kv: u32, split: u32, t: u32, g: u32, e: u32, sum: f32) {
    if (e >= HEAD_DIM) {
        return;
    }
    let head = kv * GROUP + g;
    if (SPLITS == 1u) {
        out[t * STRIDE + head * HEAD_DIM + e] = sum / total[g];
        return;
    }
    let at = (split * HEADS + head) * (HEAD_DIM + 2u);
    out[at + e] = sum;
    if (e == 0u) {
        out[at + HEAD_DIM] = most[g];
        out[at + HEAD_DIM + 1u] = total[g];
    }
}
