//! The words of a flow: direction, protocol, five-tuple, flow key, time.
//!
//! Everything to the right of this room speaks in these types. Nothing comes in but plain values, nothing goes
//! out but plain values; this room knows no rule, no table, no clock and no socket.
//!
//! **Direction is seen from the VM's own network interface**: `Inbound` packets arrive at it, `Outbound` packets
//! leave it. That is Azure's frame of reference for security rules (nsg-semantics.md section 4).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which way a packet goes, seen from the VM's network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// Arrives at the interface: the remote side is the source.
    Inbound,
    /// Leaves the interface: the local side is the source.
    Outbound,
}

impl Direction {
    /// Both directions, inbound first.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// Returns the other direction.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Inbound => Self::Outbound,
            Self::Outbound => Self::Inbound,
        }
    }

    /// Returns Azure's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "Inbound",
            Self::Outbound => "Outbound",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is not one of the accepted values of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {expected}")]
pub struct UnknownWord {
    /// What was given.
    pub value: String,
    /// What is accepted, in words: "Inbound or Outbound".
    pub expected: &'static str,
}

impl FromStr for Direction {
    type Err = UnknownWord;

    /// Accepts any letter case, as Azure does.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        if text.eq_ignore_ascii_case("inbound") {
            Ok(Self::Inbound)
        } else if text.eq_ignore_ascii_case("outbound") {
            Ok(Self::Outbound)
        } else {
            Err(UnknownWord { value: text.to_owned(), expected: "Inbound or Outbound" })
        }
    }
}

/// An IP protocol number (IANA), as it stands in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4 (1).
    pub const ICMP: Self = Self(1);
    /// TCP (6).
    pub const TCP: Self = Self(6);
    /// UDP (17).
    pub const UDP: Self = Self(17);
    /// Encapsulating Security Payload (50).
    pub const ESP: Self = Self(50);
    /// Authentication Header (51).
    pub const AH: Self = Self(51);
    /// ICMP for IPv6 (58). Azure's rules have no value for it; only `*` covers it.
    pub const ICMPV6: Self = Self(58);

    /// Returns the name in lower case where this project knows one: `tcp`, `udp`, `icmp`, `esp`, `ah`, `icmpv6`.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::ICMP => Some("icmp"),
            Self::TCP => Some("tcp"),
            Self::UDP => Some("udp"),
            Self::ESP => Some("esp"),
            Self::AH => Some("ah"),
            Self::ICMPV6 => Some("icmpv6"),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    /// Writes the name, or the number where there is no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl FromStr for Protocol {
    type Err = UnknownWord;

    /// Accepts a name in any letter case or a number from 0 to 255.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::ICMP, Self::TCP, Self::UDP, Self::ESP, Self::AH, Self::ICMPV6]
            .into_iter()
            .find(|known| known.name().is_some_and(|name| name.eq_ignore_ascii_case(text)))
            .or_else(|| text.parse().ok().map(Self))
            .ok_or_else(|| UnknownWord {
                value: text.to_owned(),
                expected: "tcp, udp, icmp, icmpv6, esp, ah or a protocol number from 0 to 255",
            })
    }
}

/// What a packet carries at the place where TCP and UDP have ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ports {
    /// No ports: the protocol has none, or the bytes that hold them are missing.
    Absent,
    /// Source and destination port as sent.
    Pair {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// The identifier of an ICMP or ICMPv6 echo. It tells flows apart and never meets a rule's port field.
    Echo(u16),
}

impl Ports {
    /// Returns the ports of the packet that answers.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Pair { source, destination } => {
                Self::Pair { source: destination, destination: source }
            }
            other => other,
        }
    }

    /// Returns the source port where there is one.
    #[must_use]
    pub const fn source(self) -> Option<u16> {
        match self {
            Self::Pair { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Returns the destination port where there is one.
    #[must_use]
    pub const fn destination(self) -> Option<u16> {
        match self {
            Self::Pair { destination, .. } => Some(destination),
            _ => None,
        }
    }
}

/// What one packet says about itself: protocol, addresses and ports **as sent**.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// IP protocol.
    pub protocol: Protocol,
    /// Source address.
    pub source: IpAddr,
    /// Destination address; always of the source's family.
    pub destination: IpAddr,
    /// Ports, where the packet has them.
    pub ports: Ports,
}

impl FiveTuple {
    /// Returns the tuple of the packet that answers this one.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            protocol: self.protocol,
            source: self.destination,
            destination: self.source,
            ports: self.ports.reversed(),
        }
    }
}

impl fmt::Display for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = |address: IpAddr, port: Option<u16>| match (address, port) {
            (address, None) => address.to_string(),
            (IpAddr::V4(v4), Some(port)) => format!("{v4}:{port}"),
            (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
        };
        write!(
            f,
            "{} {} -> {}",
            self.protocol,
            endpoint(self.source, self.ports.source()),
            endpoint(self.destination, self.ports.destination()),
        )
    }
}

/// Which end of a flow sent a packet. The ends have a fixed order, so that both directions share one [`FlowKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sender {
    /// The end with the lower (address, port); also where both ends are equal.
    Low,
    /// The other end.
    High,
}

impl Sender {
    /// Returns the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

/// Which kind of [`Ports`] a key was made of: the lowest byte of [`FlowKey::rest`], with [`OF_IPV6`] where that is so.
const ABSENT: u8 = 0;
const PAIR: u8 = 1;
const ECHO: u8 = 2;
const OF_IPV6: u8 = 4;

/// The identity of a flow: the same value for a packet and for the packet that answers it.
///
/// Made only from a [`FiveTuple`], so that a reply can not miss its flow and a raw tuple can not be used as a key.
/// It is small, because a flow table holds a million of them, and made of words, because every packet makes and
/// compares one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    low_address: AddressBits,
    high_address: AddressBits,
    /// From the most significant byte on: the lower end's port (two bytes), the higher end's, two of nothing, the
    /// protocol, the kind of ports and the family.
    rest: u64,
}

/// An address of either family, most significant word first; an IPv4 address is the second word.
type AddressBits = [u64; 2];

impl FlowKey {
    /// Makes the key of a packet's flow and says which end of it sent the packet.
    #[must_use]
    #[inline]
    pub fn with_sender(tuple: &FiveTuple) -> (Self, Sender) {
        let (source_port, destination_port, kind) = match tuple.ports {
            Ports::Absent => (0, 0, ABSENT),
            Ports::Pair { source, destination } => (source, destination, PAIR),
            Ports::Echo(identifier) => (identifier, identifier, ECHO),
        };
        let (source, destination, kind) = match (tuple.source, tuple.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (v4_bits(source), v4_bits(destination), kind)
            }
            (source, destination) => (v6_bits(source), v6_bits(destination), kind | OF_IPV6),
        };
        let sender = if (source, source_port) <= (destination, destination_port) {
            Sender::Low
        } else {
            Sender::High
        };
        let (low_address, low_port, high_address, high_port) = match sender {
            Sender::Low => (source, source_port, destination, destination_port),
            Sender::High => (destination, destination_port, source, source_port),
        };
        let rest = u64::from(low_port) << 48
            | u64::from(high_port) << 32
            | u64::from(tuple.protocol.0) << 8
            | u64::from(kind);
        (Self { low_address, high_address, rest }, sender)
    }

    /// Returns the tuple of the packets that one end sends.
    #[must_use]
    pub fn tuple_from(&self, sender: Sender) -> FiveTuple {
        let [low_1, low_0, high_1, high_0, _, _, protocol, kind] = self.rest.to_be_bytes();
        let low_port = u16::from_be_bytes([low_1, low_0]);
        let high_port = u16::from_be_bytes([high_1, high_0]);
        let address = |bits| {
            if self.is_of_ipv6() { IpAddr::V6(v6_from(bits)) } else { IpAddr::V4(v4_from(bits)) }
        };
        let ports = match kind & !OF_IPV6 {
            PAIR => Ports::Pair { source: low_port, destination: high_port },
            ECHO => Ports::Echo(low_port),
            _ => Ports::Absent,
        };
        let from_low = FiveTuple {
            protocol: Protocol(protocol),
            source: address(self.low_address),
            destination: address(self.high_address),
            ports,
        };
        match sender {
            Sender::Low => from_low,
            Sender::High => from_low.reversed(),
        }
    }

    /// Returns the flow's IP protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        let [.., protocol, _] = self.rest.to_be_bytes();
        Protocol(protocol)
    }

    const fn is_of_ipv6(&self) -> bool {
        self.rest & OF_IPV6 as u64 != 0
    }
}

const fn v4_bits(address: Ipv4Addr) -> AddressBits {
    [0, address.to_bits() as u64]
}

#[expect(clippy::cast_possible_truncation, reason = "an IPv4 address is the lower half of a word")]
const fn v4_from([_, word]: AddressBits) -> Ipv4Addr {
    Ipv4Addr::from_bits(word as u32)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
const fn v6_bits(address: IpAddr) -> AddressBits {
    let bits = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}

const fn v6_from([upper, lower]: AddressBits) -> Ipv6Addr {
    Ipv6Addr::from_bits((upper as u128) << 64 | lower as u128)
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FlowKey").field(&self.tuple_from(Sender::Low)).finish()
    }
}

impl From<&FiveTuple> for FlowKey {
    fn from(tuple: &FiveTuple) -> Self {
        Self::with_sender(tuple).0
    }
}

impl Hash for FlowKey {
    /// Writes few, wide words: a hash for every packet is made of this.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ([low_upper, low], [high_upper, high]) = (self.low_address, self.high_address);
        if self.is_of_ipv6() {
            for word in [low_upper, low, high_upper, high] {
                state.write_u64(word);
            }
        } else {
            state.write_u64(low << 32 | high);
        }
        state.write_u64(self.rest);
    }
}

/// When something happened, by two clocks. The core never reads either; time is an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Nanoseconds of a clock that never jumps. Durations and timeouts use only this one.
    pub monotonic_ns: u64,
    /// Nanoseconds since the Unix epoch, UTC, for people to read.
    pub unix_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple() -> FiveTuple {
        FiveTuple {
            protocol: Protocol::TCP,
            source: "10.0.0.4".parse().unwrap(),
            destination: "203.0.113.9".parse().unwrap(),
            ports: Ports::Pair { source: 50_000, destination: 443 },
        }
    }

    #[test]
    fn a_packet_and_its_answer_share_one_flow_key() {
        assert_eq!(FlowKey::from(&tuple()), FlowKey::from(&tuple().reversed()));
        assert_eq!(tuple().reversed().reversed(), tuple());
    }

    #[test]
    fn the_same_addresses_with_swapped_ports_are_another_flow() {
        let mut other = tuple();
        other.ports = other.ports.reversed();
        assert_ne!(FlowKey::from(&tuple()), FlowKey::from(&other));
    }

    #[test]
    fn a_packet_without_ports_is_not_the_flow_of_port_zero() {
        let zero = FiveTuple { ports: Ports::Pair { source: 0, destination: 0 }, ..tuple() };
        let absent = FiveTuple { ports: Ports::Absent, ..tuple() };
        assert_ne!(FlowKey::from(&zero), FlowKey::from(&absent));
    }

    #[test]
    fn a_key_gives_back_the_tuple_of_either_end() {
        let v6 = FiveTuple {
            protocol: Protocol::ICMPV6,
            source: "2001:db8::9".parse().unwrap(),
            destination: "2001:db8::2".parse().unwrap(),
            ports: Ports::Echo(7),
        };
        let mapped = FiveTuple {
            source: "::ffff:10.0.0.4".parse().unwrap(),
            destination: "::ffff:203.0.113.9".parse().unwrap(),
            ..tuple()
        };
        let absent = FiveTuple { ports: Ports::Absent, ..tuple() };
        for packet in [tuple(), v6, mapped, absent] {
            for packet in [packet, packet.reversed()] {
                let (key, sender) = FlowKey::with_sender(&packet);
                assert_eq!(key.tuple_from(sender), packet);
                assert_eq!(key.tuple_from(sender.other()), packet.reversed());
            }
        }
        assert_ne!(FlowKey::from(&mapped), FlowKey::from(&tuple()), "another address family");
    }

    #[test]
    fn a_key_is_compact() {
        assert_eq!(size_of::<FlowKey>(), 40);
    }

    #[test]
    fn words_are_read_in_any_letter_case_and_written_in_azures() {
        assert_eq!("OUTBOUND".parse(), Ok(Direction::Outbound));
        assert_eq!("Tcp".parse(), Ok(Protocol::TCP));
        assert_eq!("47".parse(), Ok(Protocol(47)));
        assert!("sideways".parse::<Direction>().is_err());
        assert!("300".parse::<Protocol>().is_err());
        assert_eq!(Protocol(47).to_string(), "47");
    }

    #[test]
    fn a_tuple_is_shown_with_brackets_around_ipv6() {
        let v6 = FiveTuple {
            protocol: Protocol::UDP,
            source: "2001:db8::1".parse().unwrap(),
            destination: "2001:db8::2".parse().unwrap(),
            ports: Ports::Pair { source: 53, destination: 5353 },
        };
        assert_eq!(v6.to_string(), "udp [2001:db8::1]:53 -> [2001:db8::2]:5353");
    }
}
