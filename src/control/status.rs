//! How the agent is doing: the answer of `GET /v1/status`.
//!
//! Plain values, filled in by the daemon and printed by `nsgwatch status`; the field names are the documentation of
//! the answer. Every hand-over has its counters, and their sums balance:
//! of each interface, kernel packets = engine packets + skipped frames + kernel drops (+ those still in the ring) and
//! flows created = live + ended; of all together, events = records written + lost + queued.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Counters;

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of the agent.
    pub version: String,
    /// When the agent started, RFC 3339, UTC.
    pub started: String,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// The interfaces that are to be watched, each with its rules and counters.
    pub interfaces: Vec<InterfaceStatus>,
    /// The last reload, of the rules of all interfaces together; absent before the first.
    pub last_reload: Option<ReloadStatus>,
    /// What became of the records.
    pub records: RecordStatus,
    /// Who watches the records as they come.
    pub observers: ObserverStatus,
    /// Who asked.
    pub clients: ClientStatus,
}

impl Status {
    /// Returns the sum of the counters of all interfaces of one kind.
    #[must_use]
    pub fn total(&self, of: impl Fn(&InterfaceStatus) -> u64) -> u64 {
        self.interfaces.iter().map(of).sum()
    }
}

/// One watched interface. It is followed by its name: another interface that takes the name is watched next, one that
/// is renamed away is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index, while there is one.
    pub index: Option<u32>,
    /// Whether it is being watched.
    pub state: InterfaceState,
    /// Since when it has not been watched, RFC 3339, UTC; absent while it is.
    pub degraded_since: Option<String>,
    /// The times in which it was not watched and that are over.
    pub gaps: GapStatus,
    /// Its addresses with prefix lengths, as of now or, while it is absent, as they last were.
    pub addresses: Vec<String>,
    /// The rules in force.
    pub rules: RulesStatus,
    /// What the kernel counted.
    pub kernel: KernelStatus,
    /// What the engine counted: packets, skipped frames, flows, verdicts.
    pub engine: Counters,
    /// The most flows that can live at once.
    pub flow_limit: u64,
}

/// Whether an interface is being watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceState {
    /// It is there, up, and its packets are judged.
    Watching,
    /// It is there and down: nothing comes.
    Down,
    /// No interface has the name.
    Absent,
}

impl InterfaceState {
    /// Returns the word of the answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::Down => "down",
            Self::Absent => "absent",
        }
    }
}

/// Times in which an interface was not watched and that are over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapStatus {
    /// How many.
    pub count: u64,
    /// When the last one began, RFC 3339, UTC.
    pub last_start: Option<String>,
    /// When the last one ended, RFC 3339, UTC.
    pub last_end: Option<String>,
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesStatus {
    /// Version: 1 at the start, one more with each successful reload, and with each change of the interface's addresses
    /// where the virtual network is taken from them.
    pub revision: u64,
    /// When the files were read, RFC 3339, UTC.
    pub loaded: String,
    /// Seconds since then.
    pub age_seconds: u64,
    /// The files, in the order in which their contents are summed up.
    pub files: Vec<String>,
    /// CRC-32, as gzip and zip have it, of the contents of all files one behind the other: eight hexadecimal digits.
    pub content_crc32: String,
    /// Group of the subnet.
    pub subnet: Option<GroupStatus>,
    /// Group of the interface.
    pub nic: Option<GroupStatus>,
    /// What the tag `VirtualNetwork` stands for.
    pub virtual_network: Vec<String>,
}

/// One network security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// How many rules it has, defaults included.
    pub rules: usize,
}

/// How a reload went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadStatus {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// Whether new rules are in force.
    pub successful: bool,
    /// Why not; the old rules are still in force then.
    pub errors: Vec<String>,
}

/// What the kernel counted at the capture's socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelStatus {
    /// Packets for the capture, dropped ones included.
    pub packets: u64,
    /// Of these, packets that found the ring full.
    pub drops: u64,
    /// How often the ring ran full.
    pub freezes: u64,
}

/// Records, from the engine to the output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordStatus {
    /// Records that are in the output.
    pub written: u64,
    /// Records lost because the queue was full.
    pub lost_queue_full: u64,
    /// Records lost because the output did not take them.
    pub lost_write_failed: u64,
}

/// Readers of `GET /v1/observe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObserverStatus {
    /// Readers that are there.
    pub readers: usize,
    /// Readers that were turned away because too many were there.
    pub refused: u64,
    /// Records that readers were sent.
    pub delivered: u64,
    /// Records that passed unseen because a reader was too slow, summed over all readers.
    pub lost: u64,
}

/// Clients of the socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientStatus {
    /// Let in.
    pub accepted: u64,
    /// Refused because too many were there.
    pub refused: u64,
}
