//! Members of application security groups, from lists and from interfaces.

use nsgwatch::nsg::load::{LoadError, Loaded, SourceFile, Sources, load};

const LOCAL: &str = "destinationApplicationSecurityGroups";

fn group(field: &str, id: &str) -> String {
    let (other, address) =
        if field.starts_with('s') { ("destination", "10.0.0.4") } else { ("source", "*") };
    format!(
        r#"{{"name": "nsg", "securityRules": [{{"name": "r", "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "{field}": [{{"id": "{id}"}}], "{other}AddressPrefix": "{address}", "sourcePortRange": "*", "destinationPortRange": "80"}}]}}"#
    )
}

fn load_with(
    nsg: &str,
    members: Option<(&str, &str)>,
    interface: Option<&str>,
) -> Result<Loaded, Vec<LoadError>> {
    let file = |name, text| SourceFile { name, text, group: None };
    load(&Sources {
        nic: Some(file("n.json", nsg)),
        application_security_groups: members
            .map(|(name, text)| file(name, text))
            .into_iter()
            .collect(),
        interface: interface.map(|text| file("nic.json", text)),
        ..Sources::default()
    })
}

fn members_of(id: &str, loaded: &Loaded) -> Vec<String> {
    let set = loaded.rules.application_security_groups.get(id).unwrap();
    set.to_prefixes().iter().map(ToString::to_string).collect()
}

#[test]
fn a_list_names_groups_by_id_or_by_name_in_any_letter_case() {
    let nsg =
        group("sourceApplicationSecurityGroups", "/subscriptions/s/applicationSecurityGroups/Web");
    for (name, members) in [
        ("m.yaml", "web: [10.0.1.4, fd00::/127]\ndb: []\n"),
        (
            "m.json",
            r#"{"/SUBSCRIPTIONS/S/applicationSecurityGroups/web": ["10.0.1.4", "fd00::/127"]}"#,
        ),
    ] {
        let loaded = load_with(&nsg, Some((name, members)), None)
            .unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(
            members_of("/subscriptions/s/applicationSecurityGroups/WEB", &loaded),
            ["10.0.1.4/32", "fd00::/127"]
        );
    }
}

#[test]
fn every_ip_configuration_of_an_interface_gives_its_address() {
    let interface = r#"{"name": "nic", "properties": {"ipConfigurations": [
        {"name": "v4", "properties": {"privateIPAddress": "10.0.0.4", "applicationSecurityGroups": [{"id": "/asgs/A"}, {"id": "/asgs/B"}]}},
        {"name": "v6", "properties": {"privateIPAddress": "fd00::4", "privateIPAddressVersion": "IPv6", "applicationSecurityGroups": [{"id": "/ASGS/a"}]}},
        {"name": "second", "properties": {"privateIPAddress": "10.0.0.5"}}]}}"#;
    let loaded = load_with(&group(LOCAL, "/asgs/a"), None, Some(interface)).unwrap();
    assert_eq!(members_of("/asgs/a", &loaded), ["10.0.0.4/32", "fd00::4/128"]);
    let loaded = load_with(&group(LOCAL, "/asgs/c"), None, Some(interface)).unwrap();
    assert!(members_of("/asgs/c", &loaded).is_empty(), "known to be no member");
    let list = format!("[{interface}]");
    let remote = group("sourceApplicationSecurityGroups", "/asgs/b");
    let loaded = load_with(&remote, Some(("all.json", &list)), None).unwrap();
    assert_eq!(members_of("/asgs/b", &loaded), ["10.0.0.4/32"], "all interfaces tell all members");
    let errors = load_with(&remote, None, Some(interface)).unwrap_err();
    assert!(
        errors[0].to_string().contains("give all its members as --application-security-groups"),
        "{}",
        errors[0]
    );
}

#[test]
fn every_fault_is_named() {
    let nsg = group(LOCAL, "/asgs/a");
    for (members, words) in [
        ("[1]", "must be an object"),
        (r#"{"a": "10.0.0.4"}"#, "must be a list of addresses"),
        (r#"{"a": ["10.0.0.4/8"]}"#, "bits set beyond"),
        (r#"{"a": ["web"]}"#, "is not an address"),
        (r#"{"a": [true]}"#, "must hold addresses"),
        (r#"{"a": [], "A": []}"#, "stands twice"),
    ] {
        let errors = load_with(&nsg, Some(("m.json", members)), None).unwrap_err();
        assert!(
            errors.iter().any(|error| error.to_string().contains(words)),
            "{words}: {errors:#?}"
        );
    }
    for (interface, words) in [
        ("{}", "not a network interface"),
        (r#"{"ipConfigurations": 5}"#, "must be a list of IP configurations"),
        (r#"[{"ipConfigurations": []}, {"ipConfigurations": []}]"#, "several network interfaces"),
        (
            r#"{"ipConfigurations": [{"applicationSecurityGroups": [{"id": "/a"}]}]}"#,
            "privateIPAddress",
        ),
        (
            r#"{"ipConfigurations": [{"privateIPAddress": "x", "applicationSecurityGroups": [{"id": "/a"}]}]}"#,
            "is not an address",
        ),
        (
            r#"{"ipConfigurations": [{"privateIPAddress": "10.0.0.4", "applicationSecurityGroups": [{}]}]}"#,
            "needs the `id`",
        ),
    ] {
        let errors = load_with(&nsg, None, Some(interface)).unwrap_err();
        assert!(
            errors.iter().any(|error| error.to_string().contains(words)),
            "{words}: {errors:#?}"
        );
    }
}

#[test]
fn more_than_azure_takes_is_a_warning_with_the_limit() {
    let ids = |count: usize| {
        (0..count).map(|n| format!(r#"{{"id": "/asgs/{n}"}}"#)).collect::<Vec<_>>().join(",")
    };
    let interface = format!(
        r#"{{"ipConfigurations": [{{"privateIPAddress": "10.0.0.4", "applicationSecurityGroups": [{}]}}]}}"#,
        ids(21)
    );
    let nsg = group(LOCAL, "/asgs/0").replace(r#"{"id": "/asgs/0"}"#, &ids(11));
    let warnings = load_with(&nsg, None, Some(&interface)).unwrap().warnings;
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("11 groups; Azure's limit for one side of a rule is 10"), "{said:#?}");
    assert!(
        said[1].contains("21 groups; Azure's limit for an IP configuration is 20"),
        "{said:#?}"
    );
    let many = (0..4001)
        .map(|n| format!("\"10.1.{}.{}\"", n / 256, n % 256))
        .collect::<Vec<_>>()
        .join(",");
    let members = format!(r#"{{"/asgs/0": [{many}]}}"#);
    let warnings =
        load_with(&group(LOCAL, "/asgs/0"), Some(("m.json", &members)), None).unwrap().warnings;
    assert!(
        warnings[0].to_string().contains("Azure's limit for a group is 4000"),
        "{}",
        warnings[0]
    );
}
