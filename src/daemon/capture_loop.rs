//! The capture thread: owns the ring and the engine by value, so the packet path takes no lock.
//!
//! In come blocks of frames and commands, out go events to the record queue and [`Notice`]s. Between two blocks it
//! answers questions; once a second it lets idle flows end, and in each round it lets its pulse be felt. It never waits
//! for anything but the next block. Which interface its ring is bound to is decided elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::{DaemonError, PATIENCE};
use crate::capture::CaptureError;
use crate::capture::link::Interface;
use crate::capture::ring::{KernelCounters, Ring, Wake};
use crate::classifier::Policy;
use crate::control::FlowsQuery;
use crate::engine::{Counters, Engine, Event, FlowFilter, FlowRecord, RuleHits};
use crate::flow::{Direction, Timestamp};
use crate::packet::{self, Packet};
use crate::report::RecordQueue;

/// How often idle flows are looked for, in nanoseconds.
const TICK_NS: u64 = 1_000_000_000;
/// The longest sleep without a packet.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Packets that are handed to the engine at once.
const BATCH: usize = 64;
/// Flows that are ended, or places of the table that are looked at, between two hand-overs.
const SLICE: usize = 16_384;

/// What the capture thread can be asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Tell the counters.
    Report(oneshot::Sender<CaptureReport>),
    /// List live flows.
    Flows(FlowsQuery, oneshot::Sender<Vec<FlowRecord>>),
    /// Tell what each rule has decided.
    Hits(oneshot::Sender<RuleHits>),
    /// Judge new flows by another policy.
    Replace(Arc<Policy>),
    /// Take the frames of this interface from now on.
    Bind(Interface, oneshot::Sender<Result<(), CaptureError>>),
    /// Take no more packets in, judge those that are there, end all flows and return.
    Stop,
}

/// What a capture thread tells of its own accord.
#[derive(Debug)]
pub(super) enum Notice {
    /// The interface with this number went down, or away.
    WentDown(usize, Timestamp),
    /// A capture thread has ended.
    Ended(Result<CaptureReport, DaemonError>),
}

/// Tells the end of the thread that owns this, even where it came unexpectedly.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) notices: UnboundedSender<Notice>,
    pub(super) report: Option<Result<CaptureReport, DaemonError>>,
}

impl Ending {
    /// The thread ends as it should.
    pub(super) fn came_with(mut self, report: Result<CaptureReport, DaemonError>) {
        self.report = Some(report);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let report = self.report.take().unwrap_or(Err(DaemonError::CaptureGone));
        let _nobody_waits = self.notices.send(Notice::Ended(report));
    }
}

/// The counters of both ends of the packet path.
#[derive(Debug, Clone, Copy)]
pub(super) struct CaptureReport {
    pub(super) kernel: KernelCounters,
    pub(super) engine: Counters,
}

#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

/// Everything the capture thread owns.
#[derive(Debug)]
pub(super) struct CaptureLoop {
    parts: Parts,
    clock: Clock,
    packets: Vec<(Timestamp, Direction, Packet)>,
    events: Vec<Event>,
    next_tick_ns: u64,
    /// Idle flows are left that the last tick had no time for.
    more_to_expire: bool,
}

/// What the capture thread is made of.
#[derive(Debug)]
pub(super) struct Parts {
    /// The number that its notices name.
    pub(super) number: usize,
    pub(super) ring: Ring,
    pub(super) engine: Engine,
    pub(super) queue: RecordQueue,
    pub(super) commands: Receiver<Command>,
    pub(super) notices: UnboundedSender<Notice>,
    /// Grows at least once a second as long as the thread does its work.
    pub(super) pulse: Arc<AtomicU64>,
}

impl CaptureLoop {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            clock: Clock::default(),
            packets: Vec::with_capacity(BATCH),
            events: Vec::new(),
            next_tick_ns: 0,
            more_to_expire: false,
        }
    }

    /// Runs until it is told to stop, or until nobody is left who could tell it.
    pub(super) fn run(mut self) -> Result<CaptureReport, DaemonError> {
        loop {
            self.wait(if self.more_to_expire { Duration::ZERO } else { LONGEST_WAIT })?;
            let mut block = true;
            while block {
                self.parts.pulse.fetch_add(1, Ordering::Relaxed);
                block = self.judge_block();
                if self.obey()? == Next::Stop {
                    return self.stop();
                }
                self.tick();
            }
        }
    }

    fn wait(&mut self, timeout: Duration) -> Result<Wake, DaemonError> {
        let wake = self.parts.ring.wait(timeout).map_err(DaemonError::Capture)?;
        if wake == Wake::InterfaceDown {
            let now = self.clock.read();
            let _nobody_listens = self.parts.notices.send(Notice::WentDown(self.parts.number, now));
        }
        Ok(wake)
    }

    /// Judges the frames of one block; `false` where no block is ready. Packets go to the engine in batches that
    /// stay in the processor's nearest cache.
    fn judge_block(&mut self) -> bool {
        let Some(block) = self.parts.ring.next_block() else { return false };
        self.clock.read();
        for frame in block.frames() {
            let now = self.clock.place(frame.unix_ns);
            if let Some(packet) = packet::parse_plain(frame.link, frame.bytes, frame.wire_length) {
                self.packets.push((now, frame.direction, packet));
            } else {
                match packet::parse(frame.link, frame.bytes, frame.wire_length) {
                    Ok(packet) => self.packets.push((now, frame.direction, packet)),
                    Err(reason) => self.parts.engine.skip(reason),
                }
            }
            if self.packets.len() == BATCH {
                self.parts.engine.observe_block(&self.packets, &mut self.events);
                self.packets.clear();
            }
        }
        drop(block);
        self.parts.engine.observe_block(&self.packets, &mut self.events);
        self.packets.clear();
        self.parts.queue.send(&mut self.events);
        true
    }

    fn tick(&mut self) {
        let now = self.clock.read();
        if now.monotonic_ns >= self.next_tick_ns {
            self.more_to_expire = self.parts.engine.expire(now, &mut self.events);
            let pause = if self.more_to_expire { 0 } else { TICK_NS };
            self.next_tick_ns = now.monotonic_ns + pause;
            self.parts.queue.send(&mut self.events);
        }
    }

    fn obey(&mut self) -> Result<Next, DaemonError> {
        loop {
            match self.parts.commands.try_recv() {
                Err(TryRecvError::Empty) => return Ok(Next::GoOn),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Ok(Next::Stop),
                Ok(Command::Replace(policy)) => self.parts.engine.replace_policy(policy),
                Ok(Command::Bind(interface, reply)) => {
                    let _gone = reply.send(self.bind(&interface));
                }
                Ok(Command::Report(reply)) => {
                    // Who no longer waits for the answer does not need it.
                    let _gone = reply.send(self.report()?);
                }
                Ok(Command::Hits(reply)) => {
                    let _gone = reply.send(self.parts.engine.rule_hits());
                }
                Ok(Command::Flows(query, reply)) => {
                    let _gone = reply.send(self.flows(&query));
                }
            }
        }
    }

    /// Frames of the last interface that are still in the ring are judged first where they begin with something else.
    fn bind(&mut self, interface: &Interface) -> Result<(), CaptureError> {
        if interface.link != self.parts.ring.link() {
            let settled = Instant::now() + self.parts.ring.settle_time();
            while self.judge_block() || Instant::now() < settled {
                std::thread::yield_now();
            }
        }
        self.parts.ring.bind(interface)
    }

    fn report(&mut self) -> Result<CaptureReport, DaemonError> {
        let kernel = self.parts.ring.statistics().map_err(DaemonError::Capture)?;
        Ok(CaptureReport { kernel, engine: self.parts.engine.counters() })
    }

    /// Reads the table in slices, with the blocks that came meanwhile in between.
    fn flows(&mut self, query: &FlowsQuery) -> Vec<FlowRecord> {
        let rule = query.rule.as_deref().and_then(|name| name.parse().ok());
        let filter = FlowFilter { access: query.access, rule, ..FlowFilter::default() };
        let mut found = Vec::new();
        let mut from = Some(0);
        while let Some(place) = from {
            from = self.parts.engine.flows(place, SLICE, &filter, query.limit, &mut found);
            self.judge_block();
        }
        found
    }

    /// Closes the books: after this the kernel's packets equal those that were parsed, skipped and dropped.
    fn stop(mut self) -> Result<CaptureReport, DaemonError> {
        self.parts.ring.stop_intake().map_err(DaemonError::Open)?;
        let settle_time = self.parts.ring.settle_time();
        loop {
            while self.judge_block() {}
            if self.wait(settle_time)? == Wake::TimedOut {
                break;
            }
        }
        let deadline = Instant::now() + PATIENCE;
        let mut more = true;
        while more {
            more = self.parts.engine.finish(SLICE, &mut self.events);
            self.parts.queue.send_waiting(&mut self.events, deadline);
        }
        self.report()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn a_thread_that_panics_tells_its_end_all_the_same() {
        let (notices, mut told) = unbounded_channel();
        let ending = Ending { notices, report: None };
        let thread = std::thread::spawn(move || {
            let _ending = ending;
            panic!("this panic belongs to the test");
        });
        assert!(thread.join().is_err());
        assert!(matches!(told.try_recv(), Ok(Notice::Ended(Err(DaemonError::CaptureGone)))));
    }
}
