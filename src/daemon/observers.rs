//! Those who watch: one thread for each, from the memory of the newest events to the connection.
//!
//! In comes a query, out go lines of JSON in pieces over a bounded channel. A reader that does not take its pieces
//! keeps nobody waiting but its own thread, which finds afterwards how many events passed meanwhile and says so in a
//! line of its own: `{"event":"lost","count":17}`.

use std::fmt::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::clock::Clock;
use crate::control::observe::{Lines, ObserveQuery};
use crate::report::{Hub, HubReader, JsonLines, Observed};

/// Newest events remembered: some 2 MiB.
pub(super) const REMEMBERED: usize = 8192;
/// Readers at once, each of them a thread.
pub(super) const MOST_READERS: usize = 16;

/// Bytes of lines that are handed over at once, and how many such pieces may wait.
const PIECE: usize = 32 * 1024;
const MOST_PIECES: usize = 4;
/// How often a reader's thread looks whether the reader is still there.
const LOOK: Duration = Duration::from_secs(1);
/// How much later than at its time a record may come.
const LATE_NS: u64 = 1_000_000_000;

/// Starts to stream; `None` where no further reader can be served.
pub(super) fn stream(hub: &Hub, query: ObserveQuery) -> Option<Lines> {
    let reader = hub.reader()?;
    let (pieces, lines) = mpsc::channel(MOST_PIECES);
    let feed = Feed {
        reader,
        query,
        pieces,
        renderers: Vec::new(),
        piece: String::with_capacity(PIECE + 1024),
        records: 0,
    };
    let started = thread::Builder::new().name("observer".to_owned()).spawn(|| feed.run());
    match started {
        Ok(_runs_by_itself) => Some(lines),
        Err(error) => {
            tracing::warn!(%error, "can not start a thread for somebody who watches");
            None
        }
    }
}

/// What a reader's thread owns.
struct Feed {
    reader: HubReader,
    query: ObserveQuery,
    pieces: mpsc::Sender<String>,
    /// One for each interface.
    renderers: Vec<(Arc<str>, JsonLines)>,
    /// Lines to be handed over, so many of them records.
    piece: String,
    records: u64,
}

/// The reader is gone.
struct Gone;

impl Feed {
    /// Runs until the reader goes, the time of the query is over, or the agent ends.
    fn run(mut self) {
        let query = self.query.clone();
        let past = self.reader.past(query.most_of_the_past(), |event| query.accepts(event));
        let mut gone = self.push(&past).and_then(|()| self.hand_over()).is_err();
        let mut next = Vec::new();
        while query.follow && !gone && !self.pieces.is_closed() && !is_over(query.until) {
            next.clear();
            let read = self.reader.read(&mut next, LOOK);
            if read.lost > 0 {
                // Writing to a string can not fail.
                _ = writeln!(self.piece, "{{\"event\":\"lost\",\"count\":{}}}", read.lost);
            }
            next.retain(|observed| query.accepts(&observed.event));
            gone = self.push(&next).and_then(|()| self.hand_over()).is_err() || read.finished;
        }
    }

    fn push(&mut self, records: &[Observed]) -> Result<(), Gone> {
        for Observed { event, interface } in records {
            let place = self.renderers.iter().position(|(name, _)| name == interface);
            let place = place.unwrap_or_else(|| {
                self.renderers.push((Arc::clone(interface), JsonLines::new(interface)));
                self.renderers.len() - 1
            });
            if let Some((_, lines)) = self.renderers.get_mut(place) {
                lines.render(event, &mut self.piece);
                self.records += 1;
            }
            if self.piece.len() >= PIECE {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    /// Waits for the reader as long as it takes.
    fn hand_over(&mut self) -> Result<(), Gone> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, String::with_capacity(PIECE + 1024));
        self.pieces.blocking_send(piece).map_err(|_| Gone)?;
        self.reader.delivered(std::mem::take(&mut self.records));
        Ok(())
    }
}

fn is_over(until: Option<u64>) -> bool {
    until.is_some_and(|until| Clock::default().read().unix_ns > until.saturating_add(LATE_NS))
}
