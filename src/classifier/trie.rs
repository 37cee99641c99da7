//! From an IPv4 address or a port to its class in a fixed number of loads, whatever the value.
//!
//! The upper bits of a value index the root; each further group of bits indexes a block of the next level. A cell
//! holds the number of that block, after the last step the class. Every look-up takes every step: no branch depends on
//! how deep the answer lies.
//!
//! First come wide steps, of 8 bits, then narrow ones, of 4 bits: wide ones are fewer, narrow ones take less memory.
//! How many there are of each is part of the type, so that a look-up is straight code.

use super::blocks::{Blocks, Plan};
use super::cells::Cells;
use super::line::Line;
use super::tries::FindClass;

/// The class of every value on a line, by `WIDE` steps of 8 bits and `NARROW` of 4.
#[derive(Debug)]
pub(super) struct Trie<C, const WIDE: u32, const NARROW: u32> {
    cells: C,
}

impl<C, const WIDE: u32, const NARROW: u32> Trie<C, WIDE, NARROW> {
    /// The bits below those of the root.
    const BELOW_ROOT: u32 = WIDE * 8 + NARROW * 4;

    /// Returns the cells that the trie of a line has at most.
    pub(super) fn most_cells(line: &Line<u32>) -> usize {
        let mut shift = Self::BELOW_ROOT;
        let mut cells = Self::root_cells(line);
        for (bits, steps) in [(8, WIDE), (4, NARROW)] {
            for _ in 0..steps {
                cells += line.blocks_below(shift) << bits;
                shift -= bits;
            }
        }
        cells
    }

    fn root_cells(line: &Line<u32>) -> usize {
        (line.last >> Self::BELOW_ROOT) as usize + 1
    }
}

impl<C: Cells, const WIDE: u32, const NARROW: u32> FindClass<u32> for Trie<C, WIDE, NARROW> {
    fn build(line: &Line<u32>) -> Option<Self> {
        let (wide, narrow) = (WIDE as usize, NARROW as usize);
        let plan = Plan { base: 0, root: Self::root_cells(line), wide, narrow, floor: 0 };
        Some(Self { cells: C::of(&Blocks::build(line, plan))? })
    }

    #[inline]
    fn find(&self, value: u32) -> u32 {
        let mut shift = Self::BELOW_ROOT;
        let mut at = self.cells.root((value >> shift) as usize);
        for _ in 0..WIDE {
            shift -= 8;
            at = self.cells.block(at, (value >> shift) as usize % 256);
        }
        for _ in 0..NARROW {
            shift -= 4;
            at = self.cells.block(at, (value >> shift) as usize % 16);
        }
        at
    }

    fn bytes(&self) -> usize {
        self.cells.bytes()
    }
}
