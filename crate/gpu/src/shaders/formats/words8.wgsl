// Eight bits, signed: eight words a block.
fn W_words(block: u32) -> Words {
    let p = W[2u * block];
    let q = W[2u * block + 1u];
    return Words(p.x, p.y, p.z, p.w, q.x, q.y, q.z, q.w);
}
