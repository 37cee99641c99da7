//! Which packets open a flow, and who began it (architecture.md decision 5).

use crate::flow::{Direction, Ports, Protocol, Sender};
use crate::flow_table::Opening;
use crate::packet::{Packet, PacketKind, TcpFlags};

/// Says whether a packet asks for a TCP connection.
pub(super) const fn is_first_syn(kind: PacketKind) -> bool {
    matches!(kind, PacketKind::Tcp(flags)
        if flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK))
}

/// Says whether a packet can be the first of a flow that its sender begins.
pub(super) fn can_open(packet: &Packet) -> bool {
    match packet.kind {
        PacketKind::EchoReply | PacketKind::IcmpError { .. } => false,
        PacketKind::EchoRequest => true,
        kind => packet.tuple.protocol != Protocol::TCP || is_first_syn(kind),
    }
}

/// Says who began the flow of a packet that no known flow claims.
pub(super) fn opening_of(direction: Direction, packet: &Packet, sender: Sender) -> Opening {
    let from_sender = Opening { initiator: sender, direction, midstream: false };
    let from_receiver =
        Opening { initiator: sender.other(), direction: direction.reversed(), midstream: true };
    match packet.kind {
        kind if is_first_syn(kind) => from_sender,
        PacketKind::Tcp(flags) if flags.contains(TcpFlags::SYN) => from_receiver,
        PacketKind::EchoReply => from_receiver,
        _ if packet.tuple.protocol != Protocol::TCP => from_sender,
        // Servers listen on low ports.
        _ => match packet.tuple.ports {
            Ports::Pair { source, destination } if source < destination => from_receiver,
            _ => Opening { midstream: true, ..from_sender },
        },
    }
}
