//! A level-compressed trie: from a position to the leaf that knows its class.
//!
//! In comes a line of positions of up to 64 bits, cut into runs. The upper bits of a position index the root; each cell
//! says how many of the bits below tell its positions apart, and where the cells that those index begin. Where cuts are
//! many, cells take many bits, where there are none, no bits: every look-up takes the same few steps, and no branch
//! depends on what it finds. The last step leads to a leaf, which holds a few cuts and counts them at once, so that a
//! trie needs not go on until every cut has a cell of its own.

use std::ops::Range;

use super::blocks::shrink;
use super::leaf::Leaf;
use super::line::Run;

/// Bits of a cell that say how many bits lie below those it looks at; the others say where its cells begin.
const SHIFT_BITS: u32 = 6;
/// What such a cell says that looks at no bits.
const LOOKS_AT_NOTHING: u32 = (1 << SHIFT_BITS) - 1;

/// Bits of a position that the root takes.
pub(super) const ROOT_BITS: u32 = 12;
/// Cells of the root; behind them is the one for what is outside.
pub(super) const ROOT_CELLS: usize = 1 << ROOT_BITS;

/// What finds the class of every position.
#[derive(Debug)]
pub(super) struct LcTrie<L: Leaf> {
    /// The cells of the root, and those of all further levels but the last.
    cells: Box<[u32]>,
    /// The cells of the last level: numbers of leaves.
    places: Box<[L::Class]>,
    leaves: Box<[L]>,
}

/// The form of a trie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Bits of a position below those of the root.
    pub(super) below_root: u32,
    /// Levels between the root and the last one.
    pub(super) between: u32,
    /// So many cells it may have, those of the root not counted.
    pub(super) most_cells: usize,
}

impl<L: Leaf> LcTrie<L> {
    /// Builds the trie of a line, whose first run covers position zero. The runs outside, if there are any, get one
    /// leaf, and one more cell of the root. `None` where the shape does not suffice.
    pub(super) fn build(
        runs: &[Run<u64>],
        outside: &[Run<u64>],
        classes: Range<u32>,
        shape: Shape,
    ) -> Option<Self> {
        let mut builder = Builder {
            cells: vec![0; ROOT_CELLS + usize::from(!outside.is_empty())],
            places: Vec::new(),
            leaves: Vec::new(),
            whole: vec![None; classes.len() * (shape.between as usize + 2)],
            classes,
            room: shape.most_cells,
        };
        for (index, (begin, part)) in parts(runs, 0, shape.below_root, ROOT_CELLS).enumerate() {
            let cell = builder.cell(shape.between, part, begin, shape.below_root)?;
            *builder.cells.get_mut(index)? = cell;
        }
        if !outside.is_empty() {
            let leaf = builder.leaf(outside)?;
            let cell = builder.lead_to(leaf, shape.between)?;
            *builder.cells.get_mut(ROOT_CELLS)? = cell;
        }
        let Builder { cells, places, leaves, .. } = builder;
        Some(Self { cells: cells.into(), places: shrink(places)?, leaves: leaves.into() })
    }

    /// Returns the class of a position, given its cell of the root, the bits below those of the root, and what the
    /// cuts of a leaf are compared with.
    #[expect(
        clippy::inline_always,
        reason = "measured: a call would pass what it finds through memory"
    )]
    #[inline(always)]
    pub(super) fn find(&self, root: usize, between: u32, mut below: u64, key: u64) -> u32 {
        let mut cell = self.cells.get(root).copied().unwrap_or(0);
        for _ in 0..between {
            let next = self.cells.get(index_of(cell, below)).copied().unwrap_or(0);
            below &= !(u64::MAX << shift_of(cell));
            cell = next;
        }
        let number = self.places.get(index_of(cell, below)).map_or(0, |&leaf| leaf.into());
        self.leaves.get(number as usize).map_or(0, |leaf| leaf.class(key))
    }

    /// Returns the bytes in use besides its own.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.cells) + size_of_val(&*self.places) + size_of_val(&*self.leaves)
    }
}

/// Returns how many bits lie below those that a cell looks at.
#[inline]
fn shift_of(cell: u32) -> u32 {
    cell & LOOKS_AT_NOTHING
}

/// Returns the index of the next cell.
#[inline]
fn index_of(cell: u32, below: u64) -> usize {
    let offset = usize::try_from(below >> shift_of(cell)).unwrap_or(usize::MAX);
    (cell >> SHIFT_BITS) as usize + offset
}

/// Makes a cell whose own cells begin there.
fn cell_at(begin: usize, shift: u32) -> Option<u32> {
    u32::try_from(begin << SHIFT_BITS).ok().map(|begin| begin | shift)
}

/// Cuts runs, of which the first one covers `begin`, into the parts of the cells from there on that stand for
/// 2^`shift` positions each.
fn parts(
    mut runs: &[Run<u64>],
    begin: u64,
    shift: u32,
    cells: usize,
) -> impl ExactSizeIterator<Item = (u64, &[Run<u64>])> {
    (0..cells).map(move |index| {
        let begin = begin + ((index as u64) << shift);
        let last = begin + !(u64::MAX << shift);
        let later = runs.get(1..).unwrap_or_default();
        let inside = later.iter().take_while(|run| run.0 <= last).count();
        let (part, behind) = runs.split_at_checked(inside + 1).unwrap_or_default();
        let goes_on = behind.first().is_none_or(|next| next.0 > last.wrapping_add(1));
        runs = runs.get(inside + usize::from(!goes_on)..).unwrap_or_default();
        (begin, part)
    })
}

/// A trie under construction.
struct Builder<L> {
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
            for (_, part) in parts {
                let leaf = self.leaf(part)?;
                self.places.push(leaf);
            }
            return cell_at(place, shift);
        }
        let place = self.cells.len();
        self.cells.resize(place + count, 0);
        for (index, (begin, part)) in (place..).zip(parts) {
            let cell = self.cell(between - 1, part, begin, shift)?;
            *self.cells.get_mut(index)? = cell;
        }
        cell_at(place, shift)
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
        self.places.push(leaf);
        let mut cell = cell_at(self.places.len() - 1, LOOKS_AT_NOTHING)?;
        for _ in 0..between {
            self.cells.push(cell);
            cell = cell_at(self.cells.len() - 1, LOOKS_AT_NOTHING)?;
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
        if let &Some(cell) = self.whole.get(known)? {
            return Some(cell);
        }
        let made = make(self)?;
        *self.whole.get_mut(known)? = Some(made);
        Some(made)
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
    // Eight cells for each cut, but the other levels need not take more bits than this one.
    let fair = usize::BITS - cuts.len().leading_zeros() + 2;
    bits - fair.clamp(enough.div_ceil(between + 1), enough)
}
