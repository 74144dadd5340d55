// Six bits, 0 to 63: the nibbles, and a word of top bits for each half, bits 2g and 2g + 1 of byte b for its number 4g + b.
fn W_codes(block: u32) -> Block {
    let v = W[block];
    let low = v & vec4<u32>(0x0f0f0f0fu);
    let high = (v >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu);
    let at = W[W_HIGH + block / 2u];
    let top = select(at.xy, at.zw, block % 2u == 1u);
    let two = 0x30303030u;
    return Block(
        bytes(low.x | ((top.x << 4u) & two)), bytes(high.x | ((top.x << 2u) & two)),
        bytes(low.y | (top.x & two)), bytes(high.y | ((top.x >> 2u) & two)),
        bytes(low.z | ((top.y << 4u) & two)), bytes(high.z | ((top.y << 2u) & two)),
        bytes(low.w | (top.y & two)), bytes(high.w | ((top.y >> 2u) & two)));
}
