// Four bits, the places of signed bytes in the table of IQ4_NL (`quant/iq4_nl.rs`): four words a block. The table is four words,
// from which bits 3 and 2 choose one and bits 1 and 0 a byte; not every compiler lets a constant array be indexed.
fn W_values(word: u32) -> u32 {
    let q = vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u);
    let low = select(vec4<u32>(0xbfad9881u), vec4<u32>(0xf6eaddcfu), (q & vec4<u32>(4u)) != vec4<u32>(0u));
    let high = select(vec4<u32>(0x26190d01u), vec4<u32>(0x71594535u), (q & vec4<u32>(4u)) != vec4<u32>(0u));
    let four = select(low, high, (q & vec4<u32>(8u)) != vec4<u32>(0u));
    let byte = (four >> ((q & vec4<u32>(3u)) * 8u)) & vec4<u32>(255u);
    return byte.x | (byte.y << 8u) | (byte.z << 16u) | (byte.w << 24u);
}
fn W_words(block: u32) -> Words {
    let q = nibbles(W[block]);
    return Words(W_values(q.a), W_values(q.b), W_values(q.c), W_values(q.d),
                 W_values(q.e), W_values(q.f), W_values(q.g), W_values(q.h));
}
