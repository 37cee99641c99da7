//! The story of a replay: capture files through the same engine as live traffic, by the packets' own time.
//!
//! In come paths, rules and limits; out go events to the record queue where there is one, and a [`Replayed`] at the
//! end. Files are read one after the other in the order given, as if they were one. A second is over when the
//! packets say so: no clock of this machine has a part in any result.

mod local_side;
mod packet_clock;
mod rule_totals;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde::Serialize;

pub use self::rule_totals::RuleTotal;

use self::local_side::LocalSide;
use self::packet_clock::PacketClock;
use self::rule_totals::RuleTotals;
use crate::capture::pcap::{CaptureFile, FileEnd, Frames, PcapError, Unusable};
use crate::classifier::Policy;
use crate::engine::{Engine, Event, Limits};
use crate::flow::{Direction, Timestamp};
use crate::packet::{self, Packet};
use crate::report::RecordQueue;

/// How often idle flows are looked for, in nanoseconds of packet time.
const TICK_NS: u64 = 1_000_000_000;
/// Packets that are judged at once: few enough to stay in the processor's cache until then.
const BATCH: usize = 256;
/// Flows that are ended between two hand-overs.
const SLICE: usize = 16_384;
/// Nothing is lost by waiting for whoever reads the records, however long it takes.
const PATIENCE: Duration = Duration::from_hours(24 * 365);

/// Why a replay is not possible.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file can not be read.
    #[error(transparent)]
    Open(PcapError),
    /// The packets do not show which side is the VM.
    #[error(
        "can not tell which side of the packets is the VM: {reason}; say it with --local ADDRESS"
    )]
    NoLocalSide {
        /// What the packets show instead.
        reason: String,
    },
    /// Telling the local side takes a look at the file before it is read.
    #[error(
        "{} can not be read twice, so which side of its packets is the VM can not be looked up in it; \
         say it with --local ADDRESS",
        path.display()
    )]
    NotReadTwice {
        /// Which file.
        path: PathBuf,
    },
}

/// What was seen from the first to the last packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    event: &'static str,
    /// Packet records in the files: `parsed` + `skipped` + `unreadable`.
    pub packets: u64,
    /// Records that became packets.
    pub parsed: u64,
    /// Records without an IP packet.
    pub skipped: u64,
    /// Records that were cut off at a file's end, or whose link type is not understood.
    pub unreadable: u64,
    /// Of `parsed`, packets whose direction nothing told: taken as inbound.
    pub direction_assumed: u64,
    /// Of `parsed`, later fragments whose flow is not known.
    pub fragments_undecided: u64,
    /// Flows that were begun.
    pub flows: u64,
    /// Of these, flows that the rules allow.
    pub flows_allowed: u64,
    /// Of these, flows that the rules deny.
    pub flows_denied: u64,
    /// Of these, flows that nobody can decide about.
    pub flows_undecided: u64,
}

/// What a replay gives.
#[derive(Debug)]
pub struct Replayed {
    /// The counters.
    pub summary: Summary,
    /// What each rule decided.
    pub rules: Vec<RuleTotal>,
    /// Files that did not end well: which, and how.
    pub troubles: Vec<(PathBuf, FileEnd)>,
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read of all files, as they are stored.
    pub bytes: u64,
    /// Packets taken in.
    pub packets: u64,
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    local_side: LocalSide,
    clock: PacketClock,
    packets: Vec<(Timestamp, Direction, Packet)>,
    events: Vec<Event>,
    queue: Option<RecordQueue>,
    next_tick_ns: u64,
    totals: RuleTotals,
    direction_assumed: u64,
}

impl Replay {
    /// Finds out which side is local, where `local` does not say it, and makes an engine without flows.
    ///
    /// # Errors
    /// Nothing says which side is local, or a file that would have to be looked at can not be read.
    pub fn new(
        files: &[PathBuf],
        local: &[IpNet],
        policy: Policy,
        limits: Limits,
        queue: Option<RecordQueue>,
    ) -> Result<Self, ReplayError> {
        let local_side = LocalSide::new(local, files)?;
        let engine = Engine::new(Arc::new(policy), limits, RandomState::new().hash_one(0));
        Ok(Self {
            engine,
            local_side,
            clock: PacketClock::default(),
            packets: Vec::with_capacity(BATCH),
            events: Vec::new(),
            queue,
            next_tick_ns: TICK_NS,
            totals: RuleTotals::default(),
            direction_assumed: 0,
        })
    }

    /// Says in words how directions are told.
    #[must_use]
    pub fn local_side(&self) -> String {
        self.local_side.to_string()
    }

    /// Replays the files and ends all flows. `show` is told now and then how far it is.
    ///
    /// # Errors
    /// A file can not be opened or is no capture file. One that is cut or damaged further on is no error here but
    /// one of the [`Replayed::troubles`].
    pub fn run(
        mut self,
        files: &[PathBuf],
        mut show: impl FnMut(Progress),
    ) -> Result<Replayed, ReplayError> {
        let (mut packets, mut unreadable, mut bytes) = (0, 0, 0);
        let mut troubles = Vec::new();
        for path in files {
            let file = self.read(path, bytes, &mut show)?;
            let report = file.report();
            packets += report.records;
            unreadable += report.unreadable;
            bytes += file.bytes_read();
            if report.end != FileEnd::Whole {
                troubles.push((path.clone(), report.end));
            }
        }
        while self.engine.finish(SLICE, &mut self.events) {
            self.hand_over();
        }
        self.hand_over();
        let counters = self.engine.counters();
        let summary = Summary {
            event: "summary",
            packets,
            parsed: counters.packets,
            skipped: counters.skipped.total(),
            unreadable,
            direction_assumed: self.direction_assumed,
            fragments_undecided: counters.fragments.undecided,
            flows: counters.flows.created,
            flows_allowed: counters.verdicts.allow,
            flows_denied: counters.verdicts.deny,
            flows_undecided: counters.verdicts.undecided,
        };
        Ok(Replayed { summary, rules: self.totals.sorted(), troubles })
    }

    fn read(
        &mut self,
        path: &Path,
        bytes_before: u64,
        show: &mut impl FnMut(Progress),
    ) -> Result<CaptureFile, ReplayError> {
        let mut file = CaptureFile::open(path).map_err(ReplayError::Open)?;
        while let Some(frames) = file.next_block() {
            self.judge_block(frames);
            let packets = self.engine.counters().packets;
            show(Progress { bytes: bytes_before + file.bytes_read(), packets });
        }
        Ok(file)
    }

    fn judge_block(&mut self, frames: Frames<'_>) {
        for record in frames {
            let frame = match record {
                Ok(frame) => frame,
                Err(Unusable::Skip(reason)) => {
                    self.engine.skip(reason);
                    continue;
                }
                // The file counts these.
                Err(Unusable::UnknownLink) => continue,
            };
            match packet::parse(frame.link, frame.bytes, frame.wire_length) {
                Ok(packet) => {
                    let now = self.clock.place(frame.unix_ns);
                    if now.monotonic_ns >= self.next_tick_ns {
                        self.tick(now);
                    }
                    let told = self.local_side.direction(frame.direction, &packet.tuple);
                    self.direction_assumed += u64::from(told.is_none());
                    self.packets.push((now, told.unwrap_or(Direction::Inbound), packet));
                    if self.packets.len() == BATCH {
                        self.judge();
                    }
                }
                Err(reason) => self.engine.skip(reason),
            }
        }
        self.judge();
    }

    fn judge(&mut self) {
        self.engine.observe_block(&self.packets, &mut self.events);
        self.packets.clear();
        self.hand_over();
    }

    /// Ends what was idle before this packet.
    fn tick(&mut self, now: Timestamp) {
        self.judge();
        while self.engine.expire(now, &mut self.events) {
            self.hand_over();
        }
        self.hand_over();
        self.next_tick_ns = now.monotonic_ns.saturating_add(TICK_NS);
    }

    fn hand_over(&mut self) {
        self.totals.add(&self.events);
        match &mut self.queue {
            Some(queue) => queue.send_waiting(&mut self.events, Instant::now() + PATIENCE),
            None => self.events.clear(),
        }
    }
}
