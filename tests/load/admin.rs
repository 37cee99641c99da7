//! Security admin rules of a virtual network manager.

use nsgwatch::flow::Direction;
use nsgwatch::nsg::load::{LoadError, SourceFile, Sources, Unresolved, load};
use nsgwatch::nsg::{Access, AppliedRules, evaluate};

use super::tuple;

const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkManagers/m/\
    securityAdminConfigurations/c/ruleCollections/basics/rules/deny-telnet";

fn deny_telnet() -> String {
    format!(
        r#"{{"name": "deny-telnet", "id": "{ID}", "kind": "Custom", "properties": {{"access": "Deny", "direction": "Inbound",
        "priority": 1, "protocol": "Tcp", "sources": [{{"addressPrefix": "*", "addressPrefixType": "IPPrefix"}}],
        "destinations": [{{"addressPrefix": "10.0.0.0/8", "addressPrefixType": "IPPrefix"}},
            {{"addressPrefix": "192.168.0.4", "addressPrefixType": "IPPrefix"}}],
        "sourcePortRanges": ["0-65535"], "destinationPortRanges": ["23", "2323"], "provisioningState": "Succeeded"}}}}"#
    )
}

fn try_admin(text: &str, unresolved: Unresolved) -> Result<AppliedRules, Vec<LoadError>> {
    let source = SourceFile { name: "admin.json", text, group: None };
    let sources = Sources { admin: vec![source], unresolved, ..Sources::default() };
    load(&sources).map(|loaded| loaded.rules)
}

fn admin(text: &str) -> AppliedRules {
    try_admin(text, Unresolved::Refuse).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"))
}

#[test]
fn one_rule_a_list_and_a_collection_say_the_same() {
    let rule = deny_telnet();
    let expected = admin(&rule);
    assert_eq!(expected.admin[0].name, "basics");
    assert!(expected.admin[0].id.as_ref().unwrap().ends_with("/ruleCollections/basics"));
    assert_eq!(admin(&format!("[{rule}]")), expected);
    assert_eq!(admin(&format!("{{\"value\": [{rule}], \"skipToken\": \"\"}}")), expected);
    let flat = rule.replace("\"properties\": {", "").replacen("}}", "}", 1);
    let flat = format!("{}}}", flat.trim_end_matches('}'));
    assert_eq!(admin(&flat), expected, "az prints properties flattened");
    let nested = admin(&format!(r#"{{"name": "own", "rules": [{rule}]}}"#));
    assert_eq!(nested.admin[0].rules, expected.admin[0].rules);
    assert_eq!((nested.admin[0].name.as_str(), nested.admin[0].id.as_deref()), ("own", None));
}

#[test]
fn a_rule_decides_before_the_groups_and_also_without_any() {
    let rules = admin(&deny_telnet());
    for (port, access) in [(23, Access::Deny), (2323, Access::Deny), (22, Access::Allow)] {
        let asked = tuple(&format!("tcp 203.0.113.9:50000 10.0.0.4:{port}"));
        assert_eq!(evaluate(&rules, Direction::Inbound, &asked).access, access, "{port}");
    }
}

#[test]
fn effective_admin_rules_have_their_name_in_the_id_and_ports_by_default() {
    let text = r#"{"value": [{"id": "/m/ruleCollections/basics/rules/the-rule", "kind": "Default",
        "ruleCollectionDescription": "d", "configurationDescription": "d", "ruleGroups": [], "ruleCollectionAppliesToGroups": [],
        "properties": {"access": "AlwaysAllow", "direction": "Outbound", "flag": "AllowVnetOutbound", "priority": 4096,
            "protocol": "Any", "sources": [], "destinations": [{"addressPrefix": "VirtualNetwork", "addressPrefixType": "ServiceTag"}]}}]}"#;
    let rules = admin(text);
    let rule = &rules.admin[0].rules[0];
    assert_eq!(rule.name, "the-rule");
    assert!(rule.source_ports.is_any() && rule.destination_ports.is_any());
}

#[test]
fn names_that_nothing_explains_are_errors_or_leave_packets_undecided() {
    for (kind, value, words) in [
        ("ServiceTag", "Storage", "unknown service tag `Storage`"),
        (
            "NetworkGroup",
            "/m/networkGroups/prod",
            "the members of the network group `/m/networkGroups/prod`",
        ),
    ] {
        let text = deny_telnet().replace(
            r#""*", "addressPrefixType": "IPPrefix""#,
            &format!(r#""{value}", "addressPrefixType": "{kind}""#),
        );
        let errors = try_admin(&text, Unresolved::Refuse).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        assert!(errors[0].to_string().contains(words), "{}", errors[0]);
        assert_eq!(errors[0].place.rule.as_deref(), Some("deny-telnet"));
        assert_eq!(errors[0].place.field.as_deref(), Some("sources"));
        let rules = try_admin(&text, Unresolved::Undecided).unwrap();
        let asked = tuple("tcp 203.0.113.9:50000 10.0.0.4:23");
        assert_eq!(evaluate(&rules, Direction::Inbound, &asked).access, Access::Undecided);
    }
}

#[test]
fn every_bad_field_is_named() {
    let good = deny_telnet();
    for (old, new, field, words) in [
        ("\"Deny\"", "\"Block\"", "access", "is not Allow, AlwaysAllow or Deny"),
        ("\"Inbound\"", "\"In\"", "direction", "is not"),
        ("\"priority\": 1,", "\"priority\": 0,", "priority", "from 1 to 4096"),
        ("\"priority\": 1,", "\"priority\": 4097,", "priority", "from 1 to 4096"),
        ("\"priority\": 1,", "", "priority", "is missing"),
        ("\"Tcp\"", "\"Sctp\"", "protocol", "is not"),
        ("\"2323\"", "\"2323,24\"", "destinationPortRanges", "is not a port"),
        ("\"10.0.0.0/8\"", "\"10.0.0.1/8\"", "destinations", "bits set beyond"),
        ("\"10.0.0.0/8\"", "\"Internet\"", "destinations", "is not an address"),
        ("\"destinations\"", "\"destination\"", "destination", "did you mean `destinations`"),
        ("\"sources\": [", "\"sources\": [5, ", "sources", "needs an `addressPrefix`"),
        (
            "\"IPPrefix\"}]",
            "\"Subnet\"}]",
            "sources",
            "is not IPPrefix, ServiceTag or NetworkGroup",
        ),
    ] {
        let text = good.replacen(old, new, 1);
        assert_ne!(text, good, "{old}");
        let errors = try_admin(&text, Unresolved::Refuse).unwrap_err();
        assert_eq!(errors[0].place.field.as_deref(), Some(field), "{errors:#?}");
        assert!(errors[0].to_string().contains(words), "{}", errors[0]);
    }
    let group = r#"{"name": "nsg", "securityRules": []}"#;
    assert!(
        try_admin(group, Unresolved::Refuse).unwrap_err()[0]
            .to_string()
            .contains("no security admin rules")
    );
    let collection = r#"[{"name": "c", "properties": {"appliesToGroups": []}}]"#;
    assert!(
        try_admin(collection, Unresolved::Refuse).unwrap_err()[0].to_string().contains("rule list")
    );
}
