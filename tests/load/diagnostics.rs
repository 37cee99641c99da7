//! Azure's network security group diagnostics: its examples against our explanation, rule by rule and field by field.
//!
//! The examples show answers and no rules, so the rules are made here. Those of the command line's example are told
//! by their names. Of the specification's example only the outcome of each field is known; each rule is given fields
//! that come out so, and what is compared is what the explanation makes of them: which rules are listed, in which
//! order, under which name, and each field by itself, not only up to the first one missed.

use nsgwatch::classifier::Policy;
use nsgwatch::control::explain::{Explained, ExplainedLayer};
use nsgwatch::control::verify::VerifyRequest;
use nsgwatch::flow::Direction;
use nsgwatch::nsg::{
    AddressPrefix, AdminAccess, AdminRuleCollection, AppliedRules, NetworkSecurityGroup, PortRange,
    PortSet, Priority, RuleProtocol, SecurityAdminRule, SecurityRule, ServiceTags,
    default_security_rules,
};
use serde_json::{Value, json};

use super::azure_files::{json, shared};

fn port(port: u16) -> PortSet {
    PortSet::new(vec![PortRange { first: port, last: port }]).unwrap()
}

fn address(text: &str) -> AddressPrefix {
    AddressPrefix::Network(text.parse::<std::net::IpAddr>().unwrap().into())
}

/// A rule of which the packet meets the fields that the row says.
fn rule_of(row: &Value, place: u16, action: &str, profile: &Value) -> SecurityRule {
    let met = |name: &str| row[name].as_bool().unwrap();
    let profile = |name: &str| profile[name].as_str().unwrap();
    let side = |met, given: &str| vec![address(if met { given } else { "192.0.2.1" })];
    let destination_port: u16 = profile("destinationPort").parse().unwrap();
    SecurityRule {
        name: row["name"].as_str().unwrap().strip_prefix("UserRule_").unwrap().to_owned(),
        priority: Priority(100 + place),
        direction: Direction::Inbound,
        access: action.parse().unwrap(),
        protocol: if met("protocolMatched") {
            RuleProtocol::Only(profile("protocol").parse().unwrap())
        } else {
            RuleProtocol::Only(nsgwatch::flow::Protocol::ESP)
        },
        source: side(met("sourceMatched"), profile("source")),
        source_ports: if met("sourcePortMatched") { PortSet::any() } else { port(1) },
        destination: side(met("destinationMatched"), profile("destination")),
        destination_ports: port(destination_port - u16::from(!met("destinationPortMatched"))),
        is_default: false,
        id: None,
    }
}

fn group_of(name: &str, evaluated: &Value, profile: &Value) -> NetworkSecurityGroup {
    let action = evaluated["matchedRule"]["action"].as_str().unwrap();
    let rows = evaluated["rulesEvaluationResult"].as_array().unwrap();
    let rules = rows.iter().zip(0..).map(|(row, place)| rule_of(row, place, action, profile));
    NetworkSecurityGroup::new(name, rules.chain(default_security_rules()).collect())
}

fn explain(
    rules: AppliedRules,
    profile: &Value,
    source: &str,
    destination_port: &str,
) -> Explained {
    let body = json!({
        "direction": profile["direction"], "protocol": profile["protocol"],
        "localIPAddress": profile["destination"], "localPort": destination_port,
        "remoteIPAddress": source, "remotePort": "*",
    });
    let request = VerifyRequest::from_json(body.to_string().as_bytes()).unwrap();
    Explained::answer(&request.query, &Policy::compile(rules, 1).unwrap()).unwrap()
}

/// Compares with `evaluatedNetworkSecurityGroups`: the rules of each layer in order, and what each field came to.
fn assert_same(explained: &Explained, result: &Value) {
    let evaluated = result["evaluatedNetworkSecurityGroups"].as_array().unwrap();
    let rows = |layer: &ExplainedLayer| -> Vec<Value> {
        let row = |rule: &nsgwatch::control::explain::ExplainedRule| {
            json!({
                "name": rule.diagnostics_rule_name, "protocolMatched": rule.protocol_matched,
                "sourceMatched": rule.source_matched, "sourcePortMatched": rule.source_port_matched,
                "destinationMatched": rule.destination_matched,
                "destinationPortMatched": rule.destination_port_matched,
            })
        };
        layer.rules.iter().map(row).collect()
    };
    assert_eq!(explained.layers.len(), evaluated.len());
    for (layer, evaluated) in explained.layers.iter().zip(evaluated) {
        assert_eq!(Value::from(rows(layer)), evaluated["rulesEvaluationResult"]);
        let last = layer.rules.last().unwrap();
        assert_eq!(last.diagnostics_rule_name, evaluated["matchedRule"]["ruleName"]);
        assert_eq!(last.access.as_str(), evaluated["matchedRule"]["action"]);
    }
    assert_eq!(explained.answer.access.as_str(), result["securityRuleAccessResult"]);
    let decided = &evaluated.last().unwrap()["matchedRule"]["ruleName"];
    assert_eq!(explained.diagnostics_rule_name.as_deref(), decided.as_str());
}

#[test]
fn the_specifications_diagnosis_comes_out_rule_by_rule_and_field_by_field() {
    let Some(path) = shared("rest-examples/NetworkWatcherNetworkConfigurationDiagnostic.json")
    else {
        return;
    };
    let example = json(&path);
    let answer = &example["responses"]["200"]["body"]["results"][0];
    let (profile, result) = (&answer["profile"], &answer["networkSecurityGroupResult"]);
    let evaluated = &result["evaluatedNetworkSecurityGroups"];
    let rules = AppliedRules {
        subnet: Some(group_of("nsg1", &evaluated[0], profile)),
        nic: Some(group_of("AppNSG", &evaluated[1], profile)),
        ..AppliedRules::default()
    };
    let source = profile["source"].as_str().unwrap();
    assert_same(
        &explain(rules, profile, source, profile["destinationPort"].as_str().unwrap()),
        result,
    );
}

#[test]
fn the_command_lines_diagnosis_names_the_admin_rule_then_the_subnets_then_the_interfaces() {
    let Some(path) = shared("rest-examples/nsg-diagnostics-cli-output.docs.json") else { return };
    let answer = &json(&path)["results"][0];
    let (profile, result) = (&answer["profile"], &answer["networkSecurityGroupResult"]);
    let tag = || vec![AddressPrefix::ServiceTag("VirtualNetwork".to_owned())];
    let deny = SecurityRule {
        name: "DenyVnetInBound".to_owned(),
        priority: Priority(100),
        direction: Direction::Inbound,
        access: nsgwatch::nsg::Access::Deny,
        protocol: RuleProtocol::Any,
        source: tag(),
        source_ports: PortSet::any(),
        destination: tag(),
        destination_ports: PortSet::any(),
        is_default: false,
        id: None,
    };
    let admin = SecurityAdminRule {
        name: "VirtualNetwork".to_owned(),
        priority: Priority(10),
        direction: Direction::Inbound,
        access: AdminAccess::Allow,
        protocol: RuleProtocol::Any,
        source: tag(),
        source_ports: PortSet::any(),
        destination: tag(),
        destination_ports: PortSet::any(),
        id: None,
    };
    let nic = std::iter::once(deny).chain(default_security_rules()).collect();
    let rules = AppliedRules {
        admin: vec![AdminRuleCollection {
            name: "GlobalRules".to_owned(),
            id: None,
            rules: vec![admin],
        }],
        subnet: Some(NetworkSecurityGroup::with_defaults_only("mySubnet-nsg")),
        nic: Some(NetworkSecurityGroup::new("myVM-nsg", nic)),
        service_tags: ServiceTags::new(["10.0.0.0/16".parse().unwrap()]),
        ..AppliedRules::default()
    };
    // The example asks for all of 10.0.1.0/26 and every port; both ends of it stand for them.
    for (source, port) in [("10.0.1.0", "0"), ("10.0.1.63", "65535")] {
        assert_same(&explain(rules.clone(), profile, source, port), result);
    }
}

#[test]
fn the_specifications_request_of_ip_flow_verify_is_understood() {
    let Some(path) = shared("rest-examples/NetworkWatcherIpFlowVerify.json") else { return };
    let body = json(&path)["parameters"]["parameters"].to_string();
    let query = VerifyRequest::from_json(body.as_bytes()).unwrap().query;
    let again = query.to_json();
    assert_eq!(again["direction"], "Outbound");
    assert_eq!(again["localIPAddress"], "10.2.0.4");
    assert_eq!(again["remoteIPAddress"], "121.10.1.1");
    assert_eq!((&again["localPort"], &again["remotePort"]), (&json!("80"), &json!("80")));
}
