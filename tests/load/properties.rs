//! Laws: what is printed is read back, and no text whatever makes a loader panic.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nsgwatch::flow::{Direction, Protocol};
use nsgwatch::nsg::load::{Format, SourceFile, Sources, Unresolved, load, parse_groups};
use nsgwatch::nsg::{
    Access, AddressPrefix, NetworkSecurityGroup, PortRange, PortSet, Priority, RuleProtocol,
    SecurityRule, default_security_rules,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

use super::one_group;

fn network(is_v4: bool) -> impl Strategy<Value = IpNet> {
    (any::<u128>(), any::<u8>()).prop_map(move |(bits, length)| {
        if is_v4 {
            let address = std::net::Ipv4Addr::from_bits((bits >> 96) as u32);
            IpNet::V4(Ipv4Net::new(address, length % 33).unwrap().trunc())
        } else {
            let address = std::net::Ipv6Addr::from_bits(bits);
            IpNet::V6(Ipv6Net::new(address, length % 129).unwrap().trunc())
        }
    })
}

/// One address field: anything alone, or several prefixes that do not overlap.
fn addresses(is_v4: bool) -> impl Strategy<Value = Vec<AddressPrefix>> {
    let single = prop_oneof![
        Just(AddressPrefix::Any),
        select(vec!["VirtualNetwork", "Internet", "AzureLoadBalancer", "Storage.West", "Sql"])
            .prop_map(|name| AddressPrefix::ServiceTag(name.to_owned())),
        network(is_v4).prop_map(AddressPrefix::Network),
    ];
    let list = prop::collection::vec(network(is_v4), 2..6).prop_map(|networks| {
        let mut apart: Vec<IpNet> = Vec::new();
        for network in networks {
            if apart.iter().all(|other| !other.contains(&network) && !network.contains(other)) {
                apart.push(network);
            }
        }
        apart.into_iter().map(AddressPrefix::Network).collect()
    });
    prop_oneof![single.prop_map(|prefix| vec![prefix]), list]
}

fn ports() -> impl Strategy<Value = PortSet> {
    let range =
        any::<(u16, u16)>().prop_map(|(a, b)| PortRange { first: a.min(b), last: a.max(b) });
    let some = prop::collection::vec(range, 1..5).prop_map(|ranges| PortSet::new(ranges).unwrap());
    prop_oneof![Just(PortSet::any()), some]
}

fn rule() -> impl Strategy<Value = SecurityRule> {
    let words = (
        select(Direction::ALL.to_vec()),
        select(vec![Access::Allow, Access::Deny]),
        select(vec![
            RuleProtocol::Any,
            RuleProtocol::Only(Protocol::TCP),
            RuleProtocol::Only(Protocol::UDP),
            RuleProtocol::Only(Protocol::ICMP),
            RuleProtocol::Only(Protocol::ESP),
            RuleProtocol::Only(Protocol::AH),
        ]),
        prop::option::of("/[a-zA-Z0-9/_.()-]{1,30}"),
    );
    let sides = any::<bool>().prop_flat_map(|is_v4| (addresses(is_v4), addresses(is_v4)));
    (words, sides, ports(), ports()).prop_map(
        |(
            (direction, access, protocol, id),
            (source, destination),
            source_ports,
            destination_ports,
        )| {
            SecurityRule {
                name: String::new(),
                priority: Priority(0),
                direction,
                access,
                protocol,
                source,
                source_ports,
                destination,
                destination_ports,
                is_default: false,
                id,
            }
        },
    )
}

fn group() -> impl Strategy<Value = NetworkSecurityGroup> {
    let rules = prop::collection::btree_map(
        100_u16..=4096,
        ("[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,20}[a-zA-Z0-9_])?", rule()),
        0..12,
    );
    ("[a-zA-Z0-9]{1,20}", prop::option::of("/[a-z/]{1,20}"), any::<bool>(), rules).prop_map(
        |(name, id, flush_connection, rules)| {
            let named = rules.into_iter().enumerate().map(|(index, (priority, (name, rule)))| {
                SecurityRule {
                    name: format!("{index}-{name}"),
                    priority: Priority(priority),
                    ..rule
                }
            });
            let rules = named.chain(default_security_rules()).collect();
            NetworkSecurityGroup { id, flush_connection, ..NetworkSecurityGroup::new(name, rules) }
        },
    )
}

/// How a test prints a group.
#[derive(Debug, Clone, Copy)]
struct Print {
    nested: bool,
    with_defaults: bool,
}

fn printed_rule(rule: &SecurityRule, print: Print) -> Value {
    let mut fields = Map::new();
    for (side, prefixes, ports) in [
        ("source", &rule.source, &rule.source_ports),
        ("destination", &rule.destination, &rule.destination_ports),
    ] {
        let texts = |values: Vec<String>| {
            if values.len() == 1 {
                (json!(values[0]), json!([]))
            } else {
                (Value::Null, json!(values))
            }
        };
        let (one, many) = texts(prefixes.iter().map(ToString::to_string).collect());
        fields.insert(format!("{side}AddressPrefix"), one);
        fields.insert(format!("{side}AddressPrefixes"), many);
        let (one, many) = texts(ports.ranges().iter().map(ToString::to_string).collect());
        fields.insert(format!("{side}PortRange"), one);
        fields.insert(format!("{side}PortRanges"), many);
    }
    fields.insert("priority".into(), json!(rule.priority.0));
    fields.insert("direction".into(), json!(rule.direction.as_str()));
    fields.insert("access".into(), json!(rule.access.as_str().to_uppercase()));
    fields.insert("protocol".into(), json!(rule.protocol.to_string()));
    let mut outer = if print.nested {
        Map::from_iter([("properties".to_owned(), Value::Object(fields))])
    } else {
        fields
    };
    outer.insert("name".into(), json!(rule.name));
    outer.insert("id".into(), json!(rule.id));
    Value::Object(outer)
}

fn printed(group: &NetworkSecurityGroup, print: Print) -> Value {
    let rules = |is_default: bool| -> Vec<Value> {
        let wanted = group.rules.iter().filter(|rule| rule.is_default == is_default);
        wanted.map(|rule| printed_rule(rule, print)).collect()
    };
    let mut fields = Map::new();
    fields.insert("securityRules".into(), json!(rules(false)));
    if print.with_defaults {
        fields.insert("defaultSecurityRules".into(), json!(rules(true)));
    }
    fields.insert("flushConnection".into(), json!(group.flush_connection));
    let mut outer = if print.nested {
        Map::from_iter([("properties".to_owned(), Value::Object(fields))])
    } else {
        fields
    };
    outer.insert("name".into(), json!(group.name));
    outer.insert("id".into(), json!(group.id));
    Value::Object(outer)
}

/// Writes block YAML, values without quotes wherever YAML allows it.
fn yaml(value: &Value, indent: usize) -> String {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let line = |(key, value)| format!("{pad}{key}:{}", yaml_value(value, indent));
            fields.iter().map(line).collect::<Vec<_>>().concat()
        }
        Value::Array(elements) if !elements.is_empty() => {
            let line = |value| format!("{pad}-{}", yaml_value(value, indent));
            elements.iter().map(line).collect::<Vec<_>>().concat()
        }
        Value::String(text)
            if text.contains('*') || text.starts_with(':') || text.ends_with(':') =>
        {
            format!("\"{text}\"")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn yaml_value(value: &Value, indent: usize) -> String {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    if (value.is_object() || value.is_array()) && !is_empty(value) {
        format!("\n{}", yaml(value, indent + 2))
    } else {
        format!(" {}\n", yaml(value, indent))
    }
}

/// Texts that are worth mutating.
fn samples() -> Vec<(&'static str, Format)> {
    vec![
        (include_str!("../../rules/web-tier-subnet.json"), Format::Json),
        (include_str!("../../rules/locked-down-outbound.json"), Format::Json),
        (include_str!("../../rules/database.yaml"), Format::Yaml),
        (include_str!("samples/template.json"), Format::Json),
        (include_str!("samples/plan.json"), Format::Json),
        (include_str!("samples/effective.json"), Format::Json),
        (include_str!("samples/view.json"), Format::Json),
        (include_str!("../../rules/service-tags.json"), Format::Json),
        (include_str!("samples/admin.json"), Format::Json),
        (include_str!("samples/interface.json"), Format::Json),
        (include_str!("samples/members.yaml"), Format::Yaml),
    ]
}

fn load_everything(text: &str) {
    for format in [Format::Json, Format::Yaml] {
        if let Err(errors) = parse_groups("x", text, format) {
            assert!(!errors.is_empty());
            for error in errors {
                let line = error.to_string();
                assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
            }
        }
    }
    let file = SourceFile { name: "x", text, group: None };
    let source = Some(file);
    for unresolved in [Unresolved::Refuse, Unresolved::Undecided] {
        let groups =
            Sources { nic: source, service_tags: source, unresolved, ..Sources::default() };
        let effective = Sources { effective: source, unresolved, ..Sources::default() };
        let admin =
            Sources { admin: vec![file], parameters: source, unresolved, ..Sources::default() };
        let members = Sources {
            interface: source,
            application_security_groups: vec![file],
            unresolved,
            ..Sources::default()
        };
        for sources in [groups, effective, admin, members] {
            let _ = load(&sources);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_printed_group_is_read_back_as_it_was(group in group()) {
        for (nested, with_defaults) in [(true, true), (true, false), (false, true), (false, false)] {
            let document = printed(&group, Print { nested, with_defaults });
            let text = serde_json::to_string_pretty(&document).unwrap();
            prop_assert_eq!(&one_group(&text, Format::Json), &group);
            let text = yaml(&document, 0);
            prop_assert_eq!(&one_group(&text, Format::Yaml), &group, "{}", text);
        }
    }

    #[test]
    fn no_text_makes_a_loader_panic(text in any::<String>()) {
        load_everything(&text);
    }

    #[test]
    fn no_soup_of_structure_makes_a_loader_panic(
        parts in prop::collection::vec(select(vec![
            "{", "}", "[", "]", ":", ",", "\"", "\\", "\n", " ", "-", "- ", "? ", "*", "&a ", "<<: ", "!!x ", "|\n", ">\n", "---\n",
            "#", "'", "%", "\u{feff}", "name", "\"name\":", "securityRules", "\"securityRules\":[", "properties: ", "1", "é", "\t",
            "null", "~", "\\ud800", "\u{202e}", "\r\n",
        ]), 0..60)
    ) {
        load_everything(&parts.concat());
    }

    #[test]
    fn no_mutation_of_a_sample_makes_a_loader_panic(
        sample in any::<Index>(), cuts in prop::collection::vec((any::<Index>(), 0_usize..40, "\\PC{0,3}|[\\[\\]{}:,\"*&\\n-]{0,3}"), 1..5),
        end in prop::option::of(any::<Index>()),
    ) {
        let samples = samples();
        let mut characters: Vec<char> = sample.get(&samples).0.chars().collect();
        for (at, length, replacement) in cuts {
            let at = at.index(characters.len() + 1);
            let to = (at + length).min(characters.len());
            characters.splice(at..to, replacement.chars());
        }
        if let Some(end) = end {
            characters.truncate(end.index(characters.len() + 1));
        }
        load_everything(&characters.into_iter().collect::<String>());
    }
}

#[test]
fn the_samples_to_mutate_are_sound() {
    for (text, format) in &samples()[..7] {
        assert!(
            parse_groups("x", text, *format).is_ok_and(|parsed| !parsed.groups.is_empty()),
            "{text}"
        );
    }
    let file = |name, text| SourceFile { name, text, group: None };
    let loaded = load(&Sources {
        nic: Some(SourceFile {
            group: Some("shop-nsg"),
            ..file("t", include_str!("samples/template.json"))
        }),
        effective: Some(file("e", include_str!("samples/effective.json"))),
        admin: vec![file("a", include_str!("samples/admin.json"))],
        interface: Some(file("i", include_str!("samples/interface.json"))),
        application_security_groups: vec![file("m.yaml", include_str!("samples/members.yaml"))],
        ..Sources::default()
    });
    let rules = loaded.unwrap_or_else(|errors| panic!("{errors:#?}")).rules;
    let collections: Vec<&str> = rules.admin.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(collections, ["basics", "m"]);
    assert_eq!((rules.nic.unwrap().rules.len(), rules.subnet.unwrap().rules.len()), (9, 7));
}
