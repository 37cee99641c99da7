//! One sweep over a line of values: which values do all rules treat alike?
//!
//! In come the lists of ranges that the rules name and which rules name them; out come the classes: the line cut
//! into runs, each with the number of the row of rules that admit its values. The line is the address space of
//! one family, or the ports. A list that many rules name (a service tag) is swept once.

use super::CompileError;
use super::line::{Line, Position, Run};
use super::packed::{RowCollector, WORD};

/// Ranges, both ends included, sorted and not touching, and the rules that admit them, by bit number.
#[derive(Debug)]
pub(super) struct List<'a, P> {
    pub(super) ranges: &'a [(P, P)],
    pub(super) rules: &'a [usize],
}

/// Cuts the line that ends at `last` into runs. `always` is the row of the rules that admit every value.
pub(super) fn sweep<P: Position>(
    lists: &[List<'_, P>],
    always: &[u64],
    last: P,
    mut rows: RowCollector<'_>,
) -> Result<Line<P>, CompileError> {
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
    Ok(Line { runs, last, classes: rows.classes() })
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

fn push<P: Position>(runs: &mut Vec<Run<P>>, position: P, class: u32) {
    if runs.last().is_none_or(|last| last.1 != class) {
        runs.push((position, class));
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
