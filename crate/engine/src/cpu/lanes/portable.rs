//! Lanes as plain arrays, for machines without a file of their own.

use bytemuck::must_cast;
use std::array::from_fn;

/// Eight i16.
#[derive(Clone, Copy)]
pub struct I16x8([i16; 8]);
/// Four i32.
#[derive(Clone, Copy)]
pub struct I32x4([i32; 4]);
/// Four f32.
#[derive(Clone, Copy)]
pub struct F32x4([f32; 4]);

#[allow(missing_docs)] // see the x86 twin
impl I16x8 {
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(must_cast(bytes))
    }
    pub fn from_i8(bytes: [u8; 8]) -> Self {
        Self(bytes.map(|byte| i16::from(byte as i8)))
    }
    pub fn splat(value: i16) -> Self {
        Self([value; 8])
    }
    pub fn splat_pair(pair: [i16; 2]) -> Self {
        Self(from_fn(|i| pair[i % 2]))
    }
    pub fn splat_bytes(four: [i8; 4]) -> Self {
        Self(must_cast([four; 4]))
    }
    pub fn narrow(low: I32x4, high: I32x4) -> Self {
        let numbers: [i32; 8] = must_cast([low.0, high.0]);
        Self(numbers.map(|v| v.clamp(i16::MIN.into(), i16::MAX.into()) as i16))
    }
    pub fn to_bytes(self) -> [u8; 16] {
        must_cast(self.0)
    }
    pub fn add(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i].wrapping_add(other.0[i])))
    }
    pub fn and(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] & other.0[i]))
    }
    pub fn or(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] | other.0[i]))
    }
    pub fn xor(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] ^ other.0[i]))
    }
    pub fn from_halves(halves: [[u8; 8]; 2]) -> Self {
        Self(must_cast(halves))
    }
    pub fn zip_bytes(self, other: Self) -> Self {
        let both = [self.to_bytes(), other.to_bytes()];
        Self::from_bytes(from_fn(|i| both[i % 2][i / 2]))
    }
    pub fn low_bytes(self) -> Self {
        let bytes = self.to_bytes();
        Self(from_fn(|i| bytes[i].into()))
    }
    pub fn high_bytes(self) -> Self {
        let bytes = self.to_bytes();
        Self(from_fn(|i| bytes[8 + i].into()))
    }
    pub fn pick(self, places: Self) -> Self {
        let table = self.to_bytes();
        Self::from_bytes(places.to_bytes().map(|place| if place < 128 { table[usize::from(place % 16)] } else { 0 }))
    }
    pub fn shl<const N: i32>(self) -> Self {
        Self(self.0.map(|v| v << N))
    }
    pub fn shr<const N: i32>(self) -> Self {
        Self(self.0.map(|v| (v as u16 >> N) as i16))
    }
    pub fn sar<const N: i32>(self) -> Self {
        Self(self.0.map(|v| v >> N))
    }
    pub fn dot(self, other: Self) -> I32x4 {
        let product = |i: usize| i32::from(self.0[i]) * i32::from(other.0[i]);
        I32x4(from_fn(|i| product(2 * i).wrapping_add(product(2 * i + 1))))
    }
}

#[allow(missing_docs)]
impl I32x4 {
    pub fn splat(value: i32) -> Self {
        Self([value; 4])
    }
    pub fn from_i16(values: [u16; 4]) -> Self {
        Self(values.map(|v| i32::from(v as i16)))
    }
    pub fn from_u8(values: [u8; 4]) -> Self {
        Self(values.map(i32::from))
    }
    pub fn from_i8(values: [i8; 4]) -> Self {
        Self(values.map(i32::from))
    }
    pub fn add(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i].wrapping_add(other.0[i])))
    }
    pub fn sums(four: [Self; 4]) -> Self {
        Self(four.map(|v| v.0.into_iter().fold(0, i32::wrapping_add)))
    }
    pub fn and(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] & other.0[i]))
    }
    pub fn shl<const N: i32>(self) -> Self {
        Self(self.0.map(|v| v << N))
    }
    pub fn to_array(self) -> [i32; 4] {
        self.0
    }
    pub fn to_f32(self) -> F32x4 {
        F32x4(self.0.map(|v| v as f32))
    }
    pub fn bits_as_f32(self) -> F32x4 {
        F32x4(self.0.map(|v| f32::from_bits(v as u32)))
    }
}

#[allow(missing_docs)]
impl F32x4 {
    pub fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    pub fn from_array(values: [f32; 4]) -> Self {
        Self(values)
    }
    pub fn to_array(self) -> [f32; 4] {
        self.0
    }
    pub fn add(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] + other.0[i]))
    }
    pub fn sub(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] - other.0[i]))
    }
    pub fn mul(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] * other.0[i]))
    }
    pub fn div(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] / other.0[i]))
    }
    pub fn max(self, other: Self) -> Self {
        Self(from_fn(|i| if self.0[i] < other.0[i] { other.0[i] } else { self.0[i] }))
    }
    pub fn min(self, other: Self) -> Self {
        Self(from_fn(|i| if other.0[i] < self.0[i] { other.0[i] } else { self.0[i] }))
    }
    pub fn abs(self) -> Self {
        Self(self.0.map(f32::abs))
    }
    pub fn bits_as_i32(self) -> I32x4 {
        I32x4(must_cast(self.0))
    }
}
