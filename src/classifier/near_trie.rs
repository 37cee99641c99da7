//! From an IPv4 address to its class where thousands of prefixes lie side by side.

use super::lc_trie::{LcTrie, ROOT_BITS, Shape};
use super::leaf::NearLeaf;
use super::line::{Line, Run};
use super::tries::FindClass;

/// Bits of an address below those that the root takes.
const BELOW_ROOT: u32 = u32::BITS - ROOT_BITS;
/// So many cells the trie may have below the root: more would not fit a near cache.
const MOST_CELLS: usize = 1 << 18;

/// The class of every IPv4 address.
#[derive(Debug)]
pub(super) struct NearTrie(LcTrie<NearLeaf>);

impl FindClass<u32> for NearTrie {
    fn build(line: &Line<u32>) -> Option<Self> {
        let runs: Vec<Run<u64>> =
            line.runs.iter().map(|&(begin, class)| (begin.into(), class)).collect();
        let shape = Shape { below_root: BELOW_ROOT, between: 0, most_cells: MOST_CELLS };
        Some(Self(LcTrie::build(&runs, &[], line.classes.clone(), shape)?))
    }

    #[inline]
    fn find(&self, address: u32) -> u32 {
        let below = address & !(u32::MAX << BELOW_ROOT);
        self.0.find((address >> BELOW_ROOT) as usize, 0, below.into(), address.into())
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
