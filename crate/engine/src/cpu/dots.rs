//! Integer products of packed codes with activations: three ways to the same exact sums.
//!
//! Which is fastest depends on what the browser makes of the relaxed instructions, so it is found by timing (`tune`):
//! without AVX-VNNI V8 needs one instruction for the product of bytes into i16 and five for the one into i32; with it, or on
//! ARM, the latter is one.

use super::along::spread;
use super::codes::{Codes, GROUP, Masks};
#[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
use super::input::Bytes;
use super::input::{Block, Pairs};
use super::lanes::{I16x8, I32x4};

/// `body` for each `i` below `n`, which is at most eight, written out, so that sums stay in registers.
///
/// The loop over groups is not: LLVM orders straight code by its chains of additions, and would hold every widened code of a
/// block for each sum in turn. For the same reason a prompt is read a quad of rows and eight tokens at a time: what an
/// activation is spread into is then used once, where it is, and eight sums and four widened codes fit into the registers.
/// (Two quads and four tokens need as few instructions, but had sixteen spread activations spilled: 27 GMAC/s.)
macro_rules! unroll {
    ($i:ident < $n:expr, $body:block) => {
        unroll!(@ $i $n, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $i:ident $n:expr, $body:block, $($at:literal)*) => {{
        $(if $at < $n {
            let $i = $at;
            $body
        })*
    }};
}
pub(super) use unroll;

/// One way to multiply.
pub trait Dots {
    /// The form in which it takes activations.
    type Form;

    /// For `Q` quads from `quad` on and N inputs, the sums over the columns of `GROUPS` groups from `first` on.
    fn products<C: Codes, const GROUPS: usize, const Q: usize, const N: usize>(
        codes: &C,
        first: usize,
        quad: usize,
        x: [&Block<Self::Form>; N],
        masks: &Masks,
    ) -> [[I32x4; N]; Q];

    /// 32 codes of one row, as they are multiplied.
    type Row: Copy;

    /// Where the codes of a group's kept columns lie among theirs, see [`spread`], in the order that [`Dots::unsigned`] wants.
    const SPREAD: &'static [[u8; GROUP]; 256];

    /// Codes of at most four bits, in the order of groups.
    fn unsigned(bytes: [I16x8; 2]) -> Self::Row;

    /// Signed bytes: the even ones of vector `h` are those of group `2h`, the odd ones of the next.
    fn signed(bytes: [I16x8; 2]) -> Self::Row;

    /// Four sums that together are the product of a row and an input.
    fn row(codes: &Self::Row, x: &Block<Self::Form>, masks: &Masks) -> I32x4;
}

/// The activations of a group.
#[inline(always)]
fn eight(x: &Block<Pairs>, group: usize) -> I16x8 {
    I16x8::from_bytes(bytemuck::must_cast(x.codes[group]))
}

/// Codes widened to i16; every build has it, and it is the only one for signed bytes.
pub struct Plain;

impl Dots for Plain {
    type Form = Pairs;

    #[inline(always)]
    fn products<C: Codes, const GROUPS: usize, const Q: usize, const N: usize>(
        codes: &C,
        first: usize,
        quad: usize,
        x: [&Block<Pairs>; N],
        masks: &Masks,
    ) -> [[I32x4; N]; Q] {
        let mut sums = [[I32x4::splat(0); N]; Q];
        for group in first..first + GROUPS {
            unroll!(q < Q, {
                let planes = codes.planes(quad + q, group, masks);
                // Pairs 0 and 2 are the even and the odd bytes of plane 0, pairs 1 and 3 those of plane 1.
                unroll!(pair < 4, {
                    let v: I16x8 = planes[pair % 2];
                    let widened = match (C::BITS == 8, pair / 2) {
                        (false, 0) => v.and(masks.even),
                        (false, _) => v.shr::<8>(),
                        (true, 0) => v.shl::<8>().sar::<8>(),
                        (true, _) => v.sar::<8>(),
                    };
                    unroll!(n < N, {
                        let factor = I16x8::splat_pair(x[n].codes[group][pair]);
                        sums[q][n] = sums[q][n].add(widened.dot(factor));
                    });
                });
            });
        }
        sums
    }

    /// Widened, by groups.
    type Row = [I16x8; 4];

    const SPREAD: &'static [[u8; GROUP]; 256] = &spread([0, 1, 2, 3, 4, 5, 6, 7]);

    #[inline(always)]
    fn unsigned([a, b]: [I16x8; 2]) -> [I16x8; 4] {
        [a.low_bytes(), a.high_bytes(), b.low_bytes(), b.high_bytes()]
    }

    #[inline(always)]
    fn signed([a, b]: [I16x8; 2]) -> [I16x8; 4] {
        [a.shl::<8>().sar::<8>(), a.sar::<8>(), b.shl::<8>().sar::<8>(), b.sar::<8>()]
    }

    #[inline(always)]
    fn row(codes: &[I16x8; 4], x: &Block<Pairs>, _masks: &Masks) -> I32x4 {
        let [a, b, c, d] = codes;
        let first = a.dot(eight(x, 0)).add(b.dot(eight(x, 1)));
        first.add(c.dot(eight(x, 2)).add(d.dot(eight(x, 3))))
    }
}

/// The columns of a group in the order of the planes, see `codes`.
#[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
const PLANES: [u8; GROUP] = [0, 4, 1, 5, 2, 6, 3, 7];

/// Activations by halves of a block.
#[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
#[inline(always)]
fn sixteens(x: &Block<Bytes>) -> [I16x8; 2] {
    let [low, high]: [[u8; 16]; 2] = bytemuck::must_cast(x.codes);
    [I16x8::from_bytes(low), I16x8::from_bytes(high)]
}

/// Products of bytes summed in i16 as long as they fit, then widened.
#[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
pub struct Relaxed16;

#[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
impl Dots for Relaxed16 {
    type Form = Bytes;

    #[inline(always)]
    fn products<C: Codes, const GROUPS: usize, const Q: usize, const N: usize>(
        codes: &C,
        first: usize,
        quad: usize,
        x: [&Block<Bytes>; N],
        masks: &Masks,
    ) -> [[I32x4; N]; Q] {
        // A lane gains at most 2 · 127 · code a plane: 8 planes of up to four bits, 4 of five, 2 of six stay below 2^15.
        let most = (4_usize >> C::BITS.saturating_sub(4)).clamp(1, GROUPS);
        let mut wide = [[I32x4::splat(0); N]; Q];
        for first in (first..first + GROUPS).step_by(most) {
            let mut sums = [[I16x8::splat(0); N]; Q];
            for group in first..first + most {
                unroll!(q < Q, {
                    let planes = codes.planes(quad + q, group, masks);
                    unroll!(plane < 2, {
                        unroll!(n < N, {
                            let factor = I16x8::splat_bytes(x[n].codes[group][plane]);
                            sums[q][n] = sums[q][n].add(planes[plane].dot_bytes(factor));
                        });
                    });
                });
            }
            unroll!(q < Q, {
                unroll!(n < N, { wide[q][n] = wide[q][n].add(sums[q][n].dot(masks.ones)) });
            });
        }
        wide
    }

    type Row = [I16x8; 2];

    const SPREAD: &'static [[u8; GROUP]; 256] = &spread(PLANES);

    #[inline(always)]
    fn unsigned(bytes: [I16x8; 2]) -> [I16x8; 2] {
        bytes
    }

    fn signed(_bytes: [I16x8; 2]) -> [I16x8; 2] {
        unreachable!("there is no product of signed bytes")
    }

    #[inline(always)]
    fn row([a, b]: &[I16x8; 2], x: &Block<Bytes>, masks: &Masks) -> I32x4 {
        let [low, high] = sixteens(x);
        a.dot_bytes(low).add(b.dot_bytes(high)).dot(masks.ones)
    }
}

/// Products of bytes summed in i32.
#[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
pub struct Relaxed32;

#[cfg(any(target_feature = "relaxed-simd", target_feature = "ssse3"))]
impl Dots for Relaxed32 {
    type Form = Bytes;

    #[inline(always)]
    fn products<C: Codes, const GROUPS: usize, const Q: usize, const N: usize>(
        codes: &C,
        first: usize,
        quad: usize,
        x: [&Block<Bytes>; N],
        masks: &Masks,
    ) -> [[I32x4; N]; Q] {
        let mut sums = [[I32x4::splat(0); N]; Q];
        for group in first..first + GROUPS {
            unroll!(q < Q, {
                let planes = codes.planes(quad + q, group, masks);
                unroll!(plane < 2, {
                    unroll!(n < N, {
                        let factor = I16x8::splat_bytes(x[n].codes[group][plane]);
                        sums[q][n] = planes[plane].dot_bytes_onto(factor, sums[q][n]);
                    });
                });
            });
        }
        sums
    }

    type Row = [I16x8; 2];

    const SPREAD: &'static [[u8; GROUP]; 256] = &spread(PLANES);

    #[inline(always)]
    fn unsigned(bytes: [I16x8; 2]) -> [I16x8; 2] {
        bytes
    }

    fn signed(_bytes: [I16x8; 2]) -> [I16x8; 2] {
        unreachable!("there is no product of signed bytes")
    }

    #[inline(always)]
    fn row([a, b]: &[I16x8; 2], x: &Block<Bytes>, _masks: &Masks) -> I32x4 {
        let [low, high] = sixteens(x);
        b.dot_bytes_onto(high, a.dot_bytes_onto(low, I32x4::splat(0)))
    }
}
