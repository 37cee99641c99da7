//! From an IPv6 address to its class: a level-compressed trie over the bits that tell addresses apart.
//!
//! Addresses are long, and rules tell them apart by some of their bits only. Most cuts lie in one **block** of addresses
//! that begin alike; the root begins behind those bits. The few other cuts, such as the ends of the Internet, have one
//! leaf for all addresses outside. The trie ends with the last bit of the upper half that any rule looks at; only
//! addresses that are told apart by the bits below, single hosts, cost a search more.

use std::hint::select_unpredictable;

use super::blocks::Cell;
use super::lc_trie::{LcTrie, ROOT_BITS, ROOT_CELLS, Shape};
use super::leaf::{FarLeaf, Leaf};
use super::line::{Line, Run};
use super::tries::FindClass;

/// With as few levels as possible a trie may have so many cells below the root, or so many for each cut.
const CELLS: usize = 1 << 16;
const CELLS_OF_A_CUT: usize = 16;
/// With so many levels between root and places, cells take few bits each, and any number will do.
const MOST_BETWEEN: u32 = 15;
const MOST_CELLS: usize = 1 << 24;
/// Positions outside the block are told apart by the bits above so many.
const OUTSIDE_SHIFT: u32 = u32::BITS;

/// Where runs begin, and their classes; the first one covers what lies before the others.
type Tail = Box<[Run<u128>]>;

/// The class of every IPv6 address.
#[derive(Debug)]
pub(super) struct LongTrie<C: Cell> {
    trie: LcTrie<FarLeaf<C>>,
    /// Levels of the trie between the root and the last one.
    between: u32,
    view: View,
    /// Numbers below this one are classes, the others tails.
    first_tail: u32,
    tails: Box<[Tail]>,
}

/// What of an address the trie looks at. An address's **unit** are the bits of its upper half down to the last one that
/// matters, its **position** that unit counted from the block's first one: those of units outside lie behind the block.
#[derive(Debug, Clone, Copy)]
struct View {
    /// Bits of the upper half below those of a unit.
    floor: u32,
    /// The block's first unit.
    first: u64,
    /// Bits of a position below those of the root.
    below_root: u32,
}

impl View {
    /// Finds the bits that matter on a line that is cut.
    fn of(line: &Line<u128>) -> Self {
        let cuts = || line.runs.iter().skip(1).map(|run| upper_half(run.0));
        let zeros = cuts().map(u64::trailing_zeros).min().unwrap_or(0);
        let floor = zeros.min(OUTSIDE_SHIFT - 1);
        let units: Vec<u64> = cuts().map(|cut| cut >> floor).collect();
        let (first, bits) = block(&units).unwrap_or((0, u64::BITS - floor));
        Self { floor, first, below_root: bits - ROOT_BITS }
    }

    #[inline]
    fn position(self, address: u128) -> u64 {
        (upper_half(address) >> self.floor).wrapping_sub(self.first)
    }

    /// Returns the first address of a unit.
    fn address(self, unit: u64) -> u128 {
        u128::from(unit) << (64 + self.floor)
    }
}

/// Returns the smallest block, as its first unit and its bits, outside of which a leaf can tell the cuts apart.
fn block(cuts: &[u64]) -> Option<(u64, u32)> {
    // One more is where addresses begin again behind the last one.
    let most = <FarLeaf<u32> as Leaf>::MOST_CUTS - 1;
    let can_be_outside = |cut: &&u64| cut.trailing_zeros() >= OUTSIDE_SHIFT;
    let before = cuts.iter().take(most).take_while(can_be_outside).count();
    let behind = cuts.iter().rev().take(most).take_while(can_be_outside).count();
    let blocks = (0..=before).filter_map(|before| {
        let inside = cuts.get(before..cuts.len() - behind.min(most - before))?;
        let (first, last) = (inside.first()?, inside.last()? - 1);
        let bits = (u64::BITS - (first ^ last).leading_zeros()).max(OUTSIDE_SHIFT);
        Some((first & u64::MAX.checked_shl(bits).unwrap_or(0), bits))
    });
    blocks.min_by_key(|&(_, bits)| bits)
}

/// The runs of units, and those within a unit.
#[derive(Debug)]
struct Units {
    runs: Vec<Run<u64>>,
    tails: Vec<Tail>,
}

impl Units {
    fn of(line: &Line<u128>, view: View) -> Self {
        let mut units = Self { runs: Vec::new(), tails: Vec::new() };
        let unit = |run: &Run<u128>| upper_half(run.0) >> view.floor;
        let mut before = None;
        for same in line.runs.chunk_by(|one, other| unit(one) == unit(other)) {
            let Some((first, later)) = same.split_first() else { continue };
            let place = unit(first);
            let covers = before.filter(|_| first.0 != view.address(place));
            let (last, is_cut) =
                (same.last().unwrap_or(first).1, covers.is_some() || !later.is_empty());
            if is_cut {
                let class = line.classes.end + u32::try_from(units.tails.len()).unwrap_or(u32::MAX);
                let begin = covers.map(|class| (view.address(place), class));
                units.tails.push(begin.into_iter().chain(same.iter().copied()).collect());
                units.push(place, class);
            }
            units.push(place + u64::from(is_cut), last);
            before = Some(last);
        }
        units
    }

    /// Adds a run in place of one that would begin there.
    fn push(&mut self, unit: u64, class: u32) {
        self.runs.pop_if(|run| run.0 == unit);
        self.runs.push((unit, class));
    }

    /// Returns the runs of positions: first those of the block, then those outside, which the upper bits tell apart.
    fn positions(&self, view: View) -> (Vec<Run<u64>>, Vec<Run<u64>>) {
        let end = 1u64.checked_shl(view.below_root + ROOT_BITS);
        let split = |at: u64| self.runs.partition_point(|run| run.0 <= at);
        // Addresses go on behind the last one with the first one.
        let (before, behind) = self.runs.split_at(split(view.first));
        let around = behind
            .iter()
            .chain(before)
            .map(|&(unit, class)| (unit.wrapping_sub(view.first), class));
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        if let Some(&(_, class)) = before.last() {
            inside.push((0, class));
        }
        for (position, class) in around.filter(|&(position, _)| position > 0) {
            match end {
                Some(end) if position > end => outside.push((position >> OUTSIDE_SHIFT, class)),
                Some(end) if position == end => outside.push((0, class)),
                _ => inside.push((position, class)),
            }
        }
        if end.is_some()
            && outside.first().is_none_or(|run| run.0 > 0)
            && let Some(&(_, class)) = inside.last()
        {
            outside.insert(0, (0, class));
        }
        (inside, outside)
    }
}

impl<C: Cell> LongTrie<C> {
    fn find_in_tail(&self, number: u32, address: u128) -> u32 {
        let tail =
            number.checked_sub(self.first_tail).and_then(|tail| self.tails.get(tail as usize));
        let runs = tail.map_or(&[][..], |runs| runs);
        let begun = runs.partition_point(|&(begin, _)| begin <= address);
        begun.checked_sub(1).and_then(|last| runs.get(last)).map_or(0, |&(_, class)| class)
    }
}

impl<C: Cell> FindClass<u128> for LongTrie<C> {
    fn build(line: &Line<u128>) -> Option<Self> {
        let view = View::of(line);
        let units = Units::of(line, view);
        let first_tail = line.classes.end;
        let numbers = line.classes.start..first_tail + u32::try_from(units.tails.len()).ok()?;
        // There are no more leaves than runs and numbers.
        C::try_from(numbers.end + u32::try_from(units.runs.len()).ok()?).ok()?;
        let (inside, outside) = units.positions(view);
        let few = CELLS.max(CELLS_OF_A_CUT * units.runs.len());
        let shapes = (0..=MOST_BETWEEN).map(|between| Shape {
            below_root: view.below_root,
            between,
            most_cells: if between < MOST_BETWEEN { few } else { MOST_CELLS },
        });
        let (between, trie) = shapes
            .filter_map(|shape| {
                Some((shape.between, LcTrie::build(&inside, &outside, numbers.clone(), shape)?))
            })
            .next()?;
        Some(Self { trie, between, view, first_tail, tails: units.tails.into() })
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: a call would pass what it finds through memory"
    )]
    #[inline(always)]
    fn find(&self, address: u128) -> u32 {
        let position = self.view.position(address);
        let root = usize::try_from(position >> self.view.below_root).unwrap_or(usize::MAX);
        let is_outside = root >= ROOT_CELLS;
        let key = select_unpredictable(is_outside, position >> OUTSIDE_SHIFT, position);
        let below = position & !(u64::MAX << self.view.below_root);
        let number = self.trie.find(root.min(ROOT_CELLS), self.between, below, key);
        if number < self.first_tail { number } else { self.find_in_tail(number, address) }
    }

    fn bytes(&self) -> usize {
        let tails = self.tails.iter().map(|runs| size_of::<Tail>() + size_of_val(runs.as_ref()));
        self.trie.bytes() + tails.sum::<usize>()
    }
}

#[inline]
fn upper_half(address: u128) -> u64 {
    (address >> 64) as u64
}
