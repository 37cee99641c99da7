//! One policy snapshot, one flow table, and the counters: what becomes of each packet.

use crate::flow::{Direction, FiveTuple, Timestamp};
use crate::nsg::Verdict;

/// Packets and bytes that went one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Packets as the capture saw them: a segment that the interface cuts or joins counts once.
    pub packets: u64,
    /// Bytes on the wire, link-layer header included.
    pub bytes: u64,
}

/// A flow as its initiator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRecord {
    /// The tuple as the initiator sends it: its source is the initiator.
    pub tuple: FiveTuple,
    /// Direction of the initiator's packets.
    pub direction: Direction,
    /// What the rules said of the packet that opened the flow.
    pub verdict: Verdict,
    /// The flow was first met in the middle: who began it is a guess.
    pub midstream: bool,
    /// The first packet seen.
    pub first: Timestamp,
    /// The last packet seen.
    pub last: Timestamp,
    /// From the initiator.
    pub to_destination: Traffic,
    /// To the initiator.
    pub to_source: Traffic,
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndReason {
    /// Both sides of a TCP connection closed it.
    Closed,
    /// A TCP reset.
    Reset,
    /// No packet for as long as the idle timeout.
    Idle,
    /// The table was full.
    Evicted,
    /// The rules changed and say something else of it.
    PolicyChange,
    /// A packet opened a new flow with the same key.
    Superseded,
    /// The program ends.
    Shutdown,
}

impl EndReason {
    /// Returns the word used in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Idle => "idle",
            Self::Evicted => "evicted",
            Self::PolicyChange => "policy_change",
            Self::Superseded => "superseded",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What the engine tells the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The flow, as it stands at this moment.
    pub flow: FlowRecord,
    /// `None` at its start, the reason at its end.
    pub end: Option<EndReason>,
}
