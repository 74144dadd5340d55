// Penalises the logits of recent tokens, in place, and finds the largest and the smallest of every CHUNK logits. CPU twin:
// `sampling::Sampler::sample`. Grid: (chunks).

var<workgroup> values: array<f32, CHUNK>;
var<workgroup> seen: array<atomic<u32>, CHUNK / 32u>;
var<workgroup> ends: array<vec2<f32>, 64>; // least, most
var<workgroup> firsts: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let base = group.x * CHUNK;
    let count = min(CHUNK, VOCAB - base);
    for (var j = i; j < count; j += 64u) {
        values[j] = logits[base + j];
    }
    if (i < CHUNK / 32u) {
        atomicStore(&seen[i], 0u);
    }
    workgroupBarrier();
    let end = state.position + state.count;
    for (var j = end - min(end, choice.window) + i; j < end; j += 64u) {
        let token = tokens[j] - base;
        // Each token once, however often it was said.
        if (token < count && (atomicOr(&seen[token / 32u], 1u << (token % 32u)) & (1u << (token % 32u))) == 0u) {
            let logit = values[token];
            values[token] = select(logit * choice.penalty, logit / choice.penalty, logit > 0.0);
            logits[base + token] = values[token];
        }
    }
    workgroupBarrier();
    var least = -LOWEST;
    var most = LOWEST;
    var first = 0u;
    for (var j = i; j < count; j += 64u) {
        least = min(least, values[j]);
        if (values[j] > most) {
            most = values[j];
            first = base + j;
        }
    }
    ends[i] = vec2<f32>(least, most);
    firsts[i] = first;
    workgroupBarrier();
    if (i == 0u) {
        for (var j = 1u; j < 64u; j += 1u) {
            least = min(least, ends[j].x);
            if (ends[j].y > most || (ends[j].y == most && firsts[j] < first)) {
                most = ends[j].y;
                first = firsts[j];
            }
        }
        chunks[group.x] = Chunk(most, least, first);
    }
}
