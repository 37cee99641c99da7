//! Whole frames with right checksums, each unlike all others: the last four bytes hold its number.

use std::net::IpAddr;

use etherparse::{
    IcmpEchoHeader, Icmpv4Type, Icmpv6Type, IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep,
    TcpHeader, icmpv4, icmpv6,
};
use nsgwatch::flow::{FiveTuple, Ports, Protocol};
use nsgwatch::packet::TcpFlags;

pub(crate) const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const RECEIVER: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const ETHERNET_LENGTH: usize = 14;
const HOPS: u8 = 64;
/// What an AH header protects here: "for experiments" (RFC 3692), so that nobody looks for ports in it. In IPv6 the
/// kernel looks through AH.
const INSIDE_AH: u8 = 253;
/// ICMP timestamp, and an ICMPv6 type "for private experimentation".
const TIMESTAMP: u8 = 13;
const EXPERIMENT: u8 = 200;

/// What a packet says beside its tuple.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// The plainest packet of its protocol; of ICMP an echo request if it has an identifier.
    Plain,
    /// ICMP or ICMPv6 echo reply.
    EchoReply,
    /// A segment with these flags, sequence and acknowledgement number.
    Tcp { flags: TcpFlags, sequence: u32, acknowledgement: u32 },
    /// ICMP or ICMPv6 "port unreachable" that quotes the IP packet.
    Unreachable { quoted: Vec<u8> },
}

/// Makes the frame.
pub(crate) fn frame(tuple: &FiveTuple, content: &Content, number: u32) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(SENDER, RECEIVER);
    let ip = match (tuple.source, tuple.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet.ipv4(source.octets(), destination.octets(), HOPS)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet.ipv6(source.octets(), destination.octets(), HOPS)
        }
        mixed => panic!("two families: {mixed:?}"),
    };
    let number = number.to_be_bytes();
    match (tuple.protocol, tuple.ports) {
        (Protocol::TCP, Ports::Pair { source, destination }) => {
            tcp(ip, TcpHeader::new(source, destination, 0, 65_000), content, &number)
        }
        (Protocol::UDP, Ports::Pair { source, destination }) => {
            let mut bytes = Vec::new();
            ip.udp(source, destination).write(&mut bytes, &number).unwrap();
            bytes
        }
        (Protocol::ICMP, ports) if tuple.source.is_ipv4() => icmpv4(ip, ports, content, &number),
        (Protocol::ICMPV6, ports) if tuple.source.is_ipv6() => icmpv6(ip, ports, content, &number),
        (protocol, Ports::Absent) => portless(ip, protocol, &number),
        (protocol, ports) => panic!("no such packet: {protocol} {ports:?}"),
    }
}

/// The IP packet in a frame.
pub(crate) fn ip_packet(frame: &[u8]) -> &[u8] {
    &frame[ETHERNET_LENGTH..]
}

fn tcp(
    ip: PacketBuilderStep<IpHeaders>,
    mut header: TcpHeader,
    content: &Content,
    payload: &[u8],
) -> Vec<u8> {
    header.syn = true;
    if let Content::Tcp { flags, sequence, acknowledgement } = content {
        header.syn = flags.contains(TcpFlags::SYN);
        header.ack = flags.contains(TcpFlags::ACK);
        header.fin = flags.contains(TcpFlags::FIN);
        header.rst = flags.contains(TcpFlags::RST);
        header.sequence_number = *sequence;
        header.acknowledgment_number = *acknowledgement;
    }
    let mut bytes = Vec::new();
    ip.tcp_header(header).write(&mut bytes, payload).unwrap();
    bytes
}

fn icmpv4(
    ip: PacketBuilderStep<IpHeaders>,
    ports: Ports,
    content: &Content,
    number: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let unreachable = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
    let done = match (ports, content) {
        (_, Content::Unreachable { quoted }) => {
            ip.icmpv4(unreachable).write(&mut bytes, &[quoted, number].concat())
        }
        (Ports::Echo(id), Content::EchoReply) => {
            let echo = IcmpEchoHeader { id, seq: 1 };
            ip.icmpv4(Icmpv4Type::EchoReply(echo)).write(&mut bytes, number)
        }
        (Ports::Echo(id), _) => ip.icmpv4_echo_request(id, 1).write(&mut bytes, number),
        // Three timestamps are part of the header.
        _ => {
            ip.icmpv4_raw(TIMESTAMP, 0, [0; 4]).write(&mut bytes, &[&[0; 12][..], number].concat())
        }
    };
    done.unwrap();
    bytes
}

fn icmpv6(
    ip: PacketBuilderStep<IpHeaders>,
    ports: Ports,
    content: &Content,
    number: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let unreachable = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
    let done = match (ports, content) {
        (_, Content::Unreachable { quoted }) => {
            ip.icmpv6(unreachable).write(&mut bytes, &[quoted, number].concat())
        }
        (Ports::Echo(id), Content::EchoReply) => {
            let echo = IcmpEchoHeader { id, seq: 1 };
            ip.icmpv6(Icmpv6Type::EchoReply(echo)).write(&mut bytes, number)
        }
        (Ports::Echo(id), _) => ip.icmpv6_echo_request(id, 1).write(&mut bytes, number),
        _ => ip.icmpv6_raw(EXPERIMENT, 0, [0; 4]).write(&mut bytes, number),
    };
    done.unwrap();
    bytes
}

fn portless(ip: PacketBuilderStep<IpHeaders>, protocol: Protocol, number: &[u8]) -> Vec<u8> {
    let header: &[u8] = if protocol == Protocol::AH {
        // Six words in all: next header, length in words less two, SPI, sequence number, 12 bytes of check value.
        &[INSIDE_AH, 4, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    } else {
        // The SPI and sequence number of ESP; what looks like ports must not be taken for them.
        &[0, 0, 0, 80, 0, 0, 1, 187]
    };
    let mut bytes = Vec::new();
    ip.write(&mut bytes, IpNumber(protocol.0), &[header, number].concat()).unwrap();
    bytes
}
