// Eight bits, signed: eight words a block.
fn W_bytes(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>((vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u))) >> vec4<u32>(24u));
}
fn W_codes(block: u32) -> Block {
    let p = W[2u * block];
    let q = W[2u * block + 1u];
    return Block(W_bytes(p.x), W_bytes(p.y), W_bytes(p.z), W_bytes(p.w),
                 W_bytes(q.x), W_bytes(q.y), W_bytes(q.z), W_bytes(q.w));
}
