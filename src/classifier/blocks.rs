//! Builds a trie: the cells of its root and of every level below, in blocks, equal blocks once.
//!
//! In comes a line cut into runs, out come cells. Nothing here is read by a look-up: a trie lays the cells out in the
//! form that suits it.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::line::{Line, Position, Run};

/// Where runs begin, and their classes; the first one covers what lies before the others.
pub(super) type Tail<P> = Box<[Run<P>]>;

/// Cells of the smallest block. A block is found by its number times this, whatever its size.
pub(super) const UNIT: usize = 16;
/// Cells of a block for a step of 8 bits.
const WIDE: usize = 256;

/// The cells of one trie.
///
/// A look-up takes every step, whatever it finds, and never asks whether it has arrived. So a cell that stands for
/// values of one class leads to a block that leads to that class whatever the rest of the value: in the wide levels one
/// for each class and level that need it; of the narrow blocks **those with the numbers of classes are the classes
/// themselves**: block c holds c in every cell. All levels share their blocks: what a cell means is up to the step that
/// reads it.
#[derive(Debug)]
pub(super) struct Blocks<P> {
    /// Cells of the root: block numbers of the first level.
    pub(super) root: Vec<u32>,
    /// All blocks: of 256 cells for wide steps, of 16 for narrow ones.
    pub(super) cells: Vec<u32>,
    /// The number of the first tail: when the last step is taken, smaller ones are classes.
    pub(super) first_tail: u32,
    /// The runs within cells of the last step that are of more than one class.
    pub(super) tails: Vec<Tail<P>>,
}

/// What a trie looks at, from the upper bits to the lower ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<P> {
    /// The value of the root's first cell.
    pub(super) base: P,
    /// The cells of the root.
    pub(super) root: usize,
    /// How many steps of 8 bits there are below the root.
    pub(super) wide: usize,
    /// How many steps of 4 bits there are below those.
    pub(super) narrow: usize,
    /// The bits below those of the last step. Where runs of different classes meet among the values that only
    /// these tell apart, there is a tail.
    pub(super) floor: u32,
}

impl<P> Plan<P> {
    /// Returns how many bits the step to this level takes; `None` below the last one.
    fn step(&self, level: usize) -> Option<u32> {
        match level {
            level if level < self.wide => Some(8),
            level if level < self.wide + self.narrow => Some(4),
            _ => None,
        }
    }

    fn root_shift(&self) -> u32 {
        (0..).map_while(|level| self.step(level)).sum::<u32>() + self.floor
    }
}

impl<P: Position> Blocks<P> {
    /// Cuts the line as planned.
    pub(super) fn build(line: &Line<P>, plan: Plan<P>) -> Self {
        let classes = line.classes.clone();
        let fixed = if plan.narrow > 0 { classes.clone() } else { 0..0 };
        let whole_blocks = vec![0; classes.len() * plan.wide];
        let store = Store::new(fixed);
        let mut builder = Builder { plan, classes, store, whole_blocks, tails: Vec::new() };
        let mut root = vec![0; plan.root];
        builder.fill(0, &mut root, &line.runs, plan.base, plan.root_shift());
        builder.finish(root)
    }
}

/// The blocks under construction.
struct Store {
    cells: Vec<u32>,
    /// The blocks of 16 cells that are there from the start: each holds its own number in every cell.
    fixed: Range<u32>,
    /// The next number below those that no block has.
    free: u32,
    /// The numbers of the other blocks, found by their cells.
    narrow: HashTable<u32>,
    wide: HashTable<u32>,
}

impl Store {
    fn new(fixed: Range<u32>) -> Self {
        let cells = (0..fixed.end).flat_map(|number| [number; UNIT]).collect();
        Self { cells, fixed, free: 0, narrow: HashTable::new(), wide: HashTable::new() }
    }

    /// Adds a block: a small one in the place that is free below the fixed ones, else behind all.
    fn push(&mut self, block: &[u32]) -> u32 {
        if block.len() == UNIT && self.free < self.fixed.start {
            let number = self.free;
            let begin = number as usize * UNIT;
            if let Some(place) = self.cells.get_mut(begin..begin + UNIT) {
                place.copy_from_slice(block);
            }
            self.free += 1;
            return number;
        }
        let number = self.cells.len() / UNIT;
        self.cells.extend_from_slice(block);
        u32::try_from(number).unwrap_or(FIRST_TAIL)
    }

    /// Returns the number of the block with these cells.
    fn number<const N: usize>(&mut self, block: &[u32; N]) -> u32 {
        let hash = hash(block);
        let is_equal = |&number: &u32| block_of::<N>(&self.cells, number) == block;
        let numbers = if N == UNIT { &self.narrow } else { &self.wide };
        if let Some(&number) = numbers.find(hash, is_equal) {
            return number;
        }
        let number = self.push(block);
        let Self { cells, narrow, wide, .. } = self;
        let hash_again = |&number: &u32| self::hash(block_of::<N>(cells, number));
        let numbers = if N == UNIT { narrow } else { wide };
        numbers.insert_unique(hash, number, hash_again);
        number
    }
}

fn block_of<const N: usize>(cells: &[u32], number: u32) -> &[u32] {
    let begin = number as usize * UNIT;
    cells.get(begin..begin + N).unwrap_or_default()
}

fn hash(block: &[u32]) -> u64 {
    FixedState::default().hash_one(block)
}

/// While a trie is built, the numbers from here on stand for tails.
const FIRST_TAIL: u32 = 1 << 31;

struct Builder<P> {
    plan: Plan<P>,
    classes: Range<u32>,
    store: Store,
    /// For each wide level the number of each class's own block, plus one; 0 where there is none yet.
    whole_blocks: Vec<u32>,
    tails: Vec<Tail<P>>,
}

impl<P: Position> Builder<P> {
    /// Fills cells that stand side by side from `base` on, each for 2^`shift` values; they lead to the level of this
    /// number. The first run covers `base`; runs behind the last cell are left alone.
    fn fill(&mut self, level: usize, cells: &mut [u32], runs: &[Run<P>], base: P, shift: u32) {
        let cell_of = |place: P| ((place - base) >> shift).try_into().unwrap_or(usize::MAX);
        let (mut runs, mut index) = (runs, 0);
        while let Some((&(_, class), later)) = runs.split_first() {
            // The run fills all cells up to the one in which the next one begins.
            let until = later.first().map_or(cells.len(), |next| cell_of(next.0).min(cells.len()));
            if index < until {
                let whole = self.whole(level, class);
                cells.iter_mut().take(until).skip(index).for_each(|cell| *cell = whole);
                index = until;
            }
            let Some(cell) = cells.get_mut(index) else { break };
            if later.first().is_some_and(|next| next.0.zeros() >= shift) {
                runs = later;
                continue;
            }
            let inside = later.iter().take_while(|next| cell_of(next.0) == index).count();
            let begin = base + (P::from(u32::try_from(index).unwrap_or(u32::MAX)) << shift);
            *cell = self.cut(level, runs.get(..=inside).unwrap_or_default(), begin, shift);
            runs = runs.get(inside..).unwrap_or_default();
            index += 1;
        }
    }

    /// Returns what a cell holds whose values are all of one class.
    fn whole(&mut self, level: usize, class: u32) -> u32 {
        if level >= self.plan.wide {
            return class;
        }
        let place = level * self.classes.len() + (class - self.classes.start) as usize;
        if let Some(known) = self.whole_blocks.get(place).and_then(|number| number.checked_sub(1)) {
            return known;
        }
        let cell = self.whole(level + 1, class);
        let number = self.store.push(&[cell; WIDE]);
        if let Some(known) = self.whole_blocks.get_mut(place) {
            *known = number + 1;
        }
        number
    }

    /// Returns what a cell holds whose 2^`shift` values from `base` on are of several classes.
    fn cut(&mut self, level: usize, runs: &[Run<P>], base: P, shift: u32) -> u32 {
        match self.plan.step(level) {
            Some(8) => {
                let mut cells = [0; WIDE];
                self.fill(level + 1, &mut cells, runs, base, shift - 8);
                self.store.number(&cells)
            }
            Some(bits) => {
                let mut cells = [0; UNIT];
                self.fill(level + 1, &mut cells, runs, base, shift - bits);
                self.store.number(&cells)
            }
            None => {
                self.tails.push(runs.into());
                FIRST_TAIL + u32::try_from(self.tails.len() - 1).unwrap_or(0)
            }
        }
    }

    /// Numbers the tails behind the blocks, now that it is known how many those are.
    fn finish(self, mut root: Vec<u32>) -> Blocks<P> {
        let mut cells = self.store.cells;
        let blocks = u32::try_from(cells.len() / UNIT).unwrap_or(0);
        let first_tail = blocks.max(self.classes.end);
        if !self.tails.is_empty() {
            for cell in cells.iter_mut().chain(&mut root) {
                *cell = cell.checked_sub(FIRST_TAIL).map_or(*cell, |tail| first_tail + tail);
            }
        }
        Blocks { root, cells, first_tail, tails: self.tails }
    }
}
