//! Traffic that is not the rules' business: what Azure lets pass whatever they say, and what its virtual networks do
//! not carry at all. Told beside the rules' verdict, never instead of it.
//!
//! Source: Microsoft, *What is IP address 168.63.129.16*, *Network security groups overview* (platform considerations)
//! and *Azure Virtual Network FAQ* (nsg-semantics.md section 6). Health probes, inbound from 168.63.129.16, are
//! subject to the rules and are not here.
//!
//! # IPv6
//!
//! The documents say nothing of the link's own IPv6 traffic. Decided here:
//!
//! * ICMPv6 other than echo, to link-local multicast (`ff02::/16`) or with a link-local address (`fe80::/10`) on either
//!   side, is how the link works: neighbour and router discovery (RFC 4861), multicast listener discovery (RFC 2710,
//!   3810). Without it no IPv6 packet would ever be sent, so it is exempt. A tuple does not hold the ICMPv6 type;
//!   neighbour discovery between two global addresses therefore can not be told from other ICMPv6 and is judged by
//!   the rules alone.
//! * `DHCPv6` is exempt as DHCP is: UDP between ports 546 and 547, from a link-local address (RFC 8415).
//! * Other traffic to an IPv6 multicast address is not carried, as over IPv4.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AZURE_HOST_ADDRESS, RuleProvenance, WellKnownTag};
use crate::flow::{Direction, FiveTuple, Ports, Protocol};

/// The address of the instance metadata service.
pub(super) const INSTANCE_METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Where Windows machines in Azure are activated (Microsoft, *Azure Windows VM activation problems*). That the tag
/// `AzurePlatformLKM` stands for them, and that they alone are exempt, is inferred.
pub(super) const LICENSING_ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(20, 118, 99, 224),
    Ipv4Addr::new(23, 102, 135, 246),
    Ipv4Addr::new(40, 83, 235, 53),
];

const GRE: Protocol = Protocol(47);
const IP_IN_IP: Protocol = Protocol(4);
const DHCP_SERVER_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;
const DHCPV6_CLIENT_PORT: u16 = 546;
const DHCPV6_SERVER_PORT: u16 = 547;
/// UDP source port that Azure keeps for its hosts.
const RESERVED_SOURCE_PORT: u16 = 65330;

/// A kind of traffic that the platform handles by itself.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PlatformTraffic {
    /// The VM agent's talk with the host: tcp 80 and 32526 on 168.63.129.16. No rule touches it.
    WireServer,
    /// Azure's name server: port 53 on 168.63.129.16. Only rules that name `AzurePlatformDNS` touch it.
    Dns,
    /// tcp 80 on 169.254.169.254. Only rules that name `AzurePlatformIMDS` touch it.
    InstanceMetadata,
    /// Activation of Windows: tcp 1688 on the key management servers. Only rules that name `AzurePlatformLKM` touch it.
    Licensing,
    /// DHCP between ports 68 and 67, `DHCPv6` between ports 546 and 547.
    Dhcp,
    /// ICMPv6 by which the nodes of a link find one another, their routers and the listeners of multicast groups.
    NeighborDiscovery,
    /// To 255.255.255.255.
    Broadcast,
    /// To a multicast address.
    Multicast,
    /// GRE, or IP in IP.
    Tunnel,
    /// UDP from the source port that Azure keeps for its hosts.
    ReservedPort,
}

/// What becomes of such traffic.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PlatformEffect {
    /// It passes whatever the rules say.
    Exempt,
    /// Virtual networks do not carry it, whatever the rules say.
    Unsupported,
}

impl PlatformTraffic {
    /// Returns the word used in records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WireServer => "wire_server",
            Self::Dns => "dns",
            Self::InstanceMetadata => "instance_metadata",
            Self::Licensing => "licensing",
            Self::Dhcp => "dhcp",
            Self::NeighborDiscovery => "neighbor_discovery",
            Self::Broadcast => "broadcast",
            Self::Multicast => "multicast",
            Self::Tunnel => "tunnel",
            Self::ReservedPort => "reserved_port",
        }
    }

    /// Says what becomes of it.
    #[must_use]
    pub const fn effect(self) -> PlatformEffect {
        match self {
            Self::WireServer
            | Self::Dns
            | Self::InstanceMetadata
            | Self::Licensing
            | Self::Dhcp
            | Self::NeighborDiscovery => PlatformEffect::Exempt,
            Self::Broadcast | Self::Multicast | Self::Tunnel | Self::ReservedPort => {
                PlatformEffect::Unsupported
            }
        }
    }

    /// Says of a packet, and of the rule that decides about it, whether the platform handles it by itself.
    ///
    /// A deciding rule that names the service's own tag is obeyed, so that the packet is no platform traffic.
    #[must_use]
    pub fn of(
        direction: Direction,
        tuple: &FiveTuple,
        deciding: Option<&RuleProvenance>,
    ) -> Option<Self> {
        let is_targeted = |tag| deciding.is_some_and(|rule| rule.platform_tags.contains(&tag));
        let on_the_link = Self::dhcp(tuple).or_else(|| Self::neighbor_discovery(tuple));
        let by_itself = on_the_link.or_else(|| match direction {
            Direction::Outbound => Self::service(tuple),
            Direction::Inbound => None,
        });
        by_itself
            .filter(|traffic| !traffic.tag().is_some_and(is_targeted))
            .or_else(|| Self::unsupported(tuple))
    }

    /// Returns the tag by which rules reach the traffic.
    const fn tag(self) -> Option<WellKnownTag> {
        match self {
            Self::Dns => Some(WellKnownTag::AzurePlatformDns),
            Self::InstanceMetadata => Some(WellKnownTag::AzurePlatformImds),
            Self::Licensing => Some(WellKnownTag::AzurePlatformLkm),
            _ => None,
        }
    }

    fn service(tuple: &FiveTuple) -> Option<Self> {
        let (tcp, udp) = (tuple.protocol == Protocol::TCP, tuple.protocol == Protocol::UDP);
        let IpAddr::V4(address) = tuple.destination else { return None };
        match (address, tuple.ports.destination()?) {
            (AZURE_HOST_ADDRESS, 80 | 32526) if tcp => Some(Self::WireServer),
            (AZURE_HOST_ADDRESS, 53) if tcp || udp => Some(Self::Dns),
            (INSTANCE_METADATA_ADDRESS, 80) if tcp => Some(Self::InstanceMetadata),
            (address, 1688) if tcp && LICENSING_ADDRESSES.contains(&address) => {
                Some(Self::Licensing)
            }
            _ => None,
        }
    }

    fn dhcp(tuple: &FiveTuple) -> Option<Self> {
        if tuple.protocol != Protocol::UDP {
            return None;
        }
        let ports = (tuple.ports.source()?, tuple.ports.destination()?);
        let (client, server) = match tuple.source {
            IpAddr::V4(_) => (DHCP_CLIENT_PORT, DHCP_SERVER_PORT),
            IpAddr::V6(source) if source.is_unicast_link_local() => {
                (DHCPV6_CLIENT_PORT, DHCPV6_SERVER_PORT)
            }
            IpAddr::V6(_) => return None,
        };
        (ports == (client, server) || ports == (server, client)).then_some(Self::Dhcp)
    }

    fn neighbor_discovery(tuple: &FiveTuple) -> Option<Self> {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (tuple.source, tuple.destination)
        else {
            return None;
        };
        let is_on_the_link = is_link_local_multicast(destination)
            || destination.is_unicast_link_local()
            || (source.is_unicast_link_local() && !destination.is_multicast());
        (tuple.protocol == Protocol::ICMPV6 && tuple.ports == Ports::Absent && is_on_the_link)
            .then_some(Self::NeighborDiscovery)
    }

    fn unsupported(tuple: &FiveTuple) -> Option<Self> {
        match tuple.destination {
            IpAddr::V4(address) if address.is_broadcast() => return Some(Self::Broadcast),
            address if address.is_multicast() => return Some(Self::Multicast),
            _ => {}
        }
        match tuple.protocol {
            GRE | IP_IN_IP => Some(Self::Tunnel),
            Protocol::UDP if tuple.ports.source() == Some(RESERVED_SOURCE_PORT) => {
                Some(Self::ReservedPort)
            }
            _ => None,
        }
    }
}

/// Says whether an address is in `ff02::/16`.
const fn is_link_local_multicast(address: Ipv6Addr) -> bool {
    address.to_bits() >> 112 == 0xff02
}

impl PlatformEffect {
    /// Returns the word used in records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exempt => "exempt",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for PlatformTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for PlatformEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_platform_handles_by_itself_is_told_from_probes_and_other_traffic() {
        use Direction::{Inbound, Outbound};
        use PlatformTraffic::{
            Broadcast, Dhcp, Dns, InstanceMetadata, Licensing, Multicast, NeighborDiscovery,
            ReservedPort, Tunnel, WireServer,
        };
        const VM: &str = "10.0.1.4";
        const HOST: &str = "168.63.129.16";
        const LINK: &str = "fe80::4";
        const ROUTER: &str = "fe80::1";
        for (direction, protocol, source, destination, expected) in [
            (Outbound, 6, (VM, 50_000), (HOST, 80), Some(WireServer)),
            (Outbound, 6, (VM, 50_000), (HOST, 32526), Some(WireServer)),
            (Outbound, 17, (VM, 50_000), (HOST, 80), None),
            (Outbound, 17, (VM, 50_000), (HOST, 53), Some(Dns)),
            (Outbound, 6, (VM, 50_000), (HOST, 53), Some(Dns)),
            (Outbound, 6, (VM, 50_000), (HOST, 443), None),
            (Inbound, 6, (HOST, 50_000), (VM, 80), None),
            (Outbound, 6, (VM, 50_000), ("169.254.169.254", 80), Some(InstanceMetadata)),
            (Outbound, 6, (VM, 50_000), ("169.254.169.254", 8037), None),
            (Outbound, 6, (VM, 50_000), ("23.102.135.246", 1688), Some(Licensing)),
            (Outbound, 6, (VM, 50_000), ("23.102.135.246", 1687), None),
            (Outbound, 17, (VM, 68), (HOST, 67), Some(Dhcp)),
            (Outbound, 17, ("0.0.0.0", 68), ("255.255.255.255", 67), Some(Dhcp)),
            (Inbound, 17, (HOST, 67), (VM, 68), Some(Dhcp)),
            (Outbound, 17, (VM, 5353), ("224.0.0.251", 5353), Some(Multicast)),
            (Outbound, 17, (VM, 5000), ("255.255.255.255", 5000), Some(Broadcast)),
            (Outbound, 17, (VM, 65330), ("10.0.1.5", 53), Some(ReservedPort)),
            (Outbound, 6, (VM, 65330), ("10.0.1.5", 53), None),
            (Outbound, 47, (VM, 0), ("10.0.1.5", 0), Some(Tunnel)),
            (Outbound, 6, (VM, 50_000), ("10.0.1.5", 80), None),
            (Outbound, 58, (LINK, 0), ("ff02::2", 0), Some(NeighborDiscovery)),
            (Outbound, 58, ("::", 0), ("ff02::1:ff00:4", 0), Some(NeighborDiscovery)),
            (Outbound, 58, (LINK, 0), ("ff02::16", 0), Some(NeighborDiscovery)),
            (Inbound, 58, (ROUTER, 0), ("ff02::1", 0), Some(NeighborDiscovery)),
            (Inbound, 58, (ROUTER, 0), ("fd00::4", 0), Some(NeighborDiscovery)),
            (Outbound, 58, ("fd00::4", 0), (ROUTER, 0), Some(NeighborDiscovery)),
            (Outbound, 58, ("fd00::4", 0), ("fd00::5", 0), None),
            (Outbound, 58, (LINK, 0), ("ff05::1", 0), Some(Multicast)),
            (Outbound, 17, (LINK, 5353), ("ff02::fb", 5353), Some(Multicast)),
            (Outbound, 6, (LINK, 50_000), (ROUTER, 80), None),
            (Outbound, 17, (LINK, 546), ("ff02::1:2", 547), Some(Dhcp)),
            (Inbound, 17, (ROUTER, 547), (LINK, 546), Some(Dhcp)),
            (Outbound, 17, ("fd00::4", 546), ("fd00::5", 547), None),
            (Outbound, 17, (LINK, 68), ("ff02::1:2", 67), Some(Multicast)),
            (Outbound, 17, (VM, 546), ("10.0.1.5", 547), None),
        ] {
            let tuple = FiveTuple {
                protocol: Protocol(protocol),
                source: source.0.parse().unwrap(),
                destination: destination.0.parse().unwrap(),
                ports: match protocol {
                    47 | 58 => Ports::Absent,
                    _ => Ports::Pair { source: source.1, destination: destination.1 },
                },
            };
            assert_eq!(PlatformTraffic::of(direction, &tuple, None), expected, "{tuple}");
        }
    }
    #[test]
    fn an_echo_on_the_link_is_judged_like_any_other() {
        let echo = FiveTuple {
            protocol: Protocol::ICMPV6,
            source: "fe80::4".parse().unwrap(),
            destination: "fe80::1".parse().unwrap(),
            ports: Ports::Echo(7),
        };
        assert_eq!(PlatformTraffic::of(Direction::Outbound, &echo, None), None);
    }
}
