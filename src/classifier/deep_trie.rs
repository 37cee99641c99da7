//! From an IPv4 address to its class where thousands of prefixes lie side by side: the upper 16 bits in one step, the
//! others in four of 4 bits, which take little memory.

use super::blocks::{Blocks, Plan, in_blocks, shrink, step};
use super::line::Line;
use super::tries::FindClass;

/// Bits of an address that the root takes.
const ROOT_BITS: u32 = 16;
/// Steps after the root.
const STEPS: usize = 4;

/// The class of every IPv4 address.
#[derive(Debug)]
pub(super) struct DeepTrie {
    /// The number of the block that the upper bits lead to.
    root: Box<[u16; 1 << ROOT_BITS]>,
    /// Cells hold numbers of blocks, after the last step the class.
    blocks: Box<[[u16; 16]]>,
}

impl FindClass<u32> for DeepTrie {
    fn build(line: &Line<u32>) -> Option<Self> {
        let root = 1 << ROOT_BITS;
        let plan = Plan { base: 0, root, root_blocks: 0, wide: 0, narrow: STEPS, floor: 0 };
        let Blocks { root, narrow, .. } = Blocks::build(line, plan);
        let root = shrink(root)?.try_into().ok()?;
        Some(Self { root, blocks: in_blocks(narrow)? })
    }

    #[inline]
    fn find(&self, address: u32) -> u32 {
        let cell = self.root.get((address >> (u32::BITS - ROOT_BITS)) as usize);
        let mut at = cell.map_or(0, |&cell| cell.into());
        for steps in (0..STEPS).rev() {
            at = step(&self.blocks, at, address as usize >> (4 * steps));
        }
        at
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.root) + size_of_val(&*self.blocks)
    }
}
