// A block of TOKENS rows of x into workgroup memory, by `narrow`.
fn bring(base: u32, block: u32, count: u32, i: u32) {
    for (var j = i; j < 8u * TOKENS; j += 64u) {
        let t = min(base + j / 8u, count - 1u);
        inputs[j % 8u * TOKENS + j / 8u] = narrow(x[(t * shape.blocks + block) * 8u + j % 8u]);
    }
}
