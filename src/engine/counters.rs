//! What the engine counts. The sums balance at every moment:
//!
//! * `packets` = packets of all flows, live and ended, + `fragments.undecided`
//! * `flows.created` = `flows.live` + the sum of `flows.ended` = the sum of `verdicts`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EndReason;
use crate::nsg::Access;
use crate::packet::Skip;

/// All counters, as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    /// Packets observed; skipped frames are not among them.
    pub packets: u64,
    /// Bytes of these packets on the wire.
    pub bytes: u64,
    /// Frames that gave no packet, by reason.
    pub skipped: SkipCounters,
    /// Flows.
    pub flows: FlowCounters,
    /// Flows begun, by verdict.
    pub verdicts: VerdictCounters,
    /// Fragments of datagrams.
    pub fragments: FragmentCounters,
    /// ICMP errors.
    pub icmp_errors: IcmpErrorCounters,
}

/// Frames that gave no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SkipCounters {
    /// ARP.
    pub arp: u64,
    /// Another protocol than IP above the link layer.
    pub not_ip: u64,
    /// Too few bytes for the headers up to the addresses.
    pub truncated: u64,
    /// The IP header contradicts itself.
    pub malformed: u64,
}

impl SkipCounters {
    pub(super) fn count(&mut self, skip: Skip) {
        *match skip {
            Skip::Arp => &mut self.arp,
            Skip::NotIp => &mut self.not_ip,
            Skip::Truncated => &mut self.truncated,
            Skip::Malformed => &mut self.malformed,
        } += 1;
    }

    /// Returns the number of all skipped frames.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.arp + self.not_ip + self.truncated + self.malformed
    }
}

/// Flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FlowCounters {
    /// Begun.
    pub created: u64,
    /// In the table.
    pub live: u64,
    /// Ended, by reason.
    pub ended: EndCounters,
}

/// Ended flows, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct EndCounters {
    /// Both sides of a TCP connection closed it.
    pub closed: u64,
    /// A TCP reset.
    pub reset: u64,
    /// No packet for as long as the idle timeout.
    pub idle: u64,
    /// The table was full.
    pub evicted: u64,
    /// The rules changed and say something else of it.
    pub policy_change: u64,
    /// A packet opened a new flow with the same key.
    pub superseded: u64,
    /// The program ends.
    pub shutdown: u64,
}

impl EndCounters {
    pub(super) fn count(&mut self, reason: EndReason) {
        *match reason {
            EndReason::Closed => &mut self.closed,
            EndReason::Reset => &mut self.reset,
            EndReason::Idle => &mut self.idle,
            EndReason::Evicted => &mut self.evicted,
            EndReason::PolicyChange => &mut self.policy_change,
            EndReason::Superseded => &mut self.superseded,
            EndReason::Shutdown => &mut self.shutdown,
        } += 1;
    }

    /// Returns the number of all ended flows.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.closed
            + self.reset
            + self.idle
            + self.evicted
            + self.policy_change
            + self.superseded
            + self.shutdown
    }
}

/// Flows begun, by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VerdictCounters {
    /// Allowed.
    pub allow: u64,
    /// Denied.
    pub deny: u64,
    /// Undecided: a rule that might decide names what nobody knows.
    pub undecided: u64,
}

impl VerdictCounters {
    pub(super) fn count(&mut self, access: Access) {
        *match access {
            Access::Allow => &mut self.allow,
            Access::Deny => &mut self.deny,
            Access::Undecided => &mut self.undecided,
        } += 1;
    }

    /// Returns the number of all verdicts.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.allow + self.deny + self.undecided
    }
}

/// Fragments of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FragmentCounters {
    /// Later fragments counted in the flow of their first one.
    pub joined: u64,
    /// Later fragments whose flow is not known.
    pub undecided: u64,
    /// First fragments forgotten before their time because there were too many.
    pub forgotten: u64,
}

/// ICMP errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct IcmpErrorCounters {
    /// Counted in the flow they quote.
    pub attached: u64,
    /// Quoting no known flow: judged and counted as flows of their own.
    pub unattached: u64,
}
