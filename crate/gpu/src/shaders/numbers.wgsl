// A matmul that shares weights and activations as numbers of the type `num`.
var<workgroup> weights: array<vec4<num>, 512>; // [8 vectors, 64 rows]
var<workgroup> inputs: array<vec4<num>, 8 * TOKENS>; // [8 vectors, TOKENS]

fn fetched(block: u32) -> Block {
    return w0_decode(block);
}

fn keep(w: Block, base: u32, block: u32, count: u32, i: u32) {
    weights[i] = vec4<num>(w.a); weights[64u + i] = vec4<num>(w.b);
    weights[128u + i] = vec4<num>(w.c); weights[192u + i] = vec4<num>(w.d);
    weights[256u + i] = vec4<num>(w.e); weights[320u + i] = vec4<num>(w.f);
    weights[384u + i] = vec4<num>(w.g); weights[448u + i] = vec4<num>(w.h);
    bring(base, block, count, i);
}
