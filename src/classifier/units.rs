//! The line that is left of IPv6 addresses when the bits that no rule looks at are cut off.
//!
//! In comes a line of addresses, out come runs of numbers that a trie can be made of. Addresses that [`Scale`] does not
//! tell apart share a **unit**. Where rules do tell them apart, the unit gets a number of its own instead of a class: that
//! of a **tail**, the runs within the unit.
//!
//! Most units with cuts lie in one **block**, whose addresses begin alike. Its units are counted from its first one; the
//! few cuts outside, such as the ends of the Internet, are told apart by the highest bits.

use super::line::{Line, Run};
use super::scale::Scale;

/// Where runs begin, and their classes; the first one covers what lies before the others.
pub(super) type Tail = Box<[Run<u128>]>;

/// The runs of units, and those within a unit.
#[derive(Debug)]
pub(super) struct Units {
    scale: Scale,
    /// Of classes, and of tails, whose numbers begin behind the last class.
    pub(super) runs: Vec<Run<u128>>,
    pub(super) tails: Vec<Tail>,
}

impl Units {
    /// Makes the units of a line.
    pub(super) fn of(line: &Line<u128>, scale: Scale) -> Self {
        let mut units = Self { scale, runs: Vec::new(), tails: Vec::new() };
        let mut before = None;
        for same in line.runs.chunk_by(|one, other| scale.unit(one.0) == scale.unit(other.0)) {
            let Some((first, later)) = same.split_first() else { continue };
            let unit = scale.unit(first.0);
            let begin = scale.first_address(unit);
            // What came before still covers the unit's first addresses.
            let covering = before.filter(|_| first.0 > begin).map(|class| (begin, class));
            let (_, last) = *later.last().unwrap_or(first);
            if covering.is_some() || !later.is_empty() {
                units.push_tail(
                    unit,
                    line.classes.end,
                    covering.into_iter().chain(same.iter().copied()),
                );
                if unit < scale.unit(u128::MAX) {
                    units.push(unit + 1, last);
                }
            } else {
                units.push(unit, last);
            }
            before = Some(last);
        }
        units
    }

    fn push_tail(&mut self, unit: u128, first_tail: u32, tail: impl Iterator<Item = Run<u128>>) {
        let number = first_tail.saturating_add(u32::try_from(self.tails.len()).unwrap_or(u32::MAX));
        self.tails.push(tail.collect());
        self.push(unit, number);
    }

    /// Adds a run, in place of one that would begin there.
    fn push(&mut self, unit: u128, class: u32) {
        self.runs.pop_if(|run| run.0 == unit);
        self.runs.push((unit, class));
    }

    /// Finds the smallest block of at least 2^`least_bits` units, a block outside of which are at most `most` cuts.
    pub(super) fn block(&self, least_bits: u32, most: usize) -> Block {
        let cuts = self.runs.get(1..).unwrap_or_default();
        // The block's own end may be a cut as well.
        let most = most.saturating_sub(1).min(cuts.len().saturating_sub(1));
        let can_be_outside = |run: &&Run<u128>| run.0.trailing_zeros() >= least_bits;
        let before = cuts.iter().take(most).take_while(can_be_outside).count();
        let behind = cuts.iter().rev().take(most).take_while(can_be_outside).count();
        let blocks = (0..=before).filter_map(|before| {
            let inside = cuts.get(before..cuts.len() - behind.min(most - before))?;
            Some(Block::around(inside.first()?.0, inside.last()?.0 - 1, least_bits))
        });
        let all = || Block::around(0, self.scale.unit(u128::MAX), least_bits);
        blocks.min_by_key(|block| block.bits).unwrap_or_else(all)
    }

    /// Returns the runs within a block, in positions counted from its first one, and those outside, told apart by the
    /// bits above the lowest `least_bits` ones; `None` where the block's positions do not fit 64 bits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a block's positions fit, and the bits that tell those outside apart are fewer"
    )]
    pub(super) fn split(&self, block: Block, least_bits: u32) -> Option<Split> {
        // It is up to the addresses, not to the cuts: those may all lie in the block's first part.
        if block.bits > u64::BITS {
            return None;
        }
        // The runs from a unit on; the first one may have begun before.
        let from = |unit: u128| {
            let begun = self.runs.partition_point(|run| run.0 <= unit);
            let covering = self.runs.get(begun - 1).map(|run| (unit, run.1));
            covering.into_iter().chain(self.runs.get(begun..).unwrap_or_default().iter().copied())
        };
        let before = self.runs.iter().copied().take_while(|run| run.0 < block.first);
        let within = from(block.first).take_while(|run| run.0 <= block.last());
        let behind = (block.last() < self.scale.unit(u128::MAX)).then(|| from(block.last() + 1));
        let outside = before.chain(behind.into_iter().flatten());
        Some(Split {
            inside: within.map(|(unit, class)| ((unit - block.first) as u64, class)).collect(),
            outside: outside.map(|(unit, class)| ((unit >> least_bits) as u64, class)).collect(),
        })
    }
}

/// The runs within a block, and those outside.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) inside: Vec<Run<u64>>,
    pub(super) outside: Vec<Run<u64>>,
}

/// Units whose addresses begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// The first one, a multiple of the block's size.
    pub(super) first: u128,
    /// There are 2^`bits` of them.
    pub(super) bits: u32,
}

impl Block {
    /// Returns the smallest block of at least 2^`least_bits` units with these two.
    fn around(one: u128, other: u128, least_bits: u32) -> Self {
        let bits = (u128::BITS - (one ^ other).leading_zeros()).max(least_bits);
        Self { first: one & u128::MAX << bits, bits }
    }

    fn last(self) -> u128 {
        self.first | !(u128::MAX << self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::scale::upper_half;

    fn line(cuts: &[Run<u128>]) -> Line<u128> {
        let runs = [(0, 3)].into_iter().chain(cuts.iter().copied()).collect();
        Line { runs, last: u128::MAX, classes: 3..9 }
    }

    fn units(cuts: &[Run<u128>]) -> Units {
        let line = line(cuts);
        Units::of(&line, Scale::of(&line))
    }

    #[test]
    fn networks_without_hosts_have_no_tails() {
        let units = units(&[(0x2603 << 112, 4), (0x2603_1000_0000_0100 << 64, 5)]);
        assert_eq!((units.scale.floor, units.tails.len()), (8, 0));
        assert_eq!(units.runs, [(0, 3), (0x26_0300_0000_0000, 4), (0x26_0310_0000_0001, 5)]);
    }

    #[test]
    fn hosts_that_are_not_numbered_share_the_tail_of_their_unit() {
        let network = 0x2603_1000_0000_0001 << 64;
        let line = line(&[(1, 4), (2, 3), (network | 5, 6), (network | 6, 7), (u128::MAX, 8)]);
        let units = Units::of(&line, Scale::of_networks(&line));
        let tails =
            [vec![(0, 3), (1, 4), (2, 3)], vec![(network, 3), (network | 5, 6), (network | 6, 7)]];
        assert_eq!(units.tails[..2], tails.map(Vec::into_boxed_slice));
        assert_eq!(*units.tails[2], [(u128::from(u64::MAX) << 64, 7), (u128::MAX, 8)]);
        let (unit, last) = (upper_half(network).into(), u64::MAX.into());
        assert_eq!(units.runs, [(0, 9), (1, 3), (unit, 10), (unit + 1, 7), (last, 11)]);
    }

    #[test]
    fn the_number_of_a_host_is_part_of_its_unit() {
        let network = 0x2603_1000_0000_0001 << 64;
        let units = units(&[(network | 4, 4), (network | 5, 5), (network | 6, 3)]);
        let unit = |host: u128| u128::from(upper_half(network)) << 3 | host;
        assert_eq!(units.runs, [(0, 3), (unit(4), 4), (unit(5), 5), (unit(6), 3)]);
        assert!(units.tails.is_empty());
    }

    #[test]
    fn hosts_without_low_numbers_share_the_tail_of_their_unit() {
        let network = 0x2603_1000_0000_0001 << 64;
        let high = network | 0x100;
        let units = units(&[(2, 4), (high, 6), (high + 1, 7), (u128::MAX, 8)]);
        let tails = [vec![(network | 3, 4), (high, 6), (high + 1, 7)]];
        assert_eq!(units.tails[..1], tails.map(Vec::into_boxed_slice));
        assert_eq!(*units.tails[1], [((u128::from(u64::MAX) << 64) | 3, 7), (u128::MAX, 8)]);
        let all_others = |network: u128| u128::from(upper_half(network)) << 2 | 3;
        let (unit, last) = (all_others(network), all_others(u128::MAX));
        assert_eq!(units.runs, [(0, 3), (2, 4), (unit, 9), (unit + 1, 7), (last, 10)]);
    }

    #[test]
    fn nothing_lies_behind_a_block_at_the_end() {
        let units = units(&[(0xfff0 << 112, 4), (0xffff_fff0 << 96, 5)]);
        let block = units.block(12, 7);
        assert_eq!(block, Block { first: 0x0fff_fffe_0000, bits: 17 });
        let Split { inside, outside } = units.split(block, 12).expect("few bits");
        assert_eq!(inside, [(0, 4), (0x1_0000, 5)]);
        assert_eq!(outside, [(0, 3), (0xfff0_0000, 4)]);
    }

    #[test]
    fn a_few_cuts_at_the_ends_of_the_internet_do_not_widen_the_block() {
        let network = |n: u128| 0x2603_1000_0000_0000_u128 << 64 | n << 68;
        let cuts = [(0x2000 << 112, 4), (network(1), 5), (network(9), 6), (0x3000 << 112, 7)];
        let units = units(&cuts);
        let block = units.block(28, 7);
        assert_eq!(block, Block { first: 0x0260_3100_0000_0000, bits: 28 });
        let Split { inside, outside } = units.split(block, 28).expect("few bits");
        assert_eq!(inside, [(0, 4), (1, 5), (9, 6)]);
        assert_eq!(outside, [(0, 3), (0x2000_0000, 4), (0x2603_1001, 6), (0x3000_0000, 7)]);
        // With room for the block's own end only, all cuts are within.
        assert_eq!(units.block(28, 1), Block { first: 0x0200_0000_0000_0000, bits: 56 });
    }

    #[test]
    fn numbers_of_hosts_in_networks_far_apart_are_more_than_a_position_holds() {
        let cuts: Vec<_> = (1..=8).flat_map(|n| [(n << 124 | 1, 4), (n << 124 | 2, 5)]).collect();
        let units = units(&cuts);
        let block = units.block(12, 7);
        assert_eq!(block.bits, 66);
        assert_eq!(units.split(block, 12), None);
    }

    #[test]
    fn a_block_may_have_more_positions_than_its_cuts_need() {
        // Two hosts in the first network, and the end of the block's last one.
        let cuts = [(1, 4), (2, 5), (1 << 127, 6)];
        let units = units(&cuts);
        let block = units.block(12, 1);
        assert_eq!(block, Block { first: 0, bits: 65 });
        assert_eq!(units.split(block, 12), None);
    }
}
