// Three bits, 0 to 7: two bits as in `words2`, and a word of third bits, bit g of byte b for number 4g + b.
fn W_words(block: u32) -> Words {
    let at = W[block / 2u];
    let v = select(at.xy, at.zw, block % 2u == 1u);
    let third = W[W_HIGH + block / 4u][block % 4u];
    let two = 0x03030303u;
    let bit = 0x04040404u;
    return Words(
        (v.x & two) | ((third << 2u) & bit), ((v.x >> 2u) & two) | ((third << 1u) & bit),
        ((v.x >> 4u) & two) | (third & bit), ((v.x >> 6u) & two) | ((third >> 1u) & bit),
        (v.y & two) | ((third >> 2u) & bit), ((v.y >> 2u) & two) | ((third >> 3u) & bit),
        ((v.y >> 4u) & two) | ((third >> 4u) & bit), ((v.y >> 6u) & two) | ((third >> 5u) & bit));
}
