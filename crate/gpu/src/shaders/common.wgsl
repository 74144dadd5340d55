// What every kernel shares. Thirty-two neighbouring numbers of a row are a block, eight vectors of four.

struct Block {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>,
    e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32>,
}

// Where a run stands. `position`: cached positions before it, S. `count`: its tokens, T. `row`: the token whose logits are asked.
struct State { position: u32, count: u32, row: u32, unused: u32 }

// The four bytes of a word.
fn bytes(word: u32) -> vec4<f32> {
    return 255.0 * unpack4x8unorm(word);
}

// Thirty-two codes of four bits: low nibbles of a word's bytes, then its high ones.
fn nibbles(v: vec4<u32>) -> Block {
    let low = v & vec4<u32>(0x0f0f0f0fu);
    let high = (v >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu);
    return Block(bytes(low.x), bytes(high.x), bytes(low.y), bytes(high.y),
                 bytes(low.z), bytes(high.z), bytes(low.w), bytes(high.w));
}

// An f16 as f32, subnormal ones too, which unpack2x16float may flush to zero.
fn half(bits: u32) -> f32 {
    let fraction = f32(bits & 1023u) * 0x1p-24;
    let normal = bitcast<f32>(((bits & 0x7fffu) << 13u) + 0x38000000u);
    let size = select(normal, fraction, (bits & 0x7c00u) == 0u);
    return select(size, -size, (bits & 0x8000u) != 0u);
}

// The sum of each half of a block.
fn halves(x: Block) -> vec2<f32> {
    let low = (x.a + x.b) + (x.c + x.d);
    let high = (x.e + x.f) + (x.g + x.h);
    return vec2<f32>(dot(low, vec4<f32>(1.0)), dot(high, vec4<f32>(1.0)));
}

fn block_times(x: Block, y: Block) -> Block {
    return Block(x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d, x.e * y.e, x.f * y.f, x.g * y.g, x.h * y.h);
}

fn block_squares(x: Block) -> f32 {
    return (dot(x.a, x.a) + dot(x.b, x.b)) + (dot(x.c, x.c) + dot(x.d, x.d))
        + ((dot(x.e, x.e) + dot(x.f, x.f)) + (dot(x.g, x.g) + dot(x.h, x.h)));
}
