// Norm of each row: y = norm(x), or y += norm(x), or y = norm(y); see `source`. Root-mean-square, x / sqrt(mean(x^2) + eps) * weight,
// or LAYER, which takes the mean out first and adds a bias. CPU twin: `elementwise::rms_norm`, `layer_norm`. Grid: (1, T).
var<workgroup> sums: array<f32, 64>;

fn total(own: f32, i: u32) -> f32 {
    sums[i] = own;
    workgroupBarrier();
    var sum = 0.0;
    for (var j = 0u; j < 64u; j += 1u) {
        sum += sums[j];
    }
    workgroupBarrier();
    return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let at = group.y * VECTORS;
    var mean = 0.0;
    if (LAYER) {
        var own = 0.0;
        for (var j = i; j < VECTORS; j += 64u) {
            own += dot(source(at + j), vec4<f32>(1.0));
        }
        mean = total(own, i) / WIDTH;
    }
    var square = 0.0;
    for (var j = i; j < VECTORS; j += 64u) {
        let x = source(at + j) - mean;
        square += dot(x, x);
    }
    // What fills a row up to whole blocks is zero, less the mean.
    let scale = inverseSqrt((total(square, i) - f32(VECTORS * 4u - u32(WIDTH)) * mean * mean) / WIDTH + EPS);
    for (var j = i; j < VECTORS; j += 64u) {
        let normed = (source(at + j) - mean) * scale * norm_weight[j] + shift(j);
        y[at + j] = select(vec4<f32>(0.0), y[at + j], ADD) + normed;
    }
}
