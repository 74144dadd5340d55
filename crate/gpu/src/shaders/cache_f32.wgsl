// Keys and values as they are.
fn key_at(vector: u32) -> vec4<f32> {
    return keys[vector];
}
fn value_at(element: u32) -> f32 {
    return values[element];
}
fn keep_key(vector: u32, key: vec4<f32>) {
    keys[vector] = key;
}
fn keep_value(vector: u32, value: vec4<f32>) {
    values[4u * vector] = value.x;
    values[4u * vector + 1u] = value.y;
    values[4u * vector + 2u] = value.z;
    values[4u * vector + 3u] = value.w;
}
