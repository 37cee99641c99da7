//! A level-compressed trie: from a position to the leaf that knows its class.
//!
//! In comes a line of positions of up to 64 bits, cut into runs. The upper bits of a position index the root; each cell
//! says how many of the bits below tell its positions apart, and where the cells that those index begin. Where cuts are
//! many, cells take many bits, where there are none, no bits: every look-up takes the same few steps, and no branch
//! depends on what it finds. The last step leads to a leaf, which holds a few cuts and counts them at once, so that a
//! trie needs not go on until every cut has a cell of its own.
//!
//! One step behind the root suffices where cuts lie about evenly. Where many lie close together and far from others,
//! that one would take very many bits; then there are more levels.

use std::iter;
use std::ops::Range;

use super::MEMORY_BUDGET;
use super::cell::shrink;
use super::leaf::Leaf;
use super::line::{Part, Run, parts};

/// Bits of a cell that say how many bits lie below those it looks at; the others say where its cells begin.
const SHIFT_BITS: u32 = 6;
/// A cell that says so looks at the highest bit only.
const MOST_SHIFT: u32 = (1 << SHIFT_BITS) - 1;

/// Bits of a position that the root takes.
pub(super) const ROOT_BITS: u32 = 12;
/// Cells of the root; behind them is the one for what is outside.
pub(super) const ROOT_CELLS: usize = 1 << ROOT_BITS;

/// With at most one level between root and last one a trie may have so many cells below the root, or so many for each
/// cut; with two levels twice as many, and so on.
const CELLS: usize = 1 << 16;
const CELLS_OF_A_CUT: usize = 16;
/// More would take the memory of all tables.
const MOST_CELLS: usize = MEMORY_BUDGET / size_of::<u32>();

/// With this many levels between root and leaves no level has more than eight cells for each cut: those always suffice.
pub(super) const MANY_BETWEEN: u32 = 15;

/// What finds the class of every position, by at most so many levels between the root and the last one.
#[derive(Debug)]
pub(super) struct LcTrie<L: Leaf, const MOST_BETWEEN: u32> {
    /// The cells of the root, and those of all further levels but the last.
    cells: Box<[u32]>,
    /// How many levels lie between the root and the last one.
    between: u32,
    /// The cells of the last level: numbers of leaves.
    places: Box<[L::Class]>,
    leaves: Box<[L]>,
}

impl<L: Leaf, const MOST_BETWEEN: u32> LcTrie<L, MOST_BETWEEN> {
    /// Builds the trie of a line whose first run covers position zero; each cell of the root stands for 2^`below_root`
    /// positions. The runs outside, if there are any, get one leaf, and one more cell of the root. `None` where leaves
    /// or classes are more than can be numbered, or the levels do not suffice.
    pub(super) fn build(
        runs: &[Run<u64>],
        outside: &[Run<u64>],
        classes: &Range<u32>,
        below_root: u32,
    ) -> Option<Self> {
        // There are no more leaves than runs and classes.
        let numbers = u32::try_from(runs.len()).ok()?.checked_add(classes.end)?;
        L::Class::try_from(numbers).ok()?;
        let few = CELLS.max(CELLS_OF_A_CUT * runs.len());
        (0..=MOST_BETWEEN).find_map(|between| {
            let room = few.saturating_mul(between.max(1) as usize).min(MOST_CELLS);
            let mut builder = Builder::new(classes.clone(), between, room);
            builder.fill_root(runs, outside, below_root)?;
            let Builder { cells, places, leaves, .. } = builder;
            let places = shrink(places)?;
            Some(Self { cells: cells.into(), between, places, leaves: leaves.into() })
        })
    }

    /// Returns the class of a position, given its cell of the root and what the cuts of a leaf are compared with.
    #[expect(
        clippy::inline_always,
        reason = "measured: a call would pass what it finds through memory"
    )]
    #[inline(always)]
    pub(super) fn find(&self, root: usize, position: u64, key: u64) -> u32 {
        // What is never missing: one way out for all is fewer instructions than a value for each.
        let find = || {
            let mut cell = self.cells.get(root)?;
            for _ in 0..if MOST_BETWEEN == 0 { 0 } else { self.between } {
                cell = self.cells.get(next(*cell, position))?;
            }
            let &leaf = self.places.get(next(*cell, position))?;
            self.leaves.get(leaf.into() as usize)
        };
        find().map_or(0, |leaf| leaf.class(key))
    }

    /// Returns how many levels lie between the root and the last one.
    pub(super) fn between(&self) -> u32 {
        self.between
    }

    /// Returns the bytes in use besides its own.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.cells) + size_of_val(&*self.places) + size_of_val(&*self.leaves)
    }
}

/// Makes the cell of positions from `begin` on, whose own cells begin with this one. What it says of their place is
/// reduced by the index that `begin` itself has, so that a look-up need not cut off what earlier cells have looked at.
fn cell_at(place: usize, begin: u64, shift: u32) -> Option<u32> {
    let place = u32::try_from(place).ok().filter(|place| place >> (u32::BITS - SHIFT_BITS) == 0)?;
    Some(place.wrapping_sub(lower_half(begin >> shift)) << SHIFT_BITS | shift)
}

/// Returns the index of the next cell.
#[inline]
fn next(cell: u32, position: u64) -> usize {
    let index = lower_half(position >> (cell & MOST_SHIFT));
    (cell.wrapping_add(index << SHIFT_BITS) >> SHIFT_BITS) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "places are counted in the lower bits")]
#[inline]
fn lower_half(number: u64) -> u32 {
    number as u32
}

/// A trie under construction.
struct Builder<L> {
    between: u32,
    cells: Vec<u32>,
    places: Vec<u32>,
    leaves: Vec<L>,
    classes: Range<u32>,
    /// The leaf of each class alone, then for each level, the last one first, the cell that leads to it.
    whole: Vec<Option<u32>>,
    /// How many more cells there may be.
    room: usize,
}

impl<L: Leaf> Builder<L> {
    fn new(classes: Range<u32>, between: u32, room: usize) -> Self {
        Self {
            between,
            cells: Vec::new(),
            places: Vec::new(),
            leaves: Vec::new(),
            whole: vec![None; classes.len() * (between as usize + 2)],
            classes,
            room,
        }
    }

    fn fill_root(&mut self, runs: &[Run<u64>], outside: &[Run<u64>], below: u32) -> Option<()> {
        self.cells.resize(ROOT_CELLS + usize::from(!outside.is_empty()), 0);
        self.fill(0, self.between, parts(runs, 0, below, ROOT_CELLS), below)?;
        if !outside.is_empty() {
            let leaf = self.leaf(outside)?;
            let cell = self.lead_to(leaf, self.between)?;
            *self.cells.get_mut(ROOT_CELLS)? = cell;
        }
        Some(())
    }

    /// Fills the cells from this place on, with so many levels between each and the last one.
    fn fill<'a>(
        &mut self,
        place: usize,
        between: u32,
        parts: impl Iterator<Item = Part<'a, u64>>,
        bits: u32,
    ) -> Option<()> {
        for part in parts {
            let cell = self.cell(between, part.runs, part.begin, bits)?;
            self.cells.get_mut(place + part.cells.start..place + part.cells.end)?.fill(cell);
        }
        Some(())
    }

    /// Returns the cell of 2^`bits` positions, with so many levels before the last one.
    fn cell(&mut self, between: u32, runs: &[Run<u64>], begin: u64, bits: u32) -> Option<u32> {
        let (first, cuts) = runs.split_first()?;
        if cuts.is_empty() {
            return self.whole(between, first.1);
        }
        let shift = shift::<L>(cuts, bits, between);
        let count = 1usize.checked_shl(bits - shift)?;
        self.room = self.room.checked_sub(count)?;
        let parts = parts(runs, begin, shift, count);
        if between == 0 {
            let place = self.places.len();
            for part in parts {
                let leaf = self.leaf(part.runs)?;
                self.places.extend(iter::repeat_n(leaf, part.cells.len()));
            }
            return cell_at(place, begin, shift);
        }
        let place = self.cells.len();
        self.cells.resize(place + count, 0);
        self.fill(place, between - 1, parts, shift)?;
        cell_at(place, begin, shift)
    }

    /// Returns the cell of positions that are all of one class, with so many levels before the last one.
    fn whole(&mut self, between: u32, class: u32) -> Option<u32> {
        self.once(between as usize + 1, class, |builder| {
            let leaf = builder.leaf(&[(0, class)])?;
            builder.lead_to(leaf, between)
        })
    }

    /// Returns a cell that leads to a leaf whatever the rest of the position, with so many levels before the last one.
    fn lead_to(&mut self, leaf: u32, between: u32) -> Option<u32> {
        // Twice each, for the highest bit.
        self.places.extend([leaf; 2]);
        let mut cell = cell_at(self.places.len() - 2, 0, MOST_SHIFT)?;
        for _ in 0..between {
            self.cells.extend([cell; 2]);
            cell = cell_at(self.cells.len() - 2, 0, MOST_SHIFT)?;
        }
        Some(cell)
    }

    /// Returns the number of the leaf of these runs.
    fn leaf(&mut self, runs: &[Run<u64>]) -> Option<u32> {
        match runs {
            &[(_, class)] => self.once(0, class, |builder| builder.push(&[(0, class)])),
            runs => self.push(runs),
        }
    }

    fn push(&mut self, runs: &[Run<u64>]) -> Option<u32> {
        self.leaves.push(L::new(runs)?);
        u32::try_from(self.leaves.len() - 1).ok()
    }

    /// Makes what leads to a class, unless it is there already.
    fn once(
        &mut self,
        level: usize,
        class: u32,
        make: impl FnOnce(&mut Self) -> Option<u32>,
    ) -> Option<u32> {
        let known = level * self.classes.len() + class.checked_sub(self.classes.start)? as usize;
        if let &Some(number) = self.whole.get(known)? {
            return Some(number);
        }
        let number = make(self)?;
        *self.whole.get_mut(known)? = Some(number);
        Some(number)
    }
}

/// Returns how many of its `bits` a cell with these cuts leaves to later levels, of which there are `between` before
/// the last one.
fn shift<L: Leaf>(cuts: &[Run<u64>], bits: u32, between: u32) -> u32 {
    // As soon as no leaf gets too many cuts; one at the very beginning of a leaf is none of its cuts.
    let ahead = cuts.iter().skip(L::MOST_CUTS);
    let shifts = cuts.iter().zip(ahead).map(|(first, last)| {
        let differ = u64::BITS - (first.0 ^ last.0).leading_zeros();
        first.0.trailing_zeros().max(differ - 1)
    });
    let enough = bits - shifts.chain([bits, L::KEY_BITS]).min().unwrap_or(0);
    if between == 0 {
        return bits - enough;
    }
    // Four cells for each cut, but the other levels need not take more bits than this one.
    let fair = usize::BITS - cuts.len().leading_zeros() + 1;
    bits - fair.clamp(enough.div_ceil(between + 1), enough)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::classifier::leaf::{FarLeaf, NearLeaf};

    const CLASSES: Range<u32> = 3..20;

    fn runs(cuts: &BTreeMap<u64, u32>) -> Vec<Run<u64>> {
        let mut runs = vec![(0, CLASSES.start)];
        runs.extend(cuts.iter().filter(|cut| *cut.0 > 0).map(|(&place, &class)| (place, class)));
        runs
    }

    /// Compares what is found with what a search finds, at the cuts and beside them; returns how many levels lie
    /// between root and leaves.
    fn agrees<L: Leaf, const MOST_BETWEEN: u32>(runs: &[Run<u64>], bits: u32) -> u32 {
        let below_root = bits - ROOT_BITS;
        let trie = LcTrie::<L, MOST_BETWEEN>::build(runs, &[], &CLASSES, below_root);
        let trie = trie.expect("few cuts fit");
        let last = u64::MAX >> (u64::BITS - bits);
        let around = runs.iter().flat_map(|run| [run.0.saturating_sub(1), run.0, run.0 + 1]);
        for position in around.chain([last / 2, last]).filter(|&position| position <= last) {
            let begun = runs.partition_point(|run| run.0 <= position);
            let root = usize::try_from(position >> below_root).expect("a cell of the root");
            assert_eq!(trie.find(root, position, position), runs[begun - 1].1, "{position:#x}");
        }
        trie.between()
    }

    /// Cuts apart, and in clusters, on a line of so many bits.
    fn cuts(bits: u32) -> impl Strategy<Value = BTreeMap<u64, u32>> {
        let anywhere = any::<u64>().prop_map(move |place| place >> (u64::BITS - bits));
        let clustered = (0u64..3, 0u64..200)
            .prop_map(move |(cluster, place)| (cluster << (bits - 3)) + 3 * place);
        btree_map(prop_oneof![1 => anywhere, 4 => clustered], CLASSES, 0..200)
    }

    proptest! {
        #[test]
        fn a_trie_finds_the_run_that_a_search_finds((bits, cuts) in (24u32..=60).prop_flat_map(|bits| (Just(bits), cuts(bits)))) {
            let runs = runs(&cuts);
            agrees::<NearLeaf, MANY_BETWEEN>(&runs, bits);
            agrees::<FarLeaf<u16>, MANY_BETWEEN>(&runs, bits);
            agrees::<FarLeaf<u32>, 3>(&runs, bits);
        }
    }

    #[test]
    fn cuts_close_together_and_far_from_others_take_further_levels_not_a_wide_one() {
        let cluster = |begin: u64| {
            (0..100).map(move |place| (begin + u64::from(place), CLASSES.start + place % 9))
        };
        let runs = runs(&cluster(1).chain(cluster(1 << 50)).collect());
        assert!(agrees::<FarLeaf<u16>, MANY_BETWEEN>(&runs, 60) > 0);
        assert!(LcTrie::<FarLeaf<u16>, 0>::build(&runs, &[], &CLASSES, 60 - ROOT_BITS).is_none());
        assert_eq!(agrees::<FarLeaf<u16>, 0>(&runs[..8], 60), 0);
    }

    #[test]
    fn what_lies_outside_is_told_apart_by_its_own_cuts() {
        let inside = [(0, 3), (5 << 20, 4), (6 << 20, 5)];
        let outside = [(0, 6), (1 << 3, 7), (1 << 9, 8)];
        let trie = LcTrie::<FarLeaf<u16>, MANY_BETWEEN>::build(&inside, &outside, &CLASSES, 28);
        let trie = trie.expect("few cuts fit");
        for (key, class) in [(0, 6), (7, 6), (8, 7), (511, 7), (512, 8), (u32::MAX.into(), 8)] {
            for position in [0, 6 << 20, u64::MAX] {
                assert_eq!(trie.find(ROOT_CELLS, position, key), class, "{key}");
            }
        }
        assert_eq!(trie.find(0, 5 << 20, 5 << 20), 4);
    }
}
