for (var part = 0u; part < PARTS; part += 1u) {
    var dots{o} = Sums();
    var total{e} = Sums();
    for (var k = part * (8u / PARTS); k < (part + 1u) * (8u / PARTS); k += 1u) {
        TAKE
        if (LEAST) {
            total{e} += Sums(product(ONES, a{e}), product(ONES, b{e}), product(ONES, c{e}), product(ONES, d{e}));
        }
        let w{i} = four(weights[k * 64u + rank + {i}u]);
        dots{o} += Sums(product(w{g}, a{oe}), product(w{g}, b{oe}), product(w{g}, c{oe}), product(w{g}, d{oe}));
    }
    let f{e} = factors(token + 4u * {e}u);
    let s{i} = scales[64u * part + rank + {i}u];
    sum{o} += f{oe} * (s{g}.x * vec4<f32>(dots{o}) - s{g}.y * vec4<f32>(total{oe}));
}
