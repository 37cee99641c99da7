//! A leaf of a level-compressed trie: a few cuts, the places where the class changes, and the classes between them.
//!
//! A look-up compares a position with all cuts of a leaf at once, so that what it finds is up to no branch. The places
//! behind the last cut are filled up; their classes are that of the last one.

use std::fmt::Debug;

use super::cell::Cell;
use super::line::Run;
use super::sixteen::{self, Eight, NarrowSixteen};

/// The cuts within some positions side by side.
pub(super) trait Leaf: Copy + Send + Sync + Debug {
    /// The number of a class.
    type Class: Cell;
    /// So many cuts fit.
    const MOST_CUTS: usize;
    /// The lowest bits of a position that cuts are told apart by: a leaf stands for 2^`KEY_BITS` positions at most.
    const KEY_BITS: u32;

    /// Makes the leaf of these runs, of which the first one covers the first position; `None` where they are too many
    /// or a class is too large a number.
    fn new(runs: &[Run<u64>]) -> Option<Self>;

    /// Returns the class of one of the leaf's positions.
    fn class(&self, position: u64) -> u32;
}

/// One line of the processor's cache, for cuts that lie side by side.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct NearLeaf {
    cuts: NarrowSixteen,
    classes: [u16; sixteen::LEN],
}

impl Leaf for NearLeaf {
    type Class = u16;
    const MOST_CUTS: usize = sixteen::LEN - 1;
    const KEY_BITS: u32 = u16::BITS;

    fn new(runs: &[Run<u64>]) -> Option<Self> {
        Some(Self { cuts: filled(runs, narrow_key, i16::MAX)?, classes: classes(runs)? })
    }

    #[inline]
    fn class(&self, position: u64) -> u32 {
        let above = sixteen::above_narrow(&self.cuts, narrow_key(position));
        let before = (above | 1 << Self::MOST_CUTS).trailing_zeros();
        self.classes.get(before as usize).map_or(0, |&class| class.into())
    }
}

/// For cuts that lie further apart.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
pub(super) struct FarLeaf<C> {
    cuts: Eight,
    classes: [C; sixteen::HALF],
}

impl<C: Cell> Leaf for FarLeaf<C> {
    type Class = C;
    const MOST_CUTS: usize = sixteen::HALF - 1;
    const KEY_BITS: u32 = u32::BITS;

    fn new(runs: &[Run<u64>]) -> Option<Self> {
        Some(Self { cuts: filled(runs, key, i32::MAX)?, classes: classes(runs)? })
    }

    #[inline]
    fn class(&self, position: u64) -> u32 {
        let above = sixteen::above_eight(&self.cuts, key(position));
        let before = (above | 1 << Self::MOST_CUTS).trailing_zeros();
        self.classes.get(before as usize).map_or(0, |&class| class.into())
    }
}

/// Returns the cuts, filled up.
fn filled<K: Copy, const N: usize>(
    runs: &[Run<u64>],
    key: fn(u64) -> K,
    filling: K,
) -> Option<[K; N]> {
    let mut cuts = [filling; N];
    let (_, places) = cuts.split_last_mut()?;
    let runs = runs.get(1..).filter(|cuts| cuts.len() <= places.len())?;
    for (place, run) in places.iter_mut().zip(runs) {
        *place = key(run.0);
    }
    Some(cuts)
}

/// Returns the classes, filled up.
fn classes<C: Cell, const N: usize>(runs: &[Run<u64>]) -> Option<[C; N]> {
    let class = |run: &Run<u64>| C::try_from(run.1).ok();
    let mut classes = [class(runs.last()?)?; N];
    for (place, run) in classes.iter_mut().zip(runs) {
        *place = class(run)?;
    }
    Some(classes)
}

/// Returns what tells positions apart as a signed number, in the same order: vectors compare such.
#[expect(clippy::cast_possible_truncation, reason = "the upper bits are those of the leaf")]
#[inline]
fn key(position: u64) -> i32 {
    (position as u32 ^ 1 << 31).cast_signed()
}

/// The same for positions that lie side by side.
#[expect(clippy::cast_possible_truncation, reason = "the upper bits are those of the leaf")]
#[inline]
fn narrow_key(position: u64) -> i16 {
    (position as u16 ^ 1 << 15).cast_signed()
}
