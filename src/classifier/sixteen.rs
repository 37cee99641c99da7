//! Sixteen numbers of 32 bits, one line of the processor's cache, looked at all at once.
//!
//! Here is what the classifier asks of vectors; they are those of a well-known crate.

use wide::{i8x16, i16x8, i16x16, i32x8};

/// Sixteen numbers.
pub(super) type Sixteen = [i32; LEN];
/// How many numbers these are.
pub(super) const LEN: usize = 16;

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

#[inline]
fn halves(numbers: &Sixteen) -> [i32x8; 2] {
    let (halves, _) = numbers.as_chunks();
    let half = |index: usize| halves.get(index).copied().map_or(i32x8::ZERO, i32x8::new);
    [half(0), half(1)]
}

/// Returns a bit for each number; the bits of a number are all alike.
#[inline]
fn bits(numbers: [i32x8; 2]) -> u32 {
    let [one, other] = numbers.map(|half| i16x8::from_i32x8_saturate(half).to_array());
    let mut all = [0; LEN];
    for (into, from) in all.iter_mut().zip(one.into_iter().chain(other)) {
        *into = from;
    }
    i8x16::from_i16x16_saturate(i16x16::new(all)).to_bitmask()
}
