// The product of a block of W with thirty-two activations.
fn W_dot(block: u32, y: Taken) -> f32 {
    let q = W_codes(block);
    let s = W_scales(block);
    let x = y.x;
    let low = (dot(q.a, x.a) + dot(q.b, x.b)) + (dot(q.c, x.c) + dot(q.d, x.d));
    let high = (dot(q.e, x.e) + dot(q.f, x.f)) + (dot(q.g, x.g) + dot(q.h, x.h));
    return s.x * low + s.y * high - (s.z * y.sums.x + s.w * y.sums.y);
}
