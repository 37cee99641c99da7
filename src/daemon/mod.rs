//! The story of the agent: read, open, drop, load, start, notify, answer, stop.
//!
//! In come settings, out comes a [`Summary`] when the agent was told to end. Three threads: this one runs the local
//! socket and the signals, one captures and judges, one writes records. They are joined by channels that carry
//! values.

mod attend;
mod capture_loop;
mod clock;
mod desk;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use serde::Serialize;
use tokio::sync::{Notify, oneshot};

use self::capture_loop::{CaptureLoop, CaptureReport};
use self::clock::Clock;
use self::desk::{CaptureHandle, Desk};
use crate::capture::CaptureError;
use crate::capture::link;
use crate::capture::ring::{Ring, RingSettings};
use crate::classifier::{CompileError, Policy};
use crate::config::rule_files::{self, RuleFileErrors};
use crate::config::{ConfigError, Format, RuleOptions, RunOptions, Settings};
use crate::control::server::{Server, ServerError};
use crate::engine::Engine;
use crate::privilege::{self, PrivilegeError};
use crate::report::{self, Output, RecordCounters, RecordWriter, ReportError, Sink};

/// How long the last records may take to be queued, and then again to be written; together less than systemd waits
/// before it kills (`TimeoutStopSec` of the unit).
const PATIENCE: Duration = Duration::from_secs(12);

/// Why the agent can not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The rules are wrong; one line for each error.
    #[error(transparent)]
    Rules(#[from] RuleFileErrors),
    /// The rules can not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The capture can not be opened.
    #[error(transparent)]
    Open(#[from] CaptureError),
    /// The socket can not be opened.
    #[error(transparent)]
    Socket(#[from] ServerError),
    /// The output can not be opened.
    #[error(transparent)]
    Output(#[from] ReportError),
    /// Capabilities can not be dropped.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// The capture failed while it ran.
    #[error("the capture failed: {0}")]
    Capture(io::Error),
    /// A part of the program can not be started.
    #[error("can not start {part}: {source}")]
    Start {
        /// Which part.
        part: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Told to end a second time, before all flows were written.
    #[error("told to end at once: flows that were still open are not in the output")]
    Impatient,
    /// The capture thread is gone without a word.
    #[error("the capture thread ended unexpectedly")]
    CaptureGone,
}

impl DaemonError {
    /// Says whether it takes another configuration, and not another try, to start.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Rules(_) | Self::Compile(_))
    }
}

/// Where a reload reads the settings from again.
#[derive(Debug, Clone)]
pub struct Reload {
    /// What the command line said.
    pub flags: RunOptions,
    /// The configuration file, where one was named.
    pub config: Option<PathBuf>,
}

/// What was seen from the start to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    event: &'static str,
    /// Frames taken from the ring: `parsed` + `skipped`.
    pub packets: u64,
    /// Frames that became packets.
    pub parsed: u64,
    /// Frames that did not.
    pub skipped: u64,
    /// Packets the kernel counted: `packets` + `kernel_drops`.
    pub kernel_packets: u64,
    /// Packets that found the ring full.
    pub kernel_drops: u64,
    /// Flows that were begun.
    pub flows: u64,
    /// Of these, flows that the rules allow.
    pub flows_allowed: u64,
    /// Of these, flows that the rules deny.
    pub flows_denied: u64,
    /// Of these, flows that nobody can decide about.
    pub flows_undecided: u64,
    /// Records in the output.
    pub records_written: u64,
    /// Records that were lost, for whatever reason.
    pub records_lost: u64,
}

/// Runs the agent until it is told to end.
///
/// # Errors
/// Whatever keeps it from starting, or ends it early.
pub fn run(settings: Settings, reload: &Reload) -> Result<Summary, DaemonError> {
    let interface = match &settings.interface {
        Some(name) => link::find(name)?,
        None => link::default_route()?,
    };
    let ring = Ring::open(&interface, &ring_settings(&settings))?;
    let waker = ring.waker();
    let server = Server::bind(&settings.socket)?;
    let sink = settings.output.clone().map_or(Sink::Stdout, Sink::File);
    let format = record_format(settings.format, &sink);
    let output = Output::open(sink)?;
    privilege::drop_all()?;

    let policy = load_policy(&settings.rules, &interface.connected_prefixes(), 1)?;
    let policy = Arc::new(policy);
    let reader_gone = Arc::new(Notify::new());
    let (queue, writer) = RecordWriter {
        output,
        format,
        interface_name: interface.name.clone(),
        queue_limit: settings.record_queue as usize,
    }
    .start({
        let reader_gone = Arc::clone(&reader_gone);
        move || reader_gone.notify_one()
    })?;
    let seed = RandomState::new().hash_one(0);
    let engine = Engine::new(Arc::clone(&policy), settings.limits(), seed);
    let (commands, received) = mpsc::channel();
    let (ended, capture_ended) = oneshot::channel();
    let capture = CaptureLoop::new(ring, engine, queue, received);
    let thread = thread::Builder::new()
        .name("capture".into())
        .spawn(move || ended.send(capture.run()).is_ok())
        .map_err(|source| DaemonError::Start { part: "the capture thread", source })?;

    let started_ns = Clock::default().read().unix_ns;
    let desk = Desk {
        settings,
        interface,
        policy: Arc::new(ArcSwap::new(policy)),
        capture: CaptureHandle { commands, waker },
        records: writer,
        reader_gone,
        clients: Arc::default(),
        started_ns,
        loaded_ns: started_ns,
        last_reload: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| DaemonError::Start { part: "the socket's runtime", source })?;
    let (report, records) =
        runtime.block_on(attend::attend(desk, &server, reload, capture_ended))?;
    let _sent = thread.join();
    Ok(summary(&report, &records.finish(PATIENCE)))
}

/// Reads and compiles the rules.
fn load_policy(
    rules: &RuleOptions,
    connected: &[IpNet],
    revision: u64,
) -> Result<Policy, DaemonError> {
    let loaded = rule_files::load(rules, connected)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(Policy::compile(loaded.rules, revision)?)
}

fn ring_settings(settings: &Settings) -> RingSettings {
    RingSettings { block_size: 1 << 20, block_count: settings.ring_mib, ..RingSettings::default() }
}

/// People at a terminal get text, programs get JSON, unless told otherwise.
pub(crate) fn record_format(wanted: Option<Format>, sink: &Sink) -> report::Format {
    let at_terminal = *sink == Sink::Stdout && io::stdout().is_terminal();
    match wanted {
        Some(Format::Text) => report::Format::Text { colour: at_terminal },
        None if at_terminal => report::Format::Text { colour: true },
        Some(Format::Json) | None => report::Format::Json,
    }
}

fn summary(report: &CaptureReport, records: &RecordCounters) -> Summary {
    let engine = &report.engine;
    Summary {
        event: "summary",
        packets: engine.packets + engine.skipped.total(),
        parsed: engine.packets,
        skipped: engine.skipped.total(),
        kernel_packets: report.kernel.packets,
        kernel_drops: report.kernel.drops,
        flows: engine.flows.created,
        flows_allowed: engine.verdicts.allow,
        flows_denied: engine.verdicts.deny,
        flows_undecided: engine.verdicts.undecided,
        records_written: records.written,
        records_lost: records.lost_queue_full + records.lost_write,
    }
}
