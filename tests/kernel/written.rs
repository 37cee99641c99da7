//! Random network security groups, kept as they were written beside what the product makes of them: the translation
//! for the kernel reads only what was written.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use ipnet::IpNet;
use nsgwatch::flow::{Direction, Protocol};
use nsgwatch::nsg::{
    AZURE_HOST_ADDRESS, Access, AddressPrefix, AppliedRules, Layer, NetworkSecurityGroup,
    PortRange, PortSet, Priority, RuleProtocol, SecurityRule, ServiceTags, default_security_rules,
};

/// User rules in a group, at least; half as many again at most.
const RULES: u16 = 40;

const NETWORKS_V4: [[u8; 4]; 6] = [
    [10, 0, 0, 0],
    [10, 0, 1, 0],
    [172, 16, 4, 0],
    [192, 168, 0, 0],
    [198, 51, 100, 0],
    [203, 0, 113, 0],
];
const NETWORKS_V6: [u128; 4] =
    [0xfd00_0001 << 96, 0xfd00_0001_0002 << 80, 0x2001_0db8 << 96, 0x2001_0db8_0001 << 80];
/// The ends of both address spaces and what halves them.
const ENDS: [&str; 8] = [
    "0.0.0.0/0",
    "::/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "0.0.0.0/32",
    "255.255.255.255/32",
    "8000::/1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
];
const PORTS: [u16; 12] = [0, 1, 22, 53, 80, 443, 1024, 3389, 8080, 32_768, 49_152, u16::MAX];
const TAGS: [&str; 5] =
    ["VirtualNetwork", "AzureLoadBalancer", "Internet", "Storage", "Storage.EastUS"];

/// A rule, and its ports before they are sorted and joined.
#[derive(Debug, Clone)]
pub(crate) struct WrittenRule {
    pub(crate) rule: SecurityRule,
    pub(crate) source_ports: Vec<PortRange>,
    pub(crate) destination_ports: Vec<PortRange>,
}

impl WrittenRule {
    fn random(rng: &mut Rng, priority: u16) -> Self {
        let source_ports = if rng.u8(..10) < 7 { vec![PortRange::ANY] } else { ports(rng) };
        let destination_ports = ports(rng);
        let protocol = [
            RuleProtocol::Any,
            RuleProtocol::Any,
            RuleProtocol::Only(Protocol::TCP),
            RuleProtocol::Only(Protocol::TCP),
            RuleProtocol::Only(Protocol::UDP),
            RuleProtocol::Only(Protocol::ICMP),
            RuleProtocol::Only(Protocol::ESP),
            RuleProtocol::Only(Protocol::AH),
        ];
        let rule = SecurityRule {
            name: format!("rule-{priority}"),
            priority: Priority(priority),
            direction: pick(rng, &Direction::ALL),
            access: pick(rng, &[Access::Allow, Access::Deny]),
            protocol: pick(rng, &protocol),
            source: addresses(rng),
            source_ports: PortSet::new(source_ports.clone()).unwrap(),
            destination: addresses(rng),
            destination_ports: PortSet::new(destination_ports.clone()).unwrap(),
            is_default: false,
            id: None,
        };
        Self { rule, source_ports, destination_ports }
    }
}

impl From<SecurityRule> for WrittenRule {
    fn from(rule: SecurityRule) -> Self {
        let (source_ports, destination_ports) =
            (rule.source_ports.ranges().to_vec(), rule.destination_ports.ranges().to_vec());
        Self { rule, source_ports, destination_ports }
    }
}

/// One interface's groups and what their service tags stand for.
#[derive(Debug, Clone)]
pub(crate) struct WrittenRules {
    /// At most one group a layer, the subnet's first.
    pub(crate) groups: Vec<(Layer, Vec<WrittenRule>)>,
    pub(crate) tags: BTreeMap<&'static str, Vec<IpNet>>,
}

impl WrittenRules {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let layers: &[Layer] = match rng.u8(..8) {
            0 => &[Layer::Subnet],
            1 => &[Layer::Nic],
            _ => &[Layer::Subnet, Layer::Nic],
        };
        let groups = layers.iter().map(|&layer| (layer, group(rng))).collect();
        let mut networks = |most: usize| -> Vec<IpNet> {
            let count = rng.usize(1..=most);
            (0..count).map(|_| network(rng)).collect()
        };
        let host = IpNet::new(AZURE_HOST_ADDRESS.into(), 32).unwrap();
        let mut virtual_network = networks(3);
        virtual_network.push(host);
        let tags = [virtual_network, vec![host], networks(12), networks(20), networks(8)];
        Self { groups, tags: TAGS.into_iter().zip(tags).collect() }
    }

    /// The rules as the product takes them.
    pub(crate) fn applied(&self) -> AppliedRules {
        let networks = |tag: &str| self.tags[tag].iter().copied();
        let mut service_tags =
            ServiceTags::new(networks("VirtualNetwork")).with_internet(networks("Internet"));
        for tag in ["Storage", "Storage.EastUS"] {
            service_tags.insert(tag, networks(tag).collect());
        }
        let group = |wanted: Layer| {
            let (_, rules) = self.groups.iter().find(|(layer, _)| *layer == wanted)?;
            let rules = rules.iter().map(|written| written.rule.clone()).collect();
            Some(NetworkSecurityGroup::new(format!("{wanted} group"), rules))
        };
        let (subnet, nic) = (group(Layer::Subnet), group(Layer::Nic));
        AppliedRules { subnet, nic, service_tags, ..AppliedRules::default() }
    }

    /// The prefixes that a rule's address field stands for; `None` stands for every address.
    pub(crate) fn networks(&self, field: &[AddressPrefix]) -> Option<Vec<IpNet>> {
        let mut networks = Vec::new();
        for prefix in field {
            match prefix {
                AddressPrefix::Any => return None,
                AddressPrefix::Network(network) => networks.push(*network),
                AddressPrefix::ServiceTag(name) => networks.extend(&self.tags[name.as_str()]),
                AddressPrefix::ApplicationSecurityGroup(id) => unreachable!("no {id} is written"),
            }
        }
        Some(networks)
    }
}

/// Returns one of the values.
pub(crate) fn pick<T: Clone>(rng: &mut Rng, values: &[T]) -> T {
    rng.choice(values).unwrap().clone()
}

/// Rules in no order, as a file may hold them; one group in four lacks the default rules and has no opinion on some
/// packets.
fn group(rng: &mut Rng) -> Vec<WrittenRule> {
    let count = rng.u16(RULES..=RULES + RULES / 2);
    let step = 3996 / count;
    let mut rules: Vec<WrittenRule> =
        (0..count).map(|number| WrittenRule::random(rng, 100 + number * step)).collect();
    if rng.u8(..4) > 0 {
        rules.extend(default_security_rules().into_iter().map(WrittenRule::from));
    }
    rng.shuffle(&mut rules);
    rules
}

fn addresses(rng: &mut Rng) -> Vec<AddressPrefix> {
    if rng.u8(..4) == 0 {
        return vec![AddressPrefix::Any];
    }
    let count = rng.usize(1..=4);
    (0..count)
        .map(|_| match rng.u8(..6) {
            0 => AddressPrefix::ServiceTag(pick(rng, &TAGS).to_owned()),
            _ => AddressPrefix::Network(network(rng)),
        })
        .collect()
}

/// A prefix near others, so that they overlap and touch; host bits are left in.
fn network(rng: &mut Rng) -> IpNet {
    if rng.u8(..12) == 0 {
        return pick(rng, &ENDS).parse().unwrap();
    }
    if rng.bool() {
        let bits = u32::from_be_bytes(pick(rng, &NETWORKS_V4)) | rng.u32(..1 << 10);
        IpNet::new(Ipv4Addr::from_bits(bits).into(), rng.u8(8..=32)).unwrap()
    } else {
        let bits = pick(rng, &NETWORKS_V6) | rng.u128(..1 << 10);
        let length = if rng.bool() { rng.u8(16..=128) } else { rng.u8(118..=128) };
        IpNet::new(Ipv6Addr::from_bits(bits).into(), length).unwrap()
    }
}

/// Port ranges that may overlap and touch.
fn ports(rng: &mut Rng) -> Vec<PortRange> {
    if rng.u8(..10) < 4 {
        return vec![PortRange::ANY];
    }
    let count = rng.usize(1..=3);
    (0..count)
        .map(|_| {
            let first = pick(rng, &PORTS).saturating_add(rng.u16(..4));
            let length = pick(rng, &[0, 0, 1, 9, 500]);
            PortRange { first, last: first.saturating_add(length) }
        })
        .collect()
}
