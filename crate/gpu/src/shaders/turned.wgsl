// A number of the head at `at`, normed and turned. CPU twin: `rope::Turns`.
fn turned_one(at: u32, e: u32, position: u32, scale: f32, query: bool) -> f32 {
    let own = h[at + e] * scale * head_weight(e, query);
    if (e >= TURNING) {
        return own;
    }
    let partner = select(e ^ 1u, select(e + TURNING / 2u, e - TURNING / 2u, e >= TURNING / 2u), HALVES);
    let pair = select(e / 2u, e % (TURNING / 2u), HALVES);
    let turn = turns[position * (TURNING / 2u) + pair];
    let other = h[at + partner] * scale * head_weight(partner, query);
    return own * turn.x + select(other, -other, e < partner) * turn.y;
}
