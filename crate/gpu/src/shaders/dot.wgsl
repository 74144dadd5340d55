// The product of a block of W, its numbers or its words, with thirty-two activations, by `product`.
fn W_dot(block: u32, y: Taken) -> f32 {
    let q = OPERANDS(block);
    let s = W_scales(block);
    let x = y.x;
    let low = (product(q.a, x.a) + product(q.b, x.b)) + (product(q.c, x.c) + product(q.d, x.d));
    let high = (product(q.e, x.e) + product(q.f, x.f)) + (product(q.g, x.g) + product(q.h, x.h));
    return y.scale * (s.x * f32(low) + s.y * f32(high)) - (s.z * y.sums.x + s.w * y.sums.y);
}
