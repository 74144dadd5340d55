for (var k = 0u; k < 8u; k += 1u) {
    TAKE
    let w{i} = vec4<f32>(weights[k * 64u + rank + {i}u]);
    sum{o} += vec4<f32>(dot(w{g}, a{oe}), dot(w{g}, b{oe}), dot(w{g}, c{oe}), dot(w{g}, d{oe}));
}
