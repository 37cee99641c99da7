//! Rule sets from seeds: one interface's group each, with Azure's default rules at the end.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nsgwatch::flow::{Direction, Protocol};
use nsgwatch::nsg::{
    Access, AddressPrefix, AppliedRules, NetworkSecurityGroup, PortRange, PortSet, Priority,
    RuleProtocol, SecurityRule, ServiceTags, default_security_rules,
};

use crate::random::Random;

/// Which family the prefixes of a set are of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    /// The same shape: as many prefixes, cut at the corresponding bits, hosts as /128.
    V6,
}

impl Family {
    /// Makes a prefix of the family from the shape that IPv4 would have.
    pub(crate) fn prefix(self, bits: u32, length: u8) -> IpNet {
        let net = match self {
            Self::V4 => IpNet::new(Ipv4Addr::from_bits(bits).into(), length),
            Self::V6 => {
                // 16 bits of 2a01, the upper half, 8 bits of zero, the lower half: cut at /16 to /56.
                let (upper, lower) = (u128::from(bits >> 16), u128::from(bits & 0xffff));
                let address = 0x2a01 << 112 | upper << 96 | lower << 72;
                let length = match length {
                    0..=16 => 16 + length,
                    17..=31 => 24 + length,
                    _ => 128,
                };
                IpNet::new(Ipv6Addr::from_bits(address).into(), length)
            }
        };
        net.expect("lengths are at most 32").trunc()
    }
}

/// A rule set by name, and what to expect of `rte_acl`.
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) make: fn(Family) -> AppliedRules,
    /// `rte_acl` can load it: the lists multiplied out do not take its memory.
    pub(crate) acl: bool,
}

/// The sets of the table.
pub(crate) const SETS: [Set; 6] = [
    Set { name: "30 typical", make: typical, acl: true },
    Set { name: "1,000 random", make: |family| random(family, 2, 1, 1), acl: true },
    Set { name: "1,000 x 4 x 4 x 2", make: |family| random(family, 3, 4, 2), acl: true },
    Set { name: "tags 100-500", make: |family| tags(family, 100), acl: true },
    Set { name: "tags 1k-5k", make: |family| tags(family, 10), acl: true },
    Set { name: "tags 10k-50k + Internet", make: |family| tags(family, 1), acl: false },
];

/// Returns the sets with this in their names, or all of them; stops where no set has it.
pub(crate) fn named(part: Option<&str>) -> Vec<&'static Set> {
    let sets: Vec<_> =
        SETS.iter().filter(|set| part.is_none_or(|part| set.name.contains(part))).collect();
    assert!(!sets.is_empty(), "no set has `{}` in its name", part.unwrap_or_default());
    sets
}

/// Address blocks in which the prefixes of tags lie, as base and length.
const CLOUD: [(u32, u8); 10] = [
    (0x1400_0000, 8),
    (0x2840_0000, 10),
    (0x3480_0000, 9),
    (0x0d40_0000, 11),
    (0x6828_0000, 13),
    (0x0490_0000, 12),
    (0x3367_0000, 16),
    (0x8974_0000, 15),
    (0xa83d_0000, 16),
    (0x1760_0000, 13),
];
const PORTS: [u16; 20] = [
    22, 53, 80, 123, 135, 389, 443, 445, 1433, 3306, 3389, 5432, 5671, 5985, 6379, 8080, 8443,
    9090, 9354, 27017,
];
const VIRTUAL_NETWORK: [(u32, u8); 3] = [(0x0a00_0000, 8), (0xac10_0000, 12), (0xc0a8_0000, 16)];

fn tag_prefixes(
    random: &mut Random,
    family: Family,
    count: usize,
    blocks: &[(u32, u8)],
) -> Vec<IpNet> {
    let lengths = [18, 19, 20, 21, 22, 23, 24, 24, 25, 26, 26, 27, 27, 28, 28, 29, 30, 31, 32, 32];
    let mut prefixes = std::collections::BTreeSet::new();
    while prefixes.len() < count {
        let (base, length) = *random.pick(blocks);
        let address = base | (random.bits() as u32) >> length;
        prefixes.insert(family.prefix(address, *random.pick(&lengths)));
    }
    prefixes.into_iter().collect()
}

fn service_ports(random: &mut Random) -> PortSet {
    let count = random.within(1, 3);
    let mut range = || match random.below(4) {
        0 | 1 => {
            let port = *random.pick(&PORTS);
            PortRange { first: port, last: port }
        }
        2 => {
            let first = random.within(1024, 60_000) as u16;
            PortRange { first, last: first + random.within(1, 1000) as u16 }
        }
        _ => {
            let port = random.within(1, 65_000) as u16;
            PortRange { first: port, last: port }
        }
    };
    PortSet::new((0..count).map(|_| range()).collect()).expect("one range at least")
}

fn random_ports(random: &mut Random, count: usize) -> PortSet {
    let mut range = || {
        let first = random.below(65_536) as u16;
        let wide = random.below(2) == 0;
        PortRange {
            first,
            last: first.saturating_add(if wide { random.below(20_000) as u16 } else { 0 }),
        }
    };
    PortSet::new((0..count).map(|_| range()).collect()).expect("one range at least")
}

fn tag(name: impl Into<String>) -> Vec<AddressPrefix> {
    vec![AddressPrefix::ServiceTag(name.into())]
}

fn networks(prefixes: impl IntoIterator<Item = IpNet>) -> Vec<AddressPrefix> {
    prefixes.into_iter().map(AddressPrefix::Network).collect()
}

fn protocol(number: u8) -> RuleProtocol {
    if number == 0 { RuleProtocol::Any } else { RuleProtocol::Only(Protocol(number)) }
}

fn service_tags(family: Family) -> ServiceTags {
    ServiceTags::new(VIRTUAL_NETWORK.iter().map(|&(bits, length)| family.prefix(bits, length)))
}

fn rule(index: usize, source: Vec<AddressPrefix>, destination: Vec<AddressPrefix>) -> SecurityRule {
    SecurityRule {
        name: format!("rule-{index}"),
        priority: Priority(100 + index as u16),
        direction: Direction::Inbound,
        access: if index % 4 == 3 { Access::Deny } else { Access::Allow },
        protocol: RuleProtocol::Any,
        source,
        source_ports: PortSet::any(),
        destination,
        destination_ports: PortSet::any(),
        is_default: false,
        id: None,
    }
}

fn applied(mut rules: Vec<SecurityRule>, service_tags: ServiceTags) -> AppliedRules {
    // Only the direction that is measured, so that sizes are those of one direction.
    rules.extend(default_security_rules());
    rules.retain(|rule| rule.direction == Direction::Inbound);
    let nic = Some(NetworkSecurityGroup::new("bench", rules));
    AppliedRules { nic, service_tags, ..AppliedRules::default() }
}

/// A group as people write it: 26 rules on subnets, some hosts and three small tags, and the three default rules.
pub(crate) fn typical(family: Family) -> AppliedRules {
    let random = &mut Random(1);
    let mut tags = service_tags(family);
    let mut lists = vec![tag("VirtualNetwork"), tag("AzureLoadBalancer"), tag("Internet")];
    for count in [60, 30, 200] {
        let name = format!("Tag{count}");
        tags.insert(&name, tag_prefixes(random, family, count, &CLOUD[..4]).into_iter().collect());
        lists.push(tag(name));
    }
    for _ in 0..6 {
        lists.push(networks([family.prefix(0x0a01_0000 | (random.below(64) as u32) << 8, 24)]));
    }
    for _ in 0..4 {
        lists.push(networks((0..3).map(|_| family.prefix(random.bits() as u32, 32))));
    }
    let rules = (0..26).map(|index| {
        let source = match random.below(4) {
            0 => vec![AddressPrefix::Any],
            _ => random.pick(&lists).clone(),
        };
        let destination = match random.below(6) {
            0 | 1 => lists[6 + random.below(6)].clone(),
            2 => random.pick(&lists).clone(),
            _ => lists[0].clone(),
        };
        SecurityRule {
            protocol: protocol(*random.pick(&[6, 6, 6, 17, 0])),
            destination_ports: service_ports(random),
            ..rule(index, source, destination)
        }
    });
    applied(rules.collect(), tags)
}

/// Rules without any structure, each with so many prefixes a side and port ranges.
fn random(family: Family, seed: u64, prefixes: usize, ranges: usize) -> AppliedRules {
    let random = &mut Random(seed);
    let lengths =
        [8, 10, 12, 14, 16, 16, 17, 18, 19, 20, 20, 21, 22, 23, 24, 24, 24, 25, 26, 28, 32, 32];
    let side = |random: &mut Random| {
        if prefixes == 1 && random.below(10) == 0 {
            return vec![AddressPrefix::Any];
        }
        let mut prefix =
            || family.prefix(random.bits() as u32 & 0x3fff_ffff, *random.pick(&lengths));
        networks((0..prefixes).map(|_| prefix()))
    };
    let rules = (0..997).map(|index| {
        let (source, destination) = (side(random), side(random));
        let looks_at_source_ports = random.below(4) == 0;
        SecurityRule {
            protocol: protocol(*random.pick(&[6, 17, 0])),
            source_ports: if looks_at_source_ports {
                random_ports(random, ranges)
            } else {
                PortSet::any()
            },
            destination_ports: random_ports(random, ranges),
            ..rule(index, source, destination)
        }
    });
    applied(rules.collect(), service_tags(family))
}

/// 200 rules between subnets and tags: four large tags of 10k to 50k prefixes over `scale`, 40 that are parts of
/// them, 20 small ones, `Internet`.
fn tags(family: Family, scale: usize) -> AppliedRules {
    let random = &mut Random(5);
    let mut tags = service_tags(family);
    let mut lists = vec![tag("Internet")];
    let mut large = Vec::new();
    let mut add = |lists: &mut Vec<_>, prefixes: &[IpNet]| {
        let name = format!("Tag{}", lists.len());
        tags.insert(&name, prefixes.iter().copied().collect());
        lists.push(tag(name));
    };
    for count in [10_000, 20_000, 30_000, 50_000] {
        large.push(tag_prefixes(random, family, count / scale, &CLOUD));
        add(&mut lists, &large[large.len() - 1]);
    }
    for _ in 0..40 {
        let whole: &Vec<IpNet> = random.pick(&large);
        let one_in = random.within(20, 100);
        let part: Vec<IpNet> =
            whole.iter().copied().filter(|_| random.below(one_in) == 0).collect();
        if !part.is_empty() {
            add(&mut lists, &part);
        }
    }
    for _ in 0..20 {
        let count = random.within(4, 60);
        let prefixes = tag_prefixes(random, family, count, &CLOUD);
        add(&mut lists, &prefixes);
    }
    let subnet = |random: &mut Random| {
        let bits = 0x0a00_0000 | (random.below(4096) as u32) << 8;
        family.prefix(bits, random.within(22, 28) as u8)
    };
    let subnets: Vec<_> = (0..40)
        .map(|_| networks((0..random.within(1, 3)).map(|_| subnet(random)).collect::<Vec<_>>()))
        .collect();
    let rules = (0..197).map(|index| {
        let remote = match random.below(3) {
            0 => lists[1 + random.below(4)].clone(),
            _ => random.pick(&lists).clone(),
        };
        let local = match random.below(5) {
            0 => tag("VirtualNetwork"),
            _ => random.pick(&subnets).clone(),
        };
        let (source, destination) =
            if random.below(2) == 0 { (remote, local) } else { (local, remote) };
        SecurityRule {
            protocol: protocol(*random.pick(&[6, 6, 17, 0])),
            destination_ports: service_ports(random),
            ..rule(index, source, destination)
        }
    });
    applied(rules.collect(), tags)
}
