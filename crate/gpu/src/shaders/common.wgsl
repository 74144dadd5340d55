// What every kernel shares. Thirty-two neighbouring numbers of a row are a block, eight vectors of four.

struct Block {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>,
    e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32>,
}

// Where a run stands. `position`: cached positions before it, S. `count`: its tokens, T. `row`: the token whose logits are asked.
struct State { position: u32, count: u32, row: u32, unused: u32 }

// A block in eight words of four bytes.
struct Words { a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32, h: u32 }

// The four bytes of a word, the last one signed: masked, not shifted, since the adapters on the CPU shift lane by lane; 0.85 of the time
// that unpack4x8unorm took there, which took three quarters of what shifts did.
fn bytes(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>(vec4<u32>(word) & BYTES)) * vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24);
}
const BYTES = vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u);

// The four bytes of a word, signed.
fn signed_bytes(word: u32) -> vec4<f32> {
    return bytes(word ^ 0x00808080u) - vec4<f32>(128.0, 128.0, 128.0, 0.0);
}

// The high nibbles of a word's bytes.
fn high_nibbles(word: u32) -> vec4<f32> {
    let signed = vec4<f32>(vec4<i32>((vec4<u32>(word) ^ vec4<u32>(0u, 0u, 0u, 0x80000000u)) & (BYTES & vec4<u32>(0xf0f0f0f0u))));
    return signed * vec4<f32>(0x1p-4, 0x1p-12, 0x1p-20, 0x1p-28) + vec4<f32>(0.0, 0.0, 0.0, 8.0);
}

// Thirty-two codes of four bits: low nibbles of a word's bytes, then its high ones.
fn nibbles(v: vec4<u32>) -> Words {
    let low = v & vec4<u32>(0x0f0f0f0fu);
    let high = (v >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu);
    return Words(low.x, high.x, low.y, high.y, low.z, high.z, low.w, high.w);
}

// An f16 as f32, subnormal ones too, which unpack2x16float may flush to zero.
fn half(bits: u32) -> f32 {
    let fraction = f32(bits & 1023u) * 0x1p-24;
    let normal = bitcast<f32>(((bits & 0x7fffu) * 8192u) + 0x38000000u);
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

fn block_plus(x: Block, y: Block) -> Block {
    return Block(x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d, x.e + y.e, x.f + y.f, x.g + y.g, x.h + y.h);
}

fn block_squares(x: Block) -> f32 {
    return (dot(x.a, x.a) + dot(x.b, x.b)) + (dot(x.c, x.c) + dot(x.d, x.d))
        + ((dot(x.e, x.e) + dot(x.f, x.f)) + (dot(x.g, x.g) + dot(x.h, x.h)));
}
