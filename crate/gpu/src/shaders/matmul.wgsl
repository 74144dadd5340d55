// y[t, r] = W[r] . x[t] for several tokens. A workgroup makes 64 rows x TOKENS tokens; for each block of 32 columns its threads
// decode a row each and fetch their part of x into workgroup memory, then a thread multiplies OWN tokens by its RANKS rows. Eight
// by eight instead of four by eight took 0.7 of the time on lavapipe and 0.77 on SwiftShader: reading workgroup memory is most
// of it. With subgroups four neighbours share what each of them has read of the tokens: 0.77 and 0.86.
//
// CPU twin: `matrix::Matrix::product`. Grid: (rows / 64, T / TOKENS). Sizes are not constants, so that a model needs a pipeline
// for each format and not for each matrix: compiling them was most of a load.

// Blocks of a row, rows, numbers of a row of y, where in it these begin; the weight's regions; how much stays of what is in y.
struct Shape { blocks: u32, rows: u32, stride: u32, offset: u32, high: u32, scales: u32, whole: u32, keep: f32 }

var<workgroup> weights: array<vec4<f32>, 512>; // [8 vectors, 64 rows]
var<workgroup> inputs: array<vec4<f32>, 8 * TOKENS>; // [8 vectors, TOKENS]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let count = state.count;
    let base = group.y * TOKENS;
    // Neighbouring threads have the same tokens.
    let token = i / (64u / RANKS) * OWN;
    let rank = i % (64u / RANKS) * RANKS;
    let row = min(group.x * 64u + i, shape.rows - 1u) * shape.blocks;
    var sum{o} = vec4<f32>(0.0);
    if (base >= count) {
        return;
    }
    for (var block = 0u; block < shape.blocks; block += 1u) {
        let w = w0_decode(row + block);
        workgroupBarrier();
        weights[i] = w.a; weights[64u + i] = w.b; weights[128u + i] = w.c; weights[192u + i] = w.d;
        weights[256u + i] = w.e; weights[320u + i] = w.f; weights[384u + i] = w.g; weights[448u + i] = w.h;
        for (var j = i; j < 8u * TOKENS; j += 64u) {
            let t = min(base + j / 8u, count - 1u);
            inputs[j % 8u * TOKENS + j / 8u] = x[(t * shape.blocks + block) * 8u + j % 8u];
        }
        workgroupBarrier();
        for (var k = 0u; k < 8u; k += 1u) {
            let at = k * TOKENS + token;
            SHARE
            let a{e} = TAKE0;
            let b{e} = TAKE1;
            let c{e} = TAKE2;
            let d{e} = TAKE3;
            let w{i} = weights[k * 64u + rank + {i}u];
            sum{o} += vec4<f32>(dot(w{g}, a{oe}), dot(w{g}, b{oe}), dot(w{g}, c{oe}), dot(w{g}, d{oe}));
        }
    }
    store(base + token + 4u * {oe}u, group.x * 64u + rank + {g}u, count, sum{o});
}

// Four tokens' products with one row.
fn store(t: u32, row: u32, count: u32, sum: vec4<f32>) {
    if (row >= shape.rows) {
        return;
    }
    for (var j = 0u; j < 4u; j += 1u) {
        if (t + j < count) {
            let at = (t + j) * shape.stride + shape.offset + row;
            y[at] = shape.keep * y[at] + sum[j];
        }
    }
}
