// Stores the keys and values of all tokens of a run. CPU twin: `cache::Head::append`. Grid: (key heads, 1, T).
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    measure_heads(group.x, group.z, i);
    keep(group.x, group.z, state.position + group.z, i);
}
