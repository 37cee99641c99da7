//! One layer's part of a row: its rules' bits for one class, and the first bit that several of them share.
//!
//! All words are looked at, whatever is in them: where the first shared bit lies is up to the packet, and a loop that
//! stops there would be mispredicted.

use std::array;
use std::hint::select_unpredictable;

use wide::u64x4;

use super::packed::WORD;
use super::sixteen::{self, Sixteen, disjoint};

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

/// The rules of a group of middle size.
impl Lane for u64x4 {
    const WORDS: usize = 4;

    fn new(word: impl Fn(usize) -> u64) -> Self {
        Self::new(array::from_fn(word))
    }

    fn word(&self, index: usize) -> u64 {
        self.as_array().get(index).copied().unwrap_or(0)
    }

    #[inline]
    fn first_bit<const N: usize>(lanes: [&Self; N]) -> Option<usize> {
        let mut shared = Self::splat(u64::MAX);
        for lane in lanes {
            shared &= *lane;
        }
        let [first, second, third, fourth] = shared.to_array();
        // From the last word to the first, a choice between values each time: the first that is not zero stays.
        let (mut word, mut place) = (fourth, 3 * WORD);
        for (next, begin) in [(third, 2 * WORD), (second, WORD), (first, 0)] {
            word = select_unpredictable(next != 0, next, word);
            place = select_unpredictable(next != 0, begin, place);
        }
        (word != 0).then(|| place + word.trailing_zeros() as usize)
    }
}

/// Bits of one part of a larger lane.
const PART: usize = i32::BITS as usize;

/// The rules of a large group, in lines of the processor's cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Long([Sixteen; 2]);

impl Lane for Long {
    const WORDS: usize = 2 * sixteen::LEN * PART / WORD;

    fn new(word: impl Fn(usize) -> u64) -> Self {
        Self(array::from_fn(|line| {
            array::from_fn(|index| part(&word, line * sixteen::LEN + index))
        }))
    }

    fn word(&self, index: usize) -> u64 {
        let part = |index: usize| self.0.as_flattened().get(index).copied().unwrap_or(0);
        whole(part(2 * index), part(2 * index + 1))
    }

    #[inline]
    fn first_bit<const N: usize>(lanes: [&Self; N]) -> Option<usize> {
        let upper = disjoint(lanes.map(|Self([upper, _])| upper));
        let lower = disjoint(lanes.map(|Self([_, lower])| lower));
        let first = (!(upper | lower << sixteen::LEN)).trailing_zeros() as usize;
        let mut shared = -1;
        for lane in lanes {
            shared &= lane.0.as_flattened().get(first)?;
        }
        Some(first * PART + shared.trailing_zeros() as usize)
    }
}

/// Returns one part of the words.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "bits stay bits, and the other half is another part"
)]
fn part(word: impl Fn(usize) -> u64, index: usize) -> i32 {
    (word(index / 2) >> (index % 2 * PART)) as u32 as i32
}

/// Puts a word together.
fn whole(low: i32, high: i32) -> u64 {
    u64::from(low.cast_unsigned()) | u64::from(high.cast_unsigned()) << PART
}
