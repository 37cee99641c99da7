//! What follows the IP header of a packet that has its transport header: ports, flags, echoes, quoted packets.
//!
//! Read from the bytes and not from etherparse's transport slice, which is missing for every first fragment and
//! for every header that is cut, though the four bytes of the ports may be there.

use std::net::IpAddr;

use etherparse::LaxIpSlice;

use super::{PacketKind, TcpFlags, sliced};
use crate::flow::{FiveTuple, Ports, Protocol};

/// Bytes of an ICMP or ICMPv6 error before the packet it quotes.
const ICMP_HEADER_LENGTH: usize = 8;

/// Returns the ports that stand at the beginning of the payload.
pub(super) fn ports(source: IpAddr, protocol: Protocol, payload: &[u8]) -> Ports {
    match protocol {
        Protocol::TCP | Protocol::UDP => match payload {
            [s0, s1, d0, d1, ..] => Ports::Pair {
                source: u16::from_be_bytes([*s0, *s1]),
                destination: u16::from_be_bytes([*d0, *d1]),
            },
            _ => Ports::Absent,
        },
        _ => echo(source, protocol, payload)
            .map_or(Ports::Absent, |(_, identifier)| Ports::Echo(identifier)),
    }
}

/// Returns what kind of packet the payload makes it.
pub(super) fn kind(source: IpAddr, protocol: Protocol, payload: &[u8]) -> PacketKind {
    if protocol == Protocol::TCP {
        return payload
            .get(13)
            .map_or(PacketKind::Other, |flags| PacketKind::Tcp(TcpFlags(*flags)));
    }
    if let Some((kind, _)) = echo(source, protocol, payload) {
        return kind;
    }
    if is_icmp_error(source, protocol, payload) {
        return PacketKind::IcmpError { quoted: quoted_tuple(source, payload) };
    }
    PacketKind::Other
}

fn echo(source: IpAddr, protocol: Protocol, payload: &[u8]) -> Option<(PacketKind, u16)> {
    let [icmp_type, _, _, _, i0, i1, ..] = payload else { return None };
    let kind = match (source, protocol, icmp_type) {
        (IpAddr::V4(_), Protocol::ICMP, 8) | (IpAddr::V6(_), Protocol::ICMPV6, 128) => {
            PacketKind::EchoRequest
        }
        (IpAddr::V4(_), Protocol::ICMP, 0) | (IpAddr::V6(_), Protocol::ICMPV6, 129) => {
            PacketKind::EchoReply
        }
        _ => return None,
    };
    Some((kind, u16::from_be_bytes([*i0, *i1])))
}

/// The types that quote a packet: RFC 792 (unreachable, quench, redirect, time exceeded, parameter problem) and
/// RFC 4443 (unreachable, too big, time exceeded, parameter problem).
fn is_icmp_error(source: IpAddr, protocol: Protocol, payload: &[u8]) -> bool {
    let Some(icmp_type) = payload.first() else { return false };
    matches!(
        (source, protocol, icmp_type),
        (IpAddr::V4(_), Protocol::ICMP, 3 | 4 | 5 | 11 | 12)
            | (IpAddr::V6(_), Protocol::ICMPV6, 1..=4)
    )
}

/// Returns the tuple of the packet that an error quotes. What that packet may itself quote is not looked at, so
/// this does not recurse.
fn quoted_tuple(source: IpAddr, payload: &[u8]) -> Option<FiveTuple> {
    let (quoted, _) = LaxIpSlice::from_slice(payload.get(ICMP_HEADER_LENGTH..)?).ok()?;
    let datagram = match &quoted {
        LaxIpSlice::Ipv4(slice) => sliced::Datagram::of_ipv4(slice).ok()?,
        LaxIpSlice::Ipv6(slice) => sliced::Datagram::of_ipv6(slice),
    };
    (datagram.source.is_ipv4() == source.is_ipv4()).then(|| datagram.tuple())
}
