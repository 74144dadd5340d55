// Activations of T rows in bytes. CPU twin: `cpu/input.rs`. Grid: (blocks of a row / 64, T).
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let j = group.x * 64u + i;
    if (j < BLOCKS) {
        let block = group.y * BLOCKS + j;
        let at = 8u * block;
        let y = quantized(Block(x[at], x[at + 1u], x[at + 2u], x[at + 3u], x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]));
        words[2u * block] = vec4<u32>(y.x.a, y.x.b, y.x.c, y.x.d);
        words[2u * block + 1u] = vec4<u32>(y.x.e, y.x.f, y.x.g, y.x.h);
        factor[block] = y.scale;
    }
}
