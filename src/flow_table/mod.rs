//! The bounded table of flows: both directions of a conversation are one entry.
//!
//! In come keys, times and sizes; out go entries that ended. The table knows no rule: what was decided about a
//! flow is the caller's value, of which the table only needs to know whether it is a denial. It reads no clock:
//! time is an argument, in the nanoseconds of [`Timestamp::monotonic_ns`].
//!
//! * **Memory**: bounded and reserved at the start, touched as flows come; nothing is ever moved to grow.
//! * **Hash**: seeded, because strangers choose the keys. With [`FlowTable::hash`] and the three `fetch_` steps a
//!   caller works through a block of packets while the memory of the flows to come is on its way.
//! * **Timeouts**: [`FlowTable::expire`] ends a flow never before its idle timeout and about 0.3 s late at most; its
//!   work is bounded a call and does not depend on the number of flows that live on.
//! * **Eviction** when full: denied flows first, then closed ones, then the one seen longest ago, exact to about
//!   0.3 s; where many flows were seen again since they were last looked at, or were not seen for 275 s, the oldest
//!   of those that a bounded search meets.

mod age;
mod entry;
mod index;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;
use std::slice;
use std::time::Duration;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use prefetch_index::prefetch_index;

use crate::flow::{FlowKey, Protocol, Timestamp};
use age::{AgeQueues, Class, TICK_SHIFT, tick_of};
use index::Index;

pub use entry::{Flow, Opening, Traffic};
pub use index::FlowHash;

/// How long a flow may be idle before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A TCP connection that is not closed.
    pub tcp: Duration,
    /// UDP.
    pub udp: Duration,
    /// Every other protocol.
    pub other: Duration,
    /// A closed TCP connection: late packets still belong to it.
    pub closed: Duration,
}

impl Default for Timeouts {
    /// TCP 240 s (nsg-semantics.md section 5), UDP and others 30 s, closed 5 s.
    fn default() -> Self {
        Self {
            tcp: Duration::from_mins(4),
            udp: Duration::from_secs(30),
            other: Duration::from_secs(30),
            closed: Duration::from_secs(5),
        }
    }
}

/// Where a flow stands in the table; good until the flow is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(u32);

/// The table.
#[derive(Debug)]
pub struct FlowTable<V> {
    hasher: SeedableRandomState,
    index: Index,
    flows: Vec<Option<Flow<V>>>,
    vacant: Vec<u32>,
    ages: AgeQueues,
    timeouts: Timeouts,
    max_flows: usize,
}

/// Flows that one search for the oldest looks at in one class.
const EVICTION_TRIES: usize = 16;

impl<V> FlowTable<V> {
    /// More flows than this are never kept, whatever is asked for.
    pub const MOST_FLOWS: usize = Index::MOST_SLOTS;

    /// Makes an empty table for at most `max_flows` flows, at least one. The seed must be unknown to those who
    /// send packets.
    #[must_use]
    pub fn new(max_flows: usize, timeouts: Timeouts, seed: u64) -> Self {
        let max_flows = max_flows.clamp(1, Self::MOST_FLOWS);
        Self {
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            index: Index::new(max_flows),
            flows: Vec::with_capacity(max_flows),
            vacant: Vec::new(),
            ages: AgeQueues::new(max_flows),
            timeouts,
            max_flows,
        }
    }

    /// Returns the number of flows in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len() - self.vacant.len()
    }

    /// Says whether the table holds no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hashes a key for [`Self::find`] and [`Self::insert`].
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> FlowHash {
        hash_with(&self.hasher, key)
    }

    /// Has the place fetched where [`Self::find`] begins to look for this hash.
    #[inline]
    pub fn fetch_place(&self, hash: FlowHash) {
        self.index.fetch(hash);
    }

    /// Has the first part of the flow fetched that most probably has this hash; its place should be there by now.
    #[inline]
    pub fn fetch_flow(&self, hash: FlowHash) {
        if let Some(slot) = self.index.peek(hash) {
            prefetch_index(&self.flows, slot as usize);
        }
    }

    /// Has the part of that flow fetched that its packets change; its first part should be there by now.
    #[inline]
    pub fn fetch_traffic(&self, hash: FlowHash) {
        if let Some(flow) = self.index.peek(hash).and_then(|slot| self.get(Slot(slot))) {
            prefetch_index(slice::from_ref(&flow.last), 0);
        }
    }

    /// Finds the flow with this key.
    #[must_use]
    #[inline]
    pub fn find(&self, hash: FlowHash, key: &FlowKey) -> Option<Slot> {
        let has_key = |slot| self.get(Slot(slot)).is_some_and(|flow| flow.key == *key);
        self.index.find(hash, has_key).map(Slot)
    }

    /// Returns the flow in a slot.
    #[must_use]
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<&Flow<V>> {
        self.flows.get(slot.0 as usize)?.as_ref()
    }

    /// Returns the flow in a slot, to be changed.
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Flow<V>> {
        self.flows.get_mut(slot.0 as usize)?.as_mut()
    }

    /// Adds a flow without packets whose key is not in the table. Returns its slot and the flow that had to go for
    /// it, if the table was full.
    pub fn insert(
        &mut self,
        now: Timestamp,
        (hash, key): (FlowHash, FlowKey),
        opening: Opening,
        denied: bool,
        value: V,
    ) -> (Slot, Option<Flow<V>>) {
        let evicted = if self.len() >= self.max_flows { self.evict() } else { None };
        let class = class_of(key.protocol(), denied, false);
        let flow = Flow {
            key,
            class,
            opening,
            last: now,
            first: now,
            to_destination: Traffic::default(),
            to_source: Traffic::default(),
            value,
        };
        let slot = self.occupy(flow);
        self.index.insert(hash, slot);
        self.ages.push(class, slot, tick_of(now.monotonic_ns));
        (Slot(slot), evicted)
    }

    fn occupy(&mut self, flow: Flow<V>) -> u32 {
        if let Some(slot) = self.vacant.pop() {
            if let Some(place) = self.flows.get_mut(slot as usize) {
                *place = Some(flow);
            }
            return slot;
        }
        self.flows.push(Some(flow));
        // MOST_FLOWS keeps the number far below the limit of the type.
        u32::try_from(self.flows.len() - 1).unwrap_or(u32::MAX)
    }

    /// Removes a flow and returns it.
    pub fn remove(&mut self, slot: Slot) -> Option<Flow<V>> {
        let flow = self.flows.get_mut(slot.0 as usize)?.take()?;
        let (hasher, flows) = (&self.hasher, &self.flows);
        let hash_of = |slot| Some(hash_with(hasher, &flows.get(slot as usize)?.as_ref()?.key));
        self.index.remove(hash_with(hasher, &flow.key), slot.0, hash_of);
        self.ages.remove(flow.class, slot.0);
        self.vacant.push(slot.0);
        Some(flow)
    }

    /// Says that the flow is closed: it ends soon, and goes early when the table is full. The reason is a packet of
    /// the flow, counted just before or after: a flow unseen for long would be found too late in its new class.
    pub fn close(&mut self, slot: Slot) {
        if let Some(flow) = self.get(slot) {
            self.change_class(slot, class_of(flow.key.protocol(), flow.is_denied(), true));
        }
    }

    /// Says whether the flow is only the memory of a denial: such flows go first when the table is full. The reason
    /// is a packet of the flow, as for [`Self::close`].
    pub fn set_denied(&mut self, slot: Slot, denied: bool) {
        if let Some(flow) = self.get(slot) {
            self.change_class(slot, class_of(flow.key.protocol(), denied, flow.is_closed()));
        }
    }

    fn change_class(&mut self, slot: Slot, class: Class) {
        let Some(flow) = self.get_mut(slot) else { return };
        let (before, tick) = (flow.class, tick_of(flow.last.monotonic_ns));
        if before != class {
            flow.class = class;
            self.ages.remove(before, slot.0);
            self.ages.push(class, slot.0, tick);
        }
    }

    /// Ends flows that were idle for as long as their timeout, after looking at no more than `most_looks` flows.
    /// Returns whether there may be more to do now.
    pub fn expire(
        &mut self,
        now: Timestamp,
        most_looks: usize,
        mut ended: impl FnMut(Flow<V>),
    ) -> bool {
        let mut looks = most_looks;
        for class in Class::ALL {
            let timeout = nanoseconds(self.timeout(class));
            while let Some((slot, tick)) = self.ages.oldest(class) {
                let due = (tick + 1).saturating_mul(1 << TICK_SHIFT).saturating_add(timeout);
                if due > now.monotonic_ns {
                    break;
                }
                if looks == 0 {
                    return true;
                }
                looks -= 1;
                if !self.put_where_it_belongs(class, slot, tick)
                    && let Some(flow) = self.remove(Slot(slot))
                {
                    ended(flow);
                }
            }
        }
        false
    }

    /// Takes out the flows of up to `most` places, whatever their state, for the end of the table. Returns whether it
    /// still holds some: these are not found any more and only wait to be taken out, so that no memory is read but
    /// that of the flows, one behind the other.
    pub fn drain(&mut self, most: usize, mut ended: impl FnMut(Flow<V>)) -> bool {
        if !self.ages.is_empty() {
            self.index.clear();
            self.ages.clear();
        }
        let kept = self.flows.len().saturating_sub(most);
        self.flows.drain(kept..).flatten().for_each(&mut ended);
        self.vacant.retain(|slot| (*slot as usize) < kept);
        !self.is_empty()
    }

    /// Returns the flows in up to `count` places of the table, from place `from` on. All flows are in the places
    /// below [`Self::places`].
    pub fn scan(&self, from: usize, count: usize) -> impl Iterator<Item = &Flow<V>> {
        self.flows.iter().skip(from).take(count).flatten()
    }

    /// Returns the number of places that have ever held a flow.
    #[must_use]
    pub fn places(&self) -> usize {
        self.flows.len()
    }

    const fn timeout(&self, class: Class) -> Duration {
        match class {
            Class::Tcp | Class::DeniedTcp => self.timeouts.tcp,
            Class::Udp | Class::DeniedUdp => self.timeouts.udp,
            Class::Other | Class::DeniedOther => self.timeouts.other,
            Class::Closed | Class::DeniedClosed => self.timeouts.closed,
        }
    }

    /// Moves a flow that was seen since it was put into the list of `tick`; says whether it was.
    fn put_where_it_belongs(&mut self, class: Class, slot: u32, tick: u64) -> bool {
        let Some(flow) = self.get(Slot(slot)) else { return false };
        let seen = tick_of(flow.last.monotonic_ns);
        if seen <= tick {
            return false;
        }
        self.ages.remove(class, slot);
        self.ages.push(class, slot, seen);
        true
    }

    fn evict(&mut self) -> Option<Flow<V>> {
        let victim = Class::EVICTION_ORDER.into_iter().find_map(|classes| {
            let oldest = classes.iter().filter_map(|class| self.oldest_in(*class));
            oldest.min_by_key(|(_, last)| *last).map(|(slot, _)| slot)
        })?;
        self.remove(victim)
    }

    fn oldest_in(&mut self, class: Class) -> Option<(Slot, u64)> {
        for _ in 0..EVICTION_TRIES {
            let (slot, tick) = self.ages.oldest(class)?;
            if !self.put_where_it_belongs(class, slot, tick) {
                break;
            }
        }
        let (slot, _) = self.ages.oldest(class)?;
        self.get(Slot(slot)).map(|flow| (Slot(slot), flow.last.monotonic_ns))
    }
}

const fn class_of(protocol: Protocol, denied: bool, closed: bool) -> Class {
    match (protocol, denied, closed) {
        (_, false, true) => Class::Closed,
        (_, true, true) => Class::DeniedClosed,
        (Protocol::TCP, false, _) => Class::Tcp,
        (Protocol::TCP, true, _) => Class::DeniedTcp,
        (Protocol::UDP, false, _) => Class::Udp,
        (Protocol::UDP, true, _) => Class::DeniedUdp,
        (_, false, _) => Class::Other,
        (_, true, _) => Class::DeniedOther,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half of the hash is enough")]
fn hash_with(hasher: &SeedableRandomState, key: &FlowKey) -> FlowHash {
    FlowHash(hasher.hash_one(key) as u32)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
