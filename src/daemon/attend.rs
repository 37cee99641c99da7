//! The loop of the main thread: the socket, the signals, the interfaces and the desk, until all capture threads have
//! ended.
//!
//! SIGHUP reloads the rules and reopens the output; SIGTERM and SIGINT end the agent, the second one at once. Once a
//! second it looks at the interfaces, and feeds the service manager's watchdog where all of the agent makes progress.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::capture_loop::{CaptureReport, Notice};
use super::desk::Desk;
use super::watch::Watch;
use super::watchdog::Watchdog;
use super::{DaemonError, PATIENCE, Reload};
use crate::control::server::{Limits, Server, ServerCounters, Sources};
use crate::report::{RecordCounters, WriterHandle};

/// Questions that may wait for the desk.
const WAITING_QUESTIONS: usize = 64;
/// Time between two looks at the interfaces: an interface that comes back is watched again within it.
const LOOK: Duration = Duration::from_millis(500);

/// How long those who watch may take to read the last records.
const FAREWELL: Duration = Duration::from_secs(2);
/// Time between two looks whether they have.
const FAREWELL_LOOK: Duration = Duration::from_millis(5);

/// Runs until the capture threads have ended and the last records are written; returns what they report, the watches and
/// what became of the records.
pub(super) async fn attend(
    mut desk: Desk,
    server: &Server,
    reload: &Reload,
    mut notices: mpsc::UnboundedReceiver<Notice>,
) -> Result<(Vec<CaptureReport>, Vec<Watch>, RecordCounters), DaemonError> {
    let mut hangup = listen(SignalKind::hangup())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let (questions, mut asked) = mpsc::channel(WAITING_QUESTIONS);
    let sources = Sources {
        watched: Arc::clone(&desk.watched),
        questions,
        counters: Arc::clone(&desk.clients),
    };
    let serve = server.serve(sources, Limits::default());
    tokio::pin!(serve);
    let mut ticks = looks();
    let mut watchdog = Watchdog::new();
    desk.look(None).await;
    tell_systemd(&[NotifyState::Ready]);
    let reader_gone = Arc::clone(&desk.reader_gone);
    let mut stopping = false;
    let mut reports = Vec::new();
    loop {
        tokio::select! {
            notice = notices.recv() => match notice {
                Some(Notice::WentDown(..)) if stopping => {}
                Some(Notice::WentDown(which, when)) => desk.look(Some((which, when))).await,
                Some(Notice::Ended(report)) => {
                    reports.push(report?);
                    if reports.len() == desk.watches.len() {
                        break;
                    }
                }
                None => return Err(DaemonError::CaptureGone),
            },
            failed = &mut serve => return Err(failed.into()),
            // While they end, the capture threads answer nothing: a question dropped is told so, and the next signal
            // does not wait behind it.
            Some(question) = asked.recv() => if !stopping { desk.answer(question).await },
            _ = ticks.tick() => if !stopping { look_around(&mut desk, &mut watchdog).await },
            _ = hangup.recv() => {
                tell_systemd(&reloading());
                desk.records.reopen();
                desk.reload(reload);
                tell_systemd(&[NotifyState::Ready]);
            }
            () = stop_asked(&mut terminate, &mut interrupt) => {
                if stopping {
                    return Err(DaemonError::Impatient);
                }
                stopping = true;
                tell_systemd(&[NotifyState::Stopping]);
                desk.stop();
            }
            () = reader_gone.notified(), if !stopping => {
                stopping = true;
                desk.stop();
            }
        }
    }
    tokio::select! {
        records = finish(desk.records, &desk.clients) => Ok((reports, desk.watches, records?)),
        failed = &mut serve => Err(failed.into()),
    }
}

/// Has the last records written, and lets those who watch read them.
async fn finish(
    records: WriterHandle,
    clients: &ServerCounters,
) -> Result<RecordCounters, DaemonError> {
    let counters = tokio::task::spawn_blocking(move || records.finish(PATIENCE)).await;
    let read = async {
        while clients.streaming.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(FAREWELL_LOOK).await;
        }
    };
    let _who_does_not_read = tokio::time::timeout(FAREWELL, read).await;
    counters.map_err(|_| DaemonError::WriterGone)
}

fn looks() -> Interval {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Looks at the interfaces and at the capture threads, which proves that this loop runs too.
async fn look_around(desk: &mut Desk, watchdog: &mut Watchdog) {
    desk.look(None).await;
    desk.tell_left_out();
    let pulses: Vec<u64> = desk.watches.iter().map(Watch::pulse).collect();
    if watchdog.is_well(&pulses) {
        tell_systemd(&[NotifyState::Watchdog]);
    }
}

async fn stop_asked(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn listen(kind: SignalKind) -> Result<Signal, DaemonError> {
    signal(kind).map_err(|source| DaemonError::Start { part: "signal handling", source })
}

/// The time lets systemd tell this reload from an earlier one (`Type=notify-reload`).
fn reloading() -> Vec<NotifyState<'static>> {
    [Ok(NotifyState::Reloading), NotifyState::monotonic_usec_now()].into_iter().flatten().collect()
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "can not notify systemd");
    }
}
