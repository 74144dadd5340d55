// Six bits, 0 to 63: the nibbles, and a word of top bits for each half, bits 2g and 2g + 1 of byte b for its number 4g + b.
fn W_words(block: u32) -> Words {
    let q = nibbles(W[block]);
    let at = W[W_HIGH + block / 2u];
    let top = select(at.xy, at.zw, block % 2u == 1u);
    let two = 0x30303030u;
    return Words(
        q.a | ((top.x << 4u) & two), q.b | ((top.x << 2u) & two), q.c | (top.x & two), q.d | ((top.x >> 2u) & two),
        q.e | ((top.y << 4u) & two), q.f | ((top.y << 2u) & two), q.g | (top.y & two), q.h | ((top.y >> 2u) & two));
}
