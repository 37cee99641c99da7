//! From an IPv6 address to its class: a level-compressed trie over the bits that tell addresses apart.
//!
//! The root begins behind the bits that most prefixes share, the last step ends with the last bit of the upper half that
//! any rule looks at, or with the number of the host, where that takes no level more. Hosts that are not told apart so cost
//! a search more, and only they.

use std::hint::select_unpredictable;

use super::cell::Cell;
use super::lc_trie::{LcTrie, MANY_BETWEEN, ROOT_BITS, ROOT_CELLS};
use super::leaf::{FarLeaf, Leaf, NearLeaf};
use super::line::Line;
use super::scale::{Scale, lower_half, upper_half};
use super::tries::FindClass;
use super::units::{Split, Tail, Units};

/// Where leaves for cuts far from each other take more bytes, those for cuts side by side may take less.
const NEAR_BYTES: usize = 256 << 10;

/// The class of every IPv6 address, by one kind of leaves.
#[derive(Debug)]
pub(super) struct LongTrie<L: Leaf> {
    trie: LcTrie<L, MANY_BETWEEN>,
    scale: Scale,
    /// The upper half of the block's first address.
    first: u64,
    /// Bits of the upper half below those of the root.
    below_root: u32,
    /// Numbers below this one are classes, the others tails.
    first_tail: u32,
    tails: Box<[Tail]>,
}

impl<L: Leaf> LongTrie<L> {
    /// The leaf for all addresses outside of the block looks at the bits above these.
    const OUTSIDE_SHIFT: u32 = u64::BITS - L::KEY_BITS;

    fn build_at(scale: Scale, line: &Line<u128>) -> Option<Self> {
        let units = Units::of(line, scale);
        let least_bits = Self::OUTSIDE_SHIFT - scale.floor + scale.host_bits;
        let block = units.block(least_bits, L::MOST_CUTS);
        let Split { inside, outside } = units.split(block, least_bits)?;
        let below_root = block.bits - ROOT_BITS;
        let first_tail = line.classes.end;
        let numbers = line.classes.start..first_tail + u32::try_from(units.tails.len()).ok()?;
        Some(Self {
            trie: LcTrie::build(&inside, &outside, &numbers, below_root)?,
            scale,
            first: upper_half(scale.first_address(block.first)),
            below_root: below_root + scale.floor - scale.host_bits,
            first_tail,
            tails: units.tails.into(),
        })
    }

    fn find_in_tail(&self, number: u32, address: u128) -> u32 {
        let tail =
            number.checked_sub(self.first_tail).and_then(|tail| self.tails.get(tail as usize));
        let runs = tail.map_or(&[][..], |runs| runs);
        let begun = runs.partition_point(|&(begin, _)| begin <= address);
        begun.checked_sub(1).and_then(|last| runs.get(last)).map_or(0, |&(_, class)| class)
    }
}

impl<L: Leaf> FindClass<u128> for LongTrie<L> {
    fn build(line: &Line<u128>) -> Option<Self> {
        let scale = Scale::of(line);
        let numbered = Self::build_at(scale, line);
        if scale.host_bits == 0 || numbered.as_ref().is_some_and(|trie| trie.trie.between() == 0) {
            return numbered;
        }
        // Most packets are not for those hosts: telling them apart is not worth a further level.
        let networks = Self::build_at(Scale::of_networks(line), line);
        [numbered, networks].into_iter().flatten().min_by_key(|trie| trie.trie.between())
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: a call would pass what it finds through memory"
    )]
    #[inline(always)]
    fn find(&self, address: u128) -> u32 {
        let upper = upper_half(address);
        let relative = upper.wrapping_sub(self.first);
        let cell = usize::try_from(relative >> self.below_root).unwrap_or(usize::MAX);
        let position = self.scale.position(relative, lower_half(address));
        // Whether an address lies outside is up to the packet: a choice between values.
        let outside = upper >> Self::OUTSIDE_SHIFT;
        let key = select_unpredictable(cell < ROOT_CELLS, position, outside);
        let number = self.trie.find(cell.min(ROOT_CELLS), position, key);
        if number < self.first_tail { number } else { self.find_in_tail(number, address) }
    }

    fn bytes(&self) -> usize {
        let tails = self.tails.iter().map(|runs| size_of::<Tail>() + size_of_val(runs.as_ref()));
        self.trie.bytes() + tails.sum::<usize>()
    }
}

/// The class of every IPv6 address, by the leaves that suit the line.
#[derive(Debug)]
pub(super) enum AnyLongTrie<C: Cell> {
    Near(LongTrie<NearLeaf>),
    Far(LongTrie<FarLeaf<C>>),
}

impl<C: Cell> FindClass<u128> for AnyLongTrie<C> {
    fn build(line: &Line<u128>) -> Option<Self> {
        let far = LongTrie::build(line)?;
        if far.bytes() > NEAR_BYTES
            && let Some(near) = LongTrie::build(line)
            && near.bytes() < far.bytes()
        {
            return Some(Self::Near(near));
        }
        Some(Self::Far(far))
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: a call would pass what it finds through memory"
    )]
    #[inline(always)]
    fn find(&self, address: u128) -> u32 {
        match self {
            Self::Near(trie) => trie.find(address),
            Self::Far(trie) => trie.find(address),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Near(trie) => trie.bytes(),
            Self::Far(trie) => trie.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Makes a line of this many networks of /40, evenly spread over `2a01::/16`, one host in each of the first thirty.
    fn line(networks: u128, host: u128) -> Line<u128> {
        let apart = (1 << 24) / networks;
        let network = |number: u128| (0x2a01 << 112) + ((number * apart) << 88);
        let mut cuts = BTreeMap::from([(0, 3)]);
        for begin in (0..networks).map(network) {
            cuts.extend([(begin, 4), (begin + (1 << 88), 3)]);
        }
        for begin in (0..networks.min(30)).map(network) {
            let host = begin + (5 << 64) + host;
            cuts.extend([(host, 5), (host + 1, 4)]);
        }
        Line { runs: cuts.into_iter().collect(), last: u128::MAX, classes: 3..6 }
    }

    #[test]
    fn hosts_are_told_apart_by_their_numbers_unless_that_takes_a_level_more() {
        for (networks, host, host_bits) in [(40, 4, 3), (1000, 4, 0), (40, 0x1_0000, 0)] {
            let trie =
                LongTrie::<FarLeaf<u16>>::build(&line(networks, host)).expect("few cuts fit");
            assert_eq!(trie.scale.host_bits, host_bits, "{networks} networks, host {host:#x}");
            assert_eq!(trie.tails.len(), if host_bits > 0 { 0 } else { 30 });
        }
    }
}
