// Activations of CHUNK blocks in workgroup memory, in bytes.
var<workgroup> staged: array<vec4<u32>, 2 * CHUNK>; // [2 vectors, CHUNK]
var<workgroup> measures: array<vec3<f32>, CHUNK>; // scale and sums

fn product(w: u32, x: u32) -> i32 {
    return dot4I8Packed(w, x);
}

fn stage(at: u32, x: Block) {
    let y = quantized(x);
    staged[at] = vec4<u32>(y.x.a, y.x.b, y.x.c, y.x.d);
    staged[CHUNK + at] = vec4<u32>(y.x.e, y.x.f, y.x.g, y.x.h);
    measures[at] = vec3<f32>(y.scale, y.sums);
}

fn take(at: u32) -> Taken {
    let p = staged[at];
    let q = staged[CHUNK + at];
    let m = measures[at];
    return Taken(Words(p.x, p.y, p.z, p.w, q.x, q.y, q.z, q.w), m.x, m.yz);
}
