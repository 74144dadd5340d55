// Five bits, 0 to 31: the nibbles, and a word of fifth bits, bit g of byte b for number 4g + b.
fn W_codes(block: u32) -> Block {
    let q = nibbles(W[block]);
    let fifth = W[W_HIGH + block / 4u][block % 4u];
    let one = 0x01010101u;
    return Block(
        q.a + 16.0 * bytes(fifth & one), q.b + 16.0 * bytes((fifth >> 1u) & one),
        q.c + 16.0 * bytes((fifth >> 2u) & one), q.d + 16.0 * bytes((fifth >> 3u) & one),
        q.e + 16.0 * bytes((fifth >> 4u) & one), q.f + 16.0 * bytes((fifth >> 5u) & one),
        q.g + 16.0 * bytes((fifth >> 6u) & one), q.h + 16.0 * bytes((fifth >> 7u) & one));
}
