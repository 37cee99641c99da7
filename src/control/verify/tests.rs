use super::*;
use crate::nsg::{
    AddressPrefix, AppliedRules, NetworkSecurityGroup, PortRange, PortSet, Priority, RuleProtocol,
    SecurityRule, ServiceTags, default_security_rules,
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
