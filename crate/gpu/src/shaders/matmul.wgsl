// y[t, r] = W[r] . x[t] for several tokens. A workgroup makes 64 rows x TOKENS tokens; for each block of 32 columns its threads
// fetch a row each and their part of x into workgroup memory, then a thread multiplies OWN tokens by its RANKS rows. Eight by eight
// instead of four by four took 0.7 of the time on lavapipe and 0.77 on SwiftShader: reading workgroup memory is most of it. With
// subgroups four neighbours share what each of them has read of the tokens: 0.77 and 0.86.
//
// CPU twin: `matrix::Matrix::product`. Grid: (rows / 64, T / TOKENS). From the generator: `fetched` and `keep`, which bring a row's
// block and its part of x into `weights` and `inputs`, and what a thread makes of them.

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
        let w = fetched(row + block);
        workgroupBarrier();
        keep(w, base, block, count, i);
        workgroupBarrier();
PRODUCTS
    }
    store(base + token + 4u * {oe}u, group.x * 64u + rank + {g}u, count, sum{o});
}
