//! Lanes on x86-64: SSE2, and SSSE3 for products of bytes.

use bytemuck::must_cast;
use core::arch::x86_64::*;

/// Intrinsics are safe only in functions that name their target feature, and those cannot be inlined into others.
macro_rules! simd {
    ($($body:tt)*) => {
        // SAFETY: the compiler was told that the machine has these instructions, and none of them touches memory.
        unsafe { $($body)* }
    };
}

/// Eight i16.
#[derive(Clone, Copy)]
pub struct I16x8(__m128i);
/// Four i32.
#[derive(Clone, Copy)]
pub struct I32x4(__m128i);
/// Four f32.
#[derive(Clone, Copy)]
pub struct F32x4(__m128);

impl I16x8 {
    /// Little-endian i16.
    #[inline(always)]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(must_cast(bytes))
    }
    /// Eight bytes, widened with sign.
    #[inline(always)]
    pub fn from_i8(bytes: [u8; 8]) -> Self {
        simd! {
            let v = _mm_set1_epi64x(must_cast(bytes));
            Self(_mm_srai_epi16::<8>(_mm_unpacklo_epi8(v, v)))
        }
    }
    /// The same number eight times.
    #[inline(always)]
    pub fn splat(value: i16) -> Self {
        simd! {
            Self(_mm_set1_epi16(value))
        }
    }
    /// The same two numbers four times.
    #[inline(always)]
    pub fn splat_pair(pair: [i16; 2]) -> Self {
        simd! {
            Self(_mm_set1_epi32(must_cast(pair)))
        }
    }
    /// The same four bytes four times.
    #[inline(always)]
    pub fn splat_bytes(four: [i8; 4]) -> Self {
        simd! {
            Self(_mm_set1_epi32(must_cast(four)))
        }
    }
    /// The eight numbers, those outside an i16's range taken to its ends.
    #[inline(always)]
    pub fn narrow(low: I32x4, high: I32x4) -> Self {
        simd! {
            Self(_mm_packs_epi32(low.0, high.0))
        }
    }
    /// Little-endian i16.
    #[inline(always)]
    pub fn to_bytes(self) -> [u8; 16] {
        must_cast(self.0)
    }
    /// Sum.
    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        simd! {
            Self(_mm_add_epi16(self.0, other.0))
        }
    }
    /// Bitwise and.
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        simd! {
            Self(_mm_and_si128(self.0, other.0))
        }
    }
    /// Bitwise or.
    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        simd! {
            Self(_mm_or_si128(self.0, other.0))
        }
    }
    /// Bitwise exclusive or.
    #[inline(always)]
    pub fn xor(self, other: Self) -> Self {
        simd! {
            Self(_mm_xor_si128(self.0, other.0))
        }
    }
    /// Eight bytes, and eight more.
    #[inline(always)]
    pub fn from_halves([low, high]: [[u8; 8]; 2]) -> Self {
        simd! {
            Self(_mm_set_epi64x(must_cast(high), must_cast(low)))
        }
    }
    /// The first eight bytes of both in turns.
    #[inline(always)]
    pub fn zip_bytes(self, other: Self) -> Self {
        simd! {
            Self(_mm_unpacklo_epi8(self.0, other.0))
        }
    }
    /// The first eight bytes, widened without sign.
    #[inline(always)]
    pub fn low_bytes(self) -> Self {
        simd! {
            Self(_mm_unpacklo_epi8(self.0, _mm_setzero_si128()))
        }
    }
    /// The last eight bytes, widened without sign.
    #[inline(always)]
    pub fn high_bytes(self) -> Self {
        simd! {
            Self(_mm_unpackhi_epi8(self.0, _mm_setzero_si128()))
        }
    }
    /// The bytes of this table at sixteen places below 16; zero where a place has its highest bit.
    #[cfg(target_feature = "ssse3")]
    #[inline(always)]
    pub fn pick(self, places: Self) -> Self {
        simd! {
            Self(_mm_shuffle_epi8(self.0, places.0))
        }
    }
    /// The bytes of this table at sixteen places below 16; zero where a place has its highest bit.
    #[cfg(not(target_feature = "ssse3"))]
    #[inline(always)]
    pub fn pick(self, places: Self) -> Self {
        let table = self.to_bytes();
        Self::from_bytes(places.to_bytes().map(|place| if place < 128 { table[usize::from(place % 16)] } else { 0 }))
    }
    /// Shifts left.
    #[inline(always)]
    pub fn shl<const N: i32>(self) -> Self {
        simd! {
            Self(_mm_slli_epi16::<N>(self.0))
        }
    }
    /// Shifts right, zeros come in.
    #[inline(always)]
    pub fn shr<const N: i32>(self) -> Self {
        simd! {
            Self(_mm_srli_epi16::<N>(self.0))
        }
    }
    /// Shifts right, the sign comes in.
    #[inline(always)]
    pub fn sar<const N: i32>(self) -> Self {
        simd! {
            Self(_mm_srai_epi16::<N>(self.0))
        }
    }
    /// `a[2i] · b[2i] + a[2i + 1] · b[2i + 1]`.
    #[inline(always)]
    pub fn dot(self, other: Self) -> I32x4 {
        simd! {
            I32x4(_mm_madd_epi16(self.0, other.0))
        }
    }
    /// On bytes, codes of at most seven bits and signed x: `c[2i] · x[2i] + c[2i + 1] · x[2i + 1]`.
    #[cfg(target_feature = "ssse3")]
    #[inline(always)]
    pub fn dot_bytes(self, x: Self) -> Self {
        simd! {
            Self(_mm_maddubs_epi16(self.0, x.0))
        }
    }
    /// The same four products at a time, added to `sums`.
    #[cfg(target_feature = "ssse3")]
    #[inline(always)]
    pub fn dot_bytes_onto(self, x: Self, sums: I32x4) -> I32x4 {
        sums.add(self.dot_bytes(x).dot(Self::splat(1)))
    }
}

impl I32x4 {
    /// The same number four times.
    #[inline(always)]
    pub fn splat(value: i32) -> Self {
        simd! {
            Self(_mm_set1_epi32(value))
        }
    }
    /// Four i16 (given as their bits), widened with sign.
    #[inline(always)]
    pub fn from_i16(values: [u16; 4]) -> Self {
        simd! {
            let v = _mm_set1_epi64x(must_cast(values));
            Self(_mm_srai_epi32::<16>(_mm_unpacklo_epi16(v, v)))
        }
    }
    /// Four bytes, widened without sign.
    #[inline(always)]
    pub fn from_u8(values: [u8; 4]) -> Self {
        simd! {
            let v = _mm_unpacklo_epi8(_mm_set1_epi32(must_cast(values)), _mm_setzero_si128());
            Self(_mm_unpacklo_epi16(v, _mm_setzero_si128()))
        }
    }
    /// Four bytes, widened with sign.
    #[inline(always)]
    pub fn from_i8(values: [i8; 4]) -> Self {
        simd! {
            let v = _mm_set1_epi32(must_cast(values));
            let v = _mm_unpacklo_epi8(v, v);
            Self(_mm_srai_epi32::<24>(_mm_unpacklo_epi16(v, v)))
        }
    }
    /// Sum.
    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        simd! {
            Self(_mm_add_epi32(self.0, other.0))
        }
    }
    /// The sums of four times four numbers.
    #[inline(always)]
    pub fn sums([a, b, c, d]: [Self; 4]) -> Self {
        simd! {
            let [low, high] = [_mm_unpacklo_epi32(a.0, b.0), _mm_unpackhi_epi32(a.0, b.0)];
            let ab = _mm_add_epi32(low, high);
            let [low, high] = [_mm_unpacklo_epi32(c.0, d.0), _mm_unpackhi_epi32(c.0, d.0)];
            let cd = _mm_add_epi32(low, high);
            Self(_mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd)))
        }
    }
    /// Bitwise and.
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        simd! {
            Self(_mm_and_si128(self.0, other.0))
        }
    }
    /// Shifts left.
    #[inline(always)]
    pub fn shl<const N: i32>(self) -> Self {
        simd! {
            Self(_mm_slli_epi32::<N>(self.0))
        }
    }
    /// The four numbers.
    #[inline(always)]
    pub fn to_array(self) -> [i32; 4] {
        must_cast(self.0)
    }
    /// Rounded to f32.
    #[inline(always)]
    pub fn to_f32(self) -> F32x4 {
        simd! {
            F32x4(_mm_cvtepi32_ps(self.0))
        }
    }
    /// The same bits, read as f32.
    #[inline(always)]
    pub fn bits_as_f32(self) -> F32x4 {
        simd! {
            F32x4(_mm_castsi128_ps(self.0))
        }
    }
}

impl F32x4 {
    /// The same number four times.
    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        simd! {
            Self(_mm_set1_ps(value))
        }
    }
    /// Four numbers.
    #[inline(always)]
    pub fn from_array(values: [f32; 4]) -> Self {
        Self(must_cast(values))
    }
    /// The four numbers.
    #[inline(always)]
    pub fn to_array(self) -> [f32; 4] {
        must_cast(self.0)
    }
    /// Sum.
    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        simd! {
            Self(_mm_add_ps(self.0, other.0))
        }
    }
    /// Difference.
    #[inline(always)]
    pub fn sub(self, other: Self) -> Self {
        simd! {
            Self(_mm_sub_ps(self.0, other.0))
        }
    }
    /// Product.
    #[inline(always)]
    pub fn mul(self, other: Self) -> Self {
        simd! {
            Self(_mm_mul_ps(self.0, other.0))
        }
    }
    /// Quotient.
    #[inline(always)]
    pub fn div(self, other: Self) -> Self {
        simd! {
            Self(_mm_div_ps(self.0, other.0))
        }
    }
    /// `self < other ? other : self`.
    #[inline(always)]
    pub fn max(self, other: Self) -> Self {
        simd! {
            Self(_mm_max_ps(other.0, self.0))
        }
    }
    /// `other < self ? other : self`.
    #[inline(always)]
    pub fn min(self, other: Self) -> Self {
        simd! {
            Self(_mm_min_ps(other.0, self.0))
        }
    }
    /// Without sign.
    #[inline(always)]
    pub fn abs(self) -> Self {
        simd! {
            Self(_mm_andnot_ps(_mm_set1_ps(-0.0), self.0))
        }
    }
    /// The same bits, read as i32.
    #[inline(always)]
    pub fn bits_as_i32(self) -> I32x4 {
        simd! {
            I32x4(_mm_castps_si128(self.0))
        }
    }
}
