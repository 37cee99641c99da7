//! What the rules say of a whole set of packets: every verdict that some packet of the set gets.
//!
//! In comes a set, side by side (protocol, source, destination, destination ports; the source port is open), out
//! comes each verdict once with a packet that gets it. Values of one class are treated alike by every rule, so that one
//! look-up for each combination of the classes that the set meets is exact. Their number is bounded.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::addresses::AddressLists;
use super::line::{Line, Position};
use super::packed::{PackedRows, WORD};
use super::sweep::{List, sweep};
use super::{MEMORY_BUDGET, Policy};
use crate::flow::{Direction, FiveTuple, Ports, Protocol};
use crate::nsg::{
    AddressPrefix, AddressSet, PortRange, PortSet, RuleFields, RuleProtocol, Verdict,
};

/// A set of packets of one direction: all that have one value of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketSet {
    /// Where they go.
    pub direction: Direction,
    /// One protocol, or all.
    pub protocol: RuleProtocol,
    /// Sources; an IPv4 source goes with the IPv4 destinations alone.
    pub source: AddressSet,
    /// Destinations.
    pub destination: AddressSet,
    /// Destination ports; packets without ports belong to the set where these are all ports.
    pub destination_ports: PortSet,
}

/// A verdict, and a packet of the set that gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// The packet.
    pub example: FiveTuple,
}

/// The set meets more combinations of classes than may be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rules tell more than {most} kinds of packets in the set apart; ask for fewer addresses, ports or protocols \
     at once"
)]
pub struct TooManyKinds {
    /// How many kinds may be looked at.
    pub most: usize,
}

/// A protocol that no rule can name: it stands for all that none names.
const UNNAMED: Protocol = Protocol(253);

impl Policy {
    /// Returns every verdict that a packet of the set gets, each once; none where the set is empty. Looks at no more
    /// than `most` kinds of packets.
    ///
    /// # Errors
    /// There are more kinds.
    pub fn verdicts_of(
        &self,
        set: &PacketSet,
        most: usize,
    ) -> Result<Vec<SetVerdict>, TooManyKinds> {
        let too_many = TooManyKinds { most };
        let classes = Classes::of(self, set).ok_or(too_many)?;
        if classes.kinds() > most {
            return Err(too_many);
        }
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        classes.for_each(|example| {
            let decision = self.decide(set.direction, &example);
            if seen.insert(decision.0) {
                let verdict = self.verdict(set.direction, decision);
                found.push(SetVerdict { verdict, example });
            }
        });
        Ok(found)
    }
}

/// One value for each class that the set meets.
struct Classes {
    /// Sources and destinations of each family.
    addresses: [(Vec<IpAddr>, Vec<IpAddr>); 2],
    /// Protocols with ports, protocols without.
    with_ports: Vec<Protocol>,
    without_ports: Vec<Protocol>,
    source_ports: Vec<u16>,
    destination_ports: Vec<u16>,
}

impl Classes {
    /// `None` where the lines have more classes than memory may hold.
    fn of(policy: &Policy, set: &PacketSet) -> Option<Self> {
        let rules = policy.rules();
        let layers = rules.layers(set.direction);
        let fields: Vec<RuleFields<'_>> =
            layers.iter().flat_map(|layer| &layer.rules).map(|rule| rule.fields).collect();
        let width = fields.len().div_ceil(WORD);
        let addresses = |side: Side, within: &AddressSet| {
            let mut lists = AddressLists::new(rules, width);
            for (rule, fields) in fields.iter().enumerate() {
                lists.add(rule, side(fields));
            }
            let v4 = lists.ipv4(PackedRows::new(width).of_line(MEMORY_BUDGET)).ok()?;
            let v6 = lists.ipv6(PackedRows::new(width).of_line(MEMORY_BUDGET)).ok()?;
            Some((
                one_of_each(&v4, within.v4_ranges()).map(v4_address).collect(),
                one_of_each(&v6, within.v6_ranges()).map(v6_address).collect(),
            ))
        };
        let (source_v4, source_v6) = addresses(|fields| fields.source, &set.source)?;
        let (destination_v4, destination_v6) =
            addresses(|fields| fields.destination, &set.destination)?;
        let (with_ports, mut without_ports) = protocols(set.protocol, &fields);
        if !set.destination_ports.is_any() {
            without_ports.clear();
        }
        Some(Self {
            addresses: [(source_v4, destination_v4), (source_v6, destination_v6)],
            with_ports,
            without_ports,
            source_ports: ports(&fields, |fields| fields.source_ports, &PortSet::any())?,
            destination_ports: ports(
                &fields,
                |fields| fields.destination_ports,
                &set.destination_ports,
            )?,
        })
    }

    /// Returns how many packets [`Self::for_each`] makes.
    fn kinds(&self) -> usize {
        let pairs = |(sources, destinations): &(Vec<_>, Vec<_>)| {
            sources.len().saturating_mul(destinations.len())
        };
        let pairs = self.addresses.iter().map(pairs).fold(0, usize::saturating_add);
        let ports = self.source_ports.len().saturating_mul(self.destination_ports.len());
        let services = self.with_ports.len().saturating_mul(ports);
        pairs.saturating_mul(services.saturating_add(self.without_ports.len()))
    }

    fn for_each(&self, mut see: impl FnMut(FiveTuple)) {
        let pairs = self.addresses.iter().flat_map(|(sources, destinations)| {
            sources.iter().flat_map(move |&source| destinations.iter().map(move |&to| (source, to)))
        });
        for (source, destination) in pairs {
            for &protocol in &self.without_ports {
                see(FiveTuple { protocol, source, destination, ports: Ports::Absent });
            }
            for &protocol in &self.with_ports {
                for &from in &self.source_ports {
                    for &to in &self.destination_ports {
                        let ports = Ports::Pair { source: from, destination: to };
                        see(FiveTuple { protocol, source, destination, ports });
                    }
                }
            }
        }
    }
}

type Side = for<'r> fn(&RuleFields<'r>) -> &'r [AddressPrefix];

/// Returns one protocol of each class, those whose packets have ports apart from the others.
fn protocols(wanted: RuleProtocol, rules: &[RuleFields<'_>]) -> (Vec<Protocol>, Vec<Protocol>) {
    let mut all = vec![Protocol::TCP, Protocol::UDP, UNNAMED];
    match wanted {
        RuleProtocol::Only(only) => all = vec![only],
        RuleProtocol::Any => {
            for rule in rules {
                match rule.protocol {
                    RuleProtocol::Only(named) if !all.contains(&named) => all.push(named),
                    _ => {}
                }
            }
        }
    }
    all.into_iter().partition(|&protocol| matches!(protocol, Protocol::TCP | Protocol::UDP))
}

fn ports(
    rules: &[RuleFields<'_>],
    field: impl for<'r> Fn(&RuleFields<'r>) -> &'r PortSet,
    within: &PortSet,
) -> Option<Vec<u16>> {
    let places = |set: &PortSet| -> Vec<(u32, u32)> {
        let place = |range: &PortRange| (range.first.into(), range.last.into());
        set.ranges().iter().map(place).collect()
    };
    let ranges: Vec<_> = rules.iter().map(|fields| places(field(fields))).collect();
    let numbers: Vec<[usize; 1]> = (0..rules.len()).map(|rule| [rule]).collect();
    let lists: Vec<List<'_, u32>> = ranges
        .iter()
        .zip(&numbers)
        .map(|(ranges, rules)| List { ranges, rules: rules.as_slice() })
        .collect();
    let width = rules.len().div_ceil(WORD);
    let mut rows = PackedRows::new(width);
    let line = sweep(&lists, &vec![0; width], u16::MAX.into(), rows.of_line(MEMORY_BUDGET)).ok()?;
    let port = |place| u16::try_from(place).unwrap_or(u16::MAX);
    Some(one_of_each(&line, &places(within)).map(port).collect())
}

fn v4_address(place: u32) -> IpAddr {
    Ipv4Addr::from_bits(place).into()
}

fn v6_address(place: u128) -> IpAddr {
    Ipv6Addr::from_bits(place).into()
}

/// Returns the first place within the ranges (sorted, apart) of each class that has one there, in order.
fn one_of_each<P: Position>(line: &Line<P>, within: &[(P, P)]) -> impl Iterator<Item = P> + use<P> {
    let mut found = vec![None; line.classes.len()];
    for (index, &(begin, class)) in line.runs.iter().enumerate() {
        let next = line.runs.get(index + 1).map(|next| next.0);
        let range = within.get(within.partition_point(|&(_, last)| last < begin));
        let place = range.map(|&(first, _)| first.max(begin));
        if let Some(found) = found.get_mut(class as usize)
            && found.is_none()
        {
            *found = place.filter(|&place| next.is_none_or(|next| place < next));
        }
    }
    let mut places: Vec<P> = found.into_iter().flatten().collect();
    places.sort_unstable();
    places.into_iter()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::nsg::{
        Access, AppliedRules, NetworkSecurityGroup, Priority, SecurityRule, ServiceTags,
        default_security_rules, evaluate,
    };

    fn addresses(prefixes: &[&str]) -> AddressSet {
        prefixes.iter().map(|prefix| prefix.parse::<ipnet::IpNet>().unwrap()).collect()
    }

    fn policy(rules: Vec<SecurityRule>) -> Policy {
        let mut all = default_security_rules();
        all.extend(rules);
        let rules = AppliedRules {
            nic: Some(NetworkSecurityGroup::new("nsg", all)),
            service_tags: ServiceTags::new(["10.0.0.0/29".parse().unwrap()]),
            ..AppliedRules::default()
        };
        Policy::compile(rules, 1).unwrap()
    }

    fn inbound(source: &[&str], destination: &[&str], ports: PortSet) -> PacketSet {
        PacketSet {
            direction: Direction::Inbound,
            protocol: RuleProtocol::Only(Protocol::TCP),
            source: addresses(source),
            destination: addresses(destination),
            destination_ports: ports,
        }
    }

    #[test]
    fn a_set_on_both_sides_of_a_border_gets_both_verdicts_each_with_a_packet() {
        let policy = policy(Vec::new());
        let set = inbound(&["10.0.0.0/28"], &["10.0.0.4/32"], PortSet::any());
        let found = policy.verdicts_of(&set, 1000).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|found| (found.verdict.access, found.example.source.to_string()))
            .collect();
        let expected = [(Access::Allow, "10.0.0.0"), (Access::Deny, "10.0.0.8")];
        assert_eq!(found, expected.map(|(access, source)| (access, source.to_owned())));
    }

    #[test]
    fn a_set_that_holds_no_packet_gets_no_verdict() {
        let policy = policy(Vec::new());
        let set = inbound(&["10.0.0.0/28"], &["2001:db8::/32"], PortSet::any());
        assert_eq!(policy.verdicts_of(&set, 1000), Ok(Vec::new()));
    }

    #[test]
    fn more_kinds_than_allowed_are_refused() {
        let policy = policy(Vec::new());
        let set = inbound(&["0.0.0.0/0"], &["0.0.0.0/0"], PortSet::any());
        assert_eq!(policy.verdicts_of(&set, 3), Err(TooManyKinds { most: 3 }));
    }

    /// Rules over sixteen addresses and eight ports, where all packets can be tried.
    fn rules() -> impl Strategy<Value = Vec<SecurityRule>> {
        let network = (0u8..16, 28u8..=32).prop_map(|(low, length)| {
            let network = ipnet::Ipv4Net::new(Ipv4Addr::new(10, 0, 0, low), length).unwrap();
            AddressPrefix::Network(network.trunc().into())
        });
        let side = prop_oneof![
            network,
            Just(AddressPrefix::Any),
            Just(AddressPrefix::ServiceTag("VirtualNetwork".into())),
            Just(AddressPrefix::ServiceTag("Unheard".into())),
        ];
        let ports = prop_oneof![
            Just(PortSet::any()),
            (0u16..8, 0u16..3).prop_map(|(first, more)| {
                PortSet::new(vec![PortRange { first, last: first + more }]).unwrap()
            })
        ];
        let protocol = prop_oneof![
            Just(RuleProtocol::Any),
            Just(RuleProtocol::Only(Protocol::TCP)),
            Just(RuleProtocol::Only(Protocol::ICMP)),
        ];
        let rule = (side.clone(), ports.clone(), side, ports, protocol, any::<bool>());
        proptest::collection::vec(rule, 0..6).prop_map(|rules| {
            let rules = (100u16..).zip(rules);
            rules
                .map(
                    |(
                        priority,
                        (source, source_ports, destination, destination_ports, protocol, allow),
                    )| {
                        SecurityRule {
                            name: format!("rule-{priority}"),
                            priority: Priority(priority),
                            direction: Direction::Inbound,
                            access: if allow { Access::Allow } else { Access::Deny },
                            protocol,
                            source: vec![source],
                            source_ports,
                            destination: vec![destination],
                            destination_ports,
                            is_default: false,
                            id: None,
                        }
                    },
                )
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_verdicts_are_those_of_every_packet_of_the_set_tried_one_by_one(
            rules in rules(),
            source in (0u8..16, 28u8..=32),
            destination in (0u8..16, 28u8..=32),
            first_port in 0u16..8,
            any_protocol in any::<bool>(),
        ) {
            let policy = policy(rules);
            let network = |(low, length)| {
                ipnet::Ipv4Net::new(Ipv4Addr::new(10, 0, 0, low), length).unwrap().trunc()
            };
            let (source, destination) = (network(source), network(destination));
            let ports = PortRange { first: first_port, last: first_port + 4 };
            let set = PacketSet {
                direction: Direction::Inbound,
                protocol: if any_protocol { RuleProtocol::Any } else { RuleProtocol::Only(Protocol::TCP) },
                source: [ipnet::IpNet::V4(source)].into_iter().collect(),
                destination: [ipnet::IpNet::V4(destination)].into_iter().collect(),
                destination_ports: PortSet::new(vec![ports]).unwrap(),
            };
            let mut tried = HashSet::new();
            let protocols: &[Protocol] =
                if any_protocol { &[Protocol::TCP, Protocol::UDP] } else { &[Protocol::TCP] };
            let addresses = |net: ipnet::Ipv4Net| {
                (u32::from(net.network())..=u32::from(net.broadcast())).map(Ipv4Addr::from_bits)
            };
            for from in addresses(source) {
                for to in addresses(destination) {
                    for source_port in 0..12 {
                        for destination_port in ports.first..=ports.last {
                            for &protocol in protocols {
                                let tuple = FiveTuple {
                                    protocol,
                                    source: from.into(),
                                    destination: to.into(),
                                    ports: Ports::Pair { source: source_port, destination: destination_port },
                                };
                                let verdict = evaluate(policy.rules(), Direction::Inbound, &tuple);
                                tried.insert((verdict.access, verdict.rule.map(|rule| rule.rule.clone())));
                            }
                        }
                    }
                }
            }
            let found = policy.verdicts_of(&set, usize::MAX).unwrap();
            for each in &found {
                prop_assert_eq!(&evaluate(policy.rules(), Direction::Inbound, &each.example), &each.verdict);
            }
            let found: HashSet<_> = found
                .into_iter()
                .map(|each| (each.verdict.access, each.verdict.rule.map(|rule| rule.rule.clone())))
                .collect();
            prop_assert_eq!(found, tried);
        }
    }
}
