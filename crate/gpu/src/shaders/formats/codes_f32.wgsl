// Plain numbers: thirty-two words a block.
fn W_codes(block: u32) -> Block {
    let at = 8u * block;
    return Block(bitcast<vec4<f32>>(W[at]), bitcast<vec4<f32>>(W[at + 1u]),
                 bitcast<vec4<f32>>(W[at + 2u]), bitcast<vec4<f32>>(W[at + 3u]),
                 bitcast<vec4<f32>>(W[at + 4u]), bitcast<vec4<f32>>(W[at + 5u]),
                 bitcast<vec4<f32>>(W[at + 6u]), bitcast<vec4<f32>>(W[at + 7u]));
}
