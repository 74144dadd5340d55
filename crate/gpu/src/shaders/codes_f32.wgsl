// Codes by activations as they are.
alias Four = vec4<f32>;
alias Sums = vec4<f32>;
const ONES = vec4<f32>(1.0);

fn fetch(base: u32, block: u32, count: u32, i: u32) {
    for (var j = i; j < 8u * TOKENS; j += 64u) {
        let t = min(base + j / 8u, count - 1u);
        inputs[j % 8u * TOKENS + j / 8u] = x[(t * shape.blocks + block) * 8u + j % 8u];
    }
}

fn product(w: Four, a: Four) -> f32 {
    return dot(w, a);
}

fn factors(token: u32) -> vec4<f32> {
    return vec4<f32>(1.0);
}
