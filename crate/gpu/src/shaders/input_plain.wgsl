// The activations of the asked row.
fn begin(i: u32) {
}
fn input(block: u32, keep: bool) -> Block {
    let at = ROW * (8u * BLOCKS) + 8u * block;
    return Block(x[at], x[at + 1u], x[at + 2u], x[at + 3u], x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]);
}
