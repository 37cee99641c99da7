//! The newest events, kept for those who watch live.
//!
//! In come batches of events that the writer has rendered; out go copies, to readers that each have a place in the one
//! memory. The memory is every reader's queue: a reader that falls further behind than it reaches has lost events,
//! and is told how many. Nobody ever waits for a reader. A large batch is kept as it came, so that without a reader
//! it costs next to nothing; small ones are put together, so that they do not each hold an allocation.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::engine::Event;

/// Events that one [`HubReader::read`] copies at most: so long the writer may have to wait for the memory.
const READ_AT_ONCE: usize = 512;

/// Events that small batches are put together to. A batch with fewer is a small one.
const CHUNK: usize = 256;

/// An event and where it was seen.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The event.
    pub event: Event,
    /// Name of the interface.
    pub interface: Arc<str>,
}

/// What became of the events that readers asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HubCounters {
    /// Readers that are there.
    pub readers: usize,
    /// Readers that were turned away because too many were there.
    pub refused: u64,
    /// Events handed to readers' connections.
    pub delivered: u64,
    /// Events that were forgotten before a reader came to them, summed over all readers.
    pub lost: u64,
}

/// The memory that the writer fills; a handle on it, to be cloned.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    memory: Mutex<Memory>,
    news: Condvar,
    /// Most events remembered.
    limit: usize,
    most_readers: usize,
    readers: AtomicUsize,
    refused: AtomicU64,
    delivered: AtomicU64,
    lost: AtomicU64,
}

/// Events of one interface that follow one another.
#[derive(Debug)]
struct Chunk {
    interface: Arc<str>,
    events: Vec<Event>,
}

#[derive(Debug, Default)]
struct Memory {
    /// None of them is empty.
    chunks: VecDeque<Chunk>,
    /// Events in all chunks; the oldest chunk may hold some beyond the limit.
    length: usize,
    /// Number of the event that comes next; the last one in the memory has the number before it.
    next: u64,
    /// No event comes any more.
    closed: bool,
}

impl Memory {
    /// Takes in a batch; returns a vector without events, to be filled again.
    fn take_in(&mut self, interface: &Arc<str>, mut batch: Vec<Event>, limit: usize) -> Vec<Event> {
        self.length += batch.len();
        self.next += batch.len() as u64;
        if batch.len() >= CHUNK && batch.len() >= batch.capacity() / 2 {
            self.chunks.push_back(Chunk { interface: Arc::clone(interface), events: batch });
            batch = Vec::new();
        }
        for event in batch.drain(..) {
            match self.chunks.back_mut() {
                Some(last) if last.has_room_for(interface) => last.events.push(event),
                _ => {
                    let (interface, events) = (Arc::clone(interface), vec![event]);
                    self.chunks.push_back(Chunk { interface, events });
                }
            }
        }
        self.forget(limit).unwrap_or(batch)
    }

    /// Forgets all chunks that hold none of the newest `limit` events; returns the largest vector of them, emptied.
    fn forget(&mut self, limit: usize) -> Option<Vec<Event>> {
        let mut emptied: Option<Vec<Event>> = None;
        while let Some(oldest) = self.chunks.front()
            && self.length - oldest.events.len() >= limit
            && let Some(Chunk { mut events, .. }) = self.chunks.pop_front()
        {
            self.length -= events.len();
            events.clear();
            if emptied.as_ref().is_none_or(|largest| largest.capacity() < events.capacity()) {
                emptied = Some(events);
            }
        }
        emptied
    }

    fn newest_first(&self) -> impl Iterator<Item = (&Arc<str>, &Event)> {
        let newest_first = self.chunks.iter().rev();
        newest_first
            .flat_map(|chunk| chunk.events.iter().rev().map(|event| (&chunk.interface, event)))
    }

    /// Returns the events from the one with this number on.
    fn from(&self, number: u64) -> impl Iterator<Item = (&Arc<str>, &Event)> {
        let oldest = self.next - self.length as u64;
        // Not more than the memory's length, which fits.
        let mut skipped = usize::try_from(number.saturating_sub(oldest)).unwrap_or(usize::MAX);
        self.chunks.iter().flat_map(move |chunk| {
            let skip = skipped.min(chunk.events.len());
            skipped -= skip;
            let events = chunk.events.get(skip..).unwrap_or_default();
            events.iter().map(|event| (&chunk.interface, event))
        })
    }
}

impl Chunk {
    fn has_room_for(&self, interface: &Arc<str>) -> bool {
        self.events.len() < CHUNK && self.interface == *interface
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing that is done under the lock leaves the memory in disorder.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Makes a memory for so many events, 0 for none, and so many readers at once.
    #[must_use]
    pub fn new(limit: usize, most_readers: usize) -> Self {
        let shared = Shared {
            memory: Mutex::default(),
            news: Condvar::new(),
            limit,
            most_readers,
            readers: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Remembers a batch of events, and forgets the oldest ones beyond the limit. Leaves a vector without events, to be
    /// filled again.
    pub(super) fn remember(&self, interface: &Arc<str>, batch: &mut Vec<Event>) {
        if self.shared.limit == 0 {
            return batch.clear();
        }
        if batch.is_empty() {
            return;
        }
        let mut memory = self.shared.memory();
        *batch = memory.take_in(interface, mem::take(batch), self.shared.limit);
        drop(memory);
        if self.shared.readers.load(Ordering::Acquire) > 0 {
            self.shared.news.notify_all();
        }
    }

    /// Tells the readers that no event comes any more.
    pub(super) fn close(&self) {
        self.shared.memory().closed = true;
        self.shared.news.notify_all();
    }

    /// Lets a reader in, whose place is behind the newest event; `None` where too many are there.
    #[must_use]
    pub fn reader(&self) -> Option<HubReader> {
        let shared = Arc::clone(&self.shared);
        let enter = |readers: usize| (readers < shared.most_readers).then_some(readers + 1);
        if shared.readers.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_err() {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let next = shared.memory().next;
        Some(HubReader { shared, next })
    }

    /// Returns the counters as of now.
    #[must_use]
    pub fn counters(&self) -> HubCounters {
        let shared = &self.shared;
        HubCounters {
            readers: shared.readers.load(Ordering::Acquire),
            refused: shared.refused.load(Ordering::Relaxed),
            delivered: shared.delivered.load(Ordering::Relaxed),
            lost: shared.lost.load(Ordering::Relaxed),
        }
    }
}

/// What one reading brought beside events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Events that were forgotten before the reader came to them; they stood before those that were read.
    pub lost: u64,
    /// There is nothing more to read, and never will be.
    pub finished: bool,
}

/// A reader's place in the memory; it makes room for another reader when it is dropped.
#[derive(Debug)]
pub struct HubReader {
    shared: Arc<Shared>,
    /// Number of the event that is read next.
    next: u64,
}

impl HubReader {
    /// Returns the newest remembered events that are wanted, `most` of them, in their order; goes behind all of them.
    pub fn past(&mut self, most: usize, mut wanted: impl FnMut(&Event) -> bool) -> Vec<Observed> {
        let memory = self.shared.memory();
        self.next = memory.next;
        let newest_first = memory.newest_first().take(self.shared.limit);
        let mut found: Vec<Observed> =
            newest_first.filter(|(_, event)| wanted(event)).take(most).map(observed).collect();
        drop(memory);
        found.reverse();
        found
    }

    /// Appends the next events, some hundreds at most; where there is none, waits for one as long as patience lasts.
    pub fn read(&mut self, out: &mut Vec<Observed>, patience: Duration) -> Read {
        let behind = |memory: &mut Memory| memory.next == self.next && !memory.closed;
        let waited = self.shared.news.wait_timeout_while(self.shared.memory(), patience, behind);
        let (memory, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let oldest = memory.next.saturating_sub(self.shared.limit as u64);
        let lost = oldest.saturating_sub(self.next);
        self.next = self.next.max(oldest);
        let before = out.len();
        out.extend(memory.from(self.next).take(READ_AT_ONCE).map(observed));
        self.next += (out.len() - before) as u64;
        let finished = memory.closed && self.next == memory.next;
        drop(memory);
        self.shared.lost.fetch_add(lost, Ordering::Relaxed);
        Read { lost, finished }
    }

    /// Counts events that were handed on.
    pub fn delivered(&self, events: u64) {
        self.shared.delivered.fetch_add(events, Ordering::Relaxed);
    }
}

fn observed((interface, event): (&Arc<str>, &Event)) -> Observed {
    Observed { event: event.clone(), interface: Arc::clone(interface) }
}

impl Drop for HubReader {
    fn drop(&mut self) {
        self.shared.readers.fetch_sub(1, Ordering::AcqRel);
    }
}
