//! Traffic that is not the rules' business: what Azure lets pass whatever they say, and what its virtual networks do
//! not carry at all. Told beside the rules' verdict, never instead of it.
//!
//! Source: Microsoft, *What is IP address 168.63.129.16*, *Network security groups overview* (platform considerations)
//! and *Azure Virtual Network FAQ* (nsg-semantics.md section 6). Health probes, inbound from 168.63.129.16, are
//! subject to the rules and are not here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::{AZURE_HOST_ADDRESS, RuleProvenance, WellKnownTag};
use crate::flow::{Direction, FiveTuple, Protocol};

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
/// UDP source port that Azure keeps for its hosts.
const RESERVED_SOURCE_PORT: u16 = 65330;

/// A kind of traffic that the platform handles by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// DHCP between ports 68 and 67.
    Dhcp,
    /// To 255.255.255.255.
    Broadcast,
    /// To an IPv4 multicast address.
    Multicast,
    /// GRE, or IP in IP.
    Tunnel,
    /// UDP from the source port that Azure keeps for its hosts.
    ReservedPort,
}

/// What becomes of such traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
            | Self::Dhcp => PlatformEffect::Exempt,
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
        let by_itself = Self::dhcp(tuple).or_else(|| match direction {
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
        let ports = (tuple.ports.source()?, tuple.ports.destination()?);
        let is_dhcp = tuple.protocol == Protocol::UDP
            && tuple.source.is_ipv4()
            && matches!(
                ports,
                (DHCP_CLIENT_PORT, DHCP_SERVER_PORT) | (DHCP_SERVER_PORT, DHCP_CLIENT_PORT)
            );
        is_dhcp.then_some(Self::Dhcp)
    }

    fn unsupported(tuple: &FiveTuple) -> Option<Self> {
        match tuple.destination {
            IpAddr::V4(address) if address.is_broadcast() => return Some(Self::Broadcast),
            IpAddr::V4(address) if address.is_multicast() => return Some(Self::Multicast),
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
    use crate::flow::Ports;

    #[test]
    fn what_the_platform_handles_by_itself_is_told_from_probes_and_other_traffic() {
        use Direction::{Inbound, Outbound};
        use PlatformTraffic::{
            Broadcast, Dhcp, Dns, InstanceMetadata, Licensing, Multicast, ReservedPort, Tunnel,
            WireServer,
        };
        const VM: &str = "10.0.1.4";
        const HOST: &str = "168.63.129.16";
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
        ] {
            let tuple = FiveTuple {
                protocol: Protocol(protocol),
                source: source.0.parse().unwrap(),
                destination: destination.0.parse().unwrap(),
                ports: match protocol {
                    47 => Ports::Absent,
                    _ => Ports::Pair { source: source.1, destination: destination.1 },
                },
            };
            assert_eq!(PlatformTraffic::of(direction, &tuple, None), expected, "{tuple}");
        }
    }
}
