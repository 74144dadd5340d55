// y[r] = W[r] . norm(x) for one token: decoding. A workgroup brings the activations, times the norm's weight, into its memory,
// CHUNK blocks at a time; then every lane takes each LANES-th block of four neighbouring rows. The sum of squares that the norm
// needs is taken on the way, and divides the products at the end. With two sets of rows, gate and up, a lane has the same rows of
// both.
//
// CPU twin: `matrix::Matrix::product` behind `elementwise::norm`. Grid: a workgroup for every `64 / LANES * 4` rows.
// From the generator: `begin`, `input`, `weighed` (the norm's weight), `stage`, `take`, `dot0`, `dot1`, `normed`, `finish`, `store`.

var<workgroup> parts: array<vec4<f32>, 64 * SETS>;
var<workgroup> squares: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let lane = i % LANES;
    let first = (group.x * (64u / LANES) + i / LANES) * 4u;
    begin(i);
    var square = 0.0;
    var sum{i} = vec4<f32>(0.0);
    for (var chunk = 0u; chunk < BLOCKS; chunk += CHUNK) {
        let count = min(CHUNK, BLOCKS - chunk);
        if (chunk > 0u) {
            workgroupBarrier();
        }
        for (var at = i; at < count; at += 64u) {
            let x = input(chunk + at, group.x == 0u);
            square += block_squares(x);
            stage(at, weighed(x, chunk + at));
        }
        squares[i] = square;
        workgroupBarrier();
        // Rows past the end read the last one and write nothing.
        var rows = min(vec4<u32>(0u, 1u, 2u, 3u) + first, vec4<u32>(TOTAL - 1u)) * BLOCKS + chunk;
        for (var at = lane; at < count; at += LANES) {
            let x = take(at);
            // A loop: SwiftShader does not unroll it and took 0.9 of the time, others unroll it. Vectors turn, so that no component
            // of them is chosen by a number.
            for (var r = 0u; r < 4u; r += 1u) {
                sum{i} = vec4<f32>(sum{i}.yzw, sum{i}.x + dot{i}(rows.x + at, x));
                rows = rows.yzwx;
            }
        }
    }
    parts[64u * {i}u + i] = sum{i};
    if (NORMED && i == 0u) {
        for (var j = 1u; j < min(BLOCKS, 64u); j += 1u) {
            square += squares[j];
        }
        squares[0] = square;
    }
    workgroupBarrier();
    if (lane == 0u) {
        for (var j = 1u; j < LANES; j += 1u) {
            sum{i} += parts[64u * {i}u + i + j];
        }
        let scale = normed(squares[0]);
        put(first, finish(ALL));
    }
}

// Keeps four rows' products.
fn put(row: u32, y: vec4<f32>) {
    for (var j = 0u; j < 4u; j += 1u) {
        if (row + j < TOTAL) {
            store(row + j, y[j]);
        }
    }
}
