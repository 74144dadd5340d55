// Activations times the norm's weight; what divides them is known at the end.
fn weighed(x: Block, block: u32) -> Block {
    let at = 8u * block;
    return Block(
        x.a * norm_weight[at], x.b * norm_weight[at + 1u], x.c * norm_weight[at + 2u], x.d * norm_weight[at + 3u],
        x.e * norm_weight[at + 4u], x.f * norm_weight[at + 5u], x.g * norm_weight[at + 6u], x.h * norm_weight[at + 7u]);
}
fn normed(square: f32) -> f32 {
    return inverseSqrt(square / WIDTH + EPS);
}
