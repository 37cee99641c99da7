//! One flow of the table: its key, who began it, when it was seen, and what was counted.

use super::age::Class;
use crate::flow::{Direction, FiveTuple, FlowKey, Sender, Timestamp};

/// Packets and bytes that went one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Packets as the capture saw them: a segment that the interface cuts or joins counts once.
    pub packets: u64,
    /// Bytes on the wire, link-layer header included.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn add(&mut self, bytes: u32) {
        self.packets += 1;
        self.bytes += u64::from(bytes);
    }
}

/// Who began a flow, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The end that began it.
    pub initiator: Sender,
    /// Direction of that end's packets.
    pub direction: Direction,
    /// The flow was first met in the middle: who began it is a guess.
    pub midstream: bool,
}

/// One flow. `V` is what the caller decided about it.
///
/// With 16 bytes of it a flow fills two cache lines exactly: what a look-up compares and what was decided stands in the
/// first one, what every packet changes in the second.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Flow<V> {
    pub(super) key: FlowKey,
    pub(super) class: Class,
    pub(super) opening: Opening,
    /// What the caller decided.
    pub value: V,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) to_destination: Traffic,
    pub(super) to_source: Traffic,
}

impl<V> Flow<V> {
    /// Who began it.
    pub const fn opening(&self) -> Opening {
        self.opening
    }

    /// The tuple as the initiator sends it.
    pub fn tuple(&self) -> FiveTuple {
        self.key.tuple_from(self.opening.initiator)
    }

    /// When its first packet was seen.
    pub const fn first(&self) -> Timestamp {
        self.first
    }

    /// When its last packet was seen.
    pub const fn last(&self) -> Timestamp {
        self.last
    }

    /// What the initiator sent.
    pub const fn to_destination(&self) -> Traffic {
        self.to_destination
    }

    /// What the initiator received.
    pub const fn to_source(&self) -> Traffic {
        self.to_source
    }

    /// Says whether the flow is kept only as the memory of a denial.
    pub const fn is_denied(&self) -> bool {
        self.class.is_denied()
    }

    /// Says whether the flow is closed and only waits for late packets.
    pub const fn is_closed(&self) -> bool {
        self.class.is_closed()
    }

    /// Counts a packet.
    #[inline]
    pub fn count(&mut self, now: Timestamp, sender: Sender, bytes: u32) {
        if sender == self.opening.initiator {
            self.to_destination.add(bytes);
        } else {
            self.to_source.add(bytes);
        }
        // Clocks of different sources may run a little apart; a flow never gets younger.
        if now.monotonic_ns >= self.last.monotonic_ns {
            self.last = now;
        }
    }

    /// Begins anew under the same key: no packets yet, first seen now.
    pub fn restart(&mut self, now: Timestamp) {
        self.first = now;
        self.last = now;
        self.to_destination = Traffic::default();
        self.to_source = Traffic::default();
    }
}
