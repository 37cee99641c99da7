//! The warnings about records that are lost: told when it begins and when it is over, and not for every record.
//!
//! In come the numbers; out go lines of the log. It counts nothing that the counters do not.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::journal::LOST_RECORDS;
use super::queue::Shared;

/// Shortest time between two warnings.
const WARN_AFTER: Duration = Duration::from_secs(10);

/// An incident in which records are lost, told once.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    lost: u64,
    last_warning: Option<Instant>,
    told: bool,
}

/// Records that found the queue full, told from time to time.
#[derive(Debug, Default)]
pub(super) struct FullQueue {
    told: u64,
    last_warning: Option<Instant>,
}

impl FullQueue {
    /// Without a moment, at the end, nothing is kept back.
    pub(super) fn tell(&mut self, shared: &Shared, now: Option<Instant>) {
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
    pub(super) fn begins_or_goes_on(&mut self, error: &io::Error, lost: u64) {
        let now = Instant::now();
        let long_ago = |last: Instant| now.duration_since(last) >= WARN_AFTER;
        if self.lost == 0 && self.last_warning.is_none_or(long_ago) {
            tracing::warn!(target: LOST_RECORDS, %error, "records can not be written and are lost until they can");
            self.last_warning = Some(now);
            self.told = true;
        }
        self.lost += lost;
    }

    pub(super) fn is_over(&mut self) {
        if self.told {
            tracing::warn!(target: LOST_RECORDS, lost = self.lost, "records are written again");
        }
        self.lost = 0;
        self.told = false;
    }
}
