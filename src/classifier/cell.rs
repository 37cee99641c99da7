//! What cells and classes are kept as: a number of 16 bits where those suffice, else of 32 bits.

use std::fmt::Debug;

/// The number in a cell.
pub(super) trait Cell: Copy + Debug + Into<u32> + TryFrom<u32> + Send + Sync {}

impl Cell for u16 {}
impl Cell for u32 {}

/// Makes numbers that fit smaller; `None` where one does not.
pub(super) fn shrink<C: TryFrom<u32>>(numbers: impl IntoIterator<Item = u32>) -> Option<Box<[C]>> {
    numbers.into_iter().map(|number| C::try_from(number).ok()).collect()
}
