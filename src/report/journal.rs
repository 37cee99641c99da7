//! What systemd's journal gets beside the records: a message of a known kind for each thing that an operator waits
//! for.
//!
//! In come flow events, out go `tracing` events whose target names the kind; a layer of its own for each kind gives
//! them their `MESSAGE_ID`, and `NSGWATCH_` before every field. A journal that hangs holds nobody up: what finds no
//! [`Room`] is left out and counted. Denied flows are limited in number; how many were left out is said with the next
//! one, and at the end.

mod room;

use std::time::{Duration, Instant};

use tracing::Subscriber;
use tracing_journald::Layer as JournalLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

pub use self::room::{Room, SOCKET, left_out};

use super::escape::push_plain;
use crate::engine::Event;
use crate::nsg::Access;

/// Target of messages about flows that the rules deny.
pub const VERDICT: &str = "nsgwatch::verdict";
/// Target of messages about reloads of the rules.
pub const RELOAD: &str = "nsgwatch::reload";
/// Target of messages about times in which nothing could be captured.
pub const GAP: &str = "nsgwatch::gap";
/// Target of messages about records that were lost.
pub const LOST_RECORDS: &str = "nsgwatch::lost_records";

/// The `MESSAGE_ID` of each kind; they never change.
pub const MESSAGE_IDS: [(&str, &str); 4] = [
    (VERDICT, "f95a1933dd404f8cbf73b787591cecd7"),
    (RELOAD, "7821e23566944002b84507707ffb8fa3"),
    (GAP, "6f102f2dafa74e40bfb0009e6368b9eb"),
    (LOST_RECORDS, "ec4b666bbce34349aa35002d420261dd"),
];

/// Before every field of our own.
const FIELD_PREFIX: &str = "NSGWATCH";
/// Denied flows told at once.
const BURST: u32 = 20;
/// Time that one more denied flow takes to be told: 20 a second.
const INTERVAL: Duration = Duration::from_millis(50);

/// Says whether a stream is connected to the journal: whether `JOURNAL_STREAM` names its device and inode.
#[must_use]
pub fn is_journal(journal_stream: &str, device: u64, inode: u64) -> bool {
    journal_stream
        .split_once(':')
        .is_some_and(|(dev, ino)| dev.parse() == Ok(device) && ino.parse() == Ok(inode))
}

/// A layer that writes to the journal.
pub type BoxedLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// Returns the layers that write to the journal: one for each kind of message and one for all others.
///
/// # Errors
/// The journal's socket can not be reached.
pub fn layers<S>() -> std::io::Result<Vec<BoxedLayer<S>>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let journal = || {
        let layer = JournalLayer::new()?;
        let layer = layer.with_field_prefix(Some(FIELD_PREFIX.to_owned()));
        std::io::Result::Ok(layer.with_syslog_identifier("nsgwatch".to_owned()))
    };
    let is_kind = |target: &str| MESSAGE_IDS.iter().any(|(kind, _)| *kind == target);
    let others = journal()?.with_filter(filter_fn(move |event| !is_kind(event.target())));
    let mut layers = vec![others.boxed()];
    for (kind, id) in MESSAGE_IDS {
        let layer = journal()?.with_custom_fields([("MESSAGE_ID", id)]);
        layers.push(layer.with_filter(filter_fn(move |event| event.target() == kind)).boxed());
    }
    Ok(layers)
}

/// Lets a burst through and then a steady rate, and counts what it holds back.
#[derive(Debug, Default)]
pub struct RateLimiter {
    /// When all that was let through is paid for.
    paid_at: Duration,
    suppressed: u64,
}

impl RateLimiter {
    /// Asks for one more at a moment, given as time since any fixed start. Where it passes, returns how many were held
    /// back since the last one that passed.
    pub fn admit(&mut self, now: Duration) -> Option<u64> {
        let paid_at = self.paid_at.max(now);
        if paid_at.saturating_sub(now) > INTERVAL * (BURST - 1) {
            self.suppressed += 1;
            return None;
        }
        self.paid_at = paid_at + INTERVAL;
        Some(self.take_suppressed())
    }

    /// Returns how many were held back and not yet told.
    pub const fn take_suppressed(&mut self) -> u64 {
        let suppressed = self.suppressed;
        self.suppressed = 0;
        suppressed
    }
}

/// Tells the journal of flows that begin and are denied.
#[derive(Debug)]
pub(super) struct DenyLog {
    limiter: RateLimiter,
    started: Instant,
    interface: String,
}

impl DenyLog {
    pub(super) fn new(interface: &str) -> Self {
        let started = Instant::now();
        Self { limiter: RateLimiter::default(), started, interface: interface.to_owned() }
    }

    /// Looks at one event; where nobody listens to the kind, this costs next to nothing.
    pub(super) fn note(&mut self, event: &Event, now: Instant) {
        let flow = &event.flow;
        if event.end.is_some()
            || flow.verdict.access != Access::Deny
            || !tracing::enabled!(target: VERDICT, tracing::Level::INFO)
        {
            return;
        }
        let since_start = now.saturating_duration_since(self.started);
        let Some(suppressed) = self.limiter.admit(since_start) else { return };
        let rule = flow.verdict.rule.as_deref();
        tracing::info!(
            target: VERDICT,
            interface = self.interface,
            access = flow.verdict.access.as_str(),
            direction = flow.direction.as_str(),
            protocol = %flow.tuple.protocol,
            source = %flow.tuple.source,
            source_port = flow.tuple.ports.source(),
            destination = %flow.tuple.destination,
            destination_port = flow.tuple.ports.destination(),
            rule = rule.map(|rule| &*rule.rule),
            nsg = rule.map(|rule| &*rule.ruleset),
            layer = rule.map(|rule| rule.layer.as_str()),
            suppressed,
            "{}", sentence(event)
        );
    }

    /// Says what is left to say.
    pub(super) fn finish(&mut self) {
        let suppressed = self.limiter.take_suppressed();
        if suppressed > 0 {
            tracing::info!(target: VERDICT, interface = self.interface, suppressed,
                "{suppressed} more denied flows were not told one by one");
        }
    }
}

fn sentence(event: &Event) -> String {
    let flow = &event.flow;
    let mut text = format!("denied {} {}", flow.direction, flow.tuple);
    if let Some(rule) = &flow.verdict.rule {
        text.push_str(" by ");
        push_plain(&mut text, &rule.rule);
        text.push_str(" of ");
        push_plain(&mut text, &rule.ruleset);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_twenty_a_second_and_the_others_are_counted() {
        let mut limiter = RateLimiter::default();
        let at = Duration::from_secs(100);
        let passed = (0..50).filter(|_| limiter.admit(at).is_some()).count();
        assert_eq!(passed, 20);
        assert_eq!(limiter.admit(at + INTERVAL), Some(30));
        assert_eq!(limiter.admit(at + INTERVAL), None);
        // One a millisecond for ten seconds: a burst is not possible again, the rate is.
        let later = at + INTERVAL;
        let passed = (1..=10_000)
            .filter(|milli| limiter.admit(later + Duration::from_millis(*milli)).is_some())
            .count();
        assert_eq!(passed, 200);
        // After a quiet second there is a whole burst.
        let quiet = later + Duration::from_secs(12);
        assert_eq!((0..50).filter(|_| limiter.admit(quiet).is_some()).count(), 20);
        assert_eq!(limiter.take_suppressed(), 30);
        assert_eq!(limiter.take_suppressed(), 0);
    }

    #[test]
    fn only_the_stream_that_systemd_names_is_the_journal() {
        assert!(is_journal("8:1234", 8, 1234));
        for wrong in ["8:1235", "9:1234", "8", "", "8:1234:5", "a:b"] {
            assert!(!is_journal(wrong, 8, 1234), "{wrong}");
        }
    }

    #[test]
    fn message_ids_are_uuids_and_all_different() {
        for (at, (kind, id)) in MESSAGE_IDS.iter().enumerate() {
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{kind}");
            let readme = include_str!("../../README.md");
            assert!(readme.contains(id), "the README does not tell the id of {kind}");
            assert!(MESSAGE_IDS.iter().skip(at + 1).all(|(_, other)| other != id), "{kind}");
        }
    }
}
