//! From an IPv4 address or a port to its class in a fixed number of loads, whatever the value.
//!
//! The upper bits of a value index the root; each further group of bits indexes a block of the next level. A cell
//! holds the number of that block, after the last step the class. Every look-up takes every step: no branch depends on
//! how deep the answer lies.
//!
//! First come wide steps, of 8 bits, then narrow ones, of 4 bits: wide ones are fewer, narrow ones take less memory.
//! How many there are of each is part of the type, so that a look-up is straight code.

use super::blocks::{Blocks, Plan};
use super::line::Line;
use super::tries::FindClass;

/// What a cell is made of: a number of 16 or of 32 bits.
pub(super) trait Cell: Copy + Default + Into<u32> + TryFrom<u32> + Send + Sync {}

impl Cell for u16 {}
impl Cell for u32 {}

/// The class of every value on a line, by `WIDE` steps of 8 bits and `NARROW` of 4.
#[derive(Debug)]
pub(super) struct Trie<C, const WIDE: usize, const NARROW: usize> {
    root: Vec<C>,
    wide: Vec<[C; 256]>,
    narrow: Vec<[C; 16]>,
}

impl<C, const WIDE: usize, const NARROW: usize> Trie<C, WIDE, NARROW> {
    /// The bits below those of the root.
    const BELOW_ROOT: u32 = bits_of(WIDE, 8) + bits_of(NARROW, 4);

    /// Returns the bytes that the trie of a line takes at most.
    pub(super) fn most_bytes(line: &Line<u32>) -> usize {
        let mut shift = Self::BELOW_ROOT;
        let mut cells = usize::try_from(line.last >> shift).unwrap_or(usize::MAX) + 1;
        for (bits, steps) in [(8, WIDE), (4, NARROW)] {
            for _ in 0..steps {
                cells += line.blocks_below(shift) << bits;
                shift -= bits;
            }
        }
        cells * size_of::<C>()
    }
}

/// Returns the bits of so many steps.
const fn bits_of(steps: usize, bits: u32) -> u32 {
    if steps == 0 { 0 } else { bits + bits_of(steps - 1, bits) }
}

impl<C: Cell, const WIDE: usize, const NARROW: usize> FindClass<u32> for Trie<C, WIDE, NARROW> {
    fn build(line: &Line<u32>) -> Option<Self> {
        if line.runs.len() <= 1 {
            // What is not there is class 0: the only one.
            return Some(Self { root: vec![], wide: vec![], narrow: vec![] });
        }
        let root = usize::try_from(line.last >> Self::BELOW_ROOT).ok()? + 1;
        let plan = Plan { base: 0, root, wide: WIDE, narrow: NARROW, floor: 0 };
        let Blocks { root, wide, narrow, .. } = Blocks::build(line, plan).fitting::<C>()?;
        Some(Self { root: shrink(&root), wide: in_blocks(&wide), narrow: in_blocks(&narrow) })
    }

    #[inline]
    fn find(&self, value: u32) -> u32 {
        let mut shift = Self::BELOW_ROOT;
        let mut at = self.root.get((value >> shift) as usize).map_or(0, |&cell| cell.into());
        for _ in 0..WIDE {
            shift -= 8;
            at = step(&self.wide, at, value >> shift);
        }
        for _ in 0..NARROW {
            shift -= 4;
            at = step(&self.narrow, at, value >> shift);
        }
        at
    }

    fn bytes(&self) -> usize {
        size_of_val(self.root.as_slice())
            + size_of_val(self.wide.as_slice())
            + size_of_val(self.narrow.as_slice())
    }
}

/// Takes the step that the lowest bits of a value say.
#[inline]
pub(super) fn step<C: Cell, const N: usize>(blocks: &[[C; N]], at: u32, value: u32) -> u32 {
    let block = blocks.get(at as usize);
    block.and_then(|block| block.get(value as usize % N)).map_or(0, |&cell| cell.into())
}

/// Makes cells that fit smaller.
pub(super) fn shrink<C: Cell>(cells: &[u32]) -> Vec<C> {
    cells.iter().map(|&cell| C::try_from(cell).unwrap_or_default()).collect()
}

/// Lays cells that fit out in blocks.
pub(super) fn in_blocks<C: Cell, const N: usize>(cells: &[u32]) -> Vec<[C; N]> {
    let (blocks, _) = cells.as_chunks::<N>();
    blocks.iter().map(|block| block.map(|cell| C::try_from(cell).unwrap_or_default())).collect()
}
