//! The thread that writes records.
//!
//! In come messages from the queues in front of it; out go lines to the [`Output`] and events to the [`Hub`]. A line
//! waits no longer than a tenth of a second. What can not be written is counted and forgotten.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::journal::DenyLog;
use super::loss::{FullQueue, Trouble};
use super::queue::{Message, RecordCounters, RecordQueue, Shared};
use super::{Format, Gap, Hub, Output, Renderer, ReportError};
use crate::engine::Event;

/// Bytes of lines that are written at once.
const BUFFER: usize = 256 * 1024;

/// Longest time that a line stays in the buffer.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// Emptied batches that are kept to be filled again.
const EMPTIED_KEPT: usize = 4;

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
