// Numbers of sixteen bits, the upper half of an f32: sixteen words a block.
fn W_four(a: u32, b: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
}
fn W_codes(block: u32) -> Block {
    let p = W[4u * block];
    let q = W[4u * block + 1u];
    let r = W[4u * block + 2u];
    let s = W[4u * block + 3u];
    return Block(W_four(p.x, p.y), W_four(p.z, p.w), W_four(q.x, q.y), W_four(q.z, q.w),
                 W_four(r.x, r.y), W_four(r.z, r.w), W_four(s.x, s.y), W_four(s.z, s.w));
}
