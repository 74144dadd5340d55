// Joins what the splits of attention left: [SPLITS, heads, sums (E), maximum, total]. Grid: (heads).
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let row = HEAD_DIM + 2u;
    var high = LOWEST;
    for (var s = 0u; s < SPLITS; s += 1u) {
        high = max(high, parts[(s * HEADS + group.x) * row + HEAD_DIM]);
    }
    for (var e = i; e < HEAD_DIM; e += 64u) {
        var sum = 0.0;
        var total = 0.0;
        for (var s = 0u; s < SPLITS; s += 1u) {
            let at = (s * HEADS + group.x) * row;
            let share = exp(parts[at + HEAD_DIM] - high);
            sum += share * parts[at + e];
            total += share * parts[at + HEAD_DIM + 1u];
        }
        out[group.x * HEAD_DIM + e] = sum / total;
    }
}
