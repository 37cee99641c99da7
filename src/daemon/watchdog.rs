//! The service manager's watchdog: it hears from the agent only as long as all of it makes progress.
//!
//! In come the pulses of the capture threads, out goes whether each has moved since the last time. The control loop
//! asks, and so proves its own progress.

use std::time::Duration;

/// With less time than this between two signs of life, one that is late by a second would end the agent.
const SHORTEST: Duration = Duration::from_secs(4);

/// What was felt last.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    pulses: Vec<u64>,
}

impl Watchdog {
    /// Starts, and warns where the service manager is less patient than the agent is quick.
    pub(super) fn new() -> Self {
        if let Some(patience) = sd_notify::watchdog_enabled()
            && patience < SHORTEST
        {
            tracing::warn!(?patience, "WatchdogSec= of less than 4 s ends an agent that is well");
        }
        Self::default()
    }

    /// Says whether every capture thread has done something since this last said so.
    pub(super) fn is_well(&mut self, pulses: &[u64]) -> bool {
        let all_moved = self.pulses.len() != pulses.len()
            || self.pulses.iter().zip(pulses).all(|(last, now)| last != now);
        if all_moved {
            self.pulses = pulses.to_vec();
        }
        all_moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_that_hangs_is_enough_to_stay_silent() {
        let mut watchdog = Watchdog::default();
        assert!(watchdog.is_well(&[5, 7]));
        assert!(!watchdog.is_well(&[6, 7]));
        assert!(!watchdog.is_well(&[9, 7]));
        assert!(watchdog.is_well(&[9, 8]), "late, but alive");
        assert!(!watchdog.is_well(&[9, 9]));
    }
}
