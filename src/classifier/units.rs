//! Which bits of IPv6 addresses tell them apart, and the line that is left when the others are cut off.
//!
//! In comes a line of addresses, out come runs of numbers that a trie can be made of. An address's **unit** are the bits
//! of its upper half, down to the last one that any rule looks at. Where hosts, which rules tell apart by the bits
//! below, share a unit, it gets a number of its own instead of a class: that of a **tail**, the runs within the unit.
//!
//! Most units with cuts lie in one **block**, whose addresses begin alike. Its units are counted from its first one; the
//! few cuts outside, such as the ends of the Internet, are told apart by the highest bits.

use super::line::{Line, Run};

/// The lowest bits of the upper half that may be cut off.
const MOST_FLOOR: u32 = 20;

/// Where runs begin, and their classes; the first one covers what lies before the others.
pub(super) type Tail = Box<[Run<u128>]>;

/// The runs of units, and those within a unit.
#[derive(Debug)]
pub(super) struct Units {
    /// Bits of the upper half below those of a unit.
    pub(super) floor: u32,
    /// Of classes, and of tails, whose numbers begin behind the last class.
    pub(super) runs: Vec<Run<u64>>,
    pub(super) tails: Vec<Tail>,
}

impl Units {
    /// Cuts off the bits that no rule looks at.
    pub(super) fn of(line: &Line<u128>) -> Self {
        let cuts = line.runs.iter().skip(1).map(|run| upper_half(run.0));
        let zeros = cuts.map(u64::trailing_zeros).min().unwrap_or(0);
        let floor = zeros.min(MOST_FLOOR);
        let mut units = Self { floor, runs: Vec::new(), tails: Vec::new() };
        let unit = |address: u128| upper_half(address) >> floor;
        let mut before = None;
        for same in line.runs.chunk_by(|one, other| unit(one.0) == unit(other.0)) {
            let Some((first, later)) = same.split_first() else { continue };
            let unit = unit(first.0);
            let begin = u128::from(unit) << (u64::BITS + floor);
            // What came before still covers the unit's first addresses.
            let covering = before.filter(|_| first.0 > begin).map(|class| (begin, class));
            let (_, last) = *later.last().unwrap_or(first);
            if covering.is_some() || !later.is_empty() {
                units.push_tail(
                    unit,
                    line.classes.end,
                    covering.into_iter().chain(same.iter().copied()),
                );
                if unit < units.last() {
                    units.push(unit + 1, last);
                }
            } else {
                units.push(unit, last);
            }
            before = Some(last);
        }
        units
    }

    /// Returns the last unit that there is.
    fn last(&self) -> u64 {
        u64::MAX >> self.floor
    }

    fn push_tail(&mut self, unit: u64, first_tail: u32, tail: impl Iterator<Item = Run<u128>>) {
        let number = first_tail.saturating_add(u32::try_from(self.tails.len()).unwrap_or(u32::MAX));
        self.tails.push(tail.collect());
        self.push(unit, number);
    }

    /// Adds a run, in place of one that would begin there.
    fn push(&mut self, unit: u64, class: u32) {
        self.runs.pop_if(|run| run.0 == unit);
        self.runs.push((unit, class));
    }

    /// Finds the smallest block of at least 2^`least_bits` units, a block outside of which are at most `most` cuts.
    pub(super) fn block(&self, least_bits: u32, most: usize) -> Block {
        let cuts = self.runs.get(1..).unwrap_or_default();
        // The block's own end may be a cut as well.
        let most = most.saturating_sub(1).min(cuts.len().saturating_sub(1));
        let can_be_outside = |run: &&Run<u64>| run.0.trailing_zeros() >= least_bits;
        let before = cuts.iter().take(most).take_while(can_be_outside).count();
        let behind = cuts.iter().rev().take(most).take_while(can_be_outside).count();
        let blocks = (0..=before).filter_map(|before| {
            let inside = cuts.get(before..cuts.len() - behind.min(most - before))?;
            Some(Block::around(inside.first()?.0, inside.last()?.0 - 1, least_bits))
        });
        blocks
            .min_by_key(|block| block.bits)
            .unwrap_or(Block { first: 0, bits: u64::BITS - self.floor })
    }

    /// Returns the runs within a block, in positions counted from its first one, and those outside, told apart by the
    /// bits above the lowest `least_bits` ones.
    pub(super) fn split(&self, block: Block, least_bits: u32) -> (Vec<Run<u64>>, Vec<Run<u64>>) {
        // The runs from a unit on; the first one may have begun before.
        let from = |unit: u64| {
            let begun = self.runs.partition_point(|run| run.0 <= unit);
            let covering = self.runs.get(begun - 1).map(|run| (unit, run.1));
            covering.into_iter().chain(self.runs.get(begun..).unwrap_or_default().iter().copied())
        };
        let before = self.runs.iter().copied().take_while(|run| run.0 < block.first);
        let within = from(block.first).take_while(|run| run.0 <= block.last());
        let behind = (block.last() < self.last()).then(|| from(block.last() + 1));
        let outside = before.chain(behind.into_iter().flatten());
        (
            within.map(|(unit, class)| (unit - block.first, class)).collect(),
            outside.map(|(unit, class)| (unit >> least_bits, class)).collect(),
        )
    }
}

/// Units whose addresses begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// The first one, a multiple of the block's size.
    pub(super) first: u64,
    /// There are 2^`bits` of them.
    pub(super) bits: u32,
}

impl Block {
    /// Returns the smallest block of at least 2^`least_bits` units with these two.
    fn around(one: u64, other: u64, least_bits: u32) -> Self {
        let bits = (u64::BITS - (one ^ other).leading_zeros()).max(least_bits);
        Self { first: one & u64::MAX.checked_shl(bits).unwrap_or(0), bits }
    }

    fn last(self) -> u64 {
        self.first | !u64::MAX.checked_shl(self.bits).unwrap_or(0)
    }
}

/// Returns the upper half of an address.
#[inline]
pub(super) fn upper_half(address: u128) -> u64 {
    (address >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cuts: &[Run<u128>]) -> Line<u128> {
        let runs = [(0, 3)].into_iter().chain(cuts.iter().copied()).collect();
        Line { runs, last: u128::MAX, classes: 3..9 }
    }

    #[test]
    fn bits_that_no_rule_looks_at_are_cut_off() {
        let units = Units::of(&line(&[(0x2603 << 112, 4), (0x2603_1000_0010 << 80, 5)]));
        assert_eq!(units.floor, MOST_FLOOR);
        let units = Units::of(&line(&[(0x2603 << 112, 4), (0x2603_1000_0000_0100 << 64, 5)]));
        assert_eq!((units.floor, units.tails.len()), (8, 0));
        assert_eq!(units.runs, [(0, 3), (0x26_0300_0000_0000, 4), (0x26_0310_0000_0001, 5)]);
    }

    #[test]
    fn hosts_share_the_tail_of_their_unit() {
        let network = 0x2603_1000_0000_0001 << 64;
        let units =
            Units::of(&line(&[(1, 4), (2, 3), (network | 5, 6), (network | 6, 7), (u128::MAX, 8)]));
        let tails =
            [vec![(0, 3), (1, 4), (2, 3)], vec![(network, 3), (network | 5, 6), (network | 6, 7)]];
        assert_eq!(units.tails[..2], tails.map(Vec::into_boxed_slice));
        assert_eq!(*units.tails[2], [(u128::from(u64::MAX) << 64, 7), (u128::MAX, 8)]);
        let unit = upper_half(network);
        assert_eq!(units.runs, [(0, 9), (1, 3), (unit, 10), (unit + 1, 7), (u64::MAX, 11)]);
    }

    #[test]
    fn nothing_lies_behind_a_block_at_the_end() {
        let units = Units::of(&line(&[(0xfff0 << 112, 4), (0xffff_fff0 << 96, 5)]));
        let block = units.block(12, 7);
        assert_eq!(block, Block { first: 0x0fff_fffe_0000, bits: 17 });
        let (inside, outside) = units.split(block, 12);
        assert_eq!(inside, [(0, 4), (0x1_0000, 5)]);
        assert_eq!(outside, [(0, 3), (0xfff0_0000, 4)]);
    }

    #[test]
    fn a_few_cuts_at_the_ends_of_the_internet_do_not_widen_the_block() {
        let network = |n: u128| 0x2603_1000_0000_0000_u128 << 64 | n << 68;
        let cuts = [(0x2000 << 112, 4), (network(1), 5), (network(9), 6), (0x3000 << 112, 7)];
        let units = Units::of(&line(&cuts));
        let block = units.block(28, 7);
        assert_eq!(block, Block { first: 0x0260_3100_0000_0000, bits: 28 });
        let (inside, outside) = units.split(block, 28);
        assert_eq!(inside, [(0, 4), (1, 5), (9, 6)]);
        assert_eq!(outside, [(0, 3), (0x2000_0000, 4), (0x2603_1001, 6), (0x3000_0000, 7)]);
        // With room for the block's own end only, all cuts are within.
        assert_eq!(units.block(28, 1), Block { first: 0x0200_0000_0000_0000, bits: 56 });
    }
}
