// Four bits, the places of signed bytes in the table of IQ4_NL (`quant/iq4_nl.rs`): four words a block. The table is four words,
// from which bits 3 and 2 choose one and bits 1 and 0 a byte; not every compiler lets a constant array be indexed.
fn W_values(word: u32) -> vec4<f32> {
    let q = vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u);
    let low = select(vec4<u32>(0xbfad9881u), vec4<u32>(0xf6eaddcfu), (q & vec4<u32>(4u)) != vec4<u32>(0u));
    let high = select(vec4<u32>(0x26190d01u), vec4<u32>(0x71594535u), (q & vec4<u32>(4u)) != vec4<u32>(0u));
    let four = select(low, high, (q & vec4<u32>(8u)) != vec4<u32>(0u));
    return vec4<f32>(vec4<i32>(four << ((~q & vec4<u32>(3u)) * 8u)) >> vec4<u32>(24u));
}
fn W_codes(block: u32) -> Block {
    let v = W[block];
    let u = v >> vec4<u32>(4u);
    return Block(W_values(v.x), W_values(u.x), W_values(v.y), W_values(u.y),
                 W_values(v.z), W_values(u.z), W_values(v.w), W_values(u.w));
}
