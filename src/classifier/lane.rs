//! One layer's part of a row: its rules' bits for one class, and the first bit that several of them share.
//!
//! All words are looked at, whatever is in them: where the first shared bit lies is up to the packet, and a loop that
//! stops there would be mispredicted.

use wide::i32x8;

use super::packed::WORD;

/// The bits of up to `WORDS` * 64 rules.
pub(super) trait Lane: Copy + Send + Sync + 'static {
    /// Words of 64 bits.
    const WORDS: usize;

    /// Makes the lane of these words.
    fn new(word: impl Fn(usize) -> u64) -> Self;

    /// Returns a word.
    fn word(&self, index: usize) -> u64;

    /// Returns the first bit that all of these lanes have.
    fn first_bit<const N: usize>(lanes: [&Self; N]) -> Option<usize>;
}

/// The rules of a small group.
impl Lane for u64 {
    const WORDS: usize = 1;

    fn new(word: impl Fn(usize) -> u64) -> Self {
        word(0)
    }

    fn word(&self, _: usize) -> u64 {
        *self
    }

    #[inline]
    fn first_bit<const N: usize>(lanes: [&Self; N]) -> Option<usize> {
        let shared = lanes.into_iter().fold(Self::MAX, |shared, lane| shared & lane);
        (shared != 0).then(|| shared.trailing_zeros() as usize)
    }
}

/// Bits of one part of a vector.
const PART: usize = i32::BITS as usize;
/// Parts of a vector.
const PARTS: usize = 8;

/// The rules of a large group, in vectors of 256 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vectors<const COUNT: usize>([i32x8; COUNT]);

impl<const COUNT: usize> Vectors<COUNT> {
    #[inline]
    #[expect(clippy::cast_sign_loss, reason = "bits stay bits")]
    fn part(&self, index: usize) -> u32 {
        let vector = self.0.get(index / PARTS).map(i32x8::as_array);
        vector.and_then(|parts| parts.get(index % PARTS)).map_or(0, |&part| part as u32)
    }
}

impl<const COUNT: usize> Lane for Vectors<COUNT> {
    const WORDS: usize = COUNT * PARTS * PART / WORD;

    fn new(word: impl Fn(usize) -> u64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "bits stay bits"
        )]
        let part = |index: usize| (word(index / 2) >> (index % 2 * PART)) as u32 as i32;
        Self(std::array::from_fn(|vector| {
            i32x8::new(std::array::from_fn(|index| part(vector * PARTS + index)))
        }))
    }

    fn word(&self, index: usize) -> u64 {
        u64::from(self.part(2 * index)) | u64::from(self.part(2 * index + 1)) << PART
    }

    #[inline]
    fn first_bit<const N: usize>(lanes: [&Self; N]) -> Option<usize> {
        let mut empty = 0u32;
        for vector in 0..COUNT {
            let vectors = lanes.into_iter().filter_map(|lane| lane.0.get(vector));
            let shared = vectors.fold(i32x8::splat(-1), |shared, &vector| shared & vector);
            empty |= shared.simd_eq(i32x8::ZERO).to_bitmask() << (vector * PARTS);
        }
        let first = (!empty).trailing_zeros() as usize;
        let shared = lanes.into_iter().fold(u32::MAX, |shared, lane| shared & lane.part(first));
        (first < COUNT * PARTS).then(|| first * PART + shared.trailing_zeros() as usize)
    }
}
