// The product of a block of W with thirty-two activations, in integers.
fn W_dot(block: u32, y: Taken) -> f32 {
    let q = W_words(block);
    let s = W_scales(block);
    let x = y.words;
    let low = (dot4I8Packed(q.a, x.a) + dot4I8Packed(q.b, x.b)) + (dot4I8Packed(q.c, x.c) + dot4I8Packed(q.d, x.d));
    let high = (dot4I8Packed(q.e, x.e) + dot4I8Packed(q.f, x.f)) + (dot4I8Packed(q.g, x.g) + dot4I8Packed(q.h, x.h));
    return y.scale * (s.x * f32(low) + s.y * f32(high)) - (s.z * y.sums.x + s.w * y.sums.y);
}
