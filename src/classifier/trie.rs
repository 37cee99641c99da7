//! From an IPv4 address or a port to its class in a fixed number of loads, whatever the value.
//!
//! A value is taken 8 bits a step, from the upper bits to the lower ones, and each step's bits index a block of 256
//! cells: a cell holds the number of the next step's block, after the last step the class. Every look-up takes every
//! step: no branch depends on how deep the answer lies. The bits above those of all steps, if there are any, number
//! the first step's block.

use super::blocks::{Blocks, Plan};
use super::line::Line;
use super::tries::FindClass;

/// What a cell is made of: a number of 16 or of 32 bits.
pub(super) trait Cell: Copy + Default + Into<u32> + TryFrom<u32> + Send + Sync {}

impl Cell for u16 {}
impl Cell for u32 {}

/// Bits of a step.
const STEP_BITS: u32 = 8;

/// The class of every value on a line, by so many steps.
#[derive(Debug)]
pub(super) struct Trie<C, const STEPS: u32> {
    blocks: Vec<[C; 256]>,
}

impl<C, const STEPS: u32> Trie<C, STEPS> {
    /// Returns the bytes that the trie of a line takes at most.
    pub(super) fn most_bytes(line: &Line<u32>) -> usize {
        let blocks = (1..STEPS).map(|steps| line.blocks_below(steps * STEP_BITS)).sum::<usize>();
        (Self::first_blocks(line.last) + blocks) * size_of::<[C; 256]>()
    }

    /// Returns how many blocks there are for the first step.
    fn first_blocks(last: u32) -> usize {
        above(last, STEPS) as usize + 1
    }
}

/// Returns the bits above those of so many steps.
#[inline]
fn above(value: u32, steps: u32) -> u32 {
    value.checked_shr(steps * STEP_BITS).unwrap_or(0)
}

impl<C: Cell, const STEPS: u32> FindClass<u32> for Trie<C, STEPS> {
    fn build(line: &Line<u32>) -> Option<Self> {
        let first = Self::first_blocks(line.last);
        let plan = Plan {
            base: 0,
            root: first << STEP_BITS,
            root_blocks: u32::try_from(first).ok()?,
            wide: (STEPS - 1) as usize,
            narrow: 0,
            floor: 0,
        };
        let Blocks { root, mut wide, .. } = Blocks::build(line, plan).fitting::<C>()?;
        wide.get_mut(..root.len())?.copy_from_slice(&root);
        Some(Self { blocks: in_blocks(&wide) })
    }

    #[inline]
    fn find(&self, value: u32) -> u32 {
        let mut at = above(value, STEPS);
        for steps in (0..STEPS).rev() {
            at = step(&self.blocks, at, above(value, steps));
        }
        at
    }

    fn bytes(&self) -> usize {
        size_of_val(self.blocks.as_slice())
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
