// Chooses a token and puts it where the next run will look for it. CPU twin: `sampling::Sampler::sample`.
//
// top-k, top-p and min-p all keep the tokens whose logits reach some least one. The first two are found by halving an interval:
// each time the logits that reach its middle are counted and their probabilities summed, over the chunks that have such logits.
// Of what is kept the token with the largest logit / temperature + Gumbel noise is taken, which draws by probability without
// sorting or summing up (Maddison et al. 2014, arXiv:1411.0030). The noise depends on seed, position and token alone.
// Grid: (1).

var<workgroup> partial: array<vec2<f32>, 256>;
var<workgroup> grouped: array<vec2<f32>, 16>;

// Each thread's pair summed.
fn sums(i: u32, pair: vec2<f32>) -> vec2<f32> {
    partial[i] = pair;
    workgroupBarrier();
    if (i < 16u) {
        var sum = vec2<f32>(0.0);
        for (var j = 0u; j < 16u; j += 1u) {
            sum += partial[i * 16u + j];
        }
        grouped[i] = sum;
    }
    workgroupBarrier();
    var sum = vec2<f32>(0.0);
    for (var j = 0u; j < 16u; j += 1u) {
        sum += grouped[j];
    }
    return sum;
}

fn better(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return select(b, a, a.x > b.x || (a.x == b.x && a.y <= b.y));
}

// The pair (number, token) of the largest number among all threads', of equals that of the smallest token. A token is a whole
// number that f32 holds.
fn best(i: u32, pair: vec2<f32>) -> vec2<f32> {
    partial[i] = pair;
    workgroupBarrier();
    if (i < 16u) {
        var found = partial[i * 16u];
        for (var j = 1u; j < 16u; j += 1u) {
            found = better(found, partial[i * 16u + j]);
        }
        grouped[i] = found;
    }
    workgroupBarrier();
    var found = grouped[0];
    for (var j = 1u; j < 16u; j += 1u) {
        found = better(found, grouped[j]);
    }
    return found;
}

// How many logits are `least` or more, and the sum of their probabilities over that of the likeliest.
fn reach(i: u32, least: f32, most: f32) -> vec2<f32> {
    var sum = vec2<f32>(0.0);
    for (var chunk = 0u; chunk < CHUNKS; chunk += 1u) {
        if (chunks[chunk].most < least) {
            continue;
        }
        let end = min((chunk + 1u) * CHUNK, VOCAB);
        for (var j = chunk * CHUNK + i; j < end; j += 256u) {
            let logit = logits[j];
            if (logit >= least) {
                sum += vec2<f32>(1.0, exp(logit - most));
            }
        }
    }
    return sums(i, sum);
}

// PCG-RXS-M-XS (O'Neill 2014; Jarzynski & Olano 2020, "Hash Functions for GPU Rendering").
fn hash(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// -ln(-ln(1 - v)) for a v that is evenly spread. Where v is small the logarithm of 1 - v would have no digits left.
fn gumbel(position: u32, token: u32) -> f32 {
    let v = (f32(hash(token + hash(position + hash(choice.seed))) >> 8u) + 0.5) * 0x1p-24;
    let series = v * (1.0 + v * (0.5 + v * (1.0 / 3.0 + v * (0.25 + v * 0.2))));
    return -log(select(-log(1.0 - v), series, v < 0.03125));
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) i: u32) {
    let position = state.position + state.count;
    var least = -LOWEST;
    var likeliest = vec2<f32>(LOWEST, 0.0);
    for (var chunk = i; chunk < CHUNKS; chunk += 256u) {
        least = min(least, chunks[chunk].least);
        likeliest = better(likeliest, vec2<f32>(chunks[chunk].most, f32(chunks[chunk].first)));
    }
    likeliest = best(i, likeliest);
    if (choice.temperature > 0.0) {
        let most = likeliest.x;
        least = -best(i, vec2<f32>(-least, 0.0)).x;
        if (choice.top_k > 0u) {
            var high = most;
            // By the largest of each chunk first: there are few.
            for (var step = 0u; step < HALVINGS; step += 1u) {
                let middle = 0.5 * (least + high);
                var count = 0.0;
                for (var chunk = i; chunk < CHUNKS; chunk += 256u) {
                    count += select(0.0, 1.0, chunks[chunk].most >= middle);
                }
                let enough = sums(i, vec2<f32>(count, 0.0)).x >= f32(choice.top_k);
                least = select(least, middle, enough);
                high = select(middle, high, enough);
            }
            high = most;
            for (var step = 0u; step < HALVINGS; step += 1u) {
                let middle = 0.5 * (least + high);
                let enough = reach(i, middle, most).x >= f32(choice.top_k);
                least = select(least, middle, enough);
                high = select(middle, high, enough);
            }
        }
        if (choice.top_p < 1.0) {
            let wanted = choice.top_p * reach(i, least, most).y;
            var high = most;
            for (var step = 0u; step < HALVINGS; step += 1u) {
                let middle = 0.5 * (least + high);
                let enough = reach(i, middle, most).y >= wanted;
                least = select(least, middle, enough);
                high = select(middle, high, enough);
            }
        }
        if (choice.min_p > 0.0) {
            least = max(least, most + log(choice.min_p));
        }
        least = min(least, most);
        var found = vec2<f32>(LOWEST, likeliest.y);
        for (var chunk = 0u; chunk < CHUNKS; chunk += 1u) {
            if (chunks[chunk].most < least) {
                continue;
            }
            let end = min((chunk + 1u) * CHUNK, VOCAB);
            for (var j = chunk * CHUNK + i; j < end; j += 256u) {
                if (logits[j] >= least) {
                    let key = (logits[j] - most) / choice.temperature + gumbel(position, j);
                    found = better(vec2<f32>(key, f32(j)), found);
                }
            }
        }
        likeliest = best(i, found);
    }
    if (i == 0u) {
        tokens[position] = u32(likeliest.y);
        state = State(position, 1u, 0u, 0u);
    }
}
