// y[r] = W[r] . norm(x) for one token: decoding. Every lane takes each LANES-th block of four neighbouring rows. The sum of
// squares that the norm needs is taken on the way, and divides the products at the end. With two sets of rows, gate and up, a
// lane has the same rows of both.
//
// CPU twin: `matrix::Matrix::product` behind `elementwise::norm`. Grid: a workgroup for every `64 / LANES * 4` rows.
// From the generator: `begin`, `input`, `weighed` (the norm's weight), `dot0`, `dot1`, `normed`, `finish`, `store`.

var<workgroup> parts: array<vec4<f32>, 64 * SETS>;
var<workgroup> squares: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let lane = i % LANES;
    let first = (group.x * (64u / LANES) + i / LANES) * 4u;
    begin(i);
    // Rows past the end read the last one and write nothing.
    let rows = min(vec4<u32>(first, first + 1u, first + 2u, first + 3u), vec4<u32>(TOTAL - 1u)) * BLOCKS;
    var square = 0.0;
    var sum{i} = vec4<f32>(0.0);
    for (var block = lane; block < BLOCKS; block += LANES) {
        let x = input(block, group.x * 64u + i);
        square += block_squares(x);
        let y = weighed(x, block);
        let sums = halves(y);
        // A loop: SwiftShader does not unroll it and took 0.9 of the time, others unroll it.
        for (var r = 0u; r < 4u; r += 1u) {
            let at = rows[r] + block;
            sum{i}[r] += dot{i}(at, y, sums);
        }
    }
    squares[i] = square;
    parts[64u * {i}u + i] = sum{i};
    workgroupBarrier();
    if (lane == 0u) {
        for (var j = 1u; j < LANES; j += 1u) {
            square += squares[i + j];
            sum{i} += parts[64u * {i}u + i + j];
        }
        let scale = normed(square);
        let y{i} = sum{i} * scale;
        let out = finish(ALL_Y);
        for (var j = 0u; j < 4u; j += 1u) {
            if (first + j < TOTAL) {
                store(first + j, out[j]);
            }
        }
    }
}
