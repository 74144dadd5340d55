// x + norm(pending): the end of the operation before, which needed all of `pending` to be there. The first workgroup keeps the
// sum, in another buffer, since others still read x.
var<workgroup> pending_squares: array<f32, 64>;
var<workgroup> pending_scale: f32;
fn begin(i: u32) {
    var square = 0.0;
    for (var j = i; j < 8u * BLOCKS; j += 64u) {
        square += dot(pending[j], pending[j]);
    }
    pending_squares[i] = square;
    workgroupBarrier();
    if (i == 0u) {
        for (var j = 1u; j < 64u; j += 1u) {
            square += pending_squares[j];
        }
        pending_scale = inverseSqrt(square / WIDTH + PENDING_EPS);
    }
    workgroupBarrier();
}
fn input(block: u32, keep: bool) -> Block {
    let at = 8u * block;
    let s = pending_scale;
    let y = Block(
        x[at] + pending[at] * pending_weight[at] * s, x[at + 1u] + pending[at + 1u] * pending_weight[at + 1u] * s,
        x[at + 2u] + pending[at + 2u] * pending_weight[at + 2u] * s, x[at + 3u] + pending[at + 3u] * pending_weight[at + 3u] * s,
        x[at + 4u] + pending[at + 4u] * pending_weight[at + 4u] * s, x[at + 5u] + pending[at + 5u] * pending_weight[at + 5u] * s,
        x[at + 6u] + pending[at + 6u] * pending_weight[at + 6u] * s, x[at + 7u] + pending[at + 7u] * pending_weight[at + 7u] * s);
    if (keep) {
        x_next[at] = y.a; x_next[at + 1u] = y.b; x_next[at + 2u] = y.c; x_next[at + 3u] = y.d;
        x_next[at + 4u] = y.e; x_next[at + 5u] = y.f; x_next[at + 6u] = y.g; x_next[at + 7u] = y.h;
    }
    return y;
}
