use nsgwatch::flow::{Direction, Protocol};
use nsgwatch::nsg::load::{Format, parse_groups, select};
use nsgwatch::nsg::{AddressPrefix, RuleProtocol, default_security_rules};

use super::one_group;

const FLAT_RULE: &str = r#"{"name": "r", "id": "/r", "etag": "W/x", "type": "t", "resourceGroup": "g", "description": null,
 "PRIORITY": 100, "direction": "INBOUND", "access": "allow", "protocol": "TCP", "provisioningState": "Succeeded",
 "sourceAddressPrefix": "10.0.0.4", "sourceAddressPrefixes": [], "sourcePortRange": "", "sourcePortRanges": ["1-5", "6"],
 "destinationAddressPrefix": "any", "destinationAddressPrefixes": null, "destinationPortRange": 80, "destinationPortRanges": ["80"],
 "sourceApplicationSecurityGroups": null}"#;

#[test]
fn one_group_an_array_and_a_value_list_are_the_same() {
    let group =
        format!("{{\"name\": \"nsg\", \"id\": \"/nsg\", \"securityRules\": [{FLAT_RULE}]}}");
    let expected = one_group(&group, Format::Json);
    assert_eq!(one_group(&format!("[{group}]"), Format::Json), expected);
    assert_eq!(one_group(&format!("{{\"value\": [{group}]}}"), Format::Json), expected);
    assert_eq!(one_group(&format!("\u{feff}{group}"), Format::Json), expected);
    assert_eq!(one_group(&group, Format::Yaml), expected, "JSON is YAML too");
    let nested_rule = format!(
        "{{\"name\": \"r\", \"id\": \"/r\", \"properties\": {}}}",
        FLAT_RULE.replacen("\"name\": \"r\", \"id\": \"/r\", ", "", 1)
    );
    let nested = format!(
        "{{\"Name\": \"nsg\", \"id\": \"/nsg\", \"Properties\": {{\"SecurityRules\": [{nested_rule}]}}}}"
    );
    assert_eq!(one_group(&nested, Format::Json), expected);

    assert_eq!(expected.id.as_deref(), Some("/nsg"));
    assert!(!expected.flush_connection);
    let rule = &expected.rules[0];
    assert_eq!((rule.name.as_str(), rule.id.as_deref()), ("r", Some("/r")));
    assert_eq!(
        (rule.direction, rule.protocol),
        (Direction::Inbound, RuleProtocol::Only(Protocol::TCP))
    );
    assert_eq!(rule.source, [AddressPrefix::Network("10.0.0.4/32".parse().unwrap())]);
    assert_eq!(rule.destination, [AddressPrefix::Any]);
    assert_eq!(rule.source_ports.to_string(), "1-6");
    assert_eq!(rule.destination_ports.to_string(), "80");
    assert_eq!(expected.rules[1..].to_vec(), {
        let mut defaults = default_security_rules();
        defaults.sort_by_key(|rule| rule.priority);
        defaults
    });
}

#[test]
fn default_rules_of_the_document_are_used_as_they_are() {
    let default = |name: &str, direction: &str| {
        format!(
            r#"{{"name": "{name}", "priority": 65500, "direction": "{direction}", "access": "Deny", "protocol": "*",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"}}"#
        )
    };
    let text = format!(
        "{{\"name\": \"nsg\", \"flushConnection\": true, \"defaultSecurityRules\": [{}, {}]}}",
        default("DenyIn", "Inbound"),
        default("DenyOut", "Outbound")
    );
    let group = one_group(&text, Format::Json);
    assert!(group.flush_connection);
    assert_eq!(group.rules.len(), 2);
    assert!(group.rules.iter().all(|rule| rule.is_default));
    assert_eq!(
        one_group(
            "{\"name\": \"n\", \"securityRules\": [], \"defaultSecurityRules\": []}",
            Format::Json
        )
        .rules
        .len(),
        6
    );
}

#[test]
fn yaml_scalars_need_no_quotes_but_for_the_star() {
    let group = one_group(
        "name: nsg\nsecurityRules:\n- name: 443\n  priority: 100\n  direction: Outbound\n  access: Deny\n  protocol: Ah\n  \
         sourceAddressPrefix: \"*\"\n  sourcePortRange: Any\n  destinationAddressPrefixes: [10.0.0.0/8, 192.0.2.1]\n  \
         destinationPortRanges: [443, 8000-8100]\n",
        Format::Yaml,
    );
    let rule = &group.rules[0];
    assert_eq!(rule.name, "443");
    assert_eq!(rule.destination_ports.to_string(), "443,8000-8100");
    assert_eq!(rule.destination.len(), 2);
}

#[test]
fn the_format_is_told_by_the_name_and_else_by_the_text() {
    for (name, text, format) in [
        ("a.json", "name: x", Format::Json),
        ("a.JSON", "", Format::Json),
        ("a.yaml", "{}", Format::Yaml),
        ("a.yml", "{}", Format::Yaml),
        ("-", " \n[]", Format::Json),
        ("/dev/stdin", "\u{feff}{}", Format::Json),
        ("rules", "name: x", Format::Yaml),
    ] {
        assert_eq!(Format::of(name, text), format, "{name} {text:?}");
    }
}

#[test]
fn one_group_of_several_is_chosen_by_name_or_id() {
    let group = |name: &str, id: &str| {
        format!("{{\"name\": \"{name}\", \"id\": \"{id}\", \"securityRules\": []}}")
    };
    let text = format!("[{}, {}, {}]", group("a", "/1/a"), group("b", "/1/b"), group("a", "/2/a"));
    let groups = || parse_groups("f.json", &text, Format::Json).unwrap().groups;
    assert_eq!(select("f.json", groups(), Some("B")).unwrap().group.name, "b");
    assert_eq!(select("f.json", groups(), Some("/2/A")).unwrap().group.id.unwrap(), "/2/a");
    for (wanted, words) in [
        (None, "several network security groups: a, b, a"),
        (Some("a"), "resource id"),
        (Some("c"), "there are: a, b, a"),
    ] {
        let error = select("f.json", groups(), wanted).unwrap_err().to_string();
        assert!(error.starts_with("f.json: ") && error.contains(words), "{error}");
    }
    assert!(select("f.json", Vec::new(), None).is_err());
}

#[test]
fn a_page_of_a_longer_list_is_said_to_be_one() {
    let parsed =
        parse_groups("x", "{\"value\": [], \"nextLink\": \"https://example.com\"}", Format::Json);
    assert_eq!(parsed.unwrap().warnings[0].place.field.as_deref(), Some("nextLink"));
}
