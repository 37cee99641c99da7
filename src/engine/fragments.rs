//! Which flow a later fragment belongs to: a bounded memory of first fragments.
//!
//! Only the first fragment of a datagram holds ports. Its tuple is kept for a while under what all fragments of
//! the datagram have in common. A later fragment that comes before its first one finds nothing.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use hashbrown::HashTable;

use crate::flow::FiveTuple;
use crate::packet::FragmentId;

/// How long a first fragment is remembered, in nanoseconds: as long as Linux waits for the others.
pub(super) const TIMEOUT_NS: u64 = 30_000_000_000;

#[derive(Debug, Clone, Copy)]
struct FirstFragment {
    id: FragmentId,
    tuple: FiveTuple,
    seen_ns: u64,
}

/// The memory of first fragments. When full, the one remembered longest is forgotten.
#[derive(Debug)]
pub(super) struct FragmentTable {
    hasher: SeedableRandomState,
    table: HashTable<FirstFragment>,
    /// Ids in the order of their first arrival: as many as the table holds.
    order: VecDeque<FragmentId>,
    limit: usize,
}

impl FragmentTable {
    pub(super) fn new(limit: usize, seed: u64) -> Self {
        Self {
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            table: HashTable::new(),
            order: VecDeque::new(),
            limit,
        }
    }

    /// Returns the tuple of a datagram's first fragment, if it was seen not too long ago.
    pub(super) fn tuple_of(&self, now_ns: u64, id: &FragmentId) -> Option<FiveTuple> {
        let first = self.table.find(self.hasher.hash_one(id), |first| first.id == *id)?;
        (now_ns < first.seen_ns.saturating_add(TIMEOUT_NS)).then_some(first.tuple)
    }

    /// Remembers a first fragment. Returns whether another one, still good, had to be forgotten for it.
    pub(super) fn remember(&mut self, now_ns: u64, id: FragmentId, tuple: FiveTuple) -> bool {
        let hash = self.hasher.hash_one(id);
        let first = FirstFragment { id, tuple, seen_ns: now_ns };
        if let Some(known) = self.table.find_mut(hash, |known| known.id == id) {
            *known = first;
            return false;
        }
        if self.limit == 0 {
            return true;
        }
        let mut forgotten = false;
        if self.order.len() >= self.limit {
            let oldest = self.forget_oldest();
            forgotten =
                oldest.is_some_and(|oldest| now_ns < oldest.seen_ns.saturating_add(TIMEOUT_NS));
        }
        let hasher = &self.hasher;
        self.table.insert_unique(hash, first, |known| hasher.hash_one(known.id));
        self.order.push_back(id);
        forgotten
    }

    /// Forgets up to `most` first fragments whose time is over.
    pub(super) fn expire(&mut self, now_ns: u64, most: usize) {
        for _ in 0..most {
            let Some(id) = self.order.front() else { return };
            let hash = self.hasher.hash_one(id);
            let over = self
                .table
                .find(hash, |first| first.id == *id)
                .is_none_or(|first| now_ns >= first.seen_ns.saturating_add(TIMEOUT_NS));
            if !over {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> Option<FirstFragment> {
        let id = self.order.pop_front()?;
        let entry = self.table.find_entry(self.hasher.hash_one(id), |first| first.id == id);
        entry.ok().map(|entry| entry.remove().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Ports, Protocol};

    fn id(identification: u32) -> FragmentId {
        FragmentId {
            source: "10.0.0.4".parse().unwrap(),
            destination: "10.0.0.5".parse().unwrap(),
            protocol: Protocol::UDP,
            identification,
        }
    }

    fn tuple(source: u16) -> FiveTuple {
        FiveTuple {
            protocol: Protocol::UDP,
            source: id(0).source,
            destination: id(0).destination,
            ports: Ports::Pair { source, destination: 53 },
        }
    }

    #[test]
    fn a_first_fragment_is_remembered_for_thirty_seconds() {
        let mut fragments = FragmentTable::new(2, 1);
        assert!(!fragments.remember(5, id(1), tuple(1)));
        assert_eq!(fragments.tuple_of(5, &id(1)), Some(tuple(1)));
        assert_eq!(fragments.tuple_of(5, &id(2)), None);
        assert_eq!(fragments.tuple_of(5 + TIMEOUT_NS, &id(1)), None);
        fragments.expire(4 + TIMEOUT_NS, 10);
        assert_eq!(fragments.order.len(), 1);
        fragments.expire(5 + TIMEOUT_NS, 10);
        assert_eq!(fragments.order.len(), 0);
    }

    #[test]
    fn a_full_memory_forgets_the_oldest_and_says_so_only_while_it_was_good() {
        let mut fragments = FragmentTable::new(2, 1);
        assert!(!fragments.remember(1, id(1), tuple(1)));
        assert!(!fragments.remember(2, id(2), tuple(2)));
        assert!(!fragments.remember(3, id(2), tuple(9)), "the same datagram number again");
        assert!(fragments.remember(4, id(3), tuple(3)));
        assert_eq!(fragments.tuple_of(4, &id(1)), None);
        assert_eq!(fragments.tuple_of(4, &id(2)), Some(tuple(9)));
        assert!(!fragments.remember(3 + TIMEOUT_NS, id(4), tuple(4)), "number 2 was out of date");
        assert_eq!(fragments.order.len(), 2);
    }
}
