//! The few vector operations the kernels are written in: eight i16, four i32 or four f32 at a time.
//!
//! `wasm` is SIMD128, `x86` is SSE2 (which every x86-64 has), `portable` is arrays for the rest. All three do the same
//! operations in the same order, so that kernels tested natively give the browser's numbers. Constructors take arrays by value: with `Pod`
//! casts they compile to plain vector loads, and kernels need no `unsafe`.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[path = "wasm.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "x86.rs"]
mod arch;
#[cfg(not(any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64")))]
use portable as arch;

// Built for tests everywhere, so that it is compared with the machine's own.
#[cfg(any(test, not(any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64"))))]
#[cfg_attr(test, allow(dead_code))] // the comparison leaves out what only moves bits
mod portable;

pub use arch::{F32x4, I16x8, I32x4};

/// Half floats are widened by shifting their bits into place, which leaves the exponent 112 too small; this restores it.
/// Multiply the *other* factor by it first: the plain widened number may be subnormal, and products of those are slow.
pub const HALF_SCALE: f32 = f32::from_bits((127 + 112) << 23);

/// From here on floats are whole numbers, and their last bits count them.
const WHOLE: f32 = 1.5 * (1 << 23) as f32;

/// Whether the build has dot products of bytes: relaxed SIMD, or SSSE3.
pub const RELAXED: bool = cfg!(any(target_feature = "relaxed-simd", target_feature = "ssse3"));

impl I16x8 {
    /// [`I16x8::splat`] of a number the compiler may not know. V8 makes a constant anew, in three instructions, wherever it is
    /// used; this one stays in a register.
    #[inline(always)]
    pub fn kept(value: u16) -> I16x8 {
        I16x8::splat(std::hint::black_box(value) as i16)
    }
}

impl F32x4 {
    /// Four f16, times 1 / [`HALF_SCALE`].
    #[inline(always)]
    pub fn from_half(bits: [u16; 4]) -> F32x4 {
        I32x4::from_i16(bits).shl::<13>().and(I32x4::splat(0x8fff_e000_u32 as i32)).bits_as_f32()
    }

    /// Four bf16.
    #[inline(always)]
    pub fn from_bf16(bits: [u16; 4]) -> F32x4 {
        I32x4::from_i16(bits).shl::<16>().bits_as_f32()
    }

    /// To the nearest whole number, halves to even; within ±2^22. Two instructions: V8 spends eight on rounding and converting.
    #[inline(always)]
    pub fn nearest(self) -> I32x4 {
        self.add(F32x4::splat(WHOLE)).bits_as_i32().add(I32x4::splat((WHOLE.to_bits() as i32).wrapping_neg()))
    }

    /// The sum of the four.
    #[inline(always)]
    pub fn sum(self) -> f32 {
        let [a, b, c, d] = self.to_array();
        (a + c) + (b + d)
    }
}

/// The exponential of four numbers. Its constants lie in memory the compiler may not look into, for the reason given at
/// [`I16x8::kept`].
#[derive(Clone, Copy)]
pub struct Exp(&'static [[f32; 4]; 13]);

impl Exp {
    /// Ends of the range, 1 / ln 2, the shift to whole numbers, ln 2 in two parts, then Cephes' polynomial for `expf`.
    const CONSTANTS: [[f32; 4]; 13] = {
        let numbers = [
            -87.3,
            88.0,
            std::f32::consts::LOG2_E,
            WHOLE,
            0.693_359_4,
            -2.121_944_4e-4,
            1.987_569_1e-4,
            1.398_2e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
            1.0,
        ];
        let mut splats = [[0.0; 4]; 13];
        let mut i = 0;
        while i < splats.len() {
            splats[i] = [numbers[i]; 4];
            i += 1;
        }
        splats
    };

    /// For use in a loop.
    #[inline(always)]
    pub fn new() -> Exp {
        Exp(std::hint::black_box(&Exp::CONSTANTS))
    }

    /// e to the power of each, relative error below 3e-7; what lies outside −87.3 to 88 is taken for these.
    #[inline(always)]
    pub fn of(self, x: F32x4) -> F32x4 {
        let [least, most, log2_e, whole, ln_2, ln_2_rest, highest, polynomial @ .., one] =
            self.0.map(F32x4::from_array);
        let x = x.max(least).min(most);
        let shifted = x.mul(log2_e).add(whole);
        let n = shifted.sub(whole);
        let r = x.sub(n.mul(ln_2)).sub(n.mul(ln_2_rest));
        let p = polynomial.into_iter().fold(highest, |p, coefficient| p.mul(r).add(coefficient));
        let p = p.mul(r).mul(r).add(r).add(one);
        // Of the shifted number's bits only those that count reach the exponent.
        let power = shifted.bits_as_i32().add(I32x4::splat(127)).shl::<23>().bits_as_f32();
        p.mul(power)
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn halves_widen_exactly() {
        for bits in 0..=0xffff_u16 {
            let half = half::f16::from_bits(bits);
            if !half.is_finite() {
                continue;
            }
            let [wide, ..] = F32x4::from_half([bits; 4]).mul(F32x4::splat(HALF_SCALE)).to_array();
            assert_eq!(wide, half.to_f32());
            let [wide, ..] = F32x4::from_bf16([bits; 4]).to_array();
            assert_eq!(wide.to_bits(), half::bf16::from_bits(bits).to_f32().to_bits());
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn exp_is_close() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let [y, ..] = Exp::new().of(F32x4::splat(x)).to_array();
            let exact = f64::from(x).exp();
            assert!((f64::from(y) - exact).abs() <= 3e-7 * exact, "{x}: {y}");
        }
    }

    /// Every operation on pseudo-random numbers, with the lanes of `$lanes`.
    macro_rules! all_operations {
        ($lanes:ident, $random:expr) => {{
            use super::$lanes::{F32x4, I16x8, I32x4};
            let mut random = fastrand::Rng::with_seed($random);
            let a = I16x8::from_bytes(std::array::from_fn(|_| random.u8(..)));
            let b = I16x8::splat_pair([random.i16(..), random.i16(..)]);
            let x = F32x4::from_array(std::array::from_fn(|_| random.f32() * 2000.0 - 1000.0));
            let y = F32x4::splat(random.f32() - 0.5);
            let halves = std::array::from_fn(|_| random.u16(..));
            let bytes = std::array::from_fn(|_| random.u8(..));
            let signed = I32x4::from_i8(bytes.map(|byte: u8| byte as i8));
            let integers = [
                a.dot(b),
                a.and(b).dot(I16x8::splat(3)),
                a.or(b).dot(b),
                a.shl::<3>().dot(b),
                a.shr::<5>().dot(b),
                a.sar::<7>().dot(b),
                a.add(b).dot(b),
                a.pick(b.and(I16x8::splat(0x0f0f))).dot(b),
                I16x8::narrow(a.dot(b), b.dot(b)).dot(b),
                I32x4::from_i16(halves).add(I32x4::splat(random.i32(-9..9))),
                I32x4::from_u8(bytes).shl::<20>().and(signed),
                x.bits_as_i32(),
                I16x8::from_i8(std::array::from_fn(|_| random.u8(..))).dot(b),
                a.xor(b).dot(b),
                I16x8::from_halves(bytemuck::must_cast([halves, halves])).dot(b),
                a.zip_bytes(b).dot(b),
                a.low_bytes().dot(b),
                a.high_bytes().dot(b),
                a.pick(b.and(I16x8::from_bytes([0x8f; 16]))).dot(b),
                I32x4::sums([a.dot(b), b.dot(b), signed, a.dot(a)]),
            ];
            let floats = [x.add(y), x.sub(y), x.mul(y), x.div(y), x.max(y), x.min(y), x.abs()];
            let bits = signed.shl::<22>().bits_as_f32();
            (integers.map(I32x4::to_array), floats.map(F32x4::to_array), bits.to_array().map(f32::to_bits))
        }};
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn portable_lanes_agree_with_the_machines_own() {
        for seed in 0..2000 {
            assert_eq!(all_operations!(arch, seed), all_operations!(portable, seed), "seed {seed}");
        }
    }

    /// Codes of seven bits times signed bytes, at the ends of their ranges too: exact, whatever the machine makes of it.
    #[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
    #[wasm_bindgen_test(unsupported = test)]
    fn products_of_bytes_are_exact() {
        let mut random = fastrand::Rng::with_seed(9);
        for round in 0..2000 {
            let codes: [u8; 16] = std::array::from_fn(|_| if round == 0 { 127 } else { random.u8(..128) });
            let x: [i8; 4] = std::array::from_fn(|_| if round == 0 { -127 } else { random.i8(-127..) });
            let factor = I16x8::splat_bytes(x);
            let product = |i: usize| i32::from(codes[i]) * i32::from(x[i % 4]);
            let wide = I16x8::from_bytes(codes).dot_bytes(factor).to_bytes();
            for (i, pair) in bytemuck::must_cast::<_, [i16; 8]>(wide).into_iter().enumerate() {
                assert_eq!(i32::from(pair), product(2 * i) + product(2 * i + 1));
            }
            let sums = I16x8::from_bytes(codes).dot_bytes_onto(factor, I32x4::splat(-7)).to_array();
            for (i, sum) in sums.into_iter().enumerate() {
                assert_eq!(sum, (4 * i..4 * i + 4).map(product).sum::<i32>() - 7);
            }
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn nearest_is_round() {
        for x in [0.0, 0.5, 1.5, -0.5, -2.5, 3.4999998, 32767.0, -32767.4, 4_194_303.0, -4_194_303.0] {
            assert_eq!(F32x4::splat(x).nearest().to_array(), [x.round_ties_even() as i32; 4], "{x}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn pairs_multiply_and_add() {
        let a = I16x8::from_bytes(bytemuck::must_cast([1_i16, -2, 3, 4, -5, 6, 7, -32768]));
        let b = I16x8::splat_pair([10, 100]);
        assert_eq!(a.dot(b).to_f32().to_array(), [-190.0, 430.0, 550.0, -3_276_730.0]);
        assert_eq!(a.shr::<12>().dot(b).to_f32().to_array(), [1500.0, 0.0, 150.0, 800.0]);
        assert_eq!(a.shl::<8>().sar::<8>().dot(b).to_f32().to_array(), [-190.0, 430.0, 550.0, 70.0]);
    }
}
