//! Frames against etherparse's strict reading: what it accepts as a whole packet is the same packet here.

use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nsgwatch::flow::{Ports, Protocol};
use nsgwatch::packet::{Fragment, LinkType, PacketKind, TcpFlags, parse};

/// The first byte is the link type, the rest the frame.
pub fn check(input: &[u8]) {
    let [link, frame @ ..] = input else { return };
    let (link, strict) = if link & 1 == 0 {
        (LinkType::Ethernet, SlicedPacket::from_ethernet(frame))
    } else {
        (LinkType::Ip, SlicedPacket::from_ip(frame))
    };
    let Ok(strict) = strict else { return };
    let Ok(wire_length) = u32::try_from(frame.len()) else { return };
    let parsed = parse(link, frame, wire_length);
    let Some((source, destination)) = addresses(&strict) else {
        assert!(parsed.is_err(), "an IP packet where there is none: {parsed:?}");
        return;
    };
    let Ok(packet) = parsed else {
        panic!("{parsed:?} where there is a packet from {source} to {destination}")
    };
    let tuple = packet.tuple;
    assert_eq!((tuple.source, tuple.destination), (source, destination));
    if tuple.protocol == Protocol::AH {
        // etherparse reads on behind it; a rule for AH means the packet as it is.
        assert_eq!(tuple.ports, Ports::Absent);
        return;
    }
    let is_fragment = strict.is_ip_payload_fragmented();
    assert_eq!(packet.fragment != Fragment::Whole, is_fragment);
    let pair = |source, destination| Ports::Pair { source, destination };
    match strict.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            assert_eq!(tuple.protocol, Protocol::TCP);
            assert_eq!(tuple.ports, pair(tcp.source_port(), tcp.destination_port()));
            assert_eq!(packet.kind, PacketKind::Tcp(TcpFlags(tcp.slice()[13])));
        }
        Some(TransportSlice::Udp(udp)) => {
            assert_eq!(tuple.protocol, Protocol::UDP);
            assert_eq!(tuple.ports, pair(udp.source_port(), udp.destination_port()));
        }
        Some(TransportSlice::Icmpv4(_)) => assert_eq!(tuple.protocol, Protocol::ICMP),
        Some(TransportSlice::Icmpv6(_)) => assert_eq!(tuple.protocol, Protocol::ICMPV6),
        Some(TransportSlice::Igmp(_)) => assert_eq!(tuple.protocol, Protocol(2)),
        None => {}
    }
}

fn addresses(strict: &SlicedPacket<'_>) -> Option<(IpAddr, IpAddr)> {
    match strict.net.as_ref()? {
        NetSlice::Ipv4(slice) => {
            let header = slice.header();
            Some((header.source_addr().into(), header.destination_addr().into()))
        }
        NetSlice::Ipv6(slice) => {
            let header = slice.header();
            Some((header.source_addr().into(), header.destination_addr().into()))
        }
        NetSlice::Arp(_) => None,
    }
}
