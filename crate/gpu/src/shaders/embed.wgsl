// x[t] = table[tokens[position + t]] * scale. CPU twin: `Matrix::row`. Grid: (blocks of a row / 64, T). Tokens outside this part
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
    x[at] = w.a * SCALE; x[at + 1u] = w.b * SCALE; x[at + 2u] = w.c * SCALE; x[at + 3u] = w.d * SCALE;
    x[at + 4u] = w.e * SCALE; x[at + 5u] = w.f * SCALE; x[at + 6u] = w.g * SCALE; x[at + 7u] = w.h * SCALE;
}
