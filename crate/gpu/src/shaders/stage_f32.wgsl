// Activations of CHUNK blocks in workgroup memory, as they are.
struct Taken { x: Block, scale: f32, sums: vec2<f32> }

fn product(w: vec4<f32>, x: vec4<f32>) -> f32 {
    return dot(w, x);
}

var<workgroup> staged: array<vec4<f32>, 8 * CHUNK>; // [8 vectors, CHUNK]

fn stage(at: u32, x: Block) {
    staged[at] = x.a; staged[CHUNK + at] = x.b; staged[2u * CHUNK + at] = x.c; staged[3u * CHUNK + at] = x.d;
    staged[4u * CHUNK + at] = x.e; staged[5u * CHUNK + at] = x.f; staged[6u * CHUNK + at] = x.g; staged[7u * CHUNK + at] = x.h;
}

fn take(at: u32) -> Taken {
    let x = Block(staged[at], staged[CHUNK + at], staged[2u * CHUNK + at], staged[3u * CHUNK + at],
        staged[4u * CHUNK + at], staged[5u * CHUNK + at], staged[6u * CHUNK + at], staged[7u * CHUNK + at]);
    return Taken(x, 1.0, halves(x));
}
