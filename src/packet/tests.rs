use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, PacketBuilder, ip_number,
};
use proptest::prelude::*;

use super::*;
use crate::flow::Ports;

const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 2];
const V4_A: [u8; 4] = [10, 0, 0, 4];
const V4_B: [u8; 4] = [203, 0, 113, 9];
const V6_A: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa];
const V6_B: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb];

fn parse_ethernet(frame: &[u8]) -> Result<Packet, Skip> {
    parse(LinkType::Ethernet, frame, u32::try_from(frame.len()).unwrap())
}

/// An Ethernet frame with any type and payload.
fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&MAC_B[..], &MAC_A, &ether_type.to_be_bytes(), payload].concat()
}

/// A whole IPv4 packet without link layer.
fn ipv4(protocol: IpNumber, payload: &[u8]) -> Vec<u8> {
    ipv4_fragment(protocol, payload, 0, false)
}

fn ipv4_fragment(protocol: IpNumber, payload: &[u8], offset: u16, more: bool) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut header = Ipv4Header::new(length, 64, protocol, V4_A, V4_B).unwrap();
    header.identification = 0x1234;
    header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
    header.more_fragments = more;
    let mut bytes = Vec::new();
    header.write(&mut bytes).unwrap();
    bytes.extend_from_slice(payload);
    bytes
}

/// A whole IPv6 packet without link layer, `next` being the number of what the payload starts with.
fn ipv6(next: IpNumber, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        payload_length: u16::try_from(payload.len()).unwrap(),
        next_header: next,
        hop_limit: 64,
        source: V6_A,
        destination: V6_B,
        ..Ipv6Header::default()
    };
    [&header.to_bytes()[..], payload].concat()
}

fn ipv6_fragment_header(next: IpNumber, offset: u16, more: bool) -> Vec<u8> {
    let offset = IpFragOffset::try_new(offset).unwrap();
    Ipv6FragmentHeader::new(next, offset, more, 0xdead_beef).to_bytes().to_vec()
}

fn udp_bytes(source: u16, destination: u16) -> Vec<u8> {
    let length = 12_u16;
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &length.to_be_bytes(), &[0; 6]].concat()
}

fn tcp_syn_frame() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC_A, MAC_B)
        .ipv4(V4_A, V4_B, 64)
        .tcp(50_000, 443, 7, 1024)
        .syn()
        .write(&mut frame, b"hello")
        .unwrap();
    frame
}

fn v6_frame(ethernet_payload: &[u8]) -> Vec<u8> {
    ethernet(0x86dd, ethernet_payload)
}

const fn pair(source: u16, destination: u16) -> Ports {
    Ports::Pair { source, destination }
}

#[test]
fn a_tcp_segment_gives_its_tuple_and_flags() {
    let packet = parse(LinkType::Ethernet, &tcp_syn_frame(), 1514).unwrap();
    assert_eq!(
        packet,
        Packet {
            tuple: FiveTuple {
                protocol: Protocol::TCP,
                source: V4_A.into(),
                destination: V4_B.into(),
                ports: pair(50_000, 443),
            },
            kind: PacketKind::Tcp(TcpFlags::SYN),
            fragment: Fragment::Whole,
            wire_length: 1514,
        }
    );
}

#[test]
fn a_udp_datagram_built_by_pnet_gives_its_tuple() {
    use pnet::packet::ip::IpNextHeaderProtocols;
    use pnet::packet::ipv6::MutableIpv6Packet;
    use pnet::packet::udp::MutableUdpPacket;

    let mut bytes = vec![0; 48];
    {
        let mut ip = MutableIpv6Packet::new(&mut bytes).unwrap();
        ip.set_version(6);
        ip.set_payload_length(8);
        ip.set_next_header(IpNextHeaderProtocols::Udp);
        ip.set_source(V6_A.into());
        ip.set_destination(V6_B.into());
    }
    let mut udp = MutableUdpPacket::new(&mut bytes[40..]).unwrap();
    udp.set_source(5353);
    udp.set_destination(53);
    udp.set_length(8);
    for packet in [parse_ethernet(&v6_frame(&bytes)), parse(LinkType::Ip, &bytes, 48)] {
        let packet = packet.unwrap();
        assert_eq!(packet.tuple.to_string(), "udp [2001:db8::a]:5353 -> [2001:db8::b]:53");
        assert_eq!(packet.kind, PacketKind::Other);
    }
}

#[test]
fn up_to_three_vlan_tags_inside_the_frame_are_looked_through() {
    let ip = ipv4(IpNumber::UDP, &udp_bytes(1, 2));
    let tag =
        |ether_type: u16| [0x00, 0x2a, ether_type.to_be_bytes()[0], ether_type.to_be_bytes()[1]];
    let one = [&tag(0x0800)[..], &ip].concat();
    let two = [&tag(0x8100)[..], &one].concat();
    let three = [&tag(0x8100)[..], &two].concat();
    let four = [&tag(0x8100)[..], &three].concat();
    for (ether_type, payload) in [(0x8100, &one), (0x88a8, &two), (0x9100, &two), (0x88a8, &three)]
    {
        let packet = parse_ethernet(&ethernet(ether_type, payload)).unwrap();
        assert_eq!(packet.tuple.ports, pair(1, 2), "{ether_type:#x}");
    }
    assert_eq!(parse_ethernet(&ethernet(0x88a8, &four)), Err(Skip::NotIp));
    let only_tag = ethernet(0x8100, &[0, 1]);
    assert_eq!(parse_ethernet(&only_tag), Err(Skip::Truncated));
}

#[test]
fn frames_without_an_ip_packet_say_why() {
    let mut short_header = ipv4(IpNumber::UDP, &udp_bytes(1, 2));
    short_header[0] = 0x44;
    let mut short_total = ipv4(IpNumber::UDP, &udp_bytes(1, 2));
    short_total[2..4].copy_from_slice(&19_u16.to_be_bytes());
    let whole = ipv4(IpNumber::UDP, &udp_bytes(1, 2));
    let mut with_options = whole.clone();
    with_options[0] = 0x4f;
    let cases: &[(&str, Vec<u8>, Skip)] = &[
        ("nothing", vec![], Skip::Truncated),
        ("half an Ethernet header", vec![0; 13], Skip::Truncated),
        ("ARP", ethernet(0x0806, &[0; 28]), Skip::Arp),
        ("a cut ARP", ethernet(0x0806, &[0; 3]), Skip::Arp),
        ("LLDP", ethernet(0x88cc, &[0; 60]), Skip::NotIp),
        ("spanning tree, with a length for a type", ethernet(38, &[0x42; 38]), Skip::NotIp),
        ("IPv4 without a byte", ethernet(0x0800, &[]), Skip::Truncated),
        ("19 bytes of IPv4", ethernet(0x0800, &whole[..19]), Skip::Truncated),
        ("39 bytes of IPv6", v6_frame(&ipv6(IpNumber::UDP, &[])[..39]), Skip::Truncated),
        ("IPv4 options that are cut", ethernet(0x0800, &with_options[..28]), Skip::Truncated),
        ("an IPv4 header length of 16", ethernet(0x0800, &short_header), Skip::Malformed),
        ("an IPv4 total length of 19", ethernet(0x0800, &short_total), Skip::Malformed),
        ("IPv4 announced as IPv6", v6_frame(&whole), Skip::Malformed),
        (
            "IPv6 announced as IPv4",
            ethernet(0x0800, &ipv6(IpNumber::UDP, &[0; 8])),
            Skip::Malformed,
        ),
        ("IP version 5", ethernet(0x0800, &[0x55; 40]), Skip::Malformed),
    ];
    for (name, frame, reason) in cases {
        assert_eq!(parse_ethernet(frame), Err(*reason), "{name}");
    }
    assert_eq!(parse(LinkType::Ip, &[0x55; 40], 40), Err(Skip::NotIp));
    assert_eq!(parse(LinkType::Ip, &[], 0), Err(Skip::Truncated));
    assert_eq!(parse(LinkType::Ip, &short_header, 32), Err(Skip::Malformed));
}

#[test]
fn protocols_without_ports_are_known_by_number() {
    let payload = udp_bytes(4500, 4500);
    for number in [2, 4, 41, 47, 50, 51, 89, 132, 253] {
        for bytes in [
            ethernet(0x0800, &ipv4(IpNumber(number), &payload)),
            v6_frame(&ipv6(IpNumber(number), &payload)),
        ] {
            let packet = parse_ethernet(&bytes).unwrap();
            assert_eq!(packet.tuple.protocol, Protocol(number));
            assert_eq!(packet.tuple.ports, Ports::Absent, "protocol {number}");
            assert_eq!(packet.kind, PacketKind::Other);
        }
    }
}

#[test]
fn an_authentication_header_is_not_looked_through() {
    let authentication = [&[17, 4, 0, 0][..], &[0; 20]].concat();
    let bytes = [&authentication[..], &udp_bytes(1, 2)].concat();
    for frame in [
        ethernet(0x0800, &ipv4(ip_number::AUTH, &bytes)),
        v6_frame(&ipv6(ip_number::AUTH, &bytes)),
        v6_frame(&ipv6(
            ip_number::IPV6_DEST_OPTIONS,
            &[&[51, 0, 1, 4, 0, 0, 0, 0][..], &bytes].concat(),
        )),
    ] {
        let packet = parse_ethernet(&frame).unwrap();
        assert_eq!((packet.tuple.protocol, packet.tuple.ports), (Protocol::AH, Ports::Absent));
    }
}

#[test]
fn ipv6_extension_headers_are_looked_through() {
    let hop_by_hop = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let routing =
        |next: u8| vec![next, 2, 4, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
    let chain = [hop_by_hop(43), routing(60), hop_by_hop(17), udp_bytes(7, 8)].concat();
    let packet = parse_ethernet(&v6_frame(&ipv6(ip_number::IPV6_HOP_BY_HOP, &chain))).unwrap();
    assert_eq!((packet.tuple.protocol, packet.tuple.ports), (Protocol::UDP, pair(7, 8)));

    let to_esp = [hop_by_hop(50), udp_bytes(7, 8)].concat();
    let packet = parse_ethernet(&v6_frame(&ipv6(ip_number::IPV6_HOP_BY_HOP, &to_esp))).unwrap();
    assert_eq!((packet.tuple.protocol, packet.tuple.ports), (Protocol::ESP, Ports::Absent));

    let long = [vec![17, 255, 1, 4], vec![0; 100]].concat();
    let packet = parse_ethernet(&v6_frame(&ipv6(ip_number::IPV6_DEST_OPTIONS, &long))).unwrap();
    assert_eq!((packet.tuple.protocol, packet.tuple.ports), (Protocol(60), Ports::Absent));
}

#[test]
fn a_chain_of_extension_headers_as_long_as_the_frame_ends() {
    let header = [60, 0, 1, 4, 0, 0, 0, 0];
    let chain = header.repeat(8000);
    let packet = parse_ethernet(&v6_frame(&ipv6(ip_number::IPV6_DEST_OPTIONS, &chain))).unwrap();
    assert_eq!((packet.tuple.protocol, packet.tuple.ports), (Protocol(60), Ports::Absent));
}

#[test]
fn only_a_first_fragment_has_ports() {
    let id = FragmentId {
        source: V4_A.into(),
        destination: V4_B.into(),
        protocol: Protocol::UDP,
        identification: 0x1234,
    };
    let udp = udp_bytes(1000, 2000);
    let cases = [
        (0, true, Fragment::First(id), pair(1000, 2000)),
        (1, true, Fragment::Later(id), Ports::Absent),
        (185, false, Fragment::Later(id), Ports::Absent),
        (0, false, Fragment::Whole, pair(1000, 2000)),
    ];
    for (offset, more, fragment, ports) in cases {
        let frame = ethernet(0x0800, &ipv4_fragment(IpNumber::UDP, &udp, offset, more));
        let packet = parse_ethernet(&frame).unwrap();
        assert_eq!((packet.fragment, packet.tuple.ports), (fragment, ports), "offset {offset}");
    }
}

#[test]
fn only_a_first_ipv6_fragment_has_ports_and_an_atomic_one_is_whole() {
    let id = |protocol| FragmentId {
        source: V6_A.into(),
        destination: V6_B.into(),
        protocol,
        identification: 0xdead_beef,
    };
    let udp = udp_bytes(1000, 2000);
    let cases = [
        (0, true, Fragment::First(id(Protocol::UDP)), pair(1000, 2000)),
        (9, true, Fragment::Later(id(Protocol::UDP)), Ports::Absent),
        (9, false, Fragment::Later(id(Protocol::UDP)), Ports::Absent),
        (0, false, Fragment::Whole, pair(1000, 2000)),
    ];
    for (offset, more, fragment, ports) in cases {
        let bytes = [ipv6_fragment_header(IpNumber::UDP, offset, more), udp.clone()].concat();
        let packet = parse_ethernet(&v6_frame(&ipv6(ip_number::IPV6_FRAG, &bytes))).unwrap();
        assert_eq!((packet.fragment, packet.tuple.ports), (fragment, ports), "offset {offset}");
        assert_eq!(packet.tuple.protocol, Protocol::UDP);
    }
    // The payload of this later fragment looks like a destination options header and a UDP header.
    let garbage = [
        ipv6_fragment_header(ip_number::IPV6_DEST_OPTIONS, 9, true),
        vec![17, 0, 1, 4, 0, 0, 0, 0],
        udp,
    ]
    .concat();
    let packet = parse_ethernet(&v6_frame(&ipv6(ip_number::IPV6_FRAG, &garbage))).unwrap();
    assert_eq!(packet.fragment, Fragment::Later(id(Protocol(60))));
    assert_eq!((packet.tuple.protocol, packet.tuple.ports), (Protocol(60), Ports::Absent));
}

#[test]
fn unset_length_fields_of_segmentation_offload_do_not_hide_the_ports() {
    let mut v4 = ipv4(IpNumber::TCP, &tcp_syn_frame()[34..]);
    v4[2..4].fill(0);
    let mut v6 = ipv6(IpNumber::TCP, &tcp_syn_frame()[34..]);
    v6[4..6].fill(0);
    for frame in [ethernet(0x0800, &v4), v6_frame(&v6)] {
        let packet = parse(LinkType::Ethernet, &frame, 65_226).unwrap();
        assert_eq!(packet.tuple.ports, pair(50_000, 443));
        assert_eq!(packet.kind, PacketKind::Tcp(TcpFlags::SYN));
        assert_eq!(packet.wire_length, 65_226);
    }
}

#[test]
fn padding_behind_a_packet_is_not_taken_for_its_transport_header() {
    let padding = [0xaa; 26];
    let empty_v4 = ethernet(0x0800, &[ipv4(IpNumber::TCP, &[]), padding.to_vec()].concat());
    let empty_v6 = v6_frame(&[ipv6(IpNumber::TCP, &[]), padding[..6].to_vec()].concat());
    for frame in [empty_v4, empty_v6] {
        let packet = parse_ethernet(&frame).unwrap();
        assert_eq!((packet.tuple.ports, packet.kind), (Ports::Absent, PacketKind::Other));
    }
}

#[test]
fn a_frame_cut_at_any_length_gives_true_ports_or_none() {
    let udp_v6 = [ipv6_fragment_header(IpNumber::UDP, 0, true), udp_bytes(1, 2)].concat();
    let frames = [
        (tcp_syn_frame(), 14 + 20, pair(50_000, 443)),
        (ethernet(0x0800, &ipv4(IpNumber::UDP, &udp_bytes(1, 2))), 14 + 20, pair(1, 2)),
        (
            ethernet(0x0800, &ipv4_fragment(IpNumber::UDP, &udp_bytes(1, 2), 0, true)),
            34,
            pair(1, 2),
        ),
        (v6_frame(&ipv6(IpNumber::UDP, &udp_bytes(1, 2))), 14 + 40, pair(1, 2)),
        (v6_frame(&ipv6(ip_number::IPV6_FRAG, &udp_v6)), 14 + 40 + 8, pair(1, 2)),
    ];
    for (frame, transport_at, ports) in frames {
        let whole = parse_ethernet(&frame).unwrap();
        let ip_header_end = if whole.tuple.source.is_ipv4() { 34 } else { 54 };
        for length in 0..=frame.len() {
            match parse_ethernet(&frame[..length]) {
                Err(reason) => {
                    assert_eq!(reason, Skip::Truncated);
                    assert!(length < ip_header_end, "{length} bytes");
                }
                Ok(packet) => {
                    assert_eq!(packet.tuple.source, whole.tuple.source);
                    assert_eq!(packet.tuple.destination, whole.tuple.destination);
                    let expected = if length < transport_at + 4 { Ports::Absent } else { ports };
                    assert_eq!(packet.tuple.ports, expected, "{length} bytes");
                    let has_flags = length >= transport_at + 14;
                    let kind = if has_flags { whole.kind } else { PacketKind::Other };
                    assert_eq!(packet.kind, kind, "{length} bytes");
                }
            }
        }
    }
}

#[test]
fn an_echo_is_told_apart_by_its_identifier() {
    let echo = |icmp_type: u8| vec![icmp_type, 0, 0, 0, 0x12, 0x34, 0, 1, 9, 9];
    let cases = [
        (ethernet(0x0800, &ipv4(IpNumber::ICMP, &echo(8))), PacketKind::EchoRequest),
        (ethernet(0x0800, &ipv4(IpNumber::ICMP, &echo(0))), PacketKind::EchoReply),
        (v6_frame(&ipv6(ip_number::IPV6_ICMP, &echo(128))), PacketKind::EchoRequest),
        (v6_frame(&ipv6(ip_number::IPV6_ICMP, &echo(129))), PacketKind::EchoReply),
        (
            ethernet(0x0800, &ipv4_fragment(IpNumber::ICMP, &echo(8), 0, true)),
            PacketKind::EchoRequest,
        ),
    ];
    for (frame, kind) in cases {
        let packet = parse_ethernet(&frame).unwrap();
        assert_eq!((packet.kind, packet.tuple.ports), (kind, Ports::Echo(0x1234)));
    }
}

#[test]
fn icmp_that_is_no_whole_echo_has_no_identifier() {
    let cut_echo = ethernet(0x0800, &ipv4(IpNumber::ICMP, &[8, 0, 0, 0, 0x12]));
    let timestamp = ethernet(0x0800, &ipv4(IpNumber::ICMP, &[13; 20]));
    let neighbour = v6_frame(&ipv6(ip_number::IPV6_ICMP, &[135; 24]));
    let wrong_family = v6_frame(&ipv6(IpNumber::ICMP, &[8, 0, 0, 0, 1, 2, 0, 0]));
    let empty = ethernet(0x0800, &ipv4(IpNumber::ICMP, &[]));
    for frame in [cut_echo, timestamp, neighbour, wrong_family, empty] {
        let packet = parse_ethernet(&frame).unwrap();
        assert_eq!((packet.kind, packet.tuple.ports), (PacketKind::Other, Ports::Absent));
    }
}

fn quoted(frame: &[u8]) -> Option<FiveTuple> {
    let packet = parse_ethernet(frame).unwrap();
    assert_eq!(packet.tuple.ports, Ports::Absent);
    match packet.kind {
        PacketKind::IcmpError { quoted } => quoted,
        other => panic!("no error: {other:?}"),
    }
}

#[test]
fn an_icmp_error_names_the_packet_it_quotes() {
    let error =
        |icmp_type: u8, quote: &[u8]| [&[icmp_type, 1, 0, 0, 0, 0, 0, 0][..], quote].concat();
    // RFC 792 quotes the IP header and eight bytes.
    let quote = &ipv4(IpNumber::UDP, &[&udp_bytes(1, 2)[..], &[0; 100]].concat())[..28];
    for icmp_type in [3, 4, 5, 11, 12] {
        let tuple = quoted(&ethernet(0x0800, &ipv4(IpNumber::ICMP, &error(icmp_type, quote))));
        assert_eq!(tuple.unwrap().to_string(), "udp 10.0.0.4:1 -> 203.0.113.9:2");
    }
    let quote = ipv6(IpNumber::TCP, &tcp_syn_frame()[34..]);
    for icmp_type in 1..=4 {
        let tuple = quoted(&v6_frame(&ipv6(ip_number::IPV6_ICMP, &error(icmp_type, &quote))));
        assert_eq!(tuple.unwrap().ports, pair(50_000, 443));
    }
    let ping = ipv4(IpNumber::ICMP, &[8, 0, 0, 0, 0x12, 0x34, 0, 1]);
    let tuple = quoted(&ethernet(0x0800, &ipv4(IpNumber::ICMP, &error(11, &ping))));
    assert_eq!(tuple.unwrap().ports, Ports::Echo(0x1234));
}

#[test]
fn an_icmp_error_that_quotes_too_little_or_nonsense_has_no_quoted_packet() {
    let error = |quote: &[u8]| [&[3, 1, 0, 0, 0, 0, 0, 0][..], quote].concat();
    let whole = ipv4(IpNumber::UDP, &udp_bytes(1, 2));
    for quote in [&[][..], &whole[..19], &[0xff; 40], &ipv6(IpNumber::UDP, &udp_bytes(1, 2))] {
        assert_eq!(quoted(&ethernet(0x0800, &ipv4(IpNumber::ICMP, &error(quote)))), None);
    }
    assert_eq!(quoted(&ethernet(0x0800, &ipv4(IpNumber::ICMP, &[3, 1, 0]))), None);
    let without_ports = quoted(&ethernet(0x0800, &ipv4(IpNumber::ICMP, &error(&whole[..20]))));
    assert_eq!(without_ports.unwrap().ports, Ports::Absent);
    let later = ipv4_fragment(IpNumber::UDP, &udp_bytes(1, 2), 5, false);
    let later = quoted(&ethernet(0x0800, &ipv4(IpNumber::ICMP, &error(&later))));
    assert_eq!(later.unwrap().ports, Ports::Absent);
}

/// What the whole room says without its short cut.
fn sliced_only(link: LinkType, frame: &[u8], wire_length: u32) -> Result<Packet, Skip> {
    sliced::read(link, frame).map(|content| {
        let sliced::Content { tuple, kind, fragment } = content;
        Packet { tuple, kind, fragment, wire_length }
    })
}

fn link() -> impl Strategy<Value = LinkType> {
    prop_oneof![Just(LinkType::Ethernet), Just(LinkType::Ip)]
}

/// A frame as some program may send it, of any protocol this room knows.
fn valid_frame() -> impl Strategy<Value = Vec<u8>> {
    let transport = prop_oneof![
        any::<(u16, u16, [u8; 16])>().prop_map(|(source, destination, rest)| {
            (6_u8, [&source.to_be_bytes()[..], &destination.to_be_bytes(), &rest].concat())
        }),
        any::<(u16, u16)>().prop_map(|(source, destination)| (17, udp_bytes(source, destination))),
        any::<(u8, [u8; 40])>().prop_map(|(icmp, rest)| (1, [&[icmp % 14][..], &rest].concat())),
        any::<(u8, [u8; 40])>().prop_map(|(icmp, rest)| (58, [&[icmp % 140][..], &rest].concat())),
        any::<(u8, [u8; 40])>().prop_map(|(number, rest)| (number, rest.to_vec())),
    ];
    let framing = (0_u8..5, any::<bool>(), 0_u16..3, any::<[u8; 4]>());
    (transport, framing).prop_map(|((number, payload), (shape, more, offset, options))| {
        let number = IpNumber(number);
        let fragment = || [ipv6_fragment_header(number, offset, more), payload.clone()].concat();
        match shape {
            0 => ethernet(0x0800, &ipv4(number, &payload)),
            1 => ethernet(0x0800, &ipv4_fragment(number, &payload, offset, more)),
            2 => v6_frame(&ipv6(number, &payload)),
            3 => v6_frame(&ipv6(ip_number::IPV6_FRAG, &fragment())),
            _ => {
                let length = u16::try_from(payload.len()).unwrap();
                let mut header = Ipv4Header::new(length, 1, number, V4_A, V4_B).unwrap();
                header.options = options.into();
                header.set_payload_len(payload.len()).unwrap();
                let mut bytes = header.to_bytes().to_vec();
                bytes.extend_from_slice(&payload);
                ethernet(0x0800, &bytes)
            }
        }
    })
}

/// Another value for a byte of the headers: every frame above is longer than that. Small values are the
/// interesting ones for lengths, offsets and header numbers.
fn damage() -> impl Strategy<Value = (usize, u8)> {
    (12_usize..34, prop_oneof![any::<u8>(), 0_u8..64, Just(0x45), Just(0x60)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16_384))]

    #[test]
    fn random_bytes_are_read_alike_with_and_without_the_short_cut(
        link in link(),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assert_eq!(parse(link, &bytes, 9), sliced_only(link, &bytes, 9));
    }

    #[test]
    fn damaged_frames_are_read_alike_with_and_without_the_short_cut(
        frame in valid_frame(),
        damage in proptest::collection::vec(damage(), 0..4),
        cut in any::<proptest::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut frame = frame;
        for (at, value) in damage {
            frame[at] = value;
        }
        if is_cut {
            frame.truncate(cut.index(frame.len()));
        }
        let ethernet = LinkType::Ethernet;
        prop_assert_eq!(parse(ethernet, &frame, 9), sliced_only(ethernet, &frame, 9));
        let ip = frame.get(14..).unwrap_or_default();
        prop_assert_eq!(parse(LinkType::Ip, ip, 9), sliced_only(LinkType::Ip, ip, 9));
    }

    #[test]
    fn a_later_fragment_never_has_ports(frame in valid_frame()) {
        if let Ok(packet) = parse_ethernet(&frame)
            && matches!(packet.fragment, Fragment::Later(_))
        {
            prop_assert_eq!(packet.tuple.ports, Ports::Absent);
            prop_assert_eq!(packet.kind, PacketKind::Other);
        }
    }
}

#[test]
fn the_frames_of_ordinary_traffic_take_the_short_cut() {
    assert!(plain::read(LinkType::Ethernet, &tcp_syn_frame()).is_some());
    assert!(plain::read(LinkType::Ip, &tcp_syn_frame()[14..]).is_some());
    let udp = ipv6(IpNumber::UDP, &udp_bytes(1, 2));
    assert!(plain::read(LinkType::Ethernet, &v6_frame(&udp)).is_some());
    assert!(plain::read(LinkType::Ip, &udp).is_some());
}
