use super::*;
use crate::control::explain::{Explained, MatchedBy};
use crate::nsg::{
    Access, AddressPrefix, AppliedRules, NetworkSecurityGroup, PortRange, PortSet, Priority,
    RuleProtocol, SecurityRule, ServiceTags, default_security_rules,
};

fn policy(rules: Vec<SecurityRule>) -> Policy {
    let mut all = default_security_rules();
    all.extend(rules);
    let rules = AppliedRules {
        subnet: None,
        nic: Some(NetworkSecurityGroup::new("nsg", all)),
        service_tags: ServiceTags::new(["10.0.0.0/16".parse().unwrap()]),
        ..AppliedRules::default()
    };
    Policy::compile(rules, 7).unwrap()
}

fn deny_from_ports(first: u16, last: u16) -> SecurityRule {
    SecurityRule {
        name: "deny-ports".into(),
        priority: Priority(100),
        direction: Direction::Outbound,
        access: Access::Deny,
        protocol: RuleProtocol::Any,
        source: vec![AddressPrefix::Any],
        source_ports: PortSet::new(vec![PortRange { first, last }]).unwrap(),
        destination: vec![AddressPrefix::Any],
        destination_ports: PortSet::any(),
        is_default: false,
        id: Some("/id/deny-ports".into()),
    }
}

#[test]
fn azures_own_request_body_gets_azures_own_answer() {
    let body = br#"{"targetResourceId":"/subscriptions/s","direction":"Outbound","protocol":"TCP",
        "localPort":"80","remotePort":80,"localIPAddress":"10.0.0.4","remoteIPAddress":"121.10.1.1"}"#;
    let answer = VerifyQuery::from_json(body).unwrap().ask(&policy(vec![])).unwrap();
    assert_eq!(answer.access, Access::Allow);
    assert_eq!(answer.rule_name.as_deref(), Some("defaultSecurityRules/AllowInternetOutBound"));
    assert_eq!(answer.rule_id.as_deref(), Some(""));
    assert_eq!(answer.priority, Some(65001));
    assert_eq!(answer.policy_revision, 7);
}

#[test]
fn inbound_the_remote_side_is_the_source() {
    let query = VerifyQuery::new(
        Direction::Inbound,
        Protocol::TCP,
        "10.0.0.4:443".parse().unwrap(),
        "203.0.113.9:50211".parse().unwrap(),
    )
    .unwrap();
    assert_eq!(query.tuple(0).to_string(), "tcp 203.0.113.9:50211 -> 10.0.0.4:443");
}

#[test]
fn a_field_that_is_wrong_is_named_with_what_to_do() {
    let with = |field: &str, value: &str| {
        let mut body: Value = serde_json::from_str(
            r#"{"direction":"Inbound","protocol":"tcp","localPort":"80","remotePort":"*",
                "localIPAddress":"10.0.0.4","remoteIPAddress":"10.0.0.5"}"#,
        )
        .unwrap();
        body[field] = serde_json::from_str(value).unwrap();
        VerifyQuery::from_json(body.to_string().as_bytes())
    };
    assert!(with("protocol", "\"udp\"").is_ok());
    for (field, value, expected) in [
        ("direction", "null", "`direction` is missing"),
        ("direction", "\"up\"", "`direction`: `up` is not Inbound or Outbound"),
        ("protocol", "\"tpc\"", "`protocol`: `tpc` is not tcp"),
        ("localPort", "65536", "`localPort`: `65536` is not a port"),
        ("localPort", "\"80-90\"", "`localPort`: `80-90` is not a port"),
        ("localPort", "\"+80\"", "`localPort`: `+80` is not a port"),
        ("localPort", "\"*\"", "`localPort`: inbound tcp needs one destination port"),
        ("localPort", "[80]", "neither a string nor a number"),
        ("localIPAddress", "\"10.0.0\"", "`10.0.0` is not an IPv4 or IPv6 address"),
        ("remoteIPAddress", "\"::1\"", "different address families"),
        ("protocol", "\"icmp\"", "icmp has no ports"),
        ("colour", "1", "unknown field `colour`"),
    ] {
        let error = with(field, value).unwrap_err().to_string();
        assert!(error.contains(expected), "{field}={value}: {error}");
    }
}

#[test]
fn icmp_is_asked_without_ports() {
    let query = VerifyQuery::from_json(
        br#"{"direction":"Inbound","protocol":"Icmp","localIPAddress":"10.0.0.4",
            "remoteIPAddress":"203.0.113.9"}"#,
    )
    .unwrap();
    let answer = query.ask(&policy(vec![])).unwrap();
    assert_eq!(answer.rule_name.as_deref(), Some("defaultSecurityRules/DenyAllInBound"));
}

#[test]
fn an_open_source_port_is_answered_only_where_all_ports_agree() {
    let ask = |local: &str, policy: &Policy| {
        let local = local.parse().unwrap();
        let remote = "121.10.1.1:443".parse().unwrap();
        VerifyQuery::new(Direction::Outbound, Protocol::TCP, local, remote).unwrap().ask(policy)
    };
    assert_eq!(ask("10.0.0.4:*", &policy(vec![])).unwrap().access, Access::Allow);
    let mixed = policy(vec![deny_from_ports(1000, 2000)]);
    let error = ask("10.0.0.4", &mixed).unwrap_err().to_string();
    assert!(
        error.contains(
            "Allow by defaultSecurityRules/AllowInternetOutBound for ports 0-999, \
             Deny by securityRules/deny-ports for ports 1000-2000"
        ),
        "{error}"
    );
    let last =
        ask("10.0.0.4", &policy(vec![deny_from_ports(65535, 65535)])).unwrap_err().to_string();
    assert!(
        last.contains("for ports 0-65534, Deny by securityRules/deny-ports for ports 65535;"),
        "{last}"
    );
    assert_eq!(ask("10.0.0.4:2001", &mixed).unwrap().access, Access::Allow);
    assert_eq!(ask("10.0.0.4:2000", &mixed).unwrap().rule_id.as_deref(), Some("/id/deny-ports"));
    assert_eq!(
        ask("10.0.0.4", &policy(vec![deny_from_ports(0, 65535)])).unwrap().access,
        Access::Deny
    );
}

#[test]
fn without_any_group_everything_is_allowed_and_no_rule_is_named() {
    let policy = Policy::compile(AppliedRules::default(), 1).unwrap();
    let body = br#"{"direction":"Inbound","protocol":"tcp","localPort":22,"remotePort":"*",
        "localIPAddress":"10.0.0.4","remoteIPAddress":"203.0.113.9"}"#;
    let answer = VerifyQuery::from_json(body).unwrap().ask(&policy).unwrap();
    let json = serde_json::to_string(&answer).unwrap();
    assert_eq!(json, r#"{"access":"Allow","policyRevision":1}"#);
}

#[test]
fn endpoints_are_read_in_every_usual_spelling() {
    for (text, address, port) in [
        ("10.0.0.4:443", "10.0.0.4", QueryPort::Port(443)),
        ("10.0.0.4:*", "10.0.0.4", QueryPort::Any),
        ("10.0.0.4", "10.0.0.4", QueryPort::Any),
        ("[2001:db8::4]:443", "2001:db8::4", QueryPort::Port(443)),
        ("[2001:db8::4]", "2001:db8::4", QueryPort::Any),
        ("2001:db8::4", "2001:db8::4", QueryPort::Any),
    ] {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint, Endpoint { address: address.parse().unwrap(), port }, "{text}");
    }
    for text in [
        "",
        ":80",
        "10.0.0.4:",
        "10.0.0.4:x",
        "[::1",
        "[::1]443",
        "[10.0.0.4]:80",
        "host:80",
        "10.0.0.4:65536",
    ] {
        assert!(text.parse::<Endpoint>().is_err(), "{text}");
    }
}

#[test]
fn a_question_survives_the_way_over_the_socket() {
    let query = VerifyQuery::new(
        Direction::Outbound,
        Protocol::UDP,
        "[2001:db8::4]:*".parse().unwrap(),
        "[2001:db8::5]:53".parse().unwrap(),
    )
    .unwrap();
    assert_eq!(VerifyQuery::from_json(query.to_json().to_string().as_bytes()), Ok(query));
}

fn explain(policy: &Policy, direction: Direction, local: &str, remote: &str) -> Explained {
    let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
    let query = VerifyQuery::new(direction, Protocol::TCP, local, remote).unwrap();
    Explained::answer(&query, policy).unwrap()
}

fn allow_web() -> SecurityRule {
    SecurityRule {
        name: "allow-web".into(),
        direction: Direction::Inbound,
        access: Access::Allow,
        protocol: RuleProtocol::Only(Protocol::TCP),
        source: vec![AddressPrefix::ServiceTag("Internet".into())],
        source_ports: PortSet::any(),
        destination: vec![AddressPrefix::Network("10.0.0.0/24".parse().unwrap())],
        destination_ports: PortSet::new(vec![PortRange { first: 440, last: 443 }]).unwrap(),
        ..deny_from_ports(0, 0)
    }
}

#[test]
fn an_explanation_shows_every_rule_asked_with_azures_five_booleans() {
    let explained =
        explain(&policy(vec![allow_web()]), Direction::Inbound, "10.0.0.4:443", "10.0.9.9:5000");
    let [layer] = explained.layers.as_slice() else { panic!("{explained:#?}") };
    let [web, vnet] = layer.rules.as_slice() else { panic!("{explained:#?}") };
    assert_eq!((web.rule_name.as_str(), web.matched), ("securityRules/allow-web", Some(false)));
    assert!(web.protocol_matched && web.source_port_matched && web.destination_port_matched);
    assert_eq!((web.source_matched, web.destination_matched), (Some(false), Some(true)));
    let value =
        |by: &Option<MatchedBy>| by.as_ref().map(|by| (by.value.clone(), by.prefix.clone()));
    assert_eq!(value(&web.destination_matched_by), Some(("10.0.0.0/24".into(), None)));
    assert_eq!(vnet.matched, Some(true));
    let tag = Some(("VirtualNetwork".into(), Some("10.0.0.0/16".into())));
    assert_eq!(value(&vnet.source_matched_by), tag);
    assert_eq!(explained.nearest_allow, None, "it is allowed");
}

#[test]
fn a_denial_names_the_first_allow_that_one_field_kept_from_matching() {
    let explained = explain(
        &policy(vec![allow_web()]),
        Direction::Inbound,
        "10.0.0.4:8443",
        "203.0.113.9:5000",
    );
    let nearest = explained.nearest_allow.unwrap();
    assert_eq!(nearest.rule_name, "securityRules/allow-web");
    assert_eq!(nearest.field, "destinationPort");
    assert_eq!((nearest.expected.as_str(), nearest.actual.as_str()), ("440-443", "8443"));
}

#[test]
fn the_region_of_the_same_answer_ends_where_another_rule_decides() {
    let policy = policy(vec![allow_web(), deny_from_ports(1000, 2000)]);
    let web = explain(&policy, Direction::Inbound, "10.0.0.4:443", "203.0.113.9:5000").same_answer;
    assert_eq!(web.destination_port_range.as_deref(), Some("440-443"));
    assert_eq!(web.source_port_range.as_deref(), Some("*"));
    assert_eq!(web.destination_address_prefix, "10.0.0.0/24");
    // 192.168.0.0/16 is below, 224.0.0.0/4 above: neither is Internet.
    assert_eq!(web.source_address_prefix, "200.0.0.0/5");
    let out = explain(&policy, Direction::Outbound, "10.0.0.4:2001", "203.0.113.9:443").same_answer;
    assert_eq!(out.source_port_range.as_deref(), Some("2001-65535"));
    assert_eq!(out.destination_port_range.as_deref(), Some("*"));
}

#[test]
fn an_explanation_survives_the_way_over_the_socket() {
    let explained = explain(
        &policy(vec![allow_web()]),
        Direction::Inbound,
        "10.0.0.4:8443",
        "203.0.113.9:5000",
    );
    let text = serde_json::to_string(&explained).unwrap();
    assert_eq!(serde_json::from_str::<Explained>(&text).unwrap(), explained);
    let body = br#"{"direction":"Inbound","protocol":"tcp","localPort":22,"remotePort":"*",
        "localIPAddress":"10.0.0.4","remoteIPAddress":"203.0.113.9","explain":true}"#;
    assert!(VerifyRequest::from_json(body).unwrap().explain);
}

#[test]
fn a_number_is_the_same_with_and_without_a_fraction_of_nothing() {
    let body = |port: &str| {
        format!(
            r#"{{"direction":"Inbound","protocol":6.0,"localPort":{port},"remotePort":"*",
                "localIPAddress":"10.0.0.4","remoteIPAddress":"203.0.113.9"}}"#
        )
    };
    let of = |port| VerifyQuery::from_json(body(port).as_bytes());
    for port in ["443", "443.0", "4.43e2", "\"443\""] {
        assert_eq!(of(port).unwrap().local.port, QueryPort::Port(443), "{port}");
    }
    assert_eq!(of("-0.0").unwrap().local.port, QueryPort::Port(0));
    for port in ["443.5", "-1", "65536", "1e99", "true"] {
        assert!(of(port).is_err(), "{port}");
    }
}
