//! Frame bytes in, one [`Packet`] or one counted [`Skip`] reason out.
//!
//! Every frame ends as exactly one of the two. This room looks at one frame at a time, keeps nothing between
//! frames, validates no checksum (offload leaves them unfinished on the VM's own packets) and knows no rule.

use std::fmt;
use std::net::IpAddr;

use crate::flow::{FiveTuple, Protocol};

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
    /// Protocol of the fragmented payload.
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
    /// Too few bytes for the headers up to the addresses.
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
