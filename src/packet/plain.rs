//! The short cut for plain frames: whole TCP and UDP packets right behind an untagged Ethernet header (or none).
//!
//! `None` means "not plain", never "not a packet": such a frame goes to [`super::sliced`]. A property test holds
//! both to the same answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{LinkType, PacketKind, TcpFlags};
use crate::flow::{FiveTuple, Ports, Protocol};

const ETHERNET_LENGTH: usize = 14;
const IPV4_LENGTH: usize = 20;
const IPV6_LENGTH: usize = 40;
/// Up to and including the flags.
const TCP_LENGTH: usize = 14;
const UDP_LENGTH: usize = 8;

const ETHER_TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHER_TYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// Version 4, a header of five words: no options.
const IPV4_WITHOUT_OPTIONS: u8 = 0x45;
/// More-fragments flag and fragment offset.
const FRAGMENT_MASK: u16 = 0x3fff;

/// Returns tuple and kind of a plain frame.
#[expect(
    clippy::inline_always,
    reason = "returned through memory, the tuple is copied three times more"
)]
#[inline(always)]
pub(super) fn read(link: LinkType, frame: &[u8]) -> Option<(FiveTuple, PacketKind)> {
    match link {
        LinkType::Ethernet => {
            let (ethernet, ip) = frame.split_first_chunk::<ETHERNET_LENGTH>()?;
            match [ethernet[12], ethernet[13]] {
                ETHER_TYPE_IPV4 => ipv4(ip),
                ETHER_TYPE_IPV6 => ipv6(ip),
                _ => None,
            }
        }
        LinkType::Ip => ipv4(frame).or_else(|| ipv6(frame)),
    }
}

#[inline]
fn ipv4(bytes: &[u8]) -> Option<(FiveTuple, PacketKind)> {
    let (header, payload) = bytes.split_first_chunk::<IPV4_LENGTH>()?;
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if header[0] != IPV4_WITHOUT_OPTIONS || fragment & FRAGMENT_MASK != 0 {
        return None;
    }
    let total_length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let (protocol, ports, kind) =
        transport(header[9], total_length.checked_sub(IPV4_LENGTH)?, payload)?;
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    let (source, destination) = (IpAddr::V4(source), IpAddr::V4(destination));
    Some((FiveTuple { protocol, source, destination, ports }, kind))
}

#[inline]
fn ipv6(bytes: &[u8]) -> Option<(FiveTuple, PacketKind)> {
    let (header, payload) = bytes.split_first_chunk::<IPV6_LENGTH>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let payload_length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let (protocol, ports, kind) = transport(header[6], payload_length, payload)?;
    let (_, addresses) = header.split_first_chunk::<8>()?;
    let (source, rest) = addresses.split_first_chunk::<16>()?;
    let source = IpAddr::V6(Ipv6Addr::from(*source));
    let destination = IpAddr::V6(Ipv6Addr::from(*rest.first_chunk::<16>()?));
    Some((FiveTuple { protocol, source, destination, ports }, kind))
}

/// Reads a TCP or UDP header of which all bytes are there, within the IP packet's stated length.
#[inline]
fn transport(
    number: u8,
    stated_length: usize,
    payload: &[u8],
) -> Option<(Protocol, Ports, PacketKind)> {
    let ports = |bytes: &[u8; 4]| Ports::Pair {
        source: u16::from_be_bytes([bytes[0], bytes[1]]),
        destination: u16::from_be_bytes([bytes[2], bytes[3]]),
    };
    match Protocol(number) {
        Protocol::TCP if stated_length >= TCP_LENGTH => {
            let tcp = payload.first_chunk::<TCP_LENGTH>()?;
            let kind = PacketKind::Tcp(TcpFlags(tcp[13]));
            Some((Protocol::TCP, ports(tcp.first_chunk()?), kind))
        }
        Protocol::UDP if stated_length >= UDP_LENGTH => {
            let udp = payload.first_chunk::<UDP_LENGTH>()?;
            Some((Protocol::UDP, ports(udp.first_chunk()?), PacketKind::Other))
        }
        _ => None,
    }
}
