// Four bits, 0 to 15: four words a block, the first four of eight neighbours in the low nibbles of a word's bytes.
fn W_words(block: u32) -> Words {
    return nibbles(W[block]);
}
fn W_codes(block: u32) -> Block {
    let v = W[block];
    let low = v & vec4<u32>(0x0f0f0f0fu);
    return Block(bytes(low.x), high_nibbles(v.x), bytes(low.y), high_nibbles(v.y),
                 bytes(low.z), high_nibbles(v.z), bytes(low.w), high_nibbles(v.w));
}
