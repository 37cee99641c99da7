//! The clock of a replay: the packets' own times, made to never go back.
//!
//! In come times as the file has them, in any order and however wrong; out go times that only grow.

use crate::flow::Timestamp;

/// A step back by more than this is no disorder of a capture but another clock: of a file from before, or set by
/// hand.
const LARGEST_DISORDER_NS: u64 = 60_000_000_000;

/// Turns packet times into [`Timestamp`]s.
///
/// The monotonic time of a packet is its distance from the first packet, and never less than that of the packet
/// ahead of it. After a step back of more than a minute it goes on from where it was.
#[derive(Debug, Default)]
pub(super) struct PacketClock {
    origin: Option<Timestamp>,
    latest: Timestamp,
}

impl PacketClock {
    /// Places a packet.
    #[inline]
    pub(super) fn place(&mut self, unix_ns: u64) -> Timestamp {
        let steps_back = self.latest.unix_ns.saturating_sub(unix_ns) > LARGEST_DISORDER_NS;
        let origin = match self.origin {
            Some(origin) if !steps_back => origin,
            _ => {
                self.latest.unix_ns = unix_ns;
                let origin = Timestamp { monotonic_ns: self.latest.monotonic_ns, unix_ns };
                *self.origin.insert(origin)
            }
        };
        let since = unix_ns.saturating_sub(origin.unix_ns);
        let monotonic_ns = origin.monotonic_ns.saturating_add(since).max(self.latest.monotonic_ns);
        self.latest = Timestamp { monotonic_ns, unix_ns: unix_ns.max(self.latest.unix_ns) };
        Timestamp { monotonic_ns, unix_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn packets_are_as_far_apart_as_their_times_and_never_go_back() {
        let mut clock = PacketClock::default();
        let mut at = |unix_ns| clock.place(1_700_000_000 * SECOND + unix_ns).monotonic_ns;
        assert_eq!([at(0), at(5), at(3), at(6)], [0, 5, 5, 6]);
    }

    #[test]
    fn after_another_clock_the_time_goes_on_from_where_it_was() {
        let mut clock = PacketClock::default();
        let mut at = |seconds: u64| clock.place(seconds * SECOND).monotonic_ns / SECOND;
        assert_eq!(
            [at(1000), at(1500), at(100), at(107), at(90), at(108)],
            [0, 500, 500, 507, 507, 508]
        );
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let mut clock = PacketClock::default();
        for unix_ns in [0, u64::MAX, 0, u64::MAX, u64::MAX - 1, 7] {
            let placed = clock.place(unix_ns);
            assert_eq!(placed.unix_ns, unix_ns);
        }
    }
}
