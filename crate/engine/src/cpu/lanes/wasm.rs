//! Lanes on WebAssembly SIMD128.

use bytemuck::must_cast;
use core::arch::wasm32::*;

/// Eight i16.
#[derive(Clone, Copy)]
pub struct I16x8(v128);
/// Four i32.
#[derive(Clone, Copy)]
pub struct I32x4(v128);
/// Four f32.
#[derive(Clone, Copy)]
pub struct F32x4(v128);

#[allow(missing_docs)] // see the x86 twin
#[cfg_attr(not(target_feature = "relaxed-simd"), allow(dead_code))] // the products of bytes need more
impl I16x8 {
    #[inline(always)]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(must_cast(bytes))
    }
    #[inline(always)]
    pub fn from_i8(bytes: [u8; 8]) -> Self {
        Self(i16x8_extend_low_i8x16(i64x2_splat(must_cast(bytes))))
    }
    #[inline(always)]
    pub fn splat(value: i16) -> Self {
        Self(i16x8_splat(value))
    }
    #[inline(always)]
    pub fn splat_pair(pair: [i16; 2]) -> Self {
        Self(i32x4_splat(must_cast(pair)))
    }
    #[inline(always)]
    pub fn splat_bytes(four: [i8; 4]) -> Self {
        Self(i32x4_splat(must_cast(four)))
    }
    #[inline(always)]
    pub fn narrow(low: I32x4, high: I32x4) -> Self {
        Self(i16x8_narrow_i32x4(low.0, high.0))
    }
    #[inline(always)]
    pub fn to_bytes(self) -> [u8; 16] {
        must_cast(self.0)
    }
    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        Self(i16x8_add(self.0, other.0))
    }
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        Self(v128_and(self.0, other.0))
    }
    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        Self(v128_or(self.0, other.0))
    }
    #[inline(always)]
    pub fn xor(self, other: Self) -> Self {
        Self(v128_xor(self.0, other.0))
    }
    #[inline(always)]
    pub fn from_halves([low, high]: [[u8; 8]; 2]) -> Self {
        Self(i64x2(must_cast(low), must_cast(high)))
    }
    #[inline(always)]
    pub fn zip_bytes(self, other: Self) -> Self {
        Self(i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(self.0, other.0))
    }
    #[inline(always)]
    pub fn low_bytes(self) -> Self {
        Self(u16x8_extend_low_u8x16(self.0))
    }
    #[inline(always)]
    pub fn high_bytes(self) -> Self {
        Self(u16x8_extend_high_u8x16(self.0))
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    pub fn pick(self, places: Self) -> Self {
        Self(i8x16_relaxed_swizzle(self.0, places.0))
    }
    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    pub fn pick(self, places: Self) -> Self {
        Self(i8x16_swizzle(self.0, places.0))
    }
    #[inline(always)]
    pub fn shl<const N: i32>(self) -> Self {
        Self(i16x8_shl(self.0, N as u32))
    }
    #[inline(always)]
    pub fn shr<const N: i32>(self) -> Self {
        Self(u16x8_shr(self.0, N as u32))
    }
    #[inline(always)]
    pub fn sar<const N: i32>(self) -> Self {
        Self(i16x8_shr(self.0, N as u32))
    }
    #[inline(always)]
    pub fn dot(self, other: Self) -> I32x4 {
        I32x4(i32x4_dot_i16x8(self.0, other.0))
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    pub fn dot_bytes(self, x: Self) -> Self {
        Self(i16x8_relaxed_dot_i8x16_i7x16(x.0, self.0))
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    pub fn dot_bytes_onto(self, x: Self, sums: I32x4) -> I32x4 {
        I32x4(i32x4_relaxed_dot_i8x16_i7x16_add(x.0, self.0, sums.0))
    }
}

#[allow(missing_docs)]
impl I32x4 {
    #[inline(always)]
    pub fn splat(value: i32) -> Self {
        Self(i32x4_splat(value))
    }
    #[inline(always)]
    pub fn from_i16(values: [u16; 4]) -> Self {
        Self(i32x4_extend_low_i16x8(i64x2_splat(must_cast(values))))
    }
    #[inline(always)]
    pub fn from_u8(values: [u8; 4]) -> Self {
        Self(u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(i32x4_splat(must_cast(values)))))
    }
    #[inline(always)]
    pub fn from_i8(values: [i8; 4]) -> Self {
        Self(i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(i32x4_splat(must_cast(values)))))
    }
    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        Self(i32x4_add(self.0, other.0))
    }
    #[inline(always)]
    pub fn sums([a, b, c, d]: [Self; 4]) -> Self {
        let pairs = |a, b| i32x4_add(i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
        let (ab, cd) = (pairs(a.0, b.0), pairs(c.0, d.0));
        Self(i32x4_add(i64x2_shuffle::<0, 2>(ab, cd), i64x2_shuffle::<1, 3>(ab, cd)))
    }
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        Self(v128_and(self.0, other.0))
    }
    #[inline(always)]
    pub fn shl<const N: i32>(self) -> Self {
        Self(i32x4_shl(self.0, N as u32))
    }
    #[inline(always)]
    pub fn to_array(self) -> [i32; 4] {
        must_cast(self.0)
    }
    #[inline(always)]
    pub fn to_f32(self) -> F32x4 {
        F32x4(f32x4_convert_i32x4(self.0))
    }
    #[inline(always)]
    pub fn bits_as_f32(self) -> F32x4 {
        F32x4(self.0)
    }
}

#[allow(missing_docs)]
impl F32x4 {
    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        Self(f32x4_splat(value))
    }
    #[inline(always)]
    pub fn from_array(values: [f32; 4]) -> Self {
        Self(must_cast(values))
    }
    #[inline(always)]
    pub fn to_array(self) -> [f32; 4] {
        must_cast(self.0)
    }
    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }
    #[inline(always)]
    pub fn sub(self, other: Self) -> Self {
        Self(f32x4_sub(self.0, other.0))
    }
    #[inline(always)]
    pub fn mul(self, other: Self) -> Self {
        Self(f32x4_mul(self.0, other.0))
    }
    #[inline(always)]
    pub fn div(self, other: Self) -> Self {
        Self(f32x4_div(self.0, other.0))
    }
    #[inline(always)]
    pub fn max(self, other: Self) -> Self {
        Self(f32x4_pmax(self.0, other.0))
    }
    #[inline(always)]
    pub fn min(self, other: Self) -> Self {
        Self(f32x4_pmin(self.0, other.0))
    }
    #[inline(always)]
    pub fn abs(self) -> Self {
        Self(f32x4_abs(self.0))
    }
    #[inline(always)]
    pub fn bits_as_i32(self) -> I32x4 {
        I32x4(self.0)
    }
}
