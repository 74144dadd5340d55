// A matmul that shares weights as whole codes, four to a word: reading a word of workgroup memory and taking it apart may cost less
// than reading four numbers. From the generator: `Four` activations, `Sums` of four products, `bring` for x, `four` codes,
// `product`, `factors` of four tokens' sums; PARTS: scales of a block; LEAST: whether codes have a least number.
var<workgroup> weights: array<u32, 512>; // [8 words, 64 rows]
var<workgroup> scales: array<vec2<f32>, 64 * PARTS>; // [PARTS, 64 rows]: scale and least
var<workgroup> inputs: array<Four, 8 * TOKENS>; // [8 fours, TOKENS]

struct Fetched { words: Words, scales: vec4<f32> }

fn fetched(block: u32) -> Fetched {
    return Fetched(w0_words(block), w0_scales(block));
}

fn keep(fetched: Fetched, base: u32, block: u32, count: u32, i: u32) {
    let w = fetched.words;
    weights[i] = w.a; weights[64u + i] = w.b; weights[128u + i] = w.c; weights[192u + i] = w.d;
    weights[256u + i] = w.e; weights[320u + i] = w.f; weights[384u + i] = w.g; weights[448u + i] = w.h;
    scales[64u * (PARTS - 1u) + i] = fetched.scales.yw;
    scales[i] = fetched.scales.xz;
    bring(base, block, count, i);
}
