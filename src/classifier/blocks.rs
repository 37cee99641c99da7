//! Builds the blocks of a trie that takes steps of 8 bits: a cell for each value of those bits, equal blocks once.
//!
//! In comes a line cut into runs, out come cells. A look-up takes every step, whatever it finds, and never asks whether
//! it has arrived. So a cell that stands for values of one class leads to a block that leads to that class whatever the
//! rest of the value.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::line::{Line, Run, parts};

/// Bits of a step.
pub(super) const STEP_BITS: u32 = 8;
/// Cells of a block.
pub(super) const BLOCK: usize = 1 << STEP_BITS;

/// Cuts a line in so many steps. Of the blocks that are returned, cell after cell, so many first ones are those of the
/// first step; in those of the last step are classes, in all others numbers of blocks.
pub(super) fn build(line: &Line<u32>, steps: u32, first_blocks: usize) -> Vec<u32> {
    let classes = line.classes.clone();
    let mut builder = Builder {
        cells: vec![0; first_blocks * BLOCK],
        numbers: HashTable::new(),
        whole: vec![None; classes.len() * steps as usize],
        classes,
    };
    let mut first = vec![0; first_blocks * BLOCK];
    builder.fill(steps - 1, &mut first, &line.runs, 0);
    let mut cells = builder.cells;
    cells.iter_mut().zip(first).for_each(|(cell, first)| *cell = first);
    cells
}

/// The blocks under construction.
struct Builder {
    cells: Vec<u32>,
    /// The numbers of the blocks that are cut, found by their cells.
    numbers: HashTable<u32>,
    /// For each number of steps below a cell, for each class: the block of which every cell leads to it.
    whole: Vec<Option<u32>>,
    classes: Range<u32>,
}

impl Builder {
    /// Fills cells that stand side by side from `base` on, with so many steps below them. The first run covers `base`.
    fn fill(&mut self, below: u32, cells: &mut [u32], runs: &[Run<u32>], base: u64) {
        for part in parts(runs, base, below * STEP_BITS, cells.len()) {
            let cell = match part.runs {
                &[(_, class)] => self.whole(below, class),
                runs => self.cut(below, runs, part.begin),
            };
            cells.get_mut(part.cells).unwrap_or_default().fill(cell);
        }
    }

    /// Returns what a cell holds whose values are all of one class.
    fn whole(&mut self, below: u32, class: u32) -> u32 {
        let Some(further) = below.checked_sub(1) else { return class };
        let known = below as usize * self.classes.len() + (class - self.classes.start) as usize;
        if let Some(&Some(number)) = self.whole.get(known) {
            return number;
        }
        let cell = self.whole(further, class);
        let number = self.push(&[cell; BLOCK]);
        if let Some(known) = self.whole.get_mut(known) {
            *known = Some(number);
        }
        number
    }

    /// Returns what a cell holds whose values from `begin` on are of several classes.
    fn cut(&mut self, below: u32, runs: &[Run<u32>], begin: u64) -> u32 {
        let mut block = [0; BLOCK];
        self.fill(below - 1, &mut block, runs, begin);
        let hash = hash(&block);
        let is_equal = |&number: &u32| block_of(&self.cells, number) == block;
        if let Some(&number) = self.numbers.find(hash, is_equal) {
            return number;
        }
        let number = self.push(&block);
        let hash_again = |&number: &u32| self::hash(block_of(&self.cells, number));
        self.numbers.insert_unique(hash, number, hash_again);
        number
    }

    fn push(&mut self, block: &[u32; BLOCK]) -> u32 {
        let number = self.cells.len() / BLOCK;
        self.cells.extend_from_slice(block);
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

fn block_of(cells: &[u32], number: u32) -> &[u32] {
    let begin = number as usize * BLOCK;
    cells.get(begin..begin + BLOCK).unwrap_or_default()
}

fn hash(block: &[u32]) -> u64 {
    FixedState::default().hash_one(block)
}
