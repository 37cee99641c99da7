//! The story of the agent: open, drop, read, start, notify, answer, stop.
//!
//! In come settings, out comes a [`Summary`] when the agent was told to end. Threads: this one runs the local socket and
//! the signals and keeps an eye on the interfaces, one for each interface captures and judges, one writes records. They
//! are joined by channels that carry values.

mod attend;
mod capture_loop;
mod clock;
mod desk;
mod metrics;
mod observers;
mod opening;
mod presence;
mod watch;
mod watchdog;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use self::capture_loop::{CaptureLoop, CaptureReport, Ending, Notice, Parts};
use self::clock::Clock;
use self::desk::Desk;
use self::watch::{CaptureHandle, LoadedRules, Watch};
use crate::capture::CaptureError;
use crate::capture::link::{self, Links};
use crate::capture::ring::{Ring, RingSettings};
use crate::classifier::CompileError;
use crate::config::rule_files::RuleFileErrors;
use crate::config::{ConfigError, Events, Format, RunOptions, Settings};
use crate::control::server::{Listen, Server, ServerError};
use crate::engine::{Engine, Told};
use crate::privilege::PrivilegeError;
use crate::report::metrics::ReloadMetrics;
use crate::report::{
    self, Hub, Output, RecordCounters, RecordQueue, RecordWriter, ReportError, Sink,
};

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
    /// Privileges can not be dropped.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// The packet sockets that should have been handed over are not there.
    #[error("{variable} is set by the agent for itself and says `{}`; unset it", .value.escape_debug())]
    HandedOver {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
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
    /// The thread that writes records is gone without a word.
    #[error("the thread that writes records ended unexpectedly")]
    WriterGone,
}

impl DaemonError {
    /// Says whether it takes another configuration, and not another try, to start.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_) | Self::Rules(_) | Self::Compile(_) => true,
            Self::Socket(error) => {
                matches!(error, ServerError::NotLoopback(_) | ServerError::Token { .. })
            }
            Self::Privilege(error) => error.is_configuration(),
            _ => false,
        }
    }
}

/// Where a reload reads the settings from again, and what the terminal is like.
#[derive(Debug, Clone)]
pub struct Reload {
    /// What the command line said.
    pub flags: RunOptions,
    /// The configuration file, where one was named.
    pub config: Option<PathBuf>,
    /// Whether text on standard output is coloured.
    pub coloured_stdout: bool,
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
    /// Times in which an interface was not watched, one record each.
    pub gaps: u64,
    /// Records in the output: two for each flow, or one where only starts or ends are recorded, and `gaps`.
    pub records_written: u64,
    /// Records that were lost, for whatever reason.
    pub records_lost: u64,
}

/// Runs the agent until it is told to end.
///
/// # Errors
/// Whatever keeps it from starting, or ends it early.
pub fn run(settings: Settings, reload: &Reload) -> Result<Summary, DaemonError> {
    let rings = opening::packet_sockets(&settings)?
        .into_iter()
        .map(|socket| Ring::unbound(socket, &ring_settings(&settings)))
        .collect::<Result<Vec<_>, _>>()?;
    let to_watch = look_up(&settings.interfaces)?;
    let server = bind_server(&settings)?;
    let sink = settings.output.clone().map_or(Sink::Stdout, Sink::File);
    let format = record_format(settings.format, &sink, reload.coloured_stdout);
    let output = Output::open(sink)?;
    let rules = load_all(&settings, &to_watch)?;
    let reader_gone = Arc::new(Notify::new());
    let hub = Hub::new(observers::REMEMBERED, observers::MOST_READERS);
    let (queues, records) = RecordWriter {
        output,
        format,
        interface_names: to_watch.iter().map(|(name, _)| name.clone()).collect(),
        queue_limit: settings.record_queue as usize,
        hub: hub.clone(),
    }
    .start({
        let reader_gone = Arc::clone(&reader_gone);
        move || reader_gone.notify_one()
    })?;
    let (notices, news) = unbounded_channel();
    let mut watches = Vec::new();
    let parts = to_watch.into_iter().zip(rules).zip(rings).zip(queues).enumerate();
    for (number, ((((name, connected), rules), ring), queue)) in parts {
        let seed = RandomState::new().hash_one(number);
        let engine = Engine::new(Arc::clone(&rules.policy), settings.limits(), seed);
        let engine = engine.telling(told(settings.events));
        let capture = start_capture(number, ring, engine, queue, notices.clone())?;
        watches.push(Watch::new(name, connected, rules, capture));
    }
    let started_ns = Clock::default().read().unix_ns;
    let desk = Desk {
        settings,
        watched: watches.iter().map(Watch::watched).collect(),
        watches,
        records,
        hub,
        reader_gone,
        clients: Arc::default(),
        started_ns,
        last_reload: None,
        told_left_out: 0,
        reloads: ReloadMetrics {
            last_successful: true,
            last_success_seconds: metrics::seconds(started_ns),
            ..ReloadMetrics::default()
        },
    };
    let (reports, watches, records) =
        socket_runtime()?.block_on(attend::attend(desk, &server, reload, news))?;
    let gaps = watches.iter().map(|watch| watch.presence().gaps().0).sum();
    watches.into_iter().for_each(Watch::join);
    Ok(summary(&reports, gaps, &records))
}

/// Opens the Unix socket, or takes the one that the service manager has opened, and the loopback address where one is wanted.
fn bind_server(settings: &Settings) -> Result<Server, DaemonError> {
    let server = match Server::activated()? {
        Some(server) => server,
        None => Server::bind(&settings.socket)?,
    };
    let Some((address, token_file)) = settings.listen.clone() else { return Ok(server) };
    Ok(server.listen(&Listen { address, token_file })?)
}

fn socket_runtime() -> Result<tokio::runtime::Runtime, DaemonError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| DaemonError::Start { part: "the socket's runtime", source })
}

/// Returns the names of the interfaces to watch and the networks that each is connected to. One that is not there is
/// waited for, and has none.
fn look_up(names: &[String]) -> Result<Vec<(String, Vec<IpNet>)>, DaemonError> {
    if names.is_empty() {
        let interface = link::default_route()?;
        return Ok(vec![(interface.name.clone(), interface.connected_prefixes())]);
    }
    let links = Links::read()?;
    let look_up = |name: &String| {
        let connected = links.find(name)?.map(|it| it.connected_prefixes()).unwrap_or_default();
        Ok((name.clone(), connected))
    };
    names.iter().map(look_up).collect()
}

/// Loads the rules of all interfaces; all errors of all of them are told at once.
fn load_all(
    settings: &Settings,
    to_watch: &[(String, Vec<IpNet>)],
) -> Result<Vec<LoadedRules>, DaemonError> {
    let (mut loaded, mut errors) = (Vec::new(), Vec::new());
    for (name, connected) in to_watch {
        match LoadedRules::load(settings.rules_of(name), connected, 1) {
            Ok(rules) => loaded.push(rules),
            Err(DaemonError::Rules(RuleFileErrors(found))) => {
                for error in found {
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                }
            }
            Err(other) => return Err(other),
        }
    }
    if errors.is_empty() { Ok(loaded) } else { Err(RuleFileErrors(errors).into()) }
}

fn start_capture(
    number: usize,
    ring: Ring,
    engine: Engine,
    queue: RecordQueue,
    notices: UnboundedSender<Notice>,
) -> Result<CaptureHandle, DaemonError> {
    let waker = ring.waker();
    let (commands, received) = mpsc::channel();
    let pulse = Arc::default();
    let parts = Parts {
        number,
        ring,
        engine,
        queue,
        commands: received,
        notices: notices.clone(),
        pulse: Arc::clone(&pulse),
    };
    let ending = Ending { notices, report: None };
    let thread = thread::Builder::new()
        .name("capture".into())
        .spawn(move || ending.came_with(CaptureLoop::new(parts).run()))
        .map_err(|source| DaemonError::Start { part: "a capture thread", source })?;
    Ok(CaptureHandle { commands, waker, pulse, thread })
}

const fn told(events: Events) -> Told {
    match events {
        Events::Both => Told::Both,
        Events::Start => Told::Start,
        Events::End => Told::End,
    }
}

fn ring_settings(settings: &Settings) -> RingSettings {
    RingSettings { block_size: 1 << 20, block_count: settings.ring_mib, ..RingSettings::default() }
}

/// People at a terminal get text, programs get JSON, unless told otherwise.
pub(crate) fn record_format(
    wanted: Option<Format>,
    sink: &Sink,
    coloured_stdout: bool,
) -> report::Format {
    let at_terminal = *sink == Sink::Stdout && io::stdout().is_terminal();
    let colour = *sink == Sink::Stdout && coloured_stdout;
    match wanted {
        Some(Format::Text) => report::Format::Text { colour },
        None if at_terminal => report::Format::Text { colour },
        Some(Format::Json) | None => report::Format::Json,
    }
}

fn summary(reports: &[CaptureReport], gaps: u64, records: &RecordCounters) -> Summary {
    let sum = |of: fn(&CaptureReport) -> u64| reports.iter().map(of).sum::<u64>();
    let parsed = sum(|it| it.engine.packets);
    let skipped = sum(|it| it.engine.skipped.total());
    Summary {
        event: "summary",
        packets: parsed + skipped,
        parsed,
        skipped,
        kernel_packets: sum(|it| it.kernel.packets),
        kernel_drops: sum(|it| it.kernel.drops),
        flows: sum(|it| it.engine.flows.created),
        flows_allowed: sum(|it| it.engine.verdicts.allow),
        flows_denied: sum(|it| it.engine.verdicts.deny),
        flows_undecided: sum(|it| it.engine.verdicts.undecided),
        gaps,
        records_written: records.written,
        records_lost: records.lost_queue_full + records.lost_write,
    }
}
