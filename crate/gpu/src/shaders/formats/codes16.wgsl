// Numbers of sixteen bits, sixteen words a block; the format's `W_four` reads four of them.
fn W_codes(block: u32) -> Block {
    let p = W[4u * block];
    let q = W[4u * block + 1u];
    let r = W[4u * block + 2u];
    let s = W[4u * block + 3u];
    return Block(W_four(p.x, p.y), W_four(p.z, p.w), W_four(q.x, q.y), W_four(q.z, q.w),
                 W_four(r.x, r.y), W_four(r.z, r.w), W_four(s.x, s.y), W_four(s.z, s.w));
}
