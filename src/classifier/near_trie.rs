//! From an IPv4 address to its class where thousands of prefixes lie side by side.

use super::lc_trie::{LcTrie, ROOT_BITS};
use super::leaf::NearLeaf;
use super::line::{Line, Run};
use super::tries::FindClass;

/// Bits of an address below those that the root takes.
const BELOW_ROOT: u32 = u32::BITS - ROOT_BITS;

/// The class of every IPv4 address.
#[derive(Debug)]
pub(super) struct NearTrie(LcTrie<NearLeaf, 0>);

impl FindClass<u32> for NearTrie {
    fn build(line: &Line<u32>) -> Option<Self> {
        let position = |&(begin, class): &Run<u32>| (begin.into(), class);
        let runs: Vec<Run<u64>> = line.runs.iter().map(position).collect();
        Some(Self(LcTrie::build(&runs, &[], &line.classes, BELOW_ROOT)?))
    }

    #[inline]
    fn find(&self, address: u32) -> u32 {
        self.0.find((address >> BELOW_ROOT) as usize, address.into(), address.into())
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
