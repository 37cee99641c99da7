//! The way to the agent: a thread that asks it every second and reads its stream, and tries again when it is away.
//!
//! In come requests for explanations, out goes [`News`] over a bounded channel; while nobody takes it, nothing is read,
//! and the agent counts what passes unseen.

use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::model::{News, Totals};
use crate::cli::explain;
use crate::cli::question::Packet;
use crate::cli::record::Record;
use crate::control::client::{self, ClientError};
use crate::control::explain::Explained;
use crate::control::rules::RulesAnswer;
use crate::control::status::{InterfaceState, InterfaceStatus, Status};
use crate::engine::VerdictCounters;
use crate::nsg::RuleNameStyle;

/// How often the counters are asked for, and how long to wait before the agent is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// News that may wait to be shown.
const WAITING: usize = 64;
/// Remembered records that are shown at the start.
const PAST: &str = "/v1/observe?follow=true&last=200";
/// Columns of an explanation: those of the narrowest screen, within its frame.
const EXPLANATION_WIDTH: usize = 78;

/// Both ends of the way to the agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) news: mpsc::Receiver<News>,
    pub(super) explain: mpsc::Sender<Record>,
}

/// Starts the thread.
pub(super) fn start(socket: PathBuf) -> io::Result<Agent> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, news) = mpsc::channel(WAITING);
    let (explain, asked) = mpsc::channel(1);
    thread::Builder::new().name("agent".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::join!(
                poll(&socket, &sender),
                watch(&socket, &sender),
                answer(&socket, &sender, asked),
                wait_for_signal(&sender)
            )
        })
    })?;
    Ok(Agent { news, explain })
}

/// Asks for the counters until nobody takes them any more.
async fn poll(socket: &Path, news: &mpsc::Sender<News>) {
    while !news.is_closed() {
        let status = client::get::<Status>(socket, "/v1/status").await;
        let rules = client::get::<RulesAnswer>(socket, "/v1/rules").await;
        match (status, rules) {
            (Ok(status), Ok(rules)) => {
                let totals = totals(&status);
                _ = news.send(News::Totals(Instant::now(), totals)).await;
                _ = news.send(News::Rules(rules.interfaces)).await;
            }
            (Err(error), _) | (_, Err(error)) => {
                _ = news.send(News::Away(error.to_string())).await;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn totals(status: &Status) -> Totals {
    let sum = |of: fn(&InterfaceStatus) -> u64| status.total(of);
    let names = status.interfaces.iter().map(|it| match it.state {
        InterfaceState::Watching => it.name.clone(),
        state => format!("{} ({})", it.name, state.as_str()),
    });
    Totals {
        interfaces: names.collect::<Vec<_>>().join(" "),
        revision: status.interfaces.iter().map(|it| it.rules.revision).max().unwrap_or_default(),
        reload_failed: status.last_reload.as_ref().is_some_and(|it| !it.successful),
        live: sum(|it| it.engine.flows.live),
        verdicts: VerdictCounters {
            allow: sum(|it| it.engine.verdicts.allow),
            deny: sum(|it| it.engine.verdicts.deny),
            undecided: sum(|it| it.engine.verdicts.undecided),
        },
        packets: sum(|it| it.engine.packets),
        kernel_drops: sum(|it| it.kernel.drops),
        records_lost: status.records.lost_queue_full + status.records.lost_write_failed,
    }
}

/// Reads the stream, and begins it anew where it ends.
async fn watch(socket: &Path, news: &mpsc::Sender<News>) {
    while !news.is_closed() {
        // Why it ended is told by the counters' way, which asks anew at once.
        _ = read_stream(socket, news).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read_stream(socket: &Path, news: &mpsc::Sender<News>) -> Result<(), ClientError> {
    let mut stream = client::lines(socket, PAST).await?;
    while let Some(lines) = stream.next().await? {
        let records = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if news.send(News::Records(records)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Has flows explained, one after the other.
async fn answer(socket: &Path, news: &mpsc::Sender<News>, mut asked: mpsc::Receiver<Record>) {
    while let Some(record) = asked.recv().await {
        let text = match ask_why(socket, &record).await {
            Ok(explained) => explain::screen(&explained, EXPLANATION_WIDTH),
            Err(reason) => reason,
        };
        _ = news.send(News::Explained(text)).await;
    }
}

/// Asks why the rules say what they say; they are named bare, for there is little room.
async fn ask_why(socket: &Path, record: &Record) -> Result<Explained, String> {
    let packet = Packet::of(record).ok_or("this flow can not be asked about")?;
    let query = packet.query().map_err(|error| error.to_string())?;
    let question = explain::question(query.to_json());
    let explained = client::post::<Explained>(socket, "/v1/verify", &question).await;
    let mut explained = explained.map_err(|error| error.to_string())?;
    explained.respell(RuleNameStyle::Bare);
    Ok(explained)
}

/// Tells of a signal that ends the program, so that the terminal is restored first. Where the terminal is gone the
/// screen may hang on it for ever, and the program ends here.
async fn wait_for_signal(news: &mpsc::Sender<News>) {
    let (Ok(mut terminate), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return; // the signals do what they always do
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    _ = tokio::time::timeout(PAUSE, news.send(News::Stop)).await;
    tokio::time::sleep(PAUSE).await;
    ratatui::restore();
    process::exit(0);
}
