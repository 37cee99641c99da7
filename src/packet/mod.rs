//! Frame bytes in, one [`Packet`] or one counted [`Skip`] reason out.
//!
//! Every frame ends as exactly one of the two. This room looks at one frame at a time, keeps nothing between
//! frames, validates no checksum (offload leaves them unfinished on the VM's own packets) and knows no rule.
//!
//! - [`parse`] is the entry; [`parse_plain`] is its quick part alone.
//! - `plain` reads the frames that nearly all traffic consists of straight from their bytes.
//! - `sliced` reads every frame, plain ones included, through etherparse; it is the meaning, `plain` the short cut.
//! - `transport` reads what follows the IP header, for both.

mod plain;
mod sliced;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::net::IpAddr;

use crate::flow::{FiveTuple, Protocol};

/// Reads one frame, of which `frame` may hold only the first bytes; `wire_length` is its whole length in bytes.
///
/// What is missing at the end is missing in the packet (no ports, no flags) and never guessed: ports come from a
/// first fragment or a cut header as long as their four bytes are there, and from a later fragment never. IPv6
/// extension headers are looked through up to ESP and AH; an AH packet is protocol 51 in both families, because
/// that is what a rule for `Ah` matches. Tunnels are not looked into.
///
/// # Errors
///
/// The reason why the frame holds no IP packet that can be judged.
pub fn parse(link: LinkType, frame: &[u8], wire_length: u32) -> Result<Packet, Skip> {
    if let Some(packet) = parse_plain(link, frame, wire_length) {
        return Ok(packet);
    }
    let sliced::Content { tuple, kind, fragment } = sliced::read(link, frame)?;
    Ok(Packet { tuple, kind, fragment, wire_length })
}

/// Reads one frame if it is a whole TCP or UDP packet right behind its link-layer header, as nearly all are; for
/// `None` ask [`parse`], which gives the same packet where there is one here.
///
/// Inlined, so that the packet is made in the place where the caller keeps it and is not copied there.
#[expect(
    clippy::inline_always,
    reason = "a copy waits until the fields just written reach the cache"
)]
#[inline(always)]
#[must_use]
pub fn parse_plain(link: LinkType, frame: &[u8], wire_length: u32) -> Option<Packet> {
    let (tuple, kind) = plain::read(link, frame)?;
    Some(Packet { tuple, kind, fragment: Fragment::Whole, wire_length })
}

/// Where the bytes of a frame start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkType {
    /// At an Ethernet header.
    Ethernet,
    /// At the IP header itself.
    Ip,
}

/// The flags of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// Last data of the sender.
    pub const FIN: Self = Self(0x01);
    /// First packet of a direction.
    pub const SYN: Self = Self(0x02);
    /// The connection is given up.
    pub const RST: Self = Self(0x04);
    /// Answers something.
    pub const ACK: Self = Self(0x10);

    /// Says whether all flags of the other value are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What identifies the fragments of one datagram (RFC 791, RFC 8200).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FragmentId {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol of the fragmented payload: in IPv6 the next header of the fragment header.
    pub protocol: Protocol,
    /// Identification field; 16 bits in IPv4.
    pub identification: u32,
}

/// Which part of a datagram a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    /// Not fragmented.
    Whole,
    /// The first fragment: it holds the transport header.
    First(FragmentId),
    /// A later fragment: what looks like ports in it is payload, so its tuple has none.
    Later(FragmentId),
}

/// What the engine needs to know of a packet beside its tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// TCP with its flags.
    Tcp(TcpFlags),
    /// ICMP or ICMPv6 echo request; the tuple's ports hold the identifier.
    EchoRequest,
    /// ICMP or ICMPv6 echo reply; the tuple's ports hold the identifier.
    EchoReply,
    /// An ICMP or ICMPv6 error, with the tuple of the packet it quotes, as that packet was sent.
    IcmpError {
        /// `None` where too little is quoted.
        quoted: Option<FiveTuple>,
    },
    /// Everything else, TCP without its flag byte included.
    Other,
}

/// One packet, as far as its bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Protocol, addresses and ports as sent.
    pub tuple: FiveTuple,
    /// What kind of packet it is.
    pub kind: PacketKind,
    /// Which part of a datagram it is.
    pub fragment: Fragment,
    /// True length of the frame on the wire in bytes, link-layer header included; more than was captured where
    /// the frame was cut.
    pub wire_length: u32,
}

/// Why a frame gives no packet. Expected, and counted: not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skip {
    /// ARP: Azure's rules do not see it.
    Arp,
    /// Another protocol than IP above the link layer.
    NotIp,
    /// Too few bytes for the link-layer and IP headers.
    Truncated,
    /// The IP header contradicts itself.
    Malformed,
}

impl Skip {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 4] = [Self::Arp, Self::NotIp, Self::Truncated, Self::Malformed];

    /// Returns the reason's name in records and counters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::NotIp => "not_ip",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
