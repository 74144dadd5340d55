// Codes by activations in bytes, four products in an instruction.
alias Four = u32;
alias Sums = vec4<i32>;
const ONES = 0x01010101u;

var<workgroup> measures: array<f32, TOKENS>;

fn bring(base: u32, block: u32, count: u32, i: u32) {
    for (var j = i; j < 2u * TOKENS; j += 64u) {
        let v = words[(min(base + j / 2u, count - 1u) * shape.blocks + block) * 2u + j % 2u];
        let at = j % 2u * 4u * TOKENS + j / 2u;
        inputs[at] = v.x; inputs[at + TOKENS] = v.y; inputs[at + 2u * TOKENS] = v.z; inputs[at + 3u * TOKENS] = v.w;
    }
    if (i < TOKENS) {
        measures[i] = factor[min(base + i, count - 1u) * shape.blocks + block];
    }
}

fn factors(token: u32) -> vec4<f32> {
    return vec4<f32>(measures[token], measures[token + 1u], measures[token + 2u], measures[token + 3u]);
}

fn four(word: u32) -> Four {
    return word;
}

fn product(w: Four, a: Four) -> i32 {
    return dot4I8Packed(w, a);
}
