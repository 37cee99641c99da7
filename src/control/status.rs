//! How the agent is doing: the answer of `GET /v1/status`.
//!
//! Plain values, filled in by the daemon and printed by `nsgwatch status`; the field names are the documentation of
//! the answer. Every hand-over has its counters, and their sums balance:
//! kernel packets = engine packets + skipped frames + kernel drops (+ those still in the ring);
//! flows created = live + ended; events = records written + lost + queued.

use serde::{Deserialize, Serialize};

use crate::engine::Counters;

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the agent.
    pub version: String,
    /// When the agent started, RFC 3339, UTC.
    pub started: String,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// The interface that is watched.
    pub interface: InterfaceStatus,
    /// The rules in force.
    pub rules: RulesStatus,
    /// What the kernel counted.
    pub kernel: KernelStatus,
    /// What the engine counted: packets, skipped frames, flows, verdicts.
    pub engine: Counters,
    /// The most flows that can live at once.
    pub flow_limit: u64,
    /// What became of the records.
    pub records: RecordStatus,
    /// Who asked.
    pub clients: ClientStatus,
}

/// The watched interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its addresses with prefix lengths.
    pub addresses: Vec<String>,
}

/// The rules in force, and how the last reload went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesStatus {
    /// Version: 1 at the start, one more with each successful reload.
    pub revision: u64,
    /// When this version was loaded, RFC 3339, UTC.
    pub loaded: String,
    /// Group of the subnet.
    pub subnet: Option<GroupStatus>,
    /// Group of the interface.
    pub nic: Option<GroupStatus>,
    /// What the tag `VirtualNetwork` stands for.
    pub virtual_network: Vec<String>,
    /// The last reload; absent before the first.
    pub last_reload: Option<ReloadStatus>,
}

/// One network security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// How many rules it has, defaults included.
    pub rules: usize,
}

/// How a reload went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// Whether new rules are in force.
    pub successful: bool,
    /// Why not; the old rules are still in force then.
    pub errors: Vec<String>,
}

/// What the kernel counted at the capture's socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelStatus {
    /// Packets for the capture, dropped ones included.
    pub packets: u64,
    /// Of these, packets that found the ring full.
    pub drops: u64,
    /// How often the ring ran full.
    pub freezes: u64,
}

/// Records, from the engine to the output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStatus {
    /// Records that are in the output.
    pub written: u64,
    /// Records lost because the queue was full.
    pub lost_queue_full: u64,
    /// Records lost because the output did not take them.
    pub lost_write_failed: u64,
}

/// Clients of the socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// Let in.
    pub accepted: u64,
    /// Refused because too many were there.
    pub refused: u64,
}
