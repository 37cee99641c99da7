//! The only place where the agent reads clocks.
//!
//! Kernel timestamps of frames are wall-clock time, which may jump; durations and timeouts need a clock that does
//! not. One reading of both clocks a block tells how far they are apart, and every frame of the block is placed on
//! the monotonic clock by that, never before the frame ahead of it and never in the future.

use nix::time::{ClockId, clock_gettime};

use crate::flow::Timestamp;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Turns clock readings into [`Timestamp`]s.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Timestamp,
    latest_ns: u64,
}

impl Clock {
    /// Reads both clocks.
    pub(super) fn read(&mut self) -> Timestamp {
        let read = |clock| {
            clock_gettime(clock).map_or(0, |time| {
                let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
                seconds * NANOS_PER_SECOND + u64::try_from(time.tv_nsec()).unwrap_or(0)
            })
        };
        self.now = Timestamp {
            monotonic_ns: read(ClockId::CLOCK_MONOTONIC),
            unix_ns: read(ClockId::CLOCK_REALTIME),
        };
        self.now
    }

    /// Places a frame's kernel timestamp on the monotonic clock, by the last reading.
    pub(super) fn place(&mut self, unix_ns: u64) -> Timestamp {
        let age_ns = self.now.unix_ns.saturating_sub(unix_ns);
        let monotonic_ns = self.now.monotonic_ns.saturating_sub(age_ns).max(self.latest_ns);
        self.latest_ns = monotonic_ns;
        Timestamp { monotonic_ns, unix_ns }
    }
}

/// Writes a time of day as records do, to the millisecond.
pub(super) fn rfc3339(unix_ns: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(unix_ns);
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic_ns: u64, unix_ns: u64) -> Clock {
        Clock { now: Timestamp { monotonic_ns, unix_ns }, latest_ns: 0 }
    }

    #[test]
    fn a_frame_is_as_old_on_one_clock_as_on_the_other() {
        let placed = at(5_000, 1_000_000).place(999_000);
        assert_eq!(placed, Timestamp { monotonic_ns: 4_000, unix_ns: 999_000 });
    }

    #[test]
    fn a_frame_is_never_before_the_one_ahead_of_it_and_never_in_the_future() {
        let mut clock = at(5_000, 1_000_000);
        assert_eq!(clock.place(999_900).monotonic_ns, 4_900);
        assert_eq!(clock.place(999_100).monotonic_ns, 4_900);
        assert_eq!(clock.place(2_000_000).monotonic_ns, 5_000);
    }

    #[test]
    fn a_jump_of_the_wall_clock_moves_no_frame_on_the_other() {
        const DAY: u64 = 86_400 * NANOS_PER_SECOND;
        let mut clock = at(5_000, DAY);
        assert_eq!(clock.place(DAY - 100).monotonic_ns, 4_900);
        // Set forward: the frame came before, the reading after. It is as old as the one ahead of it at most.
        clock.now = Timestamp { monotonic_ns: 6_000, unix_ns: 2 * DAY };
        assert_eq!(clock.place(DAY).monotonic_ns, 4_900);
        assert_eq!(clock.place(2 * DAY - 100).monotonic_ns, 5_900);
        // Set back.
        clock.now = Timestamp { monotonic_ns: 7_000, unix_ns: DAY };
        assert_eq!(clock.place(2 * DAY).monotonic_ns, 7_000);
        assert_eq!(clock.place(DAY).monotonic_ns, 7_000);
    }

    #[test]
    fn both_clocks_run() {
        let mut clock = Clock::default();
        let (one, two) = (clock.read(), clock.read());
        assert!(one.unix_ns > 0 && one.monotonic_ns > 0 && two >= one);
    }
}
