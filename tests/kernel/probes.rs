//! Packets at the edges of everything that is written in the rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use ipnet::IpNet;
use nsgwatch::flow::{Direction, FiveTuple, Ports, Protocol};
use nsgwatch::nsg::{PortRange, RuleProtocol};

use super::written::{WrittenRule, WrittenRules, pick};

/// Packets for each edge, alike in nothing but the edge.
const SHOTS: usize = 2;

/// GRE, OSPF and SCTP: protocols that no rule names. SCTP has ports, but not for Azure's rules.
const UNNAMED: [Protocol; 3] = [Protocol(47), Protocol(89), Protocol(132)];

/// A packet to be asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) direction: Direction,
    pub(crate) tuple: FiveTuple,
}

impl Probe {
    /// Whether the kernel shows this packet to a rule at all. Some are dropped as soon as they come, as RFC 4291
    /// and the kernel's `ip6_rcv_core` have it: multicast, loopback and IPv4-mapped senders, the loopback as
    /// destination, and multicast that must not leave a node.
    pub(crate) fn reaches_the_rules(&self) -> bool {
        match (self.tuple.source, self.tuple.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let stays_inside = destination.is_multicast() && destination.octets()[1] & 15 < 2;
                !source.is_multicast()
                    && !source.is_loopback()
                    && source.to_ipv4_mapped().is_none()
                    && !destination.is_loopback()
                    && !stays_inside
            }
            _ => true,
        }
    }

    /// Whether the kernel forwards this packet if the rules allow it, and so remembers its flow: not between
    /// addresses that belong to no single host far away, nor from a host to itself.
    pub(crate) fn can_be_forwarded(&self) -> bool {
        let is_a_host = |address| match address {
            IpAddr::V4(v4) => {
                let first = v4.octets()[0];
                first != 0 && first < 224 && !v4.is_loopback() && !v4.is_link_local()
            }
            IpAddr::V6(v6) => {
                !v6.is_unspecified()
                    && !v6.is_loopback()
                    && !v6.is_multicast()
                    && !v6.is_unicast_link_local()
                    && v6.to_ipv4_mapped().is_none()
            }
        };
        let (source, destination) = (self.tuple.source, self.tuple.destination);
        source != destination && is_a_host(source) && is_a_host(destination)
    }
}

/// What is given of a packet; the rest is chosen to meet the rule.
#[derive(Debug, Clone, Copy, Default)]
struct Fixed {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
}

/// Makes packets at each rule's edges: first and last address of each prefix and the neighbours outside, first and
/// last port of each range and the neighbours outside; whatever else the rule asks for, the packet mostly has.
pub(crate) fn at_the_edges(rules: &WrittenRules, rng: &mut Rng) -> Vec<Probe> {
    let written = rules.groups.iter().flat_map(|(_, written)| written);
    let mut probes = Vec::new();
    for written in written {
        let mut aim = Aim { rules, written, rng };
        for fixed in edges(rules, written) {
            probes.extend((0..SHOTS).map(|_| aim.shoot(fixed)));
        }
    }
    rng.shuffle(&mut probes);
    probes
}

fn edges(rules: &WrittenRules, written: &WrittenRule) -> Vec<Fixed> {
    let networks = |field| rules.networks(field).unwrap_or_default();
    let mut edges = vec![Fixed::default()];
    for network in networks(&written.rule.source) {
        let source = around_network(&network).into_iter().map(Some);
        edges.extend(source.map(|source| Fixed { source, ..Fixed::default() }));
    }
    for network in networks(&written.rule.destination) {
        let destination = around_network(&network).into_iter().map(Some);
        edges.extend(destination.map(|destination| Fixed { destination, ..Fixed::default() }));
    }
    for range in &written.source_ports {
        let port = around_range(*range).into_iter().map(Some);
        edges.extend(port.map(|source_port| Fixed { source_port, ..Fixed::default() }));
    }
    for range in &written.destination_ports {
        let port = around_range(*range).into_iter().map(Some);
        edges.extend(port.map(|destination_port| Fixed { destination_port, ..Fixed::default() }));
    }
    edges
}

fn around_network(network: &IpNet) -> [IpAddr; 4] {
    match (network.network(), network.broadcast()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (first.to_bits(), last.to_bits());
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                .map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let (first, last) = (first.to_bits(), last.to_bits());
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                .map(|bits| Ipv6Addr::from_bits(bits).into())
        }
        mixed => panic!("two families: {mixed:?}"),
    }
}

const fn around_range(PortRange { first, last }: PortRange) -> [u16; 4] {
    [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
}

/// A rule to be met.
struct Aim<'a> {
    rules: &'a WrittenRules,
    written: &'a WrittenRule,
    rng: &'a mut Rng,
}

impl Aim<'_> {
    fn shoot(&mut self, fixed: Fixed) -> Probe {
        let rule = &self.written.rule;
        let (sources, destinations) =
            (self.rules.networks(&rule.source), self.rules.networks(&rule.destination));
        let v4 = match (fixed.source.or(fixed.destination), &sources, &destinations) {
            (Some(address), ..) => address.is_ipv4(),
            (None, Some(networks), _) | (None, None, Some(networks)) => {
                pick(self.rng, networks).addr().is_ipv4()
            }
            (None, None, None) => self.rng.bool(),
        };
        let source = fixed.source.unwrap_or_else(|| self.address(v4, sources));
        let destination = fixed.destination.unwrap_or_else(|| self.address(v4, destinations));
        let wants_ports = fixed.source_port.is_some() || fixed.destination_port.is_some();
        let protocol = self.protocol(v4, wants_ports);
        let ports = match protocol {
            Protocol::TCP | Protocol::UDP => Ports::Pair {
                source: fixed.source_port.unwrap_or_else(|| self.port(&self.written.source_ports)),
                destination: fixed
                    .destination_port
                    .unwrap_or_else(|| self.port(&self.written.destination_ports)),
            },
            Protocol::ICMP | Protocol::ICMPV6 if self.rng.u8(..4) > 0 => {
                Ports::Echo(self.rng.u16(..))
            }
            _ => Ports::Absent,
        };
        let direction =
            if self.rng.u8(..16) == 0 { rule.direction.reversed() } else { rule.direction };
        Probe { direction, tuple: FiveTuple { protocol, source, destination, ports } }
    }

    /// Returns an address of the networks, and where they have none of the family, any.
    fn address(&mut self, v4: bool, networks: Option<Vec<IpNet>>) -> IpAddr {
        let mut networks = networks.unwrap_or_default();
        networks.retain(|network| network.addr().is_ipv4() == v4);
        if networks.is_empty() {
            networks = self.rules.tags.values().flatten().copied().collect();
            networks.retain(|network| network.addr().is_ipv4() == v4);
        }
        let Some(network) = self.rng.choice(networks) else {
            return if v4 {
                Ipv4Addr::from_bits(self.rng.u32(..)).into()
            } else {
                Ipv6Addr::from_bits(self.rng.u128(..)).into()
            };
        };
        let inside = match (network.network(), network.broadcast()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Addr::from_bits(self.rng.u32(first.to_bits()..=last.to_bits())).into()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Addr::from_bits(self.rng.u128(first.to_bits()..=last.to_bits())).into()
            }
            mixed => panic!("two families: {mixed:?}"),
        };
        pick(self.rng, &[network.network(), network.broadcast(), inside])
    }

    fn protocol(&mut self, v4: bool, wants_ports: bool) -> Protocol {
        let icmp = if v4 { Protocol::ICMP } else { Protocol::ICMPV6 };
        let with_ports = [Protocol::TCP, Protocol::UDP];
        let any = [
            Protocol::TCP,
            Protocol::TCP,
            Protocol::UDP,
            Protocol::UDP,
            icmp,
            Protocol::ESP,
            Protocol::AH,
            pick(self.rng, &UNNAMED),
        ];
        match self.written.rule.protocol {
            RuleProtocol::Only(only) if self.rng.u8(..8) > 0 => match only {
                Protocol::TCP | Protocol::UDP => only,
                _ if wants_ports => pick(self.rng, &with_ports),
                Protocol::ICMP => icmp,
                _ => only,
            },
            _ if wants_ports => pick(self.rng, &with_ports),
            _ => pick(self.rng, &any),
        }
    }

    fn port(&mut self, ranges: &[PortRange]) -> u16 {
        let range = pick(self.rng, ranges);
        let inside = self.rng.u16(range.first..=range.last);
        pick(self.rng, &[range.first, range.last, inside, inside])
    }
}
