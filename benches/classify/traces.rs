//! Packets for a rule set: inside the rules, inside the rules with few frequent flows, anywhere, on cut points.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nsgwatch::flow::{Direction, FiveTuple, Ports, Protocol};
use nsgwatch::nsg::{AddressPrefix, AddressSet, AppliedRules, PortSet, RuleProtocol, SecurityRule};

use crate::random::Random;
use crate::sets::Family;

/// A packet in as few bytes as its headers have, so that no engine waits long for the trace itself.
pub(crate) trait Packet: Copy {
    /// Packs a packet with ports.
    fn pack(tuple: &FiveTuple) -> Self;

    /// Returns the packet in the words of the classifier.
    fn tuple(self) -> FiveTuple;
}

/// A packet of IPv4 in 16 bytes.
#[derive(Clone, Copy)]
pub(crate) struct PacketV4 {
    source: u32,
    destination: u32,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
}

/// A packet of IPv6 in 48 bytes.
#[derive(Clone, Copy)]
pub(crate) struct PacketV6 {
    source: u128,
    destination: u128,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
}

impl Packet for PacketV4 {
    fn pack(tuple: &FiveTuple) -> Self {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (tuple.source, tuple.destination)
        else {
            panic!("{tuple} is not IPv4");
        };
        Self {
            source: source.to_bits(),
            destination: destination.to_bits(),
            source_port: tuple.ports.source().unwrap_or(0),
            destination_port: tuple.ports.destination().unwrap_or(0),
            protocol: tuple.protocol.0,
        }
    }

    #[inline]
    fn tuple(self) -> FiveTuple {
        FiveTuple {
            protocol: Protocol(self.protocol),
            source: Ipv4Addr::from_bits(self.source).into(),
            destination: Ipv4Addr::from_bits(self.destination).into(),
            ports: Ports::Pair { source: self.source_port, destination: self.destination_port },
        }
    }
}

impl Packet for PacketV6 {
    fn pack(tuple: &FiveTuple) -> Self {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (tuple.source, tuple.destination)
        else {
            panic!("{tuple} is not IPv6");
        };
        Self {
            source: source.to_bits(),
            destination: destination.to_bits(),
            source_port: tuple.ports.source().unwrap_or(0),
            destination_port: tuple.ports.destination().unwrap_or(0),
            protocol: tuple.protocol.0,
        }
    }

    #[inline]
    fn tuple(self) -> FiveTuple {
        FiveTuple {
            protocol: Protocol(self.protocol),
            source: Ipv6Addr::from_bits(self.source).into(),
            destination: Ipv6Addr::from_bits(self.destination).into(),
            ports: Ports::Pair { source: self.source_port, destination: self.destination_port },
        }
    }
}

/// The rules of a set with their address fields resolved.
pub(crate) struct Boxes {
    family: Family,
    pub(crate) rules: Vec<RuleBox>,
}

/// One rule with its address lists resolved to ranges.
pub(crate) struct RuleBox {
    pub(crate) rule: SecurityRule,
    pub(crate) source: AddressSet,
    pub(crate) destination: AddressSet,
}

impl Boxes {
    pub(crate) fn new(rules: &AppliedRules, family: Family) -> Self {
        let group = rules.nic.as_ref().expect("sets have one group");
        let resolve = |field: &[AddressPrefix]| {
            field.iter().fold(AddressSet::default(), |all, prefix| match prefix {
                AddressPrefix::Any => AddressSet::everything(),
                AddressPrefix::Network(network) => all.union(&[*network].into_iter().collect()),
                named => rules.resolve(named).map_or(AddressSet::default(), |set| all.union(set)),
            })
        };
        let rules = group.rules_of(Direction::Inbound).map(|rule| RuleBox {
            rule: rule.clone(),
            source: resolve(&rule.source),
            destination: resolve(&rule.destination),
        });
        Self { family, rules: rules.collect() }
    }

    /// Packets inside the rules, all rules equally often.
    pub(crate) fn uniform(&self, count: usize, seed: u64) -> Vec<FiveTuple> {
        let random = &mut Random(seed);
        (0..count).map(|_| self.inside(random)).collect()
    }

    /// 65,536 flows inside the rules, the k-th as often as 1/k.
    pub(crate) fn zipf(&self, count: usize, seed: u64) -> Vec<FiveTuple> {
        let flows = self.uniform(65_536, !seed);
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=flows.len())
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        let random = &mut Random(seed);
        let mut flow = || {
            let at = random.fraction() * sum;
            flows[sums.partition_point(|&below| below < at).min(flows.len() - 1)]
        };
        (0..count).map(|_| flow()).collect()
    }

    /// Packets from anywhere to anywhere.
    pub(crate) fn miss(&self, count: usize, seed: u64) -> Vec<FiveTuple> {
        let random = &mut Random(seed);
        let packet = |random: &mut Random| FiveTuple {
            protocol: Protocol(*random.pick(&[6, 17])),
            source: self.anywhere(random),
            destination: self.anywhere(random),
            ports: Ports::Pair { source: random.bits() as u16, destination: random.bits() as u16 },
        };
        (0..count).map(|_| packet(random)).collect()
    }

    /// Packets at, before and behind the ends of ranges; all protocols, some without ports.
    pub(crate) fn cut_points(&self, count: usize, seed: u64) -> Vec<FiveTuple> {
        let random = &mut Random(seed);
        (0..count).map(|_| self.at_cut_points(random)).collect()
    }

    fn inside(&self, random: &mut Random) -> FiveTuple {
        let mut chosen = random.pick(&self.rules);
        while !self.reachable(chosen) {
            chosen = random.pick(&self.rules);
        }
        let number = match chosen.rule.protocol {
            RuleProtocol::Any => *random.pick(&[6, 17, 1]),
            RuleProtocol::Only(protocol) => protocol.0,
        };
        let port = |ports: &PortSet, random: &mut Random| {
            let range = random.pick(ports.ranges());
            random.within(range.first.into(), range.last.into()) as u16
        };
        FiveTuple {
            protocol: Protocol(number),
            source: self.address_in(&chosen.source, random),
            destination: self.address_in(&chosen.destination, random),
            ports: Ports::Pair {
                source: port(&chosen.rule.source_ports, random),
                destination: port(&chosen.rule.destination_ports, random),
            },
        }
    }

    /// A rule between IPv4-only tags has no packet in a set of IPv6.
    fn reachable(&self, chosen: &RuleBox) -> bool {
        let empty = |set: &AddressSet| match self.family {
            Family::V4 => set.v4_ranges().is_empty(),
            Family::V6 => set.v6_ranges().is_empty(),
        };
        !empty(&chosen.source) && !empty(&chosen.destination)
    }

    fn at_cut_points(&self, random: &mut Random) -> FiveTuple {
        let chosen = [random.pick(&self.rules), random.pick(&self.rules), random.pick(&self.rules)];
        let step = |random: &mut Random| random.within(0, 2) as i8 - 1;
        let port = |ports: &PortSet, random: &mut Random| {
            let range = random.pick(ports.ranges());
            let end = if random.below(2) == 0 { range.first } else { range.last };
            end.wrapping_add_signed(step(random).into())
        };
        let ports = Ports::Pair {
            source: port(&chosen[2].rule.source_ports, random),
            destination: port(&chosen[2].rule.destination_ports, random),
        };
        let number = if random.below(8) == 0 { random.bits() as u8 } else { 0 };
        FiveTuple {
            protocol: Protocol(if number == 0 { *random.pick(&[6, 17, 1, 50]) } else { number }),
            source: self.end_in(&chosen[0].source, random),
            destination: self.end_in(&chosen[1].destination, random),
            ports: if random.below(8) == 0 { Ports::Absent } else { ports },
        }
    }

    fn address_in(&self, set: &AddressSet, random: &mut Random) -> IpAddr {
        match self.family {
            Family::V4 => {
                let &(first, last) = random.pick(set.v4_ranges());
                Ipv4Addr::from_bits(random.within(first as usize, last as usize) as u32).into()
            }
            Family::V6 => {
                let &(first, last) = random.pick(set.v6_ranges());
                let far = u128::from(random.bits()) << 64 | u128::from(random.bits());
                // Everything is too wide to meet a rule by chance: stay in the block of the set's prefixes.
                let (first, last) = if last - first > u128::MAX >> 16 {
                    (0x2a01 << 112, 0x2a02 << 112)
                } else {
                    (first, last + 1)
                };
                Ipv6Addr::from_bits(first + far % (last - first)).into()
            }
        }
    }

    fn end_in(&self, set: &AddressSet, random: &mut Random) -> IpAddr {
        let step = random.within(0, 2) as i8 - 1;
        let upper = random.below(2) == 0;
        match self.family {
            Family::V4 if set.v4_ranges().is_empty() => self.anywhere(random),
            Family::V6 if set.v6_ranges().is_empty() => self.anywhere(random),
            Family::V4 => {
                let &(first, last) = random.pick(set.v4_ranges());
                let end = if upper { last } else { first };
                Ipv4Addr::from_bits(end.wrapping_add_signed(step.into())).into()
            }
            Family::V6 => {
                let &(first, last) = random.pick(set.v6_ranges());
                let end = if upper { last } else { first };
                Ipv6Addr::from_bits(end.wrapping_add_signed(step.into())).into()
            }
        }
    }

    fn anywhere(&self, random: &mut Random) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::from_bits(random.bits() as u32).into(),
            Family::V6 => {
                let bits = u128::from(random.bits()) << 48 | u128::from(random.bits() >> 16);
                Ipv6Addr::from_bits(0x2a01 << 112 | bits).into()
            }
        }
    }
}
