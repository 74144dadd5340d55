// Two bits, 0 to 3: a word for each half of a block, bits 2g and 2g + 1 of byte b for its number 4g + b.
fn W_words(block: u32) -> Words {
    let at = W[block / 2u];
    let v = select(at.xy, at.zw, block % 2u == 1u);
    let two = 0x03030303u;
    return Words(
        v.x & two, (v.x >> 2u) & two, (v.x >> 4u) & two, (v.x >> 6u) & two,
        v.y & two, (v.y >> 2u) & two, (v.y >> 4u) & two, (v.y >> 6u) & two);
}
