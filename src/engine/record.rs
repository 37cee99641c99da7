//! What the engine tells the outside about a flow.

use std::net::IpAddr;

use super::tcp::TcpStage;
use crate::flow::{Direction, FiveTuple, Protocol, Timestamp};
use crate::flow_table::Traffic;
use crate::nsg::{Access, RuleName, Verdict};

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
    /// How far the TCP connection has come; `None` for other protocols.
    pub tcp: Option<TcpStage>,
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

impl Event {
    /// Says that a flow begins.
    #[must_use]
    pub const fn start(flow: FlowRecord) -> Self {
        Self { flow, end: None }
    }

    /// Says that a flow ended.
    #[must_use]
    pub const fn end(flow: FlowRecord, reason: EndReason) -> Self {
        Self { flow, end: Some(reason) }
    }
}

/// Which events of a flow are told. Counters count all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Told {
    /// The start and the end.
    #[default]
    Both,
    /// Only the start.
    Start,
    /// Only the end.
    End,
}

/// Which flows are asked for; a field that is `None` takes all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowFilter {
    /// Only flows with this verdict.
    pub access: Option<Access>,
    /// Only flows whose initiator sends this way.
    pub direction: Option<Direction>,
    /// Only flows of this protocol.
    pub protocol: Option<Protocol>,
    /// Only flows with this address on either side.
    pub address: Option<IpAddr>,
    /// Only flows with this port on either side.
    pub port: Option<u16>,
    /// Only flows that this rule decided about, in whatever spelling.
    pub rule: Option<RuleName>,
}

impl FlowFilter {
    /// Says whether a flow is asked for.
    #[must_use]
    pub fn accepts(&self, flow: &FlowRecord) -> bool {
        let tuple = &flow.tuple;
        let ports = [tuple.ports.source(), tuple.ports.destination()];
        self.access.is_none_or(|access| access == flow.verdict.access)
            && self.direction.is_none_or(|direction| direction == flow.direction)
            && self.protocol.is_none_or(|protocol| protocol == tuple.protocol)
            && self
                .address
                .is_none_or(|address| tuple.source == address || tuple.destination == address)
            && self.port.is_none_or(|port| ports.contains(&Some(port)))
            && self
                .rule
                .as_ref()
                .is_none_or(|name| flow.verdict.rule.as_ref().is_some_and(|rule| name.names(rule)))
    }
}
