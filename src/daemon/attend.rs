//! The loop of the main thread: the socket, the signals and the desk, until the capture thread has ended.
//!
//! SIGHUP reloads the rules and reopens the output; SIGTERM and SIGINT end the agent, the second one at once.

use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::capture_loop::{CaptureReport, Command};
use super::desk::Desk;
use super::{DaemonError, Reload};
use crate::control::server::{Limits, Server, Sources};
use crate::report::WriterHandle;

/// Questions that may wait for the desk.
const WAITING_QUESTIONS: usize = 64;

/// Runs until the capture thread has ended; returns what it reports, and the writer that may still have work.
pub(super) async fn attend(
    mut desk: Desk,
    server: &Server,
    reload: &Reload,
    mut capture_ended: oneshot::Receiver<Result<CaptureReport, DaemonError>>,
) -> Result<(CaptureReport, WriterHandle), DaemonError> {
    let mut hangup = listen(SignalKind::hangup())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let (questions, mut asked) = mpsc::channel(WAITING_QUESTIONS);
    let sources = Sources {
        policy: Arc::clone(&desk.policy),
        questions,
        counters: Arc::clone(&desk.clients),
    };
    let serve = server.serve(sources, Limits::default());
    tokio::pin!(serve);
    tracing::info!(interface = desk.interface.name, "watching");
    tell_systemd(&[NotifyState::Ready]);
    let reader_gone = Arc::clone(&desk.reader_gone);
    let mut stopping = false;
    loop {
        tokio::select! {
            report = &mut capture_ended => {
                let report = report.unwrap_or(Err(DaemonError::CaptureGone))?;
                return Ok((report, desk.records));
            }
            failed = &mut serve => return Err(failed.into()),
            // While it ends, the capture thread answers nothing: a question dropped is told so, and the next signal
            // does not wait behind it.
            Some(question) = asked.recv() => if !stopping { desk.answer(question).await },
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
                desk.capture.send(Command::Stop);
            }
            () = reader_gone.notified(), if !stopping => {
                stopping = true;
                desk.capture.send(Command::Stop);
            }
        }
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
