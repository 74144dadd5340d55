// y[t, r] = W[r] . x[t] for several tokens. A workgroup makes 64 rows x TOKENS tokens; for each block of 32 columns its threads
// decode a row each and fetch their part of x into workgroup memory, then a thread multiplies OWN tokens by its RANKS rows. Eight
// by eight instead of four by four took 0.7 of the time on lavapipe and 0.77 on SwiftShader: reading workgroup memory is most
// of it. With subgroups four neighbours share what each of them has read of the tokens: 0.77 and 0.86.
//
// CPU twin: `matrix::Matrix::product`. Grid: (rows / 64, T / TOKENS). From the generator: `num`, in which numbers are
// shared, `narrow`, which makes them; SHARE and TAKE0 to TAKE3, a vector of x for each of four tokens.

var<workgroup> weights: array<vec4<num>, 512>; // [8 vectors, 64 rows]
var<workgroup> inputs: array<vec4<num>, 8 * TOKENS>; // [8 vectors, TOKENS]

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
        weights[i] = vec4<num>(w.a); weights[64u + i] = vec4<num>(w.b);
        weights[128u + i] = vec4<num>(w.c); weights[192u + i] = vec4<num>(w.d);
        weights[256u + i] = vec4<num>(w.e); weights[320u + i] = vec4<num>(w.f);
        weights[384u + i] = vec4<num>(w.g); weights[448u + i] = vec4<num>(w.h);
        for (var j = i; j < 8u * TOKENS; j += 64u) {
            let t = min(base + j / 8u, count - 1u);
            inputs[j % 8u * TOKENS + j / 8u] = narrow(x[(t * shape.blocks + block) * 8u + j % 8u]);
        }
        workgroupBarrier();
        for (var k = 0u; k < 8u; k += 1u) {
            let at = k * TOKENS + token;
            SHARE
            let a{e} = vec4<f32>(TAKE0);
            let b{e} = vec4<f32>(TAKE1);
            let c{e} = vec4<f32>(TAKE2);
            let d{e} = vec4<f32>(TAKE3);
            let w{i} = vec4<f32>(weights[k * 64u + rank + {i}u]);
            sum{o} += vec4<f32>(dot(w{g}, a{oe}), dot(w{g}, b{oe}), dot(w{g}, c{oe}), dot(w{g}, d{oe}));
        }
    }
    store(base + token + 4u * {oe}u, group.x * 64u + rank + {g}u, count, sum{o});
}
