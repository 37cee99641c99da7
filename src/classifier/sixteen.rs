//! Some numbers looked at all at once: sixteen of 32 bits, which are one line of the processor's cache, or half of that.
//!
//! Here is what the classifier asks of vectors; they are those of a well-known crate.

use wide::{i8x16, i16x8, i16x16, i32x8};

/// Sixteen numbers.
pub(super) type Sixteen = [i32; LEN];
/// How many numbers these are.
pub(super) const LEN: usize = 16;
/// Sixteen numbers of half the width.
pub(super) type NarrowSixteen = [i16; LEN];
/// Half as many numbers.
pub(super) type Eight = [i32; HALF];
/// How many those are.
pub(super) const HALF: usize = LEN / 2;

/// Returns a bit for each number that has no bit in common with those at its place, the lowest for the first one.
#[inline]
pub(super) fn disjoint<const N: usize>(numbers: [&Sixteen; N]) -> u32 {
    let mut shared = [i32x8::splat(-1); 2];
    for numbers in numbers {
        let ([one, other], [shared_one, shared_other]) = (halves(numbers), shared);
        shared = [shared_one & one, shared_other & other];
    }
    bits(shared.map(|half| half.simd_eq(i32x8::ZERO)))
}

/// Returns a bit for each number that is above `limit`, the lowest for the first one.
#[inline]
pub(super) fn above(numbers: &Sixteen, limit: i32) -> u32 {
    bits(halves(numbers).map(|half| half.simd_gt(i32x8::splat(limit))))
}

/// Returns a bit for each number that is above `limit`, the lowest for the first one.
#[inline]
pub(super) fn above_narrow(numbers: &NarrowSixteen, limit: i16) -> u32 {
    let (halves, _) = numbers.as_chunks();
    let half = |index: usize| halves.get(index).copied().map_or(i16x8::ZERO, i16x8::new);
    narrow_bits([half(0), half(1)].map(|half| half.simd_gt(i16x8::splat(limit))))
}

/// Returns a bit for each number that is above `limit`, the lowest for the first one.
#[inline]
pub(super) fn above_eight(numbers: &Eight, limit: i32) -> u32 {
    let above = i32x8::new(*numbers).simd_gt(i32x8::splat(limit));
    narrow_bits([i16x8::from_i32x8_saturate(above), i16x8::ZERO])
}

#[inline]
fn halves(numbers: &Sixteen) -> [i32x8; 2] {
    let (halves, _) = numbers.as_chunks();
    let half = |index: usize| halves.get(index).copied().map_or(i32x8::ZERO, i32x8::new);
    [half(0), half(1)]
}

/// Returns a bit for each number; the bits of a number are all alike.
#[inline]
fn bits(numbers: [i32x8; 2]) -> u32 {
    narrow_bits(numbers.map(i16x8::from_i32x8_saturate))
}

/// The same for numbers of half the width.
#[inline]
fn narrow_bits(numbers: [i16x8; 2]) -> u32 {
    let [one, other] = numbers.map(i16x8::to_array);
    let mut all = [0; LEN];
    for (into, from) in all.iter_mut().zip(one.into_iter().chain(other)) {
        *into = from;
    }
    i8x16::from_i16x16_saturate(i16x16::new(all)).to_bitmask()
}
