//! The compiled rules equal the oracle: same verdict, same rule, same reasons, for any rules and any packet.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail like the test itself")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nsgwatch::classifier::{
    CompileError, Explanation, FieldsMet, LayerExplanation, Policy, RuleExplanation,
};
use nsgwatch::flow::{Direction, FiveTuple, Ports, Protocol};
use nsgwatch::nsg::{
    Access, AddressPrefix, AddressSet, AdminAccess, AdminRuleCollection, ApplicationSecurityGroups,
    AppliedRules, Match, NetworkSecurityGroup, PortRange, PortSet, Priority, RuleFields,
    RuleProtocol, SecurityAdminRule, SecurityRule, ServiceTags, Verdict, address_field_matches,
    default_security_rules, evaluate,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const TAGS: [&str; 6] =
    ["VirtualNetwork", "Internet", "AzureLoadBalancer", "Storage", "Storage.EastUS", "Nowhere"];
const GROUPS: [&str; 3] = ["/subscriptions/s/applicationSecurityGroups/Web", "db", "Nobody"];

fn network() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<u32>(), 0u8..=32, any::<bool>()).prop_map(|(bits, length, narrow)| {
        let bits = if narrow { 0x0a00_0000 | bits & 0xffff } else { bits };
        IpNet::new(Ipv4Addr::from_bits(bits).into(), length).unwrap()
    });
    let v6 = (any::<u128>(), 0u8..=128, any::<bool>()).prop_map(|(bits, length, narrow)| {
        let bits = if narrow { 0x2001_0db8 << 96 | bits & 0xffff } else { bits };
        IpNet::new(Ipv6Addr::from_bits(bits).into(), length).unwrap()
    });
    let edge = select(vec!["0.0.0.0/32", "255.255.255.255/32", "::/128", "ff00::/8", "::/0"])
        .prop_map(|text| text.parse().unwrap());
    prop_oneof![4 => v4, 4 => v6, 1 => edge]
}

fn address_field() -> impl Strategy<Value = Vec<AddressPrefix>> {
    let value = prop_oneof![
        1 => Just(AddressPrefix::Any),
        5 => network().prop_map(AddressPrefix::Network),
        3 => select(&TAGS[..]).prop_map(|name| AddressPrefix::ServiceTag(name.to_owned())),
        1 => select(&GROUPS[..]).prop_map(|name| AddressPrefix::ApplicationSecurityGroup(name.to_owned())),
    ];
    vec(value, 1..5)
}

fn port_field() -> impl Strategy<Value = PortSet> {
    let port = || prop_oneof![any::<u16>(), Just(0), Just(u16::MAX), 440u16..450];
    let range = (port(), port())
        .prop_map(|(one, other)| PortRange { first: one.min(other), last: one.max(other) });
    prop_oneof![
        Just(PortSet::any()),
        vec(range, 1..4).prop_map(|ranges| PortSet::new(ranges).unwrap()),
    ]
}

fn rule_protocol() -> impl Strategy<Value = RuleProtocol> {
    prop_oneof![
        Just(RuleProtocol::Any),
        select(vec![1u8, 6, 17, 50, 51]).prop_map(|number| RuleProtocol::Only(Protocol(number))),
    ]
}

prop_compose! {
    fn rule(looks_at_source_ports: bool)(
        priority in 100u16..4096,
        outbound in any::<bool>(),
        deny in any::<bool>(),
        protocol in rule_protocol(),
        source in address_field(),
        source_ports in port_field(),
        destination in address_field(),
        destination_ports in port_field(),
    ) -> SecurityRule {
        SecurityRule {
            name: format!("rule-{priority}"),
            priority: Priority(priority),
            direction: if outbound { Direction::Outbound } else { Direction::Inbound },
            access: if deny { Access::Deny } else { Access::Allow },
            protocol,
            source,
            source_ports: if looks_at_source_ports { source_ports } else { PortSet::any() },
            destination,
            destination_ports,
            is_default: false,
            id: None,
        }
    }
}

fn group() -> impl Strategy<Value = NetworkSecurityGroup> {
    let sized = (any::<bool>(), prop_oneof![4 => 0usize..12, 1 => 100usize..160]);
    (sized, any::<bool>()).prop_flat_map(|((source_ports, size), defaults)| {
        vec(rule(source_ports), size).prop_map(move |mut rules| {
            if defaults {
                rules.extend(default_security_rules());
            }
            NetworkSecurityGroup::new("group", rules)
        })
    })
}

fn admin_collection() -> impl Strategy<Value = AdminRuleCollection> {
    let access = select(vec![AdminAccess::Allow, AdminAccess::AlwaysAllow, AdminAccess::Deny]);
    vec((rule(true), 1u16..4096, access), 0..8).prop_map(|rules| AdminRuleCollection {
        name: "admin".to_owned(),
        id: None,
        rules: rules
            .into_iter()
            .map(|(rule, priority, access)| SecurityAdminRule {
                name: format!("admin-{priority}"),
                priority: Priority(priority),
                direction: rule.direction,
                access,
                protocol: rule.protocol,
                source: rule.source,
                source_ports: rule.source_ports,
                destination: rule.destination,
                destination_ports: rule.destination_ports,
                id: rule.id,
            })
            .collect(),
    })
}

/// Two tags and two application security groups are known, `Nowhere` and `Nobody` never are.
fn applied_rules() -> impl Strategy<Value = AppliedRules> {
    let tag = || vec(network(), 0..20);
    let group = || proptest::option::of(group());
    let names = (tag(), tag(), vec(network(), 0..4), vec(network(), 0..4));
    (vec(admin_collection(), 0..3), group(), group(), names, vec(network(), 0..4)).prop_map(
        |(admin, subnet, nic, (storage, regional, web, db), virtual_network)| {
            let mut service_tags = ServiceTags::new(virtual_network);
            service_tags.insert("Storage", storage.into_iter().collect());
            service_tags.insert("Storage.EastUS", regional.into_iter().collect());
            let mut application_security_groups = ApplicationSecurityGroups::default();
            application_security_groups.add_members("web", &web.into_iter().collect());
            let id = "/subscriptions/s/applicationSecurityGroups/DB";
            application_security_groups.add_members(id, &db.into_iter().collect());
            AppliedRules { admin, subnet, nic, service_tags, application_security_groups }
        },
    )
}

/// What to make a packet of: places to pick cut points by, and how far to step from them.
#[derive(Debug, Clone)]
struct Dice {
    ipv6: bool,
    protocol: u8,
    portless: u8,
    picks: [Index; 4],
    steps: [i8; 4],
    random: (u128, u128),
}

fn dice() -> impl Strategy<Value = Dice> {
    let protocol = prop_oneof![3 => select(vec![1u8, 6, 6, 17, 50, 51, 58]), 1 => any::<u8>()];
    let steps = proptest::array::uniform4(-1i8..=1);
    (any::<bool>(), protocol, 0u8..6, any::<[Index; 4]>(), steps, any::<(u128, u128)>()).prop_map(
        |(ipv6, protocol, portless, picks, steps, random)| Dice {
            ipv6,
            protocol,
            portless,
            picks,
            steps,
            random,
        },
    )
}

/// The places where something changes in the rules.
struct CutPoints {
    v4: Vec<u32>,
    v6: Vec<u128>,
    ports: Vec<u16>,
}

impl CutPoints {
    fn of(rules: &AppliedRules) -> Self {
        let mut cuts = Self { v4: vec![0, u32::MAX], v6: vec![0, u128::MAX], ports: vec![0, 443] };
        let tags = TAGS.iter().filter_map(|name| rules.service_tags.get(name));
        let groups = GROUPS.iter().filter_map(|id| rules.application_security_groups.get(id));
        tags.chain(groups).for_each(|set| cuts.add_set(set));
        let layers = Direction::ALL.into_iter().flat_map(|direction| rules.layers(direction));
        for rule in layers.flat_map(|layer| layer.rules).map(|rule| rule.fields) {
            for prefix in rule.source.iter().chain(rule.destination) {
                if let AddressPrefix::Network(network) = prefix {
                    cuts.add_set(&[*network].into_iter().collect());
                }
            }
            for range in rule.source_ports.ranges().iter().chain(rule.destination_ports.ranges()) {
                cuts.ports.extend([range.first, range.last]);
            }
        }
        cuts
    }

    fn add_set(&mut self, set: &AddressSet) {
        self.v4.extend(set.v4_ranges().iter().flat_map(|&(first, last)| [first, last]));
        self.v6.extend(set.v6_ranges().iter().flat_map(|&(first, last)| [first, last]));
    }

    /// Makes a packet at, right before or right after cut points; one address in nine is random.
    fn packet(&self, dice: &Dice) -> FiveTuple {
        let [source, destination, source_port, destination_port] = &dice.picks;
        let address = |pick: &Index, step: i8, random: u128| -> IpAddr {
            let random = random.is_multiple_of(9).then_some(random / 9);
            if dice.ipv6 {
                let cut = pick.get(&self.v6).wrapping_add_signed(step.into());
                Ipv6Addr::from_bits(random.unwrap_or(cut)).into()
            } else {
                let cut = pick.get(&self.v4).wrapping_add_signed(step.into());
                Ipv4Addr::from_bits(
                    random.map_or(cut, |random| (random >> 64 & 0xffff_ffff).try_into().unwrap()),
                )
                .into()
            }
        };
        let port = |pick: &Index, step: i8| pick.get(&self.ports).wrapping_add_signed(step.into());
        FiveTuple {
            protocol: Protocol(dice.protocol),
            source: address(source, dice.steps[0], dice.random.0),
            destination: address(destination, dice.steps[1], dice.random.1),
            ports: match dice.portless {
                0 => Ports::Absent,
                1 => Ports::Echo(443),
                _ => Ports::Pair {
                    source: port(source_port, dice.steps[2]),
                    destination: port(destination_port, dice.steps[3]),
                },
            },
        }
    }
}

/// What the oracle's own functions say of one field at a time.
fn fields_met(rule: &RuleFields<'_>, tuple: &FiveTuple, rules: &AppliedRules) -> FieldsMet {
    FieldsMet {
        protocol: rule.protocol.matches(tuple.protocol),
        source: address_field_matches(rule.source, tuple.source, rules),
        source_port: rule.source_ports.matches(tuple.ports.source()),
        destination: address_field_matches(rule.destination, tuple.destination, rules),
        destination_port: rule.destination_ports.matches(tuple.ports.destination()),
    }
}

/// The explanation as the oracle's own functions give it.
fn explain_slowly(rules: &AppliedRules, direction: Direction, tuple: &FiveTuple) -> Explanation {
    let mut layers = Vec::new();
    for layer in rules.layers(direction) {
        let mut asked = Vec::new();
        for rule in &layer.rules {
            let met = fields_met(&rule.fields, tuple, rules);
            asked.push(RuleExplanation { rule: rule.provenance(), access: rule.access, met });
            if rule.fields.matches(tuple, rules) != Match::No {
                break;
            }
        }
        let is_over = asked.last().is_some_and(RuleExplanation::is_final);
        layers.push(LayerExplanation { layer: layer.layer, rules: asked });
        if is_over {
            break;
        }
    }
    Explanation { verdict: evaluate(rules, direction, tuple), layers }
}

fn compile(rules: &AppliedRules) -> Policy {
    Policy::compile(rules.clone(), 7).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn verdicts_and_reasons_equal_the_oracles(
        rules in applied_rules(), packets in vec(dice(), 256)
    ) {
        let policy = compile(&rules);
        let cuts = CutPoints::of(&rules);
        for tuple in packets.iter().map(|dice| cuts.packet(dice)) {
            for direction in Direction::ALL {
                let expected = evaluate(&rules, direction, &tuple);
                prop_assert_eq!(policy.classify(direction, &tuple), expected, "{} {}", direction, tuple);
                let expected = explain_slowly(&rules, direction, &tuple);
                prop_assert_eq!(policy.explain(direction, &tuple), expected, "{} {}", direction, tuple);
            }
        }
    }

    #[test]
    fn at_the_edges_of_a_region_the_answer_is_the_same_and_one_port_beyond_another(
        rules in applied_rules(), packets in vec(dice(), 16)
    ) {
        let policy = compile(&rules);
        let cuts = CutPoints::of(&rules);
        for tuple in packets.iter().map(|dice| cuts.packet(dice)) {
            let answer = |tuple| evaluate(&rules, Direction::Inbound, &tuple);
            let own = answer(tuple);
            let region = policy.region(Direction::Inbound, &tuple);
            for source in [region.source.network(), region.source.broadcast()] {
                prop_assert_eq!(&answer(FiveTuple { source, ..tuple }), &own);
            }
            for destination in [region.destination.network(), region.destination.broadcast()] {
                prop_assert_eq!(&answer(FiveTuple { destination, ..tuple }), &own);
            }
            let (Ports::Pair { source, .. }, Some(ports)) = (tuple.ports, region.destination_ports)
            else {
                continue;
            };
            let at = |destination| answer(FiveTuple { ports: Ports::Pair { source, destination }, ..tuple });
            prop_assert_eq!(&at(ports.first), &own);
            prop_assert_eq!(&at(ports.last), &own);
            if let Some(before) = ports.first.checked_sub(1) {
                prop_assert_ne!(&at(before), &own);
            }
            if let Some(behind) = ports.last.checked_add(1) {
                prop_assert_ne!(&at(behind), &own);
            }
        }
    }
}

fn tuple(protocol: u8, source: &str, destination: &str, port: u16) -> FiveTuple {
    FiveTuple {
        protocol: Protocol(protocol),
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        ports: Ports::Pair { source: 50_000, destination: port },
    }
}

fn rule_from(priority: u16, source: &[&str], access: Access) -> SecurityRule {
    let network = |text: &&str| AddressPrefix::Network(text.parse().unwrap());
    SecurityRule {
        name: format!("rule-{priority}"),
        priority: Priority(priority),
        direction: Direction::Inbound,
        access,
        protocol: RuleProtocol::Any,
        source: source.iter().map(network).collect(),
        source_ports: PortSet::any(),
        destination: vec![AddressPrefix::Any],
        destination_ports: PortSet::any(),
        is_default: false,
        id: None,
    }
}

fn nic_only(rules: Vec<SecurityRule>) -> AppliedRules {
    AppliedRules { nic: Some(NetworkSecurityGroup::new("nic", rules)), ..AppliedRules::default() }
}

fn rule_name(verdict: &Verdict) -> Option<&str> {
    verdict.rule.as_ref().map(|rule| rule.rule.as_str())
}

#[test]
fn without_any_group_everything_is_allowed_without_a_rule() {
    let policy = compile(&AppliedRules::default());
    for direction in Direction::ALL {
        let packet = tuple(6, "10.0.0.1", "10.0.0.2", 443);
        assert_eq!(policy.classify(direction, &packet), Verdict::NO_GROUP);
        assert_eq!(policy.explain(direction, &packet).layers, []);
    }
    assert_eq!(policy.revision(), 7);
}

#[test]
fn a_group_without_default_rules_has_no_opinion_on_what_it_does_not_name() {
    let policy = compile(&nic_only(vec![rule_from(100, &["192.0.2.0/24"], Access::Deny)]));
    let named = tuple(17, "192.0.2.255", "10.0.0.4", 53);
    assert_eq!(rule_name(&policy.classify(Direction::Inbound, &named)), Some("rule-100"));
    let other = tuple(17, "192.0.3.0", "10.0.0.4", 53);
    assert_eq!(policy.classify(Direction::Inbound, &other), Verdict::NO_GROUP);
    assert_eq!(policy.classify(Direction::Outbound, &named), Verdict::NO_GROUP);
}

#[test]
fn the_ends_of_the_address_space_and_adjacent_prefixes_fall_to_their_own_rules() {
    let policy = compile(&nic_only(vec![
        rule_from(100, &["0.0.0.0/32", "::/128"], Access::Allow),
        rule_from(101, &["255.255.255.255/32"], Access::Allow),
        rule_from(102, &["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"], Access::Allow),
        rule_from(103, &["10.0.0.0/25", "2001:db8::/64"], Access::Allow),
        rule_from(104, &["10.0.0.128/25", "2001:db8:0:1::/64"], Access::Allow),
    ]));
    for (source, expected) in [
        ("0.0.0.0", Some("rule-100")),
        ("0.0.0.1", None),
        ("::", Some("rule-100")),
        ("::1", None),
        ("255.255.255.255", Some("rule-101")),
        ("255.255.255.254", None),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("rule-102")),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", None),
        ("9.255.255.255", None),
        ("10.0.0.0", Some("rule-103")),
        ("10.0.0.127", Some("rule-103")),
        ("10.0.0.128", Some("rule-104")),
        ("10.0.0.255", Some("rule-104")),
        ("10.0.1.0", None),
        ("2001:db8::ffff:ffff:ffff:ffff", Some("rule-103")),
        ("2001:db8:0:1::", Some("rule-104")),
        ("2001:db8:0:2::", None),
    ] {
        let packet = tuple(6, source, source, 443);
        assert_eq!(rule_name(&policy.classify(Direction::Inbound, &packet)), expected, "{source}");
    }
}

#[test]
fn ipv6_prefixes_that_share_their_first_bits_do_not_catch_addresses_beside_them() {
    let within_a_64 = [("2a01:1:2:3::8/125", "rule-100"), ("2a01:1:2:3::1/128", "rule-101")];
    let down_to_56 = [("2a01:1:2:300::/56", "rule-100"), ("2a01:1:2:400::7/128", "rule-101")];
    let far_apart = [("2a01:1:2:300::/56", "rule-100"), ("2a01:8000::/17", "rule-101")];
    let at_the_end = [("ffff:fff0::/28", "rule-100"), ("fff0::/12", "rule-101")];
    let at_the_start = [("::8/125", "rule-100"), ("::1/128", "rule-101")];
    for networks in [within_a_64, down_to_56, far_apart, at_the_end, at_the_start] {
        let networks = networks.map(|(network, name)| (network.parse::<IpNet>().unwrap(), name));
        let rules = networks.iter().zip(100..).map(|((network, _), priority)| {
            rule_from(priority, &[network.to_string().as_str()], Access::Allow)
        });
        let policy = compile(&nic_only(rules.collect()));
        let ends =
            networks.iter().flat_map(|(network, _)| [network.network(), network.broadcast()]);
        for end in ends {
            let IpAddr::V6(end) = end else { continue };
            // Beside the ends, and with any one bit of an end turned.
            let turned = (0..128).map(|bit| end.to_bits() ^ 1 << bit);
            let beside =
                [end.to_bits(), end.to_bits().wrapping_sub(1), end.to_bits().wrapping_add(1)];
            for address in turned.chain(beside).map(Ipv6Addr::from_bits) {
                let of_networks =
                    networks.iter().find(|network| network.0.contains(&IpAddr::V6(address)));
                let packet = tuple(6, &address.to_string(), &address.to_string(), 443);
                let verdict = policy.classify(Direction::Inbound, &packet);
                assert_eq!(rule_name(&verdict), of_networks.map(|network| network.1), "{address}");
            }
        }
    }
}

#[test]
fn ports_zero_and_65535_are_ports_and_a_packet_without_ports_is_neither() {
    let range = |first, last| PortSet::new(vec![PortRange { first, last }]).unwrap();
    let to = |priority, ports| SecurityRule {
        destination_ports: ports,
        ..rule_from(priority, &["0.0.0.0/0"], Access::Allow)
    };
    let policy = compile(&nic_only(vec![
        to(100, range(0, 0)),
        to(101, range(u16::MAX, u16::MAX)),
        to(102, range(0, u16::MAX - 1)),
        to(103, range(0, u16::MAX)),
    ]));
    for (ports, expected) in [
        (Ports::Pair { source: 9, destination: 0 }, "rule-100"),
        (Ports::Pair { source: 9, destination: u16::MAX }, "rule-101"),
        (Ports::Pair { source: 9, destination: 1 }, "rule-102"),
        (Ports::Absent, "rule-103"),
        (Ports::Echo(0), "rule-103"),
    ] {
        let packet = FiveTuple { ports, ..tuple(6, "192.0.2.1", "10.0.0.4", 0) };
        let verdict = policy.classify(Direction::Inbound, &packet);
        assert_eq!(rule_name(&verdict), Some(expected), "{ports:?}");
    }
}

#[test]
fn each_of_a_thousand_rules_is_found_and_explained() {
    let network = |number: u16| format!("10.{}.{}.0/24", number >> 8, number & 255);
    let deny = |number| rule_from(100 + number, &[&network(number)], Access::Deny);
    let mut rules: Vec<SecurityRule> = (0..1000).map(deny).collect();
    rules.extend(default_security_rules());
    let group = NetworkSecurityGroup::new("both", rules);
    let rules = AppliedRules {
        subnet: Some(NetworkSecurityGroup::with_defaults_only("subnet")),
        nic: Some(group),
        service_tags: ServiceTags::new(["10.0.0.0/8".parse().unwrap()]),
        ..AppliedRules::default()
    };
    let policy = compile(&rules);
    for number in 0..1000 {
        let source = network(number).replace(".0/24", ".77");
        let packet = tuple(6, &source, "10.200.0.4", 443);
        let explanation = policy.explain(Direction::Inbound, &packet);
        assert_eq!(explanation, explain_slowly(&rules, Direction::Inbound, &packet));
        let expected = format!("rule-{}", 100 + number);
        assert_eq!(rule_name(&explanation.verdict), Some(expected.as_str()));
    }
}

#[test]
fn one_long_tag_in_many_rules_is_stored_once() {
    let prefixes = (0u32..20_000).map(|number| {
        let address = Ipv4Addr::from_bits(0x1400_0000 | number << 9);
        IpNet::new(address.into(), 24).unwrap()
    });
    let mut service_tags = ServiceTags::default();
    service_tags.insert("Storage", prefixes.collect());
    let with_tag = |priority| SecurityRule {
        source: vec![AddressPrefix::ServiceTag("storage".to_owned())],
        ..rule_from(priority, &[], Access::Allow)
    };
    let memory = |rules: u16| {
        let rules = nic_only((0..rules).map(|rule| with_tag(100 + rule)).collect());
        compile(&AppliedRules { service_tags: service_tags.clone(), ..rules }).memory_bytes()
    };
    assert_eq!(memory(1), memory(60));
}

/// Rules whose source lists overlap at random: nearly every run of addresses has a row of its own.
fn scattered(rules: u16, prefixes: u32) -> AppliedRules {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u32
    };
    let mut rule = |number| {
        let mut prefix = || {
            let length = u8::try_from(12 + random() % 12).unwrap();
            IpNet::new(Ipv4Addr::from_bits(random()).into(), length).unwrap()
        };
        let source = (0..prefixes).map(|_| AddressPrefix::Network(prefix())).collect();
        SecurityRule { source, ..rule_from(100 + number, &[], Access::Allow) }
    };
    nic_only((0..rules).map(&mut rule).collect())
}

/// Twenty rules that take turns with `count` prefixes, each 2^`shift` behind the one before, of both families and on both
/// sides, and with ranges of ports of different lengths.
fn taking_turns(count: u32, shift: u32) -> AppliedRules {
    let rule = |number: u16| {
        let turns = (u32::from(number)..count).step_by(20);
        let prefixes = turns.flat_map(|turn| {
            let v4 = IpNet::new(nth_v4(turn, shift).into(), 28).unwrap();
            let v6 = IpNet::new(nth_v6(turn, shift).into(), 60).unwrap();
            [v4, v6].map(AddressPrefix::Network)
        });
        let ports =
            |first| PortSet::new(vec![PortRange { first, last: first + 40 * number }]).unwrap();
        let protocol = match number % 2 {
            0 => RuleProtocol::Any,
            _ => RuleProtocol::Only(Protocol::TCP),
        };
        let prefixes: Vec<AddressPrefix> = prefixes.collect();
        SecurityRule {
            source: prefixes.clone(),
            destination: if number.is_multiple_of(3) { vec![AddressPrefix::Any] } else { prefixes },
            source_ports: if number.is_multiple_of(4) { ports(1000) } else { PortSet::any() },
            destination_ports: ports(100 + number),
            protocol,
            ..rule_from(100 + number, &[], Access::Allow)
        }
    };
    let rules = (0..20).map(rule).chain(default_security_rules()).collect();
    nic_only(rules)
}

fn nth_v4(turn: u32, shift: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000u32.wrapping_add(turn << shift))
}

fn nth_v6(turn: u32, shift: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2a01 << 112) + (u128::from(turn) << (shift + 64)))
}

#[test]
fn in_whatever_form_the_tables_are_the_answers_are_the_oracles() {
    // Few prefixes; scattered ones; many side by side; more than 16 bits can number, scattered and side by side.
    let cases = [(40, 24, 300), (2000, 20, 100), (6000, 5, 50), (70_000, 14, 9), (70_000, 5, 9)];
    for (count, shift, steps) in cases {
        let rules = taking_turns(count, shift);
        let policy = compile(&rules);
        for step in 0..steps {
            let (turn, other) = (step * 7919 % count, step * 104_729 % count);
            let edge = (step % 3 * 8).wrapping_sub(step % 2);
            let v4 = |turn| Ipv4Addr::from_bits(nth_v4(turn, shift).to_bits().wrapping_add(edge));
            let v6 = |turn| {
                let edge = u128::from(edge) << 64;
                Ipv6Addr::from_bits(nth_v6(turn, shift).to_bits().wrapping_add(edge))
            };
            let number = u16::try_from(turn % 20).unwrap();
            let pair = Ports::Pair { source: 1000 + 40 * number, destination: 100 + 41 * number };
            let behind = Ports::Pair { source: 999, destination: 101 + 41 * number };
            for ports in [pair, behind, Ports::Absent] {
                for (source, destination) in [
                    (IpAddr::from(v4(turn)), IpAddr::from(v4(other))),
                    (v4(turn).into(), v4(turn).into()),
                    (v6(turn).into(), v6(other).into()),
                    (v6(turn).into(), v6(turn).into()),
                ] {
                    let protocol =
                        if step.is_multiple_of(5) { Protocol::UDP } else { Protocol::TCP };
                    let packet = FiveTuple { protocol, source, destination, ports };
                    let expected = evaluate(&rules, Direction::Inbound, &packet);
                    let found = policy.classify(Direction::Inbound, &packet);
                    assert_eq!(found, expected, "{count} prefixes: {packet}");
                }
            }
        }
    }
}

#[test]
fn rows_too_many_to_lie_flat_answer_the_same() {
    // 3,000 rules are more than a flat row holds.
    let rules = scattered(3000, 2);
    let policy = compile(&rules);
    for number in 0..2000u32 {
        let source = Ipv4Addr::from_bits(number.wrapping_mul(2_654_435_761)).to_string();
        let packet = tuple(6, &source, "10.0.0.4", 443);
        let expected = evaluate(&rules, Direction::Inbound, &packet);
        assert_eq!(policy.classify(Direction::Inbound, &packet), expected, "{source}");
    }
}

#[test]
fn more_classes_than_the_budget_holds_are_refused_in_plain_words() {
    let rules = scattered(1000, 1000);
    let error = Policy::compile(rules, 1).unwrap_err();
    assert!(matches!(error, CompileError::TooLarge { .. }));
    assert!(error.to_string().contains("fewer or less scattered prefixes"), "{error}");
}
