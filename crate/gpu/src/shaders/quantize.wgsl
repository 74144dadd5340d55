// Thirty-two activations in bytes, x = scale * byte, the largest of them 127; `sums` are those of each half, of the bytes' numbers.
// CPU twin: `cpu/input.rs`, which rounds scales to f16, too.
struct Taken { x: Words, scale: f32, sums: vec2<f32> }

fn largest(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return max(abs(a), abs(b));
}

fn four_bytes(x: vec4<f32>) -> u32 {
    return pack4xI8(vec4<i32>(round(x)));
}

fn sum_of(a: u32, b: u32, c: u32, d: u32) -> f32 {
    let one = 0x01010101u;
    return f32((dot4I8Packed(a, one) + dot4I8Packed(b, one)) + (dot4I8Packed(c, one) + dot4I8Packed(d, one)));
}

fn quantized(x: Block) -> Taken {
    let most = max(max(largest(x.a, x.b), largest(x.c, x.d)), max(largest(x.e, x.f), largest(x.g, x.h)));
    let scale = max(max(most.x, most.y), max(most.z, most.w)) / 127.0;
    // Smaller than any number that counts, and not smaller than its inverse can be.
    let by = select(0.0, 1.0 / max(scale, 1e-30), scale > 1e-30);
    let q = Words(four_bytes(x.a * by), four_bytes(x.b * by), four_bytes(x.c * by), four_bytes(x.d * by),
        four_bytes(x.e * by), four_bytes(x.f * by), four_bytes(x.g * by), four_bytes(x.h * by));
    return Taken(q, scale, scale * vec2<f32>(sum_of(q.a, q.b, q.c, q.d), sum_of(q.e, q.f, q.g, q.h)));
}
