//! Noise that depends on seed, position and token alone, so that any executor that chooses tokens itself draws the same ones, in
//! any order, and guesses ahead change nothing.
//!
//! Drawing is by the Gumbel-max trick (Maddison et al. 2014, arXiv:1411.0030): the largest sum of logit and noise wins, which
//! draws by probability without summing up. Other programs that draw from the same probabilities by another generator say other
//! things with the same seed; only the distribution is the same.

/// PCG-RXS-M-XS (O'Neill 2014; Jarzynski & Olano 2020, "Hash Functions for GPU Rendering").
fn hash(x: u32) -> u32 {
    let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = (state >> ((state >> 28) + 4) ^ state).wrapping_mul(277_803_737);
    word >> 22 ^ word
}

/// Evenly spread over the unit interval, its ends left out.
fn uniform(seed: u32, position: u32, token: u32) -> f32 {
    let bits = hash(token.wrapping_add(hash(position.wrapping_add(hash(seed)))));
    ((bits >> 8) as f32 + 0.5) * (1.0 / 16_777_216.0)
}

/// −ln(−ln(1 − v)) for an evenly spread v.
pub fn gumbel(seed: u32, position: u32, token: u32) -> f32 {
    let v = uniform(seed, position, token);
    -libm::logf(-libm::log1pf(-v))
}

/// Evenly spread over the unit interval, for a decision at a position that is about no token.
pub fn coin(seed: u32, position: u32) -> f32 {
    uniform(seed, position, u32::MAX)
}
