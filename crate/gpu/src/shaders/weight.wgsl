// A weight W in whatever format: its file gives `W_codes(block)` and `W_scales(block)`, so that number j of a block is
// scale * code - least, with one scale and one least for each half: (scale low, scale high, least low, least high).

// The numbers of a block.
fn W_decode(block: u32) -> Block {
    let q = W_codes(block);
    let s = W_scales(block);
    return Block(q.a * s.x - s.z, q.b * s.x - s.z, q.c * s.x - s.z, q.d * s.x - s.z,
                 q.e * s.y - s.w, q.f * s.y - s.w, q.g * s.y - s.w, q.h * s.y - s.w);
}
