//! The bounded queue in front of the writer, and the books about what went into it.
//!
//! In come batches of events; out go [`Message`]s to the thread that writes. Every event that is offered ends as exactly
//! one of: written, lost because the queue was full, lost because it could not be written. [`RecordCounters`] counts all
//! of them. The queue never blocks its sender, except where the sender asks for it at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Gap;
use crate::engine::Event;

/// Time between two looks for room in the queue, where the sender waits for it.
const ROOM_LOOK: Duration = Duration::from_millis(1);

/// What became of the events that were offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RecordCounters {
    /// Events offered.
    pub events: u64,
    /// Lines written.
    pub written: u64,
    /// Lost because the queue was full.
    pub lost_queue_full: u64,
    /// Lost because they could not be written.
    pub lost_write: u64,
}

/// The counters, and how many events wait.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) events: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) lost_queue_full: AtomicU64,
    pub(super) lost_write: AtomicU64,
    pub(super) waiting: AtomicUsize,
}

impl Shared {
    pub(super) fn counters(&self) -> RecordCounters {
        // The outcomes before the offers, so that the sum of outcomes is never the larger one.
        let written = self.written.load(Ordering::Acquire);
        let lost_queue_full = self.lost_queue_full.load(Ordering::Acquire);
        let lost_write = self.lost_write.load(Ordering::Acquire);
        let events = self.events.load(Ordering::Acquire);
        RecordCounters { events, written, lost_queue_full, lost_write }
    }
}

/// What the writer is told to do.
pub(super) enum Message {
    /// Events of the interface with this place in the writer's list of names.
    Batch(usize, Vec<Event>),
    /// That interface was not watched for a while.
    Gap(usize, Gap),
    /// Open the file anew.
    Reopen,
    /// Write what came so far, and end.
    Finish,
}

/// The sender's side of the queue, one for each interface; owned by the thread that owns the engine.
#[derive(Debug)]
pub struct RecordQueue {
    pub(super) interface: usize,
    pub(super) messages: mpsc::Sender<Message>,
    /// Emptied batches that come back to be filled again.
    pub(super) emptied: mpsc::Receiver<Vec<Event>>,
    pub(super) shared: Arc<Shared>,
    pub(super) limit: usize,
}

impl RecordQueue {
    /// Hands over all events and leaves the vector empty. Never blocks: what does not fit is lost, and counted.
    pub fn send(&mut self, events: &mut Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let room = self.room();
        let lost = events.len().saturating_sub(room);
        self.shared.events.fetch_add(events.len() as u64, Ordering::Release);
        self.shared.lost_queue_full.fetch_add(lost as u64, Ordering::Release);
        events.truncate(room);
        self.hand_over(events);
    }

    /// Hands over all events, waiting for room until the deadline; for the end of the program, when nothing else
    /// waits. What does not fit by then is lost, and counted.
    pub fn send_waiting(&mut self, events: &mut Vec<Event>, deadline: Instant) {
        while !events.is_empty() {
            let room = self.room();
            if Instant::now() >= deadline {
                return self.send(events);
            }
            if room == 0 {
                thread::sleep(ROOM_LOOK);
                continue;
            }
            let rest = events.split_off(room.min(events.len()));
            self.send(events);
            *events = rest;
        }
    }

    /// Returns what became of the events so far; those not in any of the sums are on their way.
    #[must_use]
    pub fn counters(&self) -> RecordCounters {
        self.shared.counters()
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.shared.waiting.load(Ordering::Acquire))
    }

    fn hand_over(&mut self, events: &mut Vec<Event>) {
        let count = events.len();
        if count == 0 {
            return;
        }
        let emptied = self.emptied.try_recv().unwrap_or_default();
        let batch = std::mem::replace(events, emptied);
        self.shared.waiting.fetch_add(count, Ordering::AcqRel);
        if self.messages.send(Message::Batch(self.interface, batch)).is_err() {
            // The writer has finished.
            self.shared.lost_write.fetch_add(count as u64, Ordering::Release);
            self.shared.waiting.fetch_sub(count, Ordering::AcqRel);
        }
    }
}
