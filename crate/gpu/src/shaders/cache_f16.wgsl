// Keys and values in sixteen bits, two to a word: no feature of the adapter is needed for that.
fn key_at(vector: u32) -> vec4<f32> {
    let k = keys[vector];
    return vec4<f32>(unpack2x16float(k.x), unpack2x16float(k.y));
}
fn value_at(element: u32) -> f32 {
    return unpack2x16float(values[element / 2u])[element % 2u];
}
fn keep_key(vector: u32, key: vec4<f32>) {
    keys[vector] = vec2<u32>(pack2x16float(key.xy), pack2x16float(key.zw));
}
fn keep_value(vector: u32, value: vec4<f32>) {
    values[2u * vector] = pack2x16float(value.xy);
    values[2u * vector + 1u] = pack2x16float(value.zw);
}
