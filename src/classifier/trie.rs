//! From an IPv4 address or a port to its class where rules name few prefixes and ports: in steps of 8 bits.
//!
//! Each step's bits index a block of 256 cells: a cell holds the number of the next step's block, after the last step
//! the class. Every look-up takes every step, whatever it finds: no branch depends on how deep the answer lies.

use super::blocks::{self, BLOCK, STEP_BITS};
use super::cell::shrink;
use super::line::Line;
use super::tries::FindClass;

/// A trie may have so many blocks: with more of them it no longer fits a near cache.
const MOST_BLOCKS: usize = 512;

/// The class of every value on a line, by so many steps. The bits above those of all steps, if there are any, number
/// the block of the first step.
#[derive(Debug)]
pub(super) struct Trie<const STEPS: u32> {
    blocks: Box<[[u16; BLOCK]]>,
}

/// Returns the bits above those of so many steps.
#[inline]
fn above(value: u32, steps: u32) -> u32 {
    value.checked_shr(steps * STEP_BITS).unwrap_or(0)
}

impl<const STEPS: u32> FindClass<u32> for Trie<STEPS> {
    fn build(line: &Line<u32>) -> Option<Self> {
        let first = above(line.last, STEPS) as usize + 1;
        let most = (1..STEPS).map(|steps| line.blocks_below(steps * STEP_BITS)).sum::<usize>();
        if first + most > MOST_BLOCKS {
            return None;
        }
        let cells = shrink(blocks::build(line, STEPS, first))?;
        Some(Self { blocks: cells.as_chunks().0.into() })
    }

    #[inline]
    fn find(&self, value: u32) -> u32 {
        let mut at = above(value, STEPS);
        for steps in (0..STEPS).rev() {
            let block = self.blocks.get(at as usize);
            let cell = above(value, steps) as usize % BLOCK;
            at = block.and_then(|block| block.get(cell)).map_or(0, |&cell| cell.into());
        }
        at
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.blocks)
    }
}
