//! What a captured frame begins with, by the link type number of its file, and where its packet starts.
//!
//! Cooked headers (SLL, SLL2) and the loopback headers of BSD (NULL, LOOP) stand in for the real link layer: they
//! are taken off here, and the rest is an IP packet. Numbers and layouts: the registry of link types at
//! <https://www.tcpdump.org/linktypes.html>.

use super::{Frame, Unusable};
use crate::flow::Direction;
use crate::packet::{LinkType, Skip};

const ETHER_TYPE_IPV4: u16 = 0x0800;
const ETHER_TYPE_ARP: u16 = 0x0806;
const ETHER_TYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and the tag that came before it.
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const VLAN_TAG: usize = 4;
/// As many as [`crate::packet::parse`] looks through.
const MOST_VLAN_TAGS: usize = 3;

/// Hardware types (ARPHRD) whose frames had an Ethernet header before it was replaced by a cooked one.
const WITH_ETHERNET: [u16; 2] = [1, 772];
const ETHERNET: u32 = 14;
/// Packet type in cooked headers: sent by the machine that captured.
const OUTGOING: u16 = 4;

/// `AF_INET` is 2 everywhere; `AF_INET6` is another number on each system.
const AF_INET: u32 = 2;
const AF_INET6: [u32; 4] = [10, 24, 28, 30];

/// What the frames of an interface begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkHeader {
    Ethernet,
    /// IPv4 or IPv6, by the packet's own version.
    Ip,
    OnlyIpv4,
    OnlyIpv6,
    /// BSD loopback: the address family in four bytes, in the byte order of the machine that captured.
    Loopback,
    /// Linux cooked capture, version 1.
    Sll,
    /// Linux cooked capture, version 2.
    Sll2,
}

/// A frame as it stands in the file.
#[derive(Clone, Copy)]
pub(super) struct RawFrame<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) direction: Option<Direction>,
    pub(super) unix_ns: u64,
    pub(super) original_length: u32,
}

/// What a cooked header says.
struct Cooked {
    /// Bytes of the header.
    length: usize,
    ether_type: u16,
    hardware_type: u16,
    packet_type: u16,
}

impl LinkHeader {
    /// The link type of this number; `None` where it is not understood.
    pub(super) const fn of(number: u16) -> Option<Self> {
        match number {
            0 | 108 => Some(Self::Loopback),
            1 => Some(Self::Ethernet),
            12 | 14 | 101 => Some(Self::Ip),
            113 => Some(Self::Sll),
            228 => Some(Self::OnlyIpv4),
            229 => Some(Self::OnlyIpv6),
            276 => Some(Self::Sll2),
            _ => None,
        }
    }

    /// Finds the frame's packet.
    #[inline]
    pub(super) fn open(self, raw: RawFrame<'_>) -> Result<Frame<'_>, Unusable> {
        let RawFrame { bytes, direction, unix_ns, original_length } = raw;
        let captured = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let wire_length = original_length.max(captured);
        let frame = |bytes, link, wire_length, direction| {
            Ok(Frame { bytes, link, direction, unix_ns, wire_length })
        };
        match self {
            Self::Ethernet => frame(bytes, LinkType::Ethernet, wire_length, direction),
            Self::Ip => frame(bytes, LinkType::Ip, wire_length, direction),
            Self::OnlyIpv4 => {
                frame(packet_of(ETHER_TYPE_IPV4, bytes)?, LinkType::Ip, wire_length, direction)
            }
            Self::OnlyIpv6 => {
                frame(packet_of(ETHER_TYPE_IPV6, bytes)?, LinkType::Ip, wire_length, direction)
            }
            Self::Loopback => {
                let (family, packet) = bytes.split_first_chunk::<4>().ok_or(Skip::Truncated)?;
                let packet = packet_of(ether_type_of_family(*family)?, packet)?;
                frame(packet, LinkType::Ip, wire_length.saturating_sub(4), direction)
            }
            Self::Sll | Self::Sll2 => {
                let cooked = if self == Self::Sll { sll(bytes) } else { sll2(bytes) };
                let cooked = cooked.ok_or(Skip::Truncated)?;
                let packet = bytes.get(cooked.length..).unwrap_or_default();
                let packet = packet_of(cooked.ether_type, packet)?;
                let replaced =
                    if WITH_ETHERNET.contains(&cooked.hardware_type) { ETHERNET } else { 0 };
                let cooked_length = u32::try_from(cooked.length).unwrap_or(0);
                let told = if cooked.packet_type == OUTGOING {
                    Direction::Outbound
                } else {
                    Direction::Inbound
                };
                let length = wire_length.saturating_sub(cooked_length).saturating_add(replaced);
                frame(packet, LinkType::Ip, length, Some(told))
            }
        }
    }
}

/// Looks through VLAN tags, and makes sure that the packet is what the header announces: a receiver drops it
/// otherwise.
fn packet_of(mut ether_type: u16, mut packet: &[u8]) -> Result<&[u8], Unusable> {
    let mut tags = 0;
    while VLAN_TAGS.contains(&ether_type) && tags < MOST_VLAN_TAGS {
        let (tag, rest) = packet.split_first_chunk::<VLAN_TAG>().ok_or(Skip::Truncated)?;
        ether_type = u16::from_be_bytes([tag[2], tag[3]]);
        packet = rest;
        tags += 1;
    }
    let version = match ether_type {
        ETHER_TYPE_IPV4 => 4,
        ETHER_TYPE_IPV6 => 6,
        ETHER_TYPE_ARP => return Err(Skip::Arp.into()),
        _ => return Err(Skip::NotIp.into()),
    };
    match packet.first() {
        None => Err(Skip::Truncated.into()),
        Some(first) if first >> 4 == version => Ok(packet),
        Some(_) => Err(Skip::Malformed.into()),
    }
}

/// The byte order is not known where a file was made elsewhere; the numbers are small, so one of both makes sense.
fn ether_type_of_family(family: [u8; 4]) -> Result<u16, Unusable> {
    let number = u32::from_be_bytes(family);
    let number = if number > 0xffff { number.swap_bytes() } else { number };
    match number {
        AF_INET => Ok(ETHER_TYPE_IPV4),
        _ if AF_INET6.contains(&number) => Ok(ETHER_TYPE_IPV6),
        _ => Err(Skip::NotIp.into()),
    }
}

fn sll(bytes: &[u8]) -> Option<Cooked> {
    let header = bytes.first_chunk::<16>()?;
    Some(Cooked {
        length: header.len(),
        packet_type: u16::from_be_bytes([header[0], header[1]]),
        hardware_type: u16::from_be_bytes([header[2], header[3]]),
        ether_type: u16::from_be_bytes([header[14], header[15]]),
    })
}

fn sll2(bytes: &[u8]) -> Option<Cooked> {
    let header = bytes.first_chunk::<20>()?;
    Some(Cooked {
        length: header.len(),
        ether_type: u16::from_be_bytes([header[0], header[1]]),
        hardware_type: u16::from_be_bytes([header[8], header[9]]),
        packet_type: u16::from(header[10]),
    })
}
