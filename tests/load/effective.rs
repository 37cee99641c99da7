//! Effective rules and security group views.

use nsgwatch::flow::Direction;
use nsgwatch::nsg::load::{Format, SourceFile, Sources, load, parse_groups};
use nsgwatch::nsg::{Access, AddressPrefix, AppliedRules, Layer, evaluate};

use super::tuple;

fn rule(name: &str, direction: &str, priority: u32, rest: &str) -> String {
    format!(
        r#"{{"name": "{name}", "direction": "{direction}", "priority": {priority}, "protocol": "All",
        "sourcePortRange": "0-65535", "sourcePortRanges": ["0-65535"], "destinationPortRange": "0-65535",
        "destinationPortRanges": ["0-65535"], {rest}}}"#
    )
}

const ANY: &str = r#""sourceAddressPrefix": "0.0.0.0/0", "sourceAddressPrefixes": ["0.0.0.0/0", "0.0.0.0/0"],
    "destinationAddressPrefix": "0.0.0.0/0", "destinationAddressPrefixes": ["0.0.0.0/0"],
    "expandedSourceAddressPrefix": null, "expandedDestinationAddressPrefix": null"#;

fn defaults(prefix: &str) -> String {
    let vnet = r#""access": "Allow", "sourceAddressPrefix": "VirtualNetwork", "destinationAddressPrefix": "VirtualNetwork",
        "expandedSourceAddressPrefix": ["10.1.0.0/24", "168.63.129.16/32"],
        "expandedDestinationAddressPrefix": ["10.1.0.0/24", "168.63.129.16/32"]"#;
    let deny = format!(r#""access": "Deny", {ANY}"#);
    let probe = r#""access": "Allow", "sourceAddressPrefix": "AzureLoadBalancer", "destinationAddressPrefix": "0.0.0.0/0",
        "expandedSourceAddressPrefix": ["168.63.129.16/32"], "expandedDestinationAddressPrefix": null"#;
    let internet = r#""access": "Allow", "sourceAddressPrefix": "0.0.0.0/0", "destinationAddressPrefix": "Internet",
        "expandedSourceAddressPrefix": null, "expandedDestinationAddressPrefix": ["1.0.0.0/8", "8.0.0.0/7"]"#;
    [
        rule(&format!("{prefix}AllowVnetInBound"), "Inbound", 65000, vnet),
        rule(&format!("{prefix}AllowAzureLoadBalancerInBound"), "Inbound", 65001, probe),
        rule(&format!("{prefix}DenyAllInBound"), "Inbound", 65500, &deny),
        rule("DefaultInboundDenyAll", "Inbound", 65500, &deny),
        rule(&format!("{prefix}AllowVnetOutBound"), "Outbound", 65000, vnet),
        rule(&format!("{prefix}AllowInternetOutBound"), "Outbound", 65001, internet),
        rule(&format!("{prefix}DenyAllOutBound"), "Outbound", 65500, &deny),
    ]
    .join(",")
}

fn element(association: &str, group: &str, rules: &str) -> String {
    format!(
        r#"{{"association": {{"{association}": {{"id": "/x"}}, "subnetX": null}}, "effectiveSecurityRules": [{rules}],
        "networkSecurityGroup": {{"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/{group}"}},
        "tagMap": null}}"#
    )
}

fn effective(text: &str) -> AppliedRules {
    let source = SourceFile { name: "e.json", text, group: None };
    load(&Sources { effective: Some(source), ..Sources::default() })
        .unwrap_or_else(|errors| panic!("{errors:#?}"))
        .rules
}

#[test]
fn both_groups_come_from_one_file_and_the_association_tells_them_apart() {
    let ssh = format!(r#""access": "Allow", {ANY}"#).replacen("0.0.0.0/0", "203.0.113.9/32", 3);
    let user = rule("securityRules/allow-ssh", "Inbound", 100, &ssh);
    let text = format!(
        r#"{{"value": [{}, {}]}}"#,
        element("networkInterface", "of-nic", &defaults("defaultSecurityRules/")),
        element("subnet", "of-subnet", &format!("{user},{}", defaults("defaultSecurityRules/")))
    );
    let rules = effective(&text);
    let (subnet, nic) = (rules.subnet.as_ref().unwrap(), rules.nic.as_ref().unwrap());
    assert_eq!((subnet.name.as_str(), nic.name.as_str()), ("of-subnet", "of-nic"));
    assert_eq!((subnet.rules.len(), nic.rules.len()), (7, 6), "what is listed twice counts once");
    let ssh = &subnet.rules[0];
    assert_eq!((ssh.name.as_str(), ssh.is_default), ("allow-ssh", false));
    assert_eq!(ssh.destination, [AddressPrefix::Any]);
    assert!(nic.rules.iter().all(|rule| rule.is_default && rule.source_ports.is_any()));

    let ask = |direction, text| evaluate(&rules, direction, &tuple(text));
    let verdict = ask(Direction::Inbound, "tcp 203.0.113.9:50000 10.1.0.4:22");
    assert_eq!(verdict.access, Access::Deny);
    let rule = verdict.rule.unwrap();
    assert_eq!(
        (rule.azure_name().as_str(), rule.layer),
        ("defaultSecurityRules/DenyAllInBound", Layer::Nic)
    );
    // Exactly what the expansion says is Internet, and nothing that another expansion would add.
    assert_eq!(ask(Direction::Outbound, "tcp 10.1.0.4:50000 8.8.8.8:443").access, Access::Allow);
    assert_eq!(ask(Direction::Outbound, "tcp 10.1.0.4:50000 13.0.0.1:443").access, Access::Deny);
    assert_eq!(ask(Direction::Outbound, "tcp 10.1.0.4:50000 10.1.0.9:443").access, Access::Allow);
    // 0.0.0.0/0 stands for `*` here, so it covers IPv6 as well.
    let v6 = ask(Direction::Inbound, "tcp [2001:db8::9]:50000 [fd00::4]:22");
    assert_eq!(v6.rule.unwrap().rule, "DenyAllInBound");
}

#[test]
fn a_file_of_effective_rules_serves_one_layer_too() {
    let text = format!(
        "[{}, {}]",
        element("networkInterface", "same", &defaults("DefaultRule_")),
        element("subnet", "same", &defaults("DefaultRule_"))
    );
    let source = SourceFile { name: "e.json", text: &text, group: None };
    let rules = load(&Sources { subnet: Some(source), ..Sources::default() }).unwrap().rules;
    assert_eq!(rules.subnet.unwrap().name, "same");
    assert!(rules.nic.is_none());
}

#[test]
fn a_group_that_serves_both_layers_is_asked_in_both() {
    let text = element("networkInterface", "both", &defaults("DefaultRule_"))
        .replace("\"subnetX\": null", "\"subnet\": {\"id\": \"/y\"}");
    let rules = effective(&text);
    assert_eq!(rules.subnet, rules.nic);
}

#[test]
fn no_element_means_that_no_group_applies() {
    let rules = effective(r#"{"value": []}"#);
    assert!(rules.subnet.is_none() && rules.nic.is_none());
}

#[test]
fn rules_of_a_network_manager_are_admin_rules() {
    let deny = rule("BlockTelnet", "Inbound", 5, &format!(r#""access": "AlwaysAllow", {ANY}"#));
    let text = format!(
        "[{}, {}]",
        element("networkManager", "x", &deny)
            .replace("networkSecurityGroups/x", "networkManagers/manager"),
        element("subnet", "of-subnet", &defaults("DefaultRule_"))
    );
    let rules = effective(&text);
    assert_eq!(rules.admin.len(), 1);
    assert_eq!((rules.admin[0].name.as_str(), rules.admin[0].rules.len()), ("manager", 1));
    let verdict = evaluate(&rules, Direction::Inbound, &tuple("tcp 203.0.113.9:5 10.1.0.4:23"));
    assert_eq!(verdict.access, Access::Allow);
    assert_eq!(verdict.rule.unwrap().azure_name(), "BlockTelnet");
}

#[test]
fn a_list_that_was_cut_gets_the_default_rules_back_with_a_warning() {
    let user = rule("securityRules/a", "Inbound", 100, &format!(r#""access": "Allow", {ANY}"#));
    let text = element("subnet", "cut", &user);
    let parsed = parse_groups("e.json", &text, Format::Json).unwrap();
    assert_eq!(parsed.groups[0].group.rules.len(), 7);
    assert_eq!(parsed.warnings.len(), 1, "{:#?}", parsed.warnings);
}

#[test]
fn the_tag_map_expands_what_the_rules_leave_open() {
    let storage =
        r#""access": "Deny", "sourceAddressPrefix": "*", "destinationAddressPrefix": "Storage""#;
    let text = element(
        "subnet",
        "s",
        &format!("{},{}", rule("UserRule_s", "Outbound", 100, storage), defaults("DefaultRule_")),
    )
    .replace("\"tagMap\": null", r#""tagMap": {"storage": ["20.0.0.0/8", "20.1.0.0/16"]}"#);
    let group = effective(&text).subnet.unwrap();
    assert_eq!(group.rules[0].destination.len(), 2, "overlaps are Azure's own here");
}

#[test]
fn what_can_not_be_used_is_refused_with_a_reason() {
    let unbound = element("other", "x", &defaults("DefaultRule_"));
    let bad_port =
        element("subnet", "x", &defaults("DefaultRule_")).replacen("0-65535", "0-65536", 1);
    let view = r#"{"networkInterfaces": [{"id": "/n", "securityRuleAssociations": {
        "networkInterfaceAssociation": {"id": "/n", "securityRules": []},
        "subnetAssociation": {"id": "/s", "securityRules": [{"name": "r"}]}, "defaultSecurityRules": [{}]}}]}"#;
    let not_a_list = r#"{"effectiveSecurityRules": 5, "association": {"subnet": {"id": "/x"}}}"#;
    for (text, words) in [
        (unbound.as_str(), "the subnet's or the interface's"),
        (bad_port.as_str(), "is not a port"),
        (view, "without rules of its own, or none"),
        (not_a_list, "must be a list"),
    ] {
        let source = SourceFile { name: "e.json", text, group: None };
        let errors = load(&Sources { effective: Some(source), ..Sources::default() }).unwrap_err();
        assert!(errors[0].to_string().contains(words), "{words}: {errors:#?}");
    }
}
