// Five bits, 0 to 31: the nibbles, and a word of fifth bits, bit g of byte b for number 4g + b.
fn W_words(block: u32) -> Words {
    let q = nibbles(W[block]);
    let fifth = W[W_HIGH + block / 4u][block % 4u];
    let bit = 0x10101010u;
    return Words(
        q.a | ((fifth << 4u) & bit), q.b | ((fifth << 3u) & bit), q.c | ((fifth << 2u) & bit), q.d | ((fifth << 1u) & bit),
        q.e | (fifth & bit), q.f | ((fifth >> 1u) & bit), q.g | ((fifth >> 2u) & bit), q.h | ((fifth >> 3u) & bit));
}
