//! From an IPv4 address to its class where thousands of prefixes lie side by side: the upper 16 bits in one step, the
//! others in four of 4 bits, which take little memory.
//!
//! All cells stand in one array that has room for every block 16 bits can number, so that a look-up needs to know
//! neither how many there are nor where another array begins. What is not written there takes no memory.

use super::blocks::{Blocks, Plan};
use super::line::Line;
use super::tries::FindClass;

/// Bits of an address that the root takes.
const ROOT_BITS: u32 = 16;
/// Steps after the root.
const STEPS: usize = 4;
/// Bits of a step.
const STEP_BITS: u32 = 4;
/// The root's cells are the last ones: blocks that are classes have the numbers of the classes.
const ROOT: usize = CELLS - (1 << ROOT_BITS);
const CELLS: usize = 1 << (u16::BITS + STEP_BITS);

/// The class of every IPv4 address.
#[derive(Debug)]
pub(super) struct DeepTrie {
    cells: Box<[u16; CELLS]>,
    /// How many cells of blocks there are.
    used: usize,
}

impl FindClass<u32> for DeepTrie {
    fn build(line: &Line<u32>) -> Option<Self> {
        let floor = 0;
        let plan =
            Plan { base: 0, root: 1 << ROOT_BITS, root_blocks: 0, wide: 0, narrow: STEPS, floor };
        let Blocks { root, narrow, .. } = Blocks::build(line, plan);
        let mut cells = vec![0; CELLS];
        let (blocks, at_end) = cells.split_at_mut_checked(ROOT)?;
        for (into, from) in [(blocks.get_mut(..narrow.len())?, &narrow), (at_end, &root)] {
            for (into, &from) in into.iter_mut().zip(from) {
                *into = u16::try_from(from).ok()?;
            }
        }
        Some(Self { cells: cells.into_boxed_slice().try_into().ok()?, used: narrow.len() })
    }

    #[inline]
    fn find(&self, address: u32) -> u32 {
        let cell = |index: usize| self.cells.get(index).copied().map_or(0, usize::from);
        let mut at = cell(ROOT + (address >> (u32::BITS - ROOT_BITS)) as usize);
        for step in (0..STEPS).rev() {
            let bits = address as usize >> (step * STEP_BITS as usize) & ((1 << STEP_BITS) - 1);
            at = cell(at << STEP_BITS | bits);
        }
        u32::try_from(at).unwrap_or(0)
    }

    fn bytes(&self) -> usize {
        (self.used + (1 << ROOT_BITS)) * size_of::<u16>()
    }
}
