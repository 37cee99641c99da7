//! Hash to slot: open addressing with linear probing in one array that never grows.
//!
//! It has room for the table's limit from the start, in memory that the kernel gives page by page as it is first
//! touched. Removal shifts the following entries back, so there are no tombstones and never a rehash: a general
//! hash map stops the packet path for that when flows come and go at a high rate.

/// A flow key's hash; made by the table's own seeded hasher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowHash(pub(super) u32);

/// The hash in the upper half, the slot plus one in the lower half; zero is a free place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u64);

impl Place {
    const FREE: u64 = 0;

    const fn new(hash: FlowHash, slot: u32) -> Self {
        Self((hash.0 as u64) << 32 | (slot as u64 + 1))
    }

    const fn hash(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower 32 bits of 64")]
    const fn slot(self) -> u32 {
        (self.0 as u32).wrapping_sub(1)
    }
}

/// The array of places; its length is a power of two.
#[derive(Debug)]
pub(super) struct Index {
    places: Vec<u64>,
    mask: usize,
}

impl Index {
    /// Makes an index that is at most three quarters full when it holds `max_flows`.
    pub(super) fn new(max_flows: usize) -> Self {
        let length = (max_flows + max_flows / 3 + 2).next_power_of_two();
        Self { places: vec![Place::FREE; length], mask: length - 1 }
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & self.mask
    }

    fn place(&self, position: usize) -> Option<Place> {
        self.places.get(position).copied().filter(|place| *place != Place::FREE).map(Place)
    }

    fn set(&mut self, position: usize, place: u64) {
        if let Some(there) = self.places.get_mut(position) {
            *there = place;
        }
    }

    /// Returns the position and the slot of the first entry with this hash that `is_it` accepts.
    fn locate(&self, hash: FlowHash, mut is_it: impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let mut position = self.home(hash.0);
        while let Some(place) = self.place(position) {
            if place.hash() == hash.0 && is_it(place.slot()) {
                return Some((position, place.slot()));
            }
            position = (position + 1) & self.mask;
        }
        None
    }

    /// Returns the slot with this hash that `is_it` accepts.
    pub(super) fn find(&self, hash: FlowHash, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.locate(hash, is_it).map(|(_, slot)| slot)
    }

    /// Returns the slot at the hash's home, right or not: reading it brings the memory closer.
    pub(super) fn peek(&self, hash: FlowHash) -> Option<u32> {
        self.place(self.home(hash.0)).map(Place::slot)
    }

    /// Adds an entry. The caller keeps their number within the limit given at the start.
    pub(super) fn insert(&mut self, hash: FlowHash, slot: u32) {
        let mut position = self.home(hash.0);
        while self.place(position).is_some() {
            position = (position + 1) & self.mask;
        }
        self.set(position, Place::new(hash, slot).0);
    }

    /// Removes the entry of a slot and closes the gap.
    pub(super) fn remove(&mut self, hash: FlowHash, slot: u32) {
        let Some((mut gap, _)) = self.locate(hash, |there| there == slot) else {
            return;
        };
        let mut position = gap;
        loop {
            position = (position + 1) & self.mask;
            let Some(place) = self.place(position) else { break };
            let from_home = position.wrapping_sub(self.home(place.hash())) & self.mask;
            let from_gap = position.wrapping_sub(gap) & self.mask;
            if from_home >= from_gap {
                self.set(gap, place.0);
                gap = position;
            }
        }
        self.set(gap, Place::FREE);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_index_finds_what_is_in_it_and_nothing_else(
            operations in prop::collection::vec((any::<bool>(), 0_u32..24, 0_u32..6), 0..300),
        ) {
            // Few hashes, all near the end of the array: long runs that wrap around.
            let hash = |number: u32| FlowHash(number.wrapping_mul(7) % 9 + 24);
            let mut index = Index::new(24);
            let mut model: HashMap<u32, FlowHash> = HashMap::new();
            for (insert, slot, spread) in operations {
                if insert && !model.contains_key(&slot) {
                    let hash = hash(slot + spread);
                    index.insert(hash, slot);
                    model.insert(slot, hash);
                } else if let Some(hash) = model.remove(&slot) {
                    index.remove(hash, slot);
                }
                for slot in 0..24 {
                    let wanted = model.get(&slot);
                    for hash in 0..40 {
                        let found = index.find(FlowHash(hash), |there| there == slot);
                        prop_assert_eq!(found.is_some(), wanted == Some(&FlowHash(hash)));
                    }
                }
            }
            prop_assert_eq!(
                index.places.iter().filter(|place| **place != Place::FREE).count(),
                model.len()
            );
        }
    }
}
