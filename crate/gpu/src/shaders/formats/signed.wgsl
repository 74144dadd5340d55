// Signed bytes of words as numbers.
fn W_codes(block: u32) -> Block {
    let q = W_words(block);
    return Block(signed_bytes(q.a), signed_bytes(q.b), signed_bytes(q.c), signed_bytes(q.d),
                 signed_bytes(q.e), signed_bytes(q.f), signed_bytes(q.g), signed_bytes(q.h));
}
