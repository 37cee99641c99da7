//! Frames: any bytes give one packet that does not contradict itself, or one reason why not.

use nsgwatch::flow::{FiveTuple, FlowKey, Ports, Protocol};
use nsgwatch::packet::{Fragment, LinkType, Packet, PacketKind, TcpFlags, parse, parse_plain};

/// The first byte is the link type, the second how much longer the frame was on the wire, the rest the frame.
pub fn check(input: &[u8]) {
    let [link, cut, frame @ ..] = input else { return };
    let link = if link & 1 == 0 { LinkType::Ethernet } else { LinkType::Ip };
    let Ok(captured) = u32::try_from(frame.len()) else { return };
    let wire_length = captured + u32::from(*cut);
    let parsed = parse(link, frame, wire_length);
    if let Some(plain) = parse_plain(link, frame, wire_length) {
        assert_eq!(Ok(plain), parsed, "the short cut leads elsewhere");
    }
    if let Ok(packet) = parsed {
        check_packet(&packet);
        assert_eq!(packet.wire_length, wire_length);
    }
    check_cut(link, frame, wire_length);
}

fn check_packet(packet: &Packet) {
    let tuple = &packet.tuple;
    check_tuple(tuple);
    match packet.fragment {
        Fragment::Whole => {}
        Fragment::First(id) | Fragment::Later(id) => {
            assert_eq!((id.source, id.destination), (tuple.source, tuple.destination));
        }
    }
    if let Fragment::Later(_) = packet.fragment {
        assert_eq!(tuple.ports, Ports::Absent, "ports out of a later fragment: {packet:?}");
        assert_eq!(packet.kind, PacketKind::Other, "{packet:?}");
    }
    match packet.kind {
        PacketKind::Tcp(flags) => {
            assert_eq!(tuple.protocol, Protocol::TCP);
            assert!(flags.contains(TcpFlags(0)) && matches!(tuple.ports, Ports::Pair { .. }));
        }
        PacketKind::EchoRequest | PacketKind::EchoReply => {
            assert!(matches!(tuple.ports, Ports::Echo(_)), "{packet:?}");
        }
        PacketKind::IcmpError { quoted } => {
            assert!(matches!(tuple.protocol, Protocol::ICMP | Protocol::ICMPV6), "{packet:?}");
            if let Some(quoted) = quoted {
                check_tuple(&quoted);
                assert_eq!(quoted.source.is_ipv4(), tuple.source.is_ipv4());
            }
        }
        PacketKind::Other => {}
    }
}

fn check_tuple(tuple: &FiveTuple) {
    assert_eq!(tuple.source.is_ipv4(), tuple.destination.is_ipv4(), "{tuple:?}");
    let is_right = match tuple.ports {
        Ports::Absent => true,
        Ports::Pair { .. } => matches!(tuple.protocol, Protocol::TCP | Protocol::UDP),
        Ports::Echo(_) => matches!(tuple.protocol, Protocol::ICMP | Protocol::ICMPV6),
    };
    assert!(is_right, "{tuple:?}");
    let (key, sender) = FlowKey::with_sender(tuple);
    assert_eq!(key.tuple_from(sender), *tuple);
    assert_eq!(FlowKey::from(&tuple.reversed()), key);
}

/// A frame that was cut when it was captured is never read as another packet than the whole one.
fn check_cut(link: LinkType, frame: &[u8], wire_length: u32) {
    let half = frame.get(..frame.len() / 2).unwrap_or_default();
    let Ok(from_half) = parse(link, half, wire_length) else { return };
    if let Ports::Pair { .. } = from_half.tuple.ports {
        let whole = parse(link, frame, wire_length);
        assert_eq!(whole.map(|whole| whole.tuple), Ok(from_half.tuple));
    }
}
