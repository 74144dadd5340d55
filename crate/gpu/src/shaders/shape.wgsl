// A matrix's part in a matmul. Sizes are not constants, so that a model needs a pipeline for each format and not for each matrix:
// compiling them was most of a load.

// Blocks of a row, rows, numbers of a row of y, where in it these begin; the weight's regions; whether what is in y stays.
struct Shape { blocks: u32, rows: u32, stride: u32, offset: u32, high: u32, scales: u32, whole: u32, add: u32 }

// Four tokens' products with one row.
fn store(t: u32, row: u32, count: u32, sum: vec4<f32>) {
    if (row >= shape.rows) {
        return;
    }
    for (var j = 0u; j < 4u; j += 1u) {
        if (t + j < count) {
            let at = (t + j) * shape.stride + shape.offset + row;
            y[at] = select(0.0, y[at], shape.add == 1u) + finished(shape.offset + row, sum[j]);
        }
    }
}
