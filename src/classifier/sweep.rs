//! One sweep over a line of values: which values do all rules treat alike?
//!
//! In come the lists of ranges that the rules name and which rules name them; out come the classes: the line cut
//! into runs, each with the number of the row of rules that admit its values. The line is the address space of
//! one family, or the ports. A list that many rules name (a service tag) is swept once.

use super::CompileError;
use super::packed::{RowCollector, WORD};

/// A place on the line.
pub(super) trait Position: Copy + Ord + Into<u128> {
    /// The first place.
    const ZERO: Self;

    /// Returns the place after this one; `None` at the end of the line.
    fn next(self) -> Option<Self>;
}

impl Position for u32 {
    const ZERO: Self = 0;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Position for u128 {
    const ZERO: Self = 0;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Ranges, both ends included, sorted and not touching, and the rules that admit them, by bit number.
#[derive(Debug)]
pub(super) struct List<'a, P> {
    pub(super) ranges: &'a [(P, P)],
    pub(super) rules: &'a [usize],
}

/// A line cut into runs of values of one class.
#[derive(Debug)]
pub(super) struct Line {
    /// Where each run begins, and its class. Sorted; the first run begins at zero.
    pub(super) runs: Vec<(u128, u32)>,
    /// The last value.
    pub(super) last: u128,
}

impl Line {
    /// Returns how many classes there are.
    pub(super) fn classes(&self) -> u32 {
        self.runs.iter().map(|run| run.1 + 1).max().unwrap_or(0)
    }

    /// Returns how many blocks a trie needs at most below cells that stand for 2^`shift` values each: one for every
    /// cell that is cut, and one for every class that fills a cell.
    pub(super) fn blocks_below(&self, shift: u32) -> usize {
        let mut fills = vec![false; self.classes() as usize];
        let (mut cuts, mut last_cut) = (0, None);
        for (index, &(begin, class)) in self.runs.iter().enumerate() {
            let end = self.runs.get(index + 1).map_or(self.last, |next| next.0 - 1);
            let cell = begin >> shift;
            let is_cut = begin.trailing_zeros() < shift;
            if is_cut && last_cut.replace(cell) != Some(cell) {
                cuts += 1;
            }
            // The first cell that the run can fill, and the one where it ends.
            let (first, last) = (cell + u128::from(is_cut), (end >> shift));
            let is_last_full = end & !(u128::MAX << shift) == !(u128::MAX << shift);
            if (first < last || first == last && is_last_full)
                && let Some(fills) = fills.get_mut(class as usize)
            {
                *fills = true;
            }
        }
        cuts + fills.into_iter().filter(|&fills| fills).count()
    }
}

/// Cuts the line that ends at `last` into runs. `always` is the row of the rules that admit every value.
pub(super) fn sweep<P: Position>(
    lists: &[List<'_, P>],
    always: &[u64],
    last: P,
    rows: &mut RowCollector,
) -> Result<Line, CompileError> {
    let events = events(lists);
    let mut open = OpenRules::new(always);
    let mut runs = vec![];
    let mut position = P::ZERO;
    for at_one_place in events.chunk_by(|one, other| one.0 == other.0) {
        let place = at_one_place.first().map_or(position, |event| event.0);
        if place > position {
            push(&mut runs, position, rows.class_of(&open.row)?);
            position = place;
        }
        for &(_, event) in at_one_place {
            let rules = lists.get(event >> 1).map_or(&[][..], |list| list.rules);
            if event & 1 == OPENS { open.add(rules) } else { open.remove(rules) }
        }
    }
    push(&mut runs, position, rows.class_of(&open.row)?);
    Ok(Line { runs, last: last.into() })
}

const OPENS: usize = 0;
const CLOSES: usize = 1;

/// The places where a list begins or no longer holds, sorted: the list's number twice, plus one where it closes.
fn events<P: Position>(lists: &[List<'_, P>]) -> Vec<(P, usize)> {
    let mut events = Vec::with_capacity(lists.iter().map(|list| 2 * list.ranges.len()).sum());
    for (number, list) in lists.iter().enumerate() {
        for &(first, last) in list.ranges {
            events.push((first, number << 1 | OPENS));
            events.extend(last.next().map(|after| (after, number << 1 | CLOSES)));
        }
    }
    // Each list is sorted already; the standard stable sort finds such runs and merges them.
    events.sort_by_key(|event| event.0);
    events
}

fn push<P: Position>(runs: &mut Vec<(u128, u32)>, position: P, class: u32) {
    if runs.last().is_none_or(|last| last.1 != class) {
        runs.push((position.into(), class));
    }
}

/// The rules that admit the current value. A rule may be held open by several lists at once.
struct OpenRules {
    row: Vec<u64>,
    holders: Vec<u32>,
}

impl OpenRules {
    fn new(always: &[u64]) -> Self {
        let bits = always.len() * WORD;
        let holders = (0..bits).map(|rule| u32::from(has(always, rule))).collect();
        Self { row: always.to_vec(), holders }
    }

    fn add(&mut self, rules: &[usize]) {
        for &rule in rules {
            if let Some(holders) = self.holders.get_mut(rule) {
                *holders += 1;
                set(&mut self.row, rule);
            }
        }
    }

    fn remove(&mut self, rules: &[usize]) {
        for &rule in rules {
            if let Some(holders) = self.holders.get_mut(rule) {
                *holders -= 1;
                if *holders == 0
                    && let Some(word) = self.row.get_mut(rule / WORD)
                {
                    *word &= !(1 << (rule % WORD));
                }
            }
        }
    }
}

/// Says whether the row has the rule's bit.
pub(super) fn has(row: &[u64], rule: usize) -> bool {
    row.get(rule / WORD).is_some_and(|word| word >> (rule % WORD) & 1 == 1)
}

/// Sets the rule's bit.
pub(super) fn set(row: &mut [u64], rule: usize) {
    if let Some(word) = row.get_mut(rule / WORD) {
        *word |= 1 << (rule % WORD);
    }
}
