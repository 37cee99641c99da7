//! Rows of bits, one bit a rule, kept in the space that their non-zero words need.
//!
//! In come the rows that a sweep meets, equal ones many times; out comes each distinct row of a line once. A row's
//! number is the class of the values that have it; the lines of a direction share one list of rows, and number their
//! classes one behind the other. The guard against class explosion sits here: once the rows take more than
//! the budget, collecting ends with an error instead of eating the machine's memory.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::{CompileError, MEMORY_BUDGET};

/// Bits of a word.
pub(super) const WORD: usize = u64::BITS as usize;

/// Distinct rows; each is its summary words (bit i: word i is not zero), then its non-zero words.
#[derive(Debug)]
pub(super) struct PackedRows {
    summary_words: usize,
    /// Where each row ends in `words`, and the next one begins.
    ends: Vec<usize>,
    words: Vec<u64>,
}

impl PackedRows {
    /// Makes the list of no rows; these will have `width` words.
    pub(super) fn new(width: usize) -> Self {
        Self { summary_words: width.div_ceil(WORD), ends: Vec::new(), words: Vec::new() }
    }

    /// Begins to collect the rows of a line behind those of other lines; they may take `budget` bytes.
    pub(super) fn of_line(&mut self, budget: usize) -> RowCollector<'_> {
        let budget = self.bytes().saturating_add(budget);
        RowCollector {
            first: self.next_class(),
            rows: self,
            numbers: HashTable::new(),
            packed: Vec::new(),
            budget,
        }
    }

    /// Returns the class that the next row would have.
    fn next_class(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Returns how many rows there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes in use.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.ends.as_slice()) + size_of_val(self.words.as_slice())
    }

    /// Returns all rows, by class.
    pub(super) fn rows(&self) -> impl Iterator<Item = PackedRow<'_>> {
        (0u32..).take(self.len()).map(|class| self.row(class))
    }

    /// Returns the row that a class has; what is no class has no rule.
    pub(super) fn row(&self, class: u32) -> PackedRow<'_> {
        let stored = self.stored(class);
        let (summary, words) = stored.split_at_checked(self.summary_words).unwrap_or_default();
        PackedRow { summary, words }
    }

    fn stored(&self, class: u32) -> &[u64] {
        let class = class as usize;
        let end_of = |class: usize| self.ends.get(class).copied();
        let start = class.checked_sub(1).map_or(Some(0), end_of);
        start
            .zip(end_of(class))
            .and_then(|(start, end)| self.words.get(start..end))
            .unwrap_or_default()
    }
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedRow<'a> {
    summary: &'a [u64],
    words: &'a [u64],
}

impl PackedRow<'_> {
    /// Returns which words of the group of 64 are not zero.
    pub(super) fn summary(self, group: usize) -> u64 {
        self.summary.get(group).copied().unwrap_or(0)
    }

    /// Returns one word.
    pub(super) fn word(self, index: usize) -> u64 {
        let (group, bit) = (index / WORD, 1u64 << (index % WORD));
        let summary = self.summary(group);
        if summary & bit == 0 {
            return 0;
        }
        let ones: u32 = self.summary.iter().take(group).map(|word| word.count_ones()).sum();
        let rank = ones + (summary & (bit - 1)).count_ones();
        self.words.get(rank as usize).copied().unwrap_or(0)
    }
}

/// Collects the distinct rows of one line.
#[derive(Debug)]
pub(super) struct RowCollector<'a> {
    rows: &'a mut PackedRows,
    /// The class of the line's first row.
    first: u32,
    numbers: HashTable<u32>,
    packed: Vec<u64>,
    /// What all rows may take, in bytes.
    budget: usize,
}

impl RowCollector<'_> {
    /// Returns the classes of the line.
    pub(super) fn classes(&self) -> Range<u32> {
        self.first..self.rows.next_class()
    }

    /// Returns the class of the values with this row: a new one where no equal row came before.
    pub(super) fn class_of(&mut self, row: &[u64]) -> Result<u32, CompileError> {
        let Self { rows, numbers, packed, budget, .. } = self;
        pack(row, packed);
        let hash = hash(packed);
        if let Some(&class) = numbers.find(hash, |&class| rows.stored(class) == packed) {
            return Ok(class);
        }
        if rows.bytes() + size_of_val(packed.as_slice()) > *budget {
            return Err(CompileError::TooLarge { budget: MEMORY_BUDGET });
        }
        let class = rows.next_class();
        rows.words.extend_from_slice(packed);
        rows.ends.push(rows.words.len());
        numbers.insert_unique(hash, class, |&class| self::hash(rows.stored(class)));
        Ok(class)
    }
}

fn hash(packed: &[u64]) -> u64 {
    FixedState::default().hash_one(packed)
}

fn pack(row: &[u64], packed: &mut Vec<u64>) {
    let non_zero = |words: &[u64]| {
        words.iter().rev().fold(0, |summary, &word| summary << 1 | u64::from(word != 0))
    };
    packed.clear();
    packed.extend(row.chunks(WORD).map(non_zero));
    packed.extend(row.iter().copied().filter(|&word| word != 0));
}
