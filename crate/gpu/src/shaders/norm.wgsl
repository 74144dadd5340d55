// Root-mean-square norm of each row of x: y = x / sqrt(mean(x^2) + eps) * weight; ADD: y += that. CPU twin:
// `elementwise::norm`. Grid: (1, T).
var<workgroup> squares: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let at = group.y * VECTORS;
    var square = 0.0;
    for (var j = i; j < VECTORS; j += 64u) {
        square += dot(x[at + j], x[at + j]);
    }
    squares[i] = square;
    workgroupBarrier();
    var sum = 0.0;
    for (var j = 0u; j < 64u; j += 1u) {
        sum += squares[j];
    }
    let scale = inverseSqrt(sum / WIDTH + EPS);
    for (var j = i; j < VECTORS; j += 64u) {
        let normed = x[at + j] * scale * norm_weight[j];
        y[at + j] = select(vec4<f32>(0.0), y[at + j], ADD) + normed;
    }
}
