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

/// The cells of one trie.
///
/// A look-up takes every step, whatever it finds, and never asks whether it has arrived. So a cell that stands for
/// values of one class leads to a block that leads to that class whatever the rest of the value: in the wide levels one
/// for each class and level that need it; of the narrow blocks **those with the numbers of classes are the classes
/// themselves**: block c holds c in every cell. The levels of one width share their blocks: what a cell means is up to
/// the step that reads it.
#[derive(Debug)]
pub(super) struct Blocks<P> {
    /// Cells of the root: block numbers of the first level.
    pub(super) root: Vec<u32>,
    /// Blocks of 256 cells, for all wide steps; the first ones are left for the root where the plan says so.
    pub(super) wide: Vec<u32>,
    /// Blocks of 16 cells, for all narrow steps.
    pub(super) narrow: Vec<u32>,
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
    /// How many wide blocks are left for the root.
    pub(super) root_blocks: u32,
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
        let narrow = Level::new(4, if plan.narrow > 0 { classes.clone() } else { 0..0 });
        let wide = Level::new(8, 0..plan.root_blocks);
        let whole_blocks = vec![0; classes.len() * plan.wide];
        let mut builder = Builder { plan, classes, wide, narrow, whole_blocks, tails: Vec::new() };
        let mut root = vec![0; plan.root];
        builder.fill(0, &mut root, &line.runs, plan.base, plan.root_shift());
        builder.finish(root)
    }
}

/// What cells and classes are kept as: a number of 16 or of 32 bits.
pub(super) trait Cell: Copy + Into<u32> + TryFrom<u32> + Send + Sync {}

impl Cell for u16 {}
impl Cell for u32 {}

/// Makes numbers that fit smaller; `None` where one does not.
pub(super) fn shrink<C: TryFrom<u32>>(numbers: impl IntoIterator<Item = u32>) -> Option<Box<[C]>> {
    numbers.into_iter().map(|number| C::try_from(number).ok()).collect()
}

/// Lays cells out in blocks; `None` where they do not fit.
pub(super) fn in_blocks<C: Cell, const N: usize>(cells: Vec<u32>) -> Option<Box<[[C; N]]>> {
    Some(shrink(cells)?.as_chunks().0.into())
}

/// Takes the step that the lowest bits of a value say.
#[inline]
pub(super) fn step<C: Cell, const N: usize>(blocks: &[[C; N]], at: u32, value: usize) -> u32 {
    let block = blocks.get(at as usize);
    block.and_then(|block| block.get(value % N)).map_or(0, |&cell| cell.into())
}

/// The blocks of one width under construction.
struct Level {
    bits: u32,
    cells: Vec<u32>,
    /// The blocks that are there from the start: each holds its own number in every cell.
    fixed: Range<u32>,
    /// The number of the next block.
    next: u32,
    /// The number of each other block, found by its cells.
    numbers: HashTable<u32>,
}

impl Level {
    fn new(bits: u32, fixed: Range<u32>) -> Self {
        let cells = (0..fixed.end).flat_map(|number| (0..1u32 << bits).map(move |_| number));
        let mut level =
            Self { bits, cells: cells.collect(), fixed, next: 0, numbers: HashTable::new() };
        level.skip_fixed();
        level
    }

    fn skip_fixed(&mut self) {
        if self.next == self.fixed.start {
            self.next = self.fixed.end;
        }
    }

    /// Adds a block: in the place that is free below the fixed ones, or behind all.
    fn push(&mut self, block: &[u32]) -> u32 {
        let number = self.next;
        let begin = (number as usize) << self.bits;
        match self.cells.get_mut(begin..begin + block.len()) {
            Some(place) => place.copy_from_slice(block),
            None => self.cells.extend_from_slice(block),
        }
        self.next = (number + 1).min(FIRST_TAIL);
        self.skip_fixed();
        number
    }

    /// Returns the number of the block with these cells.
    fn number(&mut self, block: &[u32]) -> u32 {
        let Self { bits, cells, numbers, .. } = self;
        let hash = hash(block);
        let is_equal = |&number: &u32| block_of(cells, number, *bits) == block;
        if let Some(&number) = numbers.find(hash, is_equal) {
            return number;
        }
        let number = self.push(block);
        let Self { bits, cells, numbers, .. } = self;
        let hash_again = |&number: &u32| self::hash(block_of(cells, number, *bits));
        numbers.insert_unique(hash, number, hash_again);
        number
    }
}

fn block_of(cells: &[u32], number: u32, bits: u32) -> &[u32] {
    let begin = (number as usize) << bits;
    cells.get(begin..begin + (1 << bits)).unwrap_or_default()
}

fn hash(block: &[u32]) -> u64 {
    FixedState::default().hash_one(block)
}

/// While a trie is built, the numbers from here on stand for tails.
const FIRST_TAIL: u32 = 1 << 31;

struct Builder<P> {
    plan: Plan<P>,
    classes: Range<u32>,
    wide: Level,
    narrow: Level,
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
        let number = self.wide.push(&[cell; 256]);
        if let Some(known) = self.whole_blocks.get_mut(place) {
            *known = number + 1;
        }
        number
    }

    /// Returns what a cell holds whose 2^`shift` values from `base` on are of several classes.
    fn cut(&mut self, level: usize, runs: &[Run<P>], base: P, shift: u32) -> u32 {
        match self.plan.step(level) {
            Some(8) => {
                let mut cells = [0; 256];
                self.fill(level + 1, &mut cells, runs, base, shift - 8);
                self.wide.number(&cells)
            }
            Some(bits) => {
                let mut cells = [0; 16];
                self.fill(level + 1, &mut cells, runs, base, shift - bits);
                self.narrow.number(&cells)
            }
            None => {
                self.tails.push(runs.into());
                FIRST_TAIL + u32::try_from(self.tails.len() - 1).unwrap_or(0)
            }
        }
    }

    /// Numbers the tails behind the blocks, now that it is known how many those are.
    fn finish(self, mut root: Vec<u32>) -> Blocks<P> {
        let (mut wide, mut narrow) = (self.wide.cells, self.narrow.cells);
        let first_tail = u32::try_from(narrow.len() / 16).unwrap_or(0).max(self.classes.end);
        if !self.tails.is_empty() {
            for cell in wide.iter_mut().chain(&mut narrow).chain(&mut root) {
                *cell = cell.checked_sub(FIRST_TAIL).map_or(*cell, |tail| first_tail + tail);
            }
        }
        Blocks { root, wide, narrow, first_tail, tails: self.tails }
    }
}
