// Queries, keys and values in h: [T, (H + 2K) E], as attention wants them: normed, turned, kept.

// Query heads of a workgroup: those of one key head, for each of its tokens.
const ROWS = GROUP * QUERIES;

var<workgroup> query_scale: array<f32, ROWS>;
var<workgroup> key_scale: f32;

fn query_at(kv: u32, t: u32, g: u32) -> u32 {
    return t * H_STRIDE + (kv * GROUP + g) * HEAD_DIM;
}

fn key_row(kv: u32, t: u32) -> u32 {
    return t * H_STRIDE + (HEADS + kv) * HEAD_DIM;
}

fn value_row(kv: u32, t: u32) -> u32 {
    return t * H_STRIDE + (HEADS + KV_HEADS + kv) * HEAD_DIM;
}

// One over the root of the mean square of the head at `at`.
fn head_scale(at: u32, eps: f32) -> f32 {
    var sum = 0.0;
    for (var e = 0u; e < HEAD_DIM; e += 1u) {
        sum += h[at + e] * h[at + e];
    }
    return inverseSqrt(sum / f32(HEAD_DIM) + eps);
}

// The scales of the queries of QUERIES tokens from `t` on, and of the key of the first.
fn measure_heads(kv: u32, t: u32, i: u32) {
    if (i < ROWS) {
        query_scale[i] = 1.0;
        if (Q_NORM) {
            query_scale[i] = head_scale(query_at(kv, min(t + i / GROUP, state.count - 1u), i % GROUP), Q_EPS);
        }
    }
    if (i == ROWS) {
        key_scale = 1.0;
        if (K_NORM) {
            key_scale = head_scale(key_row(kv, t), K_EPS);
        }
    }
    workgroupBarrier();
}

// Four numbers of the head at `at`, normed and turned.
fn turned(at: u32, vector: u32, position: u32, scale: f32, query: bool) -> vec4<f32> {
    let e = 4u * vector;
    return vec4<f32>(
        turned_one(at, e, position, scale, query), turned_one(at, e + 1u, position, scale, query),
        turned_one(at, e + 2u, position, scale, query), turned_one(at, e + 3u, position, scale, query));
}

// Stores the key and value of token t at its position.
fn keep(kv: u32, t: u32, position: u32, i: u32) {
    let at = (position * KV_HEADS + kv) * VECTORS;
    let v = value_row(kv, t);
    for (var j = i; j < VECTORS; j += 64u) {
        keep_key(at + j, turned(key_row(kv, t), j, position, key_scale, false));
        keep_value(at + j, vec4<f32>(h[v + 4u * j], h[v + 4u * j + 1u], h[v + 4u * j + 2u], h[v + 4u * j + 3u]));
    }
}
