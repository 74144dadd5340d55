// A number of the head at `at`, normed: these heads do not turn.
fn turned_one(at: u32, e: u32, position: u32, scale: f32, query: bool) -> f32 {
    return h[at + e] * scale * head_weight(e, query);
}
