// Bytes of words as numbers.
fn W_codes(block: u32) -> Block {
    let q = W_words(block);
    return Block(bytes(q.a), bytes(q.b), bytes(q.c), bytes(q.d), bytes(q.e), bytes(q.f), bytes(q.g), bytes(q.h));
}
