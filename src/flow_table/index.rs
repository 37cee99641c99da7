//! Hash to slot: open addressing with linear probing in one array that never grows.
//!
//! It has room for the table's limit from the start, in memory that the kernel gives page by page as it is first
//! touched. Removal shifts the following entries back, so there are no tombstones and never a rehash: a general
//! hash map stops the packet path for that when flows come and go at a high rate. An entry does not hold its hash but
//! knows its home by the distance from it; both look-up and removal go by that.

use prefetch_index::prefetch_index;

/// A flow key's hash; made by the table's own seeded hasher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowHash(pub(super) u32);

/// Bits of a place for the slot plus one; what is left over is enough to tell nearly all flows apart without a look at
/// them.
const SLOT_BITS: u32 = 25;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;
/// Bits for how far the place is from the hash's home, above the slot.
const DISTANCE_BITS: u32 = 4;
/// The largest distance that is written down; it stands for all larger ones too.
const FAR: u32 = (1 << DISTANCE_BITS) - 1;
/// The uppermost bits are those of the hash.
const TAG_SHIFT: u32 = SLOT_BITS + DISTANCE_BITS;
const TAG_MASK: u32 = !((1 << TAG_SHIFT) - 1);

/// One entry in four bytes, so that as many as possible stay in the processor's cache: tag, distance, slot plus one.
/// Zero is a free place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u32);

impl Place {
    const FREE: u32 = 0;

    /// The part that an entry with this hash has at this distance from its home.
    const fn mark(hash: FlowHash, distance: usize) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "cut to the largest that is written")]
        let distance = if distance < FAR as usize { distance as u32 } else { FAR };
        hash.0 & TAG_MASK | distance << SLOT_BITS
    }

    const fn has_mark(self, mark: u32) -> bool {
        self.0 & !SLOT_MASK == mark
    }

    const fn slot(self) -> u32 {
        (self.0 & SLOT_MASK).wrapping_sub(1)
    }

    /// `None` where it is too far to be written down.
    const fn distance(self) -> Option<usize> {
        match self.0 >> SLOT_BITS & FAR {
            FAR => None,
            distance => Some(distance as usize),
        }
    }

    /// The same entry at another distance.
    const fn moved(self, distance: usize) -> Self {
        Self(Self::mark(FlowHash(self.0), distance) | self.0 & SLOT_MASK)
    }
}

/// The array of places; its length is a power of two.
#[derive(Debug)]
pub(super) struct Index {
    places: Vec<u32>,
    mask: usize,
}

impl Index {
    /// The largest number of slots: the slot plus one has to fit.
    pub(super) const MOST_SLOTS: usize = 1 << (SLOT_BITS - 1);

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

    fn set(&mut self, position: usize, place: u32) {
        if let Some(there) = self.places.get_mut(position) {
            *there = place;
        }
    }

    /// Returns the position and the slot of the first entry with this hash that `is_it` accepts.
    fn locate(&self, hash: FlowHash, mut is_it: impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let mut position = self.home(hash.0);
        let mut distance = 0;
        while let Some(place) = self.place(position) {
            if place.has_mark(Place::mark(hash, distance)) && is_it(place.slot()) {
                return Some((position, place.slot()));
            }
            position = (position + 1) & self.mask;
            distance += 1;
        }
        None
    }

    /// Returns the slot with this hash that `is_it` accepts.
    pub(super) fn find(&self, hash: FlowHash, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.locate(hash, is_it).map(|(_, slot)| slot)
    }

    /// Has the memory of the hash's home fetched.
    #[inline]
    pub(super) fn fetch(&self, hash: FlowHash) {
        prefetch_index(&self.places, self.home(hash.0));
    }

    /// Returns the slot at the hash's home, right or not.
    #[inline]
    pub(super) fn peek(&self, hash: FlowHash) -> Option<u32> {
        self.place(self.home(hash.0)).map(Place::slot)
    }

    /// Adds an entry. The caller keeps their number within the limit given at the start.
    pub(super) fn insert(&mut self, hash: FlowHash, slot: u32) {
        let mut position = self.home(hash.0);
        let mut distance = 0;
        while self.place(position).is_some() {
            position = (position + 1) & self.mask;
            distance += 1;
        }
        self.set(position, Place::mark(hash, distance) | (slot + 1));
    }

    /// Removes all entries.
    pub(super) fn clear(&mut self) {
        self.places = vec![Place::FREE; self.places.len()];
    }

    /// Removes the entry of a slot and closes the gap. `hash_of` is asked for the few slots whose entries are too far
    /// from their homes to know them.
    pub(super) fn remove(
        &mut self,
        hash: FlowHash,
        slot: u32,
        hash_of: impl Fn(u32) -> Option<FlowHash>,
    ) {
        let Some((mut gap, _)) = self.locate(hash, |there| there == slot) else {
            return;
        };
        let mut position = gap;
        loop {
            position = (position + 1) & self.mask;
            let Some(place) = self.place(position) else { break };
            let from_home = place.distance().unwrap_or_else(|| {
                let home = hash_of(place.slot()).map_or(position, |hash| self.home(hash.0));
                position.wrapping_sub(home) & self.mask
            });
            let from_gap = position.wrapping_sub(gap) & self.mask;
            if from_home >= from_gap {
                self.set(gap, place.moved(from_home - from_gap).0);
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
                    index.remove(hash, slot, |slot| model.get(&slot).copied());
                }
                for slot in 0..24 {
                    let wanted = model.get(&slot);
                    for hash in 0..40 {
                        let is_there = wanted == Some(&FlowHash(hash));
                        let found = index.find(FlowHash(hash), |there| there == slot && is_there);
                        prop_assert_eq!(found.is_some(), is_there);
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
