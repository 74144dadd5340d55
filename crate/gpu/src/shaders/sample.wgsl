// What both kernels of sampling share.

struct Choice { temperature: f32, top_p: f32, min_p: f32, penalty: f32, top_k: u32, window: u32, seed: u32, unused: u32 }

// The largest and the smallest of CHUNK logits, and which is the first of the largest.
struct Chunk { most: f32, least: f32, first: u32 }

const CHUNKS = (VOCAB + CHUNK - 1u) / CHUNK;
const LOWEST = -3e38;
const HALVINGS = 26u;
