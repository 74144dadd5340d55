//! Formats as grids: a group of neighbouring numbers has a scale (and a minimum), and each number becomes one of a few levels.
//!
//! Encoders of the engine round to the nearest level of the nearest scale. Here scales are chosen by what the inputs weigh, and
//! levels by whoever asks (GPTQ lets later numbers make up for earlier ones): so both are apart, and a block's bytes are made at
//! the end. Scales are rounded to f16 before levels are chosen, since that is what the file will say.

use half::f16;
use hearth_engine::quant::{Format, IQ4_NL_VALUES, put_s4};

/// Numbers that share a scale, in all formats here.
pub const GROUP: usize = 32;

/// How a group's numbers are said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// `d · (code − zero)`, codes up to `2 · zero − 1`.
    Scaled { zero: i32 },
    /// `d · code + m`, codes up to `most`.
    Ranged { most: i32 },
    /// `d · VALUES[code]`.
    Table,
}

/// A format that the lab chooses scales and levels of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// The format of its bytes.
    pub format: Format,
    kind: Kind,
}

const GRIDS: &[Grid] = &[
    Grid { format: Format::Q8_0, kind: Kind::Scaled { zero: 128 } },
    Grid { format: Format::Q5_0, kind: Kind::Scaled { zero: 16 } },
    Grid { format: Format::Q5_1, kind: Kind::Ranged { most: 31 } },
    Grid { format: Format::Q4_0, kind: Kind::Scaled { zero: 8 } },
    Grid { format: Format::Q4_1, kind: Kind::Ranged { most: 15 } },
    Grid { format: Format::IQ4_NL, kind: Kind::Table },
    Grid { format: Format::S4_16_32, kind: Kind::Scaled { zero: 8 } },
];

/// A group's scale and minimum, as the file says them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scale {
    d: f32,
    m: f32,
    /// `1 / d`, 0 for 0.
    inverse: f32,
}

impl Scale {
    fn new(d: f32, m: f32) -> Scale {
        Scale { d, m, inverse: if d == 0.0 { 0.0 } else { 1.0 / d } }
    }

    /// As the file will say it, if it can.
    fn in_halves(self) -> Option<Scale> {
        let scale = Scale::new(f16::from_f32(self.d).to_f32(), f16::from_f32(self.m).to_f32());
        (scale.d.is_finite() && scale.m.is_finite() && scale.inverse.is_finite()).then_some(scale)
    }
}

impl Grid {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Grid> {
        GRIDS.iter().copied()
    }

    /// The grid of a format, if it has one.
    pub fn of(format: Format) -> Option<Grid> {
        Grid::all().find(|grid| grid.format == format)
    }

    /// The level nearest to `x`.
    #[inline(always)]
    pub fn code(self, scale: Scale, x: f32) -> u8 {
        let t = (x - scale.m) * scale.inverse;
        match self.kind {
            Kind::Scaled { zero } => (round(t) + zero).clamp(0, 2 * zero - 1) as u8,
            Kind::Ranged { most } => round(t).clamp(0, most) as u8,
            Kind::Table => nearest_value(t),
        }
    }

    /// The number that a level stands for.
    #[inline(always)]
    pub fn number(self, scale: Scale, code: u8) -> f32 {
        match self.kind {
            Kind::Scaled { zero } => scale.d * (i32::from(code) - zero) as f32,
            Kind::Ranged { .. } => scale.d * f32::from(code) + scale.m,
            Kind::Table => scale.d * f32::from(IQ4_NL_VALUES[code as usize]),
        }
    }

    /// The nearest number the group can say.
    #[inline(always)]
    pub fn round(self, scale: Scale, x: f32) -> f32 {
        self.number(scale, self.code(scale, x))
    }

    /// `Σ v (x − round(x))²`.
    fn error(self, scale: Scale, x: &[f32], v: &[f32]) -> f32 {
        x.iter().zip(v).map(|(&x, v)| v * (x - self.round(scale, x)).powi(2)).sum()
    }

    /// The scale that says `x` best where an error of number `i` weighs `v[i]`: candidates about the obvious one, each refitted to
    /// its levels by least squares.
    pub fn search(self, x: &[f32], v: &[f32]) -> Scale {
        let mut best = (f32::INFINITY, Scale::default());
        let mut consider = |scale: Scale| {
            let Some(scale) = scale.in_halves() else { return };
            let error = self.error(scale, x, v);
            if error < best.0 {
                best = (error, scale);
            }
        };
        match self.kind {
            Kind::Ranged { most } => {
                let (min, max) = x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
                for step in 0..=16 {
                    let d = (max - min) / (most as f32 + 0.2 * (step as f32 - 4.0));
                    let first = Scale::new(d, min);
                    consider(first);
                    consider(self.refit(first, x, v));
                }
            }
            Kind::Scaled { .. } | Kind::Table => {
                let largest = x.iter().copied().fold(0.0_f32, |max, x| if x.abs() > max.abs() { x } else { max });
                let end = match self.kind {
                    Kind::Scaled { zero } => zero as f32,
                    _ => f32::from(IQ4_NL_VALUES[0].unsigned_abs()),
                };
                for sign in [-1.0, 1.0] {
                    for step in -9..=9 {
                        let d = sign * largest / (end * (1.0 + 0.0125 * step as f32 * 8.0 / end.min(8.0)));
                        let first = Scale::new(d, 0.0);
                        consider(first);
                        consider(self.refit(first, x, v));
                    }
                }
            }
        }
        best.1
    }

    /// The best scale for the levels that `scale` gives.
    fn refit(self, scale: Scale, x: &[f32], v: &[f32]) -> Scale {
        let level = |x: f32| self.number(Scale::new(1.0, 0.0), self.code(scale, x));
        let (mut w, mut l, mut ll, mut xl, mut sum_x) = (0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32);
        for (&x, &v) in x.iter().zip(v) {
            let level = level(x);
            w += v;
            l += v * level;
            ll += v * level * level;
            xl += v * x * level;
            sum_x += v * x;
        }
        if ll == 0.0 {
            return scale;
        }
        match self.kind {
            Kind::Ranged { .. } => {
                let determinant = w * ll - l * l;
                if determinant <= 0.0 {
                    return scale;
                }
                Scale::new((w * xl - l * sum_x) / determinant, (ll * sum_x - l * xl) / determinant)
            }
            _ => Scale::new(xl / ll, 0.0),
        }
    }

    /// The bytes of a group. Panics where more than sixteen of a group of S4_16_32 are not zero.
    pub fn put(self, scale: Scale, codes: &[u8], block: &mut [u8]) {
        if let (Format::S4_16_32, Ok(codes)) = (self.format, codes.try_into()) {
            return put_s4(scale.d, other_than(8, codes), codes, block);
        }
        let f16 = |x: f32| f16::from_f32(x).to_le_bytes();
        block[..2].copy_from_slice(&f16(scale.d));
        let mut at = 2;
        if let Kind::Ranged { .. } = self.kind {
            block[2..4].copy_from_slice(&f16(scale.m));
            at = 4;
        }
        if let Kind::Scaled { zero: 128 } = self.kind {
            block[at..].iter_mut().zip(codes).for_each(|(byte, code)| *byte = code.wrapping_sub(128));
            return;
        }
        if block.len() - at == 20 {
            let fifths = codes.iter().rev().fold(0_u32, |bits, code| bits << 1 | u32::from(code >> 4 & 1));
            block[at..at + 4].copy_from_slice(&fifths.to_le_bytes());
            at += 4;
        }
        let (low, high) = codes.split_at(GROUP / 2);
        block[at..].iter_mut().zip(low.iter().zip(high)).for_each(|(byte, (low, high))| *byte = low & 15 | high << 4);
    }
}

/// A bit for each code that is another than `zero`.
fn other_than(zero: u8, codes: &[u8; GROUP]) -> u32 {
    codes.iter().rev().fold(0, |bits, code| bits << 1 | u32::from(*code != zero))
}

/// To the nearest whole number, halves to even ones; without a branch or a call.
#[inline(always)]
fn round(x: f32) -> i32 {
    const WHOLE: f32 = 1.5 * (1 << 23) as f32;
    (x.clamp(-4096.0, 4096.0) + WHOLE - WHOLE) as i32
}

/// The entry of IQ4_NL's table nearest to `x`; of two as near, the smaller.
#[inline(always)]
fn nearest_value(x: f32) -> u8 {
    // The whole number below `2x`: midpoints of the table are halves. From above, so that truncating rounds down.
    let below = 1023 - (1024.0 - 2.0 * x.clamp(-200.0, 200.0)) as i32;
    NEAREST[(below + 256).clamp(0, 511) as usize]
}

/// Of every `⌈2x⌉ − 1` from −256 on, how many midpoints lie below `x`. (Fifteen comparisons instead took four times as long.)
static NEAREST: [u8; 512] = {
    let mut table = [0; 512];
    let mut i = 0;
    while i < 512 {
        let mut value = 0;
        while value < 15 && i as i32 - 256 >= IQ4_NL_VALUES[value] as i32 + IQ4_NL_VALUES[value + 1] as i32 {
            value += 1;
        }
        table[i] = value as u8;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_decodes_to_the_numbers() {
        let mut random = fastrand::Rng::with_seed(1);
        for grid in Grid::all() {
            let mut x: [f32; GROUP] = std::array::from_fn(|_| random.f32() * 2.0 - 0.7);
            if grid.format == Format::S4_16_32 {
                x.as_chunks_mut::<2>().0.iter_mut().for_each(|two| two[1] = 0.0);
            }
            let scale = grid.search(&x, &[1.0; GROUP]);
            let codes = x.map(|x| grid.code(scale, x));
            let mut block = vec![0; grid.format.block_bytes()];
            grid.put(scale, &codes, &mut block);
            let mut back = [0.0; GROUP];
            grid.format.decode(&block, &mut back);
            for (code, back) in codes.iter().zip(back) {
                assert_eq!(grid.number(scale, *code), back, "{}", grid.format.name());
            }
        }
    }

    #[test]
    fn the_search_beats_the_nearest_scale() {
        let mut random = fastrand::Rng::with_seed(2);
        for grid in Grid::all() {
            let (mut searched, mut nearest) = (0.0, 0.0);
            for _ in 0..200 {
                let x: [f32; GROUP] = std::array::from_fn(|_| random.f32() + random.f32() + random.f32() - 1.5);
                let v: [f32; GROUP] = std::array::from_fn(|_| random.f32().powi(4) + 0.01);
                let mut block = vec![0; grid.format.block_bytes()];
                grid.format.encode(&x, &mut block).unwrap();
                let mut back = [0.0; GROUP];
                grid.format.decode(&block, &mut back);
                nearest += x.iter().zip(&back).zip(&v).map(|((x, y), v)| v * (x - y).powi(2)).sum::<f32>();
                searched += grid.error(grid.search(&x, &v), &x, &v);
            }
            assert!(searched < 0.85 * nearest, "{}: {}", grid.format.name(), searched / nearest);
        }
    }

    #[test]
    fn the_table_is_looked_up_right() {
        for i in -1400..1400 {
            let x = i as f32 * 0.1 + 0.03;
            let nearest = IQ4_NL_VALUES.iter().map(|v| (f32::from(*v) - x).abs()).fold(f32::MAX, f32::min);
            assert_eq!((f32::from(IQ4_NL_VALUES[nearest_value(x) as usize]) - x).abs(), nearest, "{x}");
        }
        // Between 1 and 13, and between -10 and 1.
        assert_eq!((nearest_value(7.0), nearest_value(7.01), nearest_value(-4.5)), (8, 9, 7));
    }

    #[test]
    fn zeros_stay_zeros() {
        for grid in Grid::all() {
            let scale = grid.search(&[0.0; GROUP], &[1.0; GROUP]);
            assert_eq!(grid.round(scale, 0.0), 0.0);
        }
    }
}
