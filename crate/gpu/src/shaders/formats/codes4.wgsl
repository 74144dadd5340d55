// Four bits, 0 to 15: four words a block.
fn W_codes(block: u32) -> Block {
    return nibbles(W[block]);
}
