//! From an IPv6 address to its class: a trie over the bits that tell addresses apart.
//!
//! Addresses are long, and rules tell them apart by some of their bits only: the root begins behind the bits that all
//! prefixes share, the steps end with the last bit of the upper half at which one ends, and a step takes 8 bits where
//! that costs little memory, else 4. That is a matter of the rules, not of the packet: every look-up takes every step.
//! Only addresses that rules tell apart by the lower half, single hosts, cost a search more.

use std::hint::select_unpredictable;

use super::blocks::{Blocks, Cell, Plan, Tail, in_blocks, shrink, step};
use super::line::Line;
use super::tries::FindClass;

/// A line of at most so many runs gets a small root, which stays in the nearest cache.
const SMALL_RUNS: usize = 1000;
/// A level of steps of 8 bits may take so many bytes.
const WIDE_LEVEL_BYTES: usize = 128 << 10;

/// The class of every IPv6 address.
#[derive(Debug)]
pub(super) struct LongTrie<C> {
    root: Box<[C]>,
    /// The blocks of all steps of 8 bits, and how many steps those are.
    wide: Box<[[C; 256]]>,
    wide_steps: usize,
    /// The blocks of all steps of 4 bits, and how many steps those are.
    narrow: Box<[[C; 16]]>,
    narrow_steps: usize,
    /// After the last step, numbers below this one are classes, the others tails.
    first_tail: u32,
    tails: Box<[Tail<u128>]>,
    span: Span,
}

/// Which bits of the upper half are looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    /// What all prefixes begin with, in the bits of `mask`.
    prefix: u64,
    mask: u64,
    /// The class of all addresses that begin otherwise.
    outside: u32,
    /// The bits below those of the root.
    shift: u32,
    /// The bits below those of the last step.
    floor: u32,
}

impl Span {
    /// Finds the bits that matter on a line of several runs.
    fn of(line: &Line<u128>) -> Self {
        let runs = &line.runs;
        let outside = runs.first().map_or(0, |run| run.1);
        let comes_back = runs.last().is_some_and(|run| run.1 == outside);
        let cuts = runs.get(1..).unwrap_or_default();
        let (first, last) = match (cuts.first(), cuts.last()) {
            (Some(first), Some(last)) if comes_back => {
                (upper_half(first.0), upper_half(last.0 - 1))
            }
            _ => (0, u64::MAX),
        };
        let bits = u64::BITS - (first ^ last).leading_zeros();
        let mask = u64::MAX.checked_shl(bits).unwrap_or(0);
        let zeros = cuts.iter().map(|cut| upper_half(cut.0).trailing_zeros()).min().unwrap_or(0);
        let floor = zeros.min(bits.saturating_sub(1));
        // The root takes what the steps leave.
        let (root, step) = if runs.len() <= SMALL_RUNS { (8, 8) } else { (13, 4) };
        let below_root = (bits - floor).saturating_sub(root) / step * step;
        Self { prefix: first & mask, mask, outside, shift: floor + below_root, floor }
    }

    /// Returns the cells that the root needs.
    fn root_cells(self) -> usize {
        usize::try_from(!self.mask >> self.shift).unwrap_or(0) + 1
    }

    /// Returns how many steps of 8 bits there are, then how many of 4.
    fn steps<C>(self, line: &Line<u128>) -> (usize, usize) {
        let (mut wide, mut shift) = (0, self.shift);
        let bytes = |shift| line.blocks_below(64 + shift) * size_of::<[C; 256]>();
        while shift >= self.floor + 8 && bytes(shift) <= WIDE_LEVEL_BYTES {
            wide += 1;
            shift -= 8;
        }
        (wide, ((shift - self.floor) / 4) as usize)
    }
}

impl<C: Cell> LongTrie<C> {
    fn find_in_tail(&self, cell: u32, address: u128) -> u32 {
        let tail = cell.checked_sub(self.first_tail).and_then(|tail| self.tails.get(tail as usize));
        let runs = tail.map_or(&[][..], |runs| runs);
        let begun = runs.partition_point(|&(begin, _)| begin <= address);
        begun.checked_sub(1).and_then(|last| runs.get(last)).map_or(0, |&(_, class)| class)
    }
}

impl<C: Cell> FindClass<u128> for LongTrie<C> {
    fn build(line: &Line<u128>) -> Option<Self> {
        let span = Span::of(line);
        let root = span.root_cells();
        let (wide_steps, narrow_steps) = span.steps::<C>(line);
        let (base, floor) = (u128::from(span.prefix) << 64, 64 + span.floor);
        let plan =
            Plan { base, root, root_blocks: 0, wide: wide_steps, narrow: narrow_steps, floor };
        let Blocks { root, wide, narrow, first_tail, tails } = Blocks::build(line, plan);
        Some(Self {
            root: shrink(root)?,
            wide: in_blocks(wide)?,
            wide_steps,
            narrow: in_blocks(narrow)?,
            narrow_steps,
            first_tail,
            tails: tails.into(),
            span,
        })
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: a call would pass what it finds through memory"
    )]
    #[inline(always)]
    fn find(&self, address: u128) -> u32 {
        let Span { prefix, mask, outside, shift, .. } = self.span;
        let upper = upper_half(address);
        let cell = usize::try_from((upper & !mask) >> shift).unwrap_or(usize::MAX);
        let mut at = self.root.get(cell).map_or(0, |&cell| cell.into());
        // The bits below those of the root stand on top, and each step turns its own to the low end.
        let mut below = upper.rotate_right(shift);
        for _ in 0..self.wide_steps {
            below = below.rotate_left(8);
            at = step(&self.wide, at, low_bits(below));
        }
        for _ in 0..self.narrow_steps {
            below = below.rotate_left(4);
            at = step(&self.narrow, at, low_bits(below));
        }
        let at = select_unpredictable((upper ^ prefix) & mask == 0, at, outside);
        if at < self.first_tail { at } else { self.find_in_tail(at, address) }
    }

    fn bytes(&self) -> usize {
        let tails =
            self.tails.iter().map(|runs| size_of::<Tail<u128>>() + size_of_val(runs.as_ref()));
        size_of_val(&*self.root)
            + size_of_val(&*self.wide)
            + size_of_val(&*self.narrow)
            + tails.sum::<usize>()
    }
}

#[inline]
fn upper_half(address: u128) -> u64 {
    (address >> 64) as u64
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a step looks at the lowest bits only")]
fn low_bits(value: u64) -> usize {
    value as usize
}
