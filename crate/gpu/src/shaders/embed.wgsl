// x[t] = table[tokens[position + t]] * scale + what `added` says: a learned position, a kind. CPU twin: `Matrix::row`. Grid: (blocks of a row / 64, T). Tokens outside this part
// of the table are another dispatch's.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let block = group.x * 64u + i;
    let token = tokens[state.position + group.y] - FIRST;
    if (block >= BLOCKS || token >= ROWS || group.y >= state.count) {
        return;
    }
    let w = w0_decode(token * BLOCKS + block);
    let at = (group.y * BLOCKS + block) * 8u;
    let p = added(state.position + group.y, block);
    x[at] = w.a * SCALE + p.a; x[at + 1u] = w.b * SCALE + p.b;
    x[at + 2u] = w.c * SCALE + p.c; x[at + 3u] = w.d * SCALE + p.d;
    x[at + 4u] = w.e * SCALE + p.e; x[at + 5u] = w.f * SCALE + p.f;
    x[at + 6u] = w.g * SCALE + p.g; x[at + 7u] = w.h * SCALE + p.h;
}
