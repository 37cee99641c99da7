//! The thread that writes records, and the bounded queue in front of it.
//!
//! Every event that is offered ends as exactly one of: written, lost because the queue was full, lost because it
//! could not be written. [`RecordCounters`] counts all of them. The queue never blocks its sender, except where
//! the sender asks for it at the end.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::journal::{DenyLog, LOST_RECORDS};
use super::{Format, Gap, Hub, Output, Renderer, ReportError};
use crate::engine::Event;

/// Bytes of lines that are written at once.
const BUFFER: usize = 256 * 1024;

/// Longest time that a line stays in the buffer.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// Shortest time between two warnings.
const WARN_AFTER: Duration = Duration::from_secs(10);

/// Emptied batches that are kept to be filled again.
const EMPTIED_KEPT: usize = 4;

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
struct Shared {
    events: AtomicU64,
    written: AtomicU64,
    lost_queue_full: AtomicU64,
    lost_write: AtomicU64,
    waiting: AtomicUsize,
}

impl Shared {
    fn counters(&self) -> RecordCounters {
        // The outcomes before the offers, so that the sum of outcomes is never the larger one.
        let written = self.written.load(Ordering::Acquire);
        let lost_queue_full = self.lost_queue_full.load(Ordering::Acquire);
        let lost_write = self.lost_write.load(Ordering::Acquire);
        let events = self.events.load(Ordering::Acquire);
        RecordCounters { events, written, lost_queue_full, lost_write }
    }
}

enum Message {
    /// Events of the interface with this place in [`RecordWriter::interface_names`].
    Batch(usize, Vec<Event>),
    Gap(usize, Gap),
    Reopen,
    Finish,
}

/// The sender's side of the queue, one for each interface; owned by the thread that owns the engine.
#[derive(Debug)]
pub struct RecordQueue {
    interface: usize,
    messages: mpsc::Sender<Message>,
    /// Emptied batches that come back to be filled again.
    emptied: mpsc::Receiver<Vec<Event>>,
    shared: Arc<Shared>,
    limit: usize,
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

/// The owner's side of the writer.
#[derive(Debug)]
pub struct WriterHandle {
    messages: mpsc::Sender<Message>,
    finished: mpsc::Receiver<()>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl WriterHandle {
    /// Asks for the file to be opened anew, after what was sent so far is written to the old one.
    pub fn reopen(&self) {
        // It fails only where the writer has finished, and then there is nothing to reopen.
        _ = self.messages.send(Message::Reopen);
    }

    /// Writes that an interface was not watched for a while; one event more.
    pub fn gap(&self, interface: usize, gap: Gap) {
        self.shared.events.fetch_add(1, Ordering::Release);
        if self.messages.send(Message::Gap(interface, gap)).is_err() {
            self.shared.lost_write.fetch_add(1, Ordering::Release);
        }
    }

    /// Returns what became of the events so far; those not in any of the sums are on their way.
    #[must_use]
    pub fn counters(&self) -> RecordCounters {
        self.shared.counters()
    }

    /// Writes what was sent so far, and ends the writer. Where the other side of standard output does not read, it
    /// is left alone when `patience` is over, and what it has not written is counted as lost.
    #[must_use]
    pub fn finish(self, patience: Duration) -> RecordCounters {
        _ = self.messages.send(Message::Finish);
        if self.finished.recv_timeout(patience) != Err(RecvTimeoutError::Timeout) {
            _ = self.thread.join();
        }
        let mut counters = self.shared.counters();
        counters.lost_write = counters
            .events
            .saturating_sub(counters.written)
            .saturating_sub(counters.lost_queue_full);
        counters
    }
}

/// How records are written.
#[derive(Debug)]
pub struct RecordWriter {
    /// Where to.
    pub output: Output,
    /// In which form.
    pub format: Format,
    /// The interfaces that lines name.
    pub interface_names: Vec<String>,
    /// Most events that wait to be written.
    pub queue_limit: usize,
    /// Where events go when they are rendered, whether or not they can be written.
    pub hub: Hub,
}

impl RecordWriter {
    /// Starts the thread that writes; there is a queue for each interface, in their order, and one limit for all of
    /// them together. `on_reader_gone` is called once if the other side
    /// of a pipe is closed: no record can be written any more.
    ///
    /// # Errors
    ///
    /// If the thread can not be started.
    pub fn start(
        self,
        on_reader_gone: impl FnOnce() + Send + 'static,
    ) -> Result<(Vec<RecordQueue>, WriterHandle), ReportError> {
        let shared = Arc::new(Shared::default());
        let (messages, inbox) = mpsc::channel();
        let (finished, on_finished) = mpsc::sync_channel(1);
        let mut writer = Writer {
            output: self.output,
            sources: self
                .interface_names
                .iter()
                .map(|name| Source::new(self.format, name))
                .collect(),
            hub: self.hub,
            buffer: String::with_capacity(BUFFER + 4096),
            lines: 0,
            flush_at: None,
            trouble: Trouble::default(),
            full_queue: FullQueue::default(),
            on_reader_gone: Some(Box::new(on_reader_gone)),
            shared: Arc::clone(&shared),
        };
        let limit = self.queue_limit;
        let (returned, queues): (Vec<_>, Vec<_>) = (0..self.interface_names.len())
            .map(|interface| {
                let (returned, emptied) = mpsc::sync_channel(EMPTIED_KEPT);
                let (messages, shared) = (messages.clone(), Arc::clone(&shared));
                (returned, RecordQueue { interface, messages, emptied, shared, limit })
            })
            .unzip();
        let run = move || {
            writer.run(&inbox, &returned);
            // Nobody waits where the owner has lost patience.
            _ = finished.send(());
        };
        let thread = thread::Builder::new().name("records".to_owned()).spawn(run);
        let thread = thread.map_err(ReportError::Thread)?;
        let handle = WriterHandle { messages, finished: on_finished, thread, shared };
        Ok((queues, handle))
    }
}

/// An incident in which records are lost, told once.
#[derive(Debug, Default)]
struct Trouble {
    lost: u64,
    last_warning: Option<Instant>,
    told: bool,
}

/// Records that found the queue full, told from time to time.
#[derive(Debug, Default)]
struct FullQueue {
    told: u64,
    last_warning: Option<Instant>,
}

/// What is kept for one interface.
struct Source {
    name: Arc<str>,
    renderer: Renderer,
    denials: DenyLog,
}

impl Source {
    fn new(format: Format, name: &str) -> Self {
        let (renderer, denials) = (Renderer::new(format, name), DenyLog::new(name));
        Self { name: name.into(), renderer, denials }
    }
}

/// The thread's own state.
struct Writer {
    output: Output,
    /// One for each interface.
    sources: Vec<Source>,
    hub: Hub,
    buffer: String,
    /// Lines in the buffer.
    lines: u64,
    /// When the buffer must be written; `None` while it is empty.
    flush_at: Option<Instant>,
    trouble: Trouble,
    full_queue: FullQueue,
    /// `None` once called: from then on everything is lost.
    on_reader_gone: Option<Box<dyn FnOnce() + Send>>,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(&mut self, inbox: &mpsc::Receiver<Message>, returned: &[mpsc::SyncSender<Vec<Event>>]) {
        loop {
            let message = match self.flush_at {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match message {
                Ok(Message::Batch(interface, batch)) => {
                    let emptied = self.take_in(interface, batch);
                    // What the sender has no use for is freed.
                    _ = returned.get(interface).map(|returned| returned.try_send(emptied));
                }
                Ok(Message::Gap(interface, gap)) => self.take_in_gap(interface, &gap),
                Ok(Message::Reopen) => self.reopen(),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Ok(Message::Finish) | Err(RecvTimeoutError::Disconnected) => {
                    self.hub.close();
                    self.flush();
                    self.full_queue.tell(&self.shared, None);
                    for source in &mut self.sources {
                        source.denials.finish();
                    }
                    return;
                }
            }
        }
    }

    /// Returns a batch without events, to be filled again.
    fn take_in(&mut self, interface: usize, mut batch: Vec<Event>) -> Vec<Event> {
        let now = Instant::now();
        let count = batch.len();
        for event in &batch {
            let Some(source) = self.sources.get_mut(interface) else { break };
            source.denials.note(event, now);
            source.renderer.render(event, &mut self.buffer);
            self.lines += 1;
            if self.buffer.len() >= BUFFER {
                self.flush();
            }
        }
        if let Some(source) = self.sources.get(interface) {
            self.hub.remember(&source.name, &mut batch);
        }
        self.shared.waiting.fetch_sub(count, Ordering::AcqRel);
        self.full_queue.tell(&self.shared, Some(now));
        // Set behind the loop, which may have written the buffer and forgotten when: what is left must not wait for
        // the next event.
        if self.lines > 0 && now >= *self.flush_at.get_or_insert(now + FLUSH_AFTER) {
            self.flush();
        }
        batch
    }

    /// Written at once: gaps are rare, and whoever reads along should know.
    fn take_in_gap(&mut self, interface: usize, gap: &Gap) {
        if let Some(source) = self.sources.get_mut(interface) {
            source.renderer.render_gap(gap, &mut self.buffer);
        }
        self.lines += 1;
        self.flush();
    }

    fn flush(&mut self) {
        if self.lines == 0 {
            return;
        }
        let (written, result) = if self.on_reader_gone.is_some() {
            self.output.write_lines(self.buffer.as_bytes(), self.lines)
        } else {
            (0, Ok(()))
        };
        let lost = self.lines.saturating_sub(written);
        self.shared.written.fetch_add(written, Ordering::Release);
        self.shared.lost_write.fetch_add(lost, Ordering::Release);
        self.buffer.clear();
        self.lines = 0;
        self.flush_at = None;
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                if let Some(tell) = self.on_reader_gone.take() {
                    tell();
                }
            }
            Err(error) => self.trouble.begins_or_goes_on(&error, lost),
            Ok(()) if self.on_reader_gone.is_some() => self.trouble.is_over(),
            Ok(()) => {}
        }
    }

    fn reopen(&mut self) {
        self.flush();
        match self.output.reopen() {
            Ok(true) => tracing::info!("record file opened anew"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the old record file stays in use"),
        }
    }
}

impl FullQueue {
    /// Without a moment, at the end, nothing is kept back.
    fn tell(&mut self, shared: &Shared, now: Option<Instant>) {
        let lost = shared.lost_queue_full.load(Ordering::Acquire);
        let is_soon = self
            .last_warning
            .zip(now)
            .is_some_and(|(last, now)| now.saturating_duration_since(last) < WARN_AFTER);
        if lost > self.told && !is_soon {
            let lost_now = lost - self.told;
            tracing::warn!(target: LOST_RECORDS, lost = lost_now, "records found the queue full and are lost");
            self.told = lost;
            self.last_warning = now;
        }
    }
}

impl Trouble {
    fn begins_or_goes_on(&mut self, error: &io::Error, lost: u64) {
        let now = Instant::now();
        let long_ago = |last: Instant| now.duration_since(last) >= WARN_AFTER;
        if self.lost == 0 && self.last_warning.is_none_or(long_ago) {
            tracing::warn!(target: LOST_RECORDS, %error, "records can not be written and are lost until they can");
            self.last_warning = Some(now);
            self.told = true;
        }
        self.lost += lost;
    }

    fn is_over(&mut self) {
        if self.told {
            tracing::warn!(target: LOST_RECORDS, lost = self.lost, "records are written again");
        }
        self.lost = 0;
        self.told = false;
    }
}
