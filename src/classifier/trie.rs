//! From an IPv4 address or a port to its class where rules name few prefixes and ports: in steps of 8 bits.
//!
//! Each step's bits index a block of 256 cells: a cell holds the number of the next step's block, after the last step
//! the class. Every look-up takes every step, whatever it finds: no branch depends on how deep the answer lies.

use super::blocks::{Blocks, Plan, in_blocks, step};
use super::line::Line;
use super::tries::FindClass;

/// Bits of a step.
const STEP_BITS: u32 = 8;
/// Cells of a block.
const BLOCK: usize = 1 << STEP_BITS;
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
        let plan = Plan {
            base: 0,
            root: first * BLOCK,
            root_blocks: u32::try_from(first).ok()?,
            wide: STEPS as usize - 1,
            narrow: 0,
            floor: 0,
        };
        let Blocks { root, mut wide, .. } = Blocks::build(line, plan);
        wide.get_mut(..root.len())?.copy_from_slice(&root);
        Some(Self { blocks: in_blocks(wide)? })
    }

    #[inline]
    fn find(&self, value: u32) -> u32 {
        let mut at = above(value, STEPS);
        for steps in (0..STEPS).rev() {
            at = step(&self.blocks, at, above(value, steps) as usize);
        }
        at
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.blocks)
    }
}
