// y[t, r] = W[r] . x[t] for several tokens as in matmul.wgsl, for weights that are whole codes times a scale: the workgroup keeps
// the codes, four to a word, and multiplies by the scales once for each PARTS-th of a block. Reading a word of its memory and
// taking it apart costs less than reading four numbers.
//
// CPU twin: `matrix::Matrix::product`. Grid: (rows / 64, T / TOKENS). From the generator: `Four` activations, `Sums` of four
// products, `fetch`, `four` codes, `product`, `factors` of four tokens' sums; LEAST: whether codes have a least number;
// SHARE and TAKE0 to TAKE3 as in matmul.wgsl.

var<workgroup> weights: array<u32, 512>; // [8 words, 64 rows]
var<workgroup> scales: array<vec2<f32>, 64 * PARTS>; // [PARTS, 64 rows]: scale and least
var<workgroup> inputs: array<Four, 8 * TOKENS>; // [8 fours, TOKENS]

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
        let w = w0_words(row + block);
        let s = w0_scales(row + block);
        workgroupBarrier();
        weights[i] = w.a; weights[64u + i] = w.b; weights[128u + i] = w.c; weights[192u + i] = w.d;
        weights[256u + i] = w.e; weights[320u + i] = w.f; weights[384u + i] = w.g; weights[448u + i] = w.h;
        scales[64u * (PARTS - 1u) + i] = s.yw;
        scales[i] = s.xz;
        fetch(base, block, count, i);
        workgroupBarrier();
        for (var part = 0u; part < PARTS; part += 1u) {
            var dots{o} = Sums();
            var total{e} = Sums();
            for (var k = part * (8u / PARTS); k < (part + 1u) * (8u / PARTS); k += 1u) {
                let at = k * TOKENS + token;
                SHARE
                let a{e} = TAKE0;
                let b{e} = TAKE1;
                let c{e} = TAKE2;
                let d{e} = TAKE3;
                if (LEAST) {
                    total{e} += Sums(product(ONES, a{e}), product(ONES, b{e}), product(ONES, c{e}), product(ONES, d{e}));
                }
                let w{i} = four(weights[k * 64u + rank + {i}u]);
                dots{o} += Sums(product(w{g}, a{oe}), product(w{g}, b{oe}), product(w{g}, c{oe}), product(w{g}, d{oe}));
            }
            let f{e} = factors(token + 4u * {e}u);
            let s{i} = scales[64u * part + rank + {i}u];
            sum{o} += f{oe} * (s{g}.x * vec4<f32>(dots{o}) - s{g}.y * vec4<f32>(total{oe}));
        }
    }
    store(base + token + 4u * {oe}u, group.x * 64u + rank + {g}u, count, sum{o});
}
