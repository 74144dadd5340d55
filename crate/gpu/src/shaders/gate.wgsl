// h = activation(gate) * up for T rows. CPU twin: `elementwise::gated_silu`, `gated_gelu`. Grid: (vectors of a row / 64, T).
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let j = group.x * 64u + i;
    if (j < VECTORS) {
        let at = group.y * VECTORS + j;
        h[at] = finish(gate[at], up[at]);
    }
}
