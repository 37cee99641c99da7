//! Where a trie keeps its cells: those of all blocks, and those of its root.
//!
//! A look-up has to know where the cells are, how many there are and where the root begins, and asks memory for each of
//! that. So numbers of 16 bits have room of a fixed size, as many cells as they can number: there the first is enough.

use super::blocks::{Blocks, UNIT};

/// The cells of one trie.
pub(super) trait Cells: Sized + Send + Sync {
    /// Lays the cells out; `None` where they can not be numbered.
    fn of<P>(blocks: &Blocks<P>) -> Option<Self>;

    /// Returns a cell of the root.
    fn root(&self, index: usize) -> u32;

    /// Returns a cell of the block with this number.
    fn block(&self, number: u32, index: usize) -> u32;

    /// Returns the bytes in use.
    fn bytes(&self) -> usize;
}

/// Cells of 16 bits. What is not written takes no memory.
#[derive(Debug)]
pub(super) struct Fixed {
    /// The root stands at the end: a class that is a block has a low number.
    cells: Box<[u16; ROOM]>,
    /// How many cells there are.
    used: usize,
}

/// Twice what can be numbered: a block of 256 cells may begin with the last number.
const ROOM: usize = 2 * (UNIT << u16::BITS);
/// The cells of the root are at most so many.
const ROOT: usize = 1 << 16;

impl Cells for Fixed {
    fn of<P>(blocks: &Blocks<P>) -> Option<Self> {
        let mut cells = vec![0; ROOM];
        let (low, high) = cells.split_at_mut_checked(ROOM - ROOT)?;
        let low = low.get_mut(..blocks.cells.len())?;
        let high = high.get_mut(..blocks.root.len())?;
        for (into, from) in [(low, &blocks.cells), (high, &blocks.root)] {
            for (into, &from) in into.iter_mut().zip(from) {
                *into = u16::try_from(from).ok()?;
            }
        }
        let used = blocks.cells.len() + blocks.root.len();
        Some(Self { cells: cells.into_boxed_slice().try_into().ok()?, used })
    }

    #[inline]
    fn root(&self, index: usize) -> u32 {
        self.cells.get(ROOM - ROOT + index % ROOT).map_or(0, |&cell| cell.into())
    }

    #[inline]
    fn block(&self, number: u32, index: usize) -> u32 {
        self.cells.get(number as usize * UNIT + index).map_or(0, |&cell| cell.into())
    }

    fn bytes(&self) -> usize {
        self.used * size_of::<u16>()
    }
}

/// Cells of 32 bits, as many as there are.
#[derive(Debug)]
pub(super) struct Grown {
    cells: Vec<u32>,
    /// Where the root begins.
    root: usize,
}

impl Cells for Grown {
    fn of<P>(blocks: &Blocks<P>) -> Option<Self> {
        Some(Self {
            cells: blocks.cells.iter().chain(&blocks.root).copied().collect(),
            root: blocks.cells.len(),
        })
    }

    #[inline]
    fn root(&self, index: usize) -> u32 {
        self.cells.get(self.root + index).copied().unwrap_or(0)
    }

    #[inline]
    fn block(&self, number: u32, index: usize) -> u32 {
        self.cells.get(number as usize * UNIT + index).copied().unwrap_or(0)
    }

    fn bytes(&self) -> usize {
        size_of_val(self.cells.as_slice())
    }
}
