use nsgwatch::nsg::load::{Format, SourceFile, Sources, load};

use super::{Where, places, refused};

/// One rule without fault, a field a line.
const GOOD: &str = r#"{"name": "nsg", "securityRules": [{
"name": "r",
"priority": 100,
"direction": "Inbound",
"access": "Allow",
"protocol": "Tcp",
"sourceAddressPrefix": "*",
"sourcePortRange": "*",
"destinationAddressPrefix": "10.0.0.4",
"destinationPortRange": "80"
}]}"#;

const ADDRESS: Option<&str> = Some("SecurityRuleInvalidAddressPrefix");
const PORT: Option<&str> = Some("SecurityRuleInvalidPortRange");
const PRIORITY: Option<&str> = Some("SecurityRuleInvalidPriority");
const UNSUPPORTED: Option<&str> = Some("SecurityRuleParameterContainsUnsupportedValue");
const PORT_LIST: Option<&str> = Some("SecurityRuleParameterContainsInvalidPortRanges");
const OVERLAP: Option<&str> = Some("OverlappingSubnetsNotPermittedInSecurityRule");
const FAMILIES: Option<&str> =
    Some("ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies");

/// What is replaced, by what, and where which field is refused with which code and which words.
type Case =
    (&'static str, &'static str, (u32, u32), &'static str, Option<&'static str>, &'static str);

/// Field values that are refused.
const VALUES: [Case; 34] = [
    ("100", "99", (3, 13), "priority", PRIORITY, "100 to 4096"),
    ("100", "4097", (3, 13), "priority", PRIORITY, "4097"),
    ("100", "70000", (3, 13), "priority", PRIORITY, "70000"),
    ("100", "1.5", (3, 13), "priority", PRIORITY, "1.5"),
    ("100", "true", (3, 13), "priority", None, "boolean"),
    ("\"Inbound\"", "\"In\"", (4, 14), "direction", None, "Inbound or Outbound"),
    ("\"Allow\"", "\"Permit\"", (5, 11), "access", None, "Allow or Deny"),
    ("\"Tcp\"", "\"Icmpv6\"", (6, 13), "protocol", None, "only `*` covers it"),
    ("\"Tcp\"", "\"6\"", (6, 13), "protocol", None, "`6`"),
    ("\"80\"", "\"80,443\"", (10, 25), "destinationPortRange", PORT, "plural"),
    ("\"80\"", "\"90-80\"", (10, 25), "destinationPortRange", PORT, "90-80"),
    ("\"80\"", "\"65536\"", (10, 25), "destinationPortRange", PORT, "65536"),
    ("\"80\"", "[\"80\"]", (10, 25), "destinationPortRange", None, "plural"),
    (
        "\"10.0.0.4\"",
        "\"10.0.1.4/24\"",
        (9, 29),
        "destinationAddressPrefix",
        ADDRESS,
        "10.0.1.0/24",
    ),
    (
        "\"10.0.0.4\"",
        "\"2001:db8::1/64\"",
        (9, 29),
        "destinationAddressPrefix",
        ADDRESS,
        "2001:db8::/64",
    ),
    (
        "\"10.0.0.4\"",
        "\"10.0.0.0/33\"",
        (9, 29),
        "destinationAddressPrefix",
        ADDRESS,
        "10.0.0.0/33",
    ),
    (
        "\"10.0.0.4\"",
        "\"10.0.0.1-10.0.0.9\"",
        (9, 29),
        "destinationAddressPrefix",
        ADDRESS,
        "CIDR prefixes",
    ),
    (
        "\"10.0.0.4\"",
        "\"10.0.0.1,10.0.0.9\"",
        (9, 29),
        "destinationAddressPrefix",
        ADDRESS,
        "plural",
    ),
    ("\"10.0.0.4\"", "\"my subnet\"", (9, 29), "destinationAddressPrefix", ADDRESS, "my subnet"),
    (
        "Range\": \"80\"",
        "Ranges\": [\"80\", \"*\"]",
        (10, 33),
        "destinationPortRanges",
        PORT_LIST,
        "singular",
    ),
    (
        "Range\": \"80\"",
        "Ranges\": [\"80\", \"x\"]",
        (10, 33),
        "destinationPortRanges",
        PORT,
        "`x`",
    ),
    (
        "Range\": \"80\"",
        "Ranges\": [\"80\", null]",
        (10, 33),
        "destinationPortRanges",
        None,
        "null",
    ),
    ("Range\": \"80\"", "Ranges\": \"80\"", (10, 26), "destinationPortRanges", None, "list"),
    ("Range\": \"80\"", "Ranges\": []", (1, 35), "destinationPortRange", None, "missing"),
    (
        "Range\": \"80\"",
        "Range\": \"80\", \"destinationPortRanges\": [\"81\"]",
        (10, 25),
        "destinationPortRange",
        None,
        "one of the two",
    ),
    (
        "Prefix\": \"*\"",
        "Prefixes\": [\"10.0.0.0/8\", \"*\"]",
        (7, 41),
        "sourceAddressPrefixes",
        UNSUPPORTED,
        "`*`",
    ),
    (
        "Prefix\": \"*\"",
        "Prefixes\": [\"Internet\"]",
        (7, 27),
        "sourceAddressPrefixes",
        UNSUPPORTED,
        "Internet",
    ),
    (
        "Prefix\": \"*\"",
        "Prefixes\": [\"Storage.West\"]",
        (7, 27),
        "sourceAddressPrefixes",
        UNSUPPORTED,
        "Storage",
    ),
    (
        "Prefix\": \"*\"",
        "Prefixes\": [\"1.1.0.0/24\", \"1.1.0.22/32\"]",
        (7, 26),
        "sourceAddressPrefixes",
        OVERLAP,
        "1.1.0.22/32",
    ),
    (
        "\"sourceAddressPrefix\": \"*\"",
        "\"sourceAddressPrefix\": \"fd00::/8\"",
        (9, 29),
        "destinationAddressPrefix",
        FAMILIES,
        "families",
    ),
    (
        "Prefix\": \"*\"",
        "Prefixes\": [\"10.0.0.1/8\"]",
        (7, 27),
        "sourceAddressPrefixes",
        ADDRESS,
        "10.0.0.0/8",
    ),
    ("\"priority\": 100", "\"priority\": 100, \"id\": \"a\\nb\"", (3, 24), "id", None, "\\u{a}"),
    ("\"priority\": 100,\n", "", (1, 35), "priority", None, "missing"),
    ("\"access\": \"Allow\"", "\"access\": null", (1, 35), "access", None, "missing"),
];

#[test]
fn every_refused_value_is_named_with_its_place_its_field_and_azures_code() {
    assert!(nsgwatch::nsg::load::parse_groups("x", GOOD, Format::Json).is_ok());
    for (from, to, (line, column), field, code, words) in VALUES {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let errors = refused(&text, Format::Json);
        let expected: Where<'_> = (line, column, Some("r"), Some(field), code);
        assert_eq!(places(&errors), [expected], "{to}: {errors:#?}");
        assert!(errors[0].to_string().contains(words), "{to}: {}", errors[0]);
        assert_eq!(errors[0].place.group.as_deref(), Some("nsg"), "{to}");
    }
}

#[test]
fn a_misspelled_field_is_refused_and_the_right_one_named() {
    for (from, to, field, nearest) in [
        ("\"access\"", "\"acess\": \"Allow\", \"access\"", "acess", "access"),
        (
            "\"priority\"",
            "\"sourceAddressPrefixs\": [], \"priority\"",
            "sourceAddressPrefixs",
            "sourceAddressPrefix",
        ),
        ("\"priority\"", "\"destinationPort\": 5, \"priority\"", "destinationPort", ""),
    ] {
        let text = GOOD.replacen(from, to, 1);
        let outcome = nsgwatch::nsg::load::parse_groups("x", &text, Format::Json);
        if nearest.is_empty() {
            let warnings = outcome.unwrap().warnings;
            assert_eq!(warnings.len(), 1);
            assert_eq!(warnings[0].place.field.as_deref(), Some(field));
            let errors = refused(&text, Format::Yaml); // by hand it is a mistake, by Azure it is news
            assert_eq!(errors[0].place.field.as_deref(), Some(field));
        } else {
            let errors = refused(&text, Format::Json);
            assert_eq!(errors[0].place.field.as_deref(), Some(field), "{errors:#?}");
            assert!(errors[0].to_string().contains(nearest), "{}", errors[0]);
        }
    }
    let errors = refused(&GOOD.replace("securityRules", "securityRule"), Format::Json);
    assert!(errors.iter().any(|error| error.to_string().contains("`securityRules`?")));
}

#[test]
fn a_name_outside_azures_grammar_is_refused_where_it_stands() {
    for name in ["", "a b", "-a", "a.", "a\\nb", "a\\u202eb", "é", &"x".repeat(81)] {
        let text = GOOD.replace("\"name\": \"r\"", &format!("\"name\": \"{name}\""));
        let errors = refused(&text, Format::Json);
        let place = &errors[0].place;
        assert_eq!(place.field.as_deref(), Some("name"), "{name}");
        assert_eq!(place.rule.as_deref(), Some("securityRules[0]"), "{name}");
        assert!(errors.iter().all(|error| !error.to_string().contains(['\n', '\u{202e}'])));
    }
    let errors = refused(&GOOD.replace("\"nsg\"", "\"n s g\""), Format::Json);
    assert_eq!(places(&errors)[0], (1, 10, None, Some("name"), None));
}

#[test]
fn all_errors_of_a_file_come_at_once_in_the_order_of_the_text() {
    let text = GOOD
        .replace("100", "7")
        .replace("\"Tcp\"", "\"Gre\"")
        .replace("\"80\"", "\"http\"")
        .replace("\"10.0.0.4\"", "\"10.0.0.4/8\"");
    let errors = refused(&text, Format::Json);
    let lines: Vec<u32> = places(&errors).iter().map(|place| place.0).collect();
    assert_eq!(lines, [3, 6, 9, 10], "{errors:#?}");
}

fn two_rules(first: &str, second: &str) -> String {
    let yaml_rule = |changes: &str| {
        format!(
            "  - {changes}\n    access: Allow\n    protocol: Any\n    sourceAddressPrefix: Any\n    \
             sourcePortRange: Any\n    destinationAddressPrefix: Any\n    destinationPortRange: Any\n"
        )
    };
    format!("name: nsg\nsecurityRules:\n{}{}", yaml_rule(first), yaml_rule(second))
}

#[test]
fn one_priority_or_one_name_twice_is_refused_at_the_second_rule() {
    let text = two_rules(
        "name: a\n    priority: 100\n    direction: Inbound",
        "name: b\n    priority: 100\n    direction: inbound",
    );
    let errors = refused(&text, Format::Yaml);
    let expected = (13, 15, Some("b"), Some("priority"), Some("SecurityRuleConflict"));
    assert_eq!(places(&errors), [expected], "{errors:#?}");
    assert!(errors[0].to_string().contains("rule `a` in line 3"), "{}", errors[0]);

    let faulty = text.replacen("access: Allow", "access: Maybe", 1);
    let errors = refused(&faulty, Format::Yaml);
    assert_eq!(errors.len(), 2, "a faulty rule still takes its priority: {errors:#?}");

    let text = two_rules(
        "name: a\n    priority: 100\n    direction: Inbound",
        "name: A\n    priority: 101\n    direction: Inbound",
    );
    let errors = refused(&text, Format::Yaml);
    assert_eq!(places(&errors), [(12, 5, Some("A"), Some("name"), None)], "{errors:#?}");
}

#[test]
fn an_application_security_group_without_members_is_refused_and_never_widens_a_rule() {
    let asg = r#""destinationApplicationSecurityGroups": [{"id": "/x"}]"#;
    let alone = GOOD.replace(r#""destinationAddressPrefix": "10.0.0.4""#, asg);
    let source = SourceFile { name: "x.json", text: &alone, group: None };
    let errors = load(&Sources { nic: Some(source), ..Sources::default() }).unwrap_err();
    let field = Some("destinationApplicationSecurityGroups");
    assert_eq!(places(&errors), [(9, 42, Some("r"), field, None)], "{errors:#?}");
    assert!(errors[0].to_string().contains("the members of the application security group `/x`"));

    let beside = GOOD.replace(r#""priority": 100"#, &format!("\"priority\": 100, {asg}"));
    let errors = refused(&beside, Format::Json);
    assert!(errors[0].to_string().contains("Azure takes exactly one of"), "{}", errors[0]);

    let empty = GOOD.replace(
        r#""priority": 100"#,
        r#""priority": 100, "sourceApplicationSecurityGroups": [], "destinationApplicationSecurityGroups": null"#,
    );
    assert!(nsgwatch::nsg::load::parse_groups("x", &empty, Format::Json).is_ok());
}

#[test]
fn what_is_no_group_is_refused() {
    for (text, words) in [
        ("5", "not a network security group"),
        ("\"x\"", "not a network security group"),
        ("null", "not a network security group"),
        ("{\"value\": {}}", "not a network security group"),
        ("[5]", "must be an object"),
        ("{}", "is missing"),
        ("{\"name\": \"a\"}", "`securityRules: []`"),
        ("{\"name\": \"a\", \"securityRules\": {}}", "must be a list"),
        ("{\"name\": \"a\", \"properties\": []}", "must be an object"),
        ("{\"name\": \"a\", \"securityRules\": [1]}", "must be an object"),
        ("{\"name\": \"a\", \"securityRules\": [{\"properties\": 1}]}", "must be an object"),
        (
            "{\"name\": \"a\", \"securityRules\": [], \"properties\": {\"securityRules\": []}}",
            "in its `properties`",
        ),
        ("{\"name\": \"a\", \"securityRules\": [], \"flushConnection\": \"yes\"}", "true or false"),
    ] {
        let errors = refused(text, Format::Json);
        assert!(errors.iter().any(|e| e.to_string().contains(words)), "{text}: {errors:#?}");
    }
}

#[test]
fn a_list_of_default_rules_that_decides_not_every_packet_is_refused() {
    let text = GOOD.replace("\"securityRules\"", "\"securityRules\": [], \"defaultSecurityRules\"");
    let errors = refused(&text, Format::Json);
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(
        errors[0].to_string().contains("Inbound") && errors[1].to_string().contains("Outbound")
    );
}

#[test]
fn beyond_azures_limits_there_is_a_warning_that_names_the_limit() {
    let rule = |index: usize, prefixes: usize| {
        let list: Vec<String> =
            (0..prefixes).map(|n| format!("\"10.{}.{}.0/24\"", index % 256, n)).collect();
        format!(
            r#"{{"name": "r{index}", "priority": {}, "direction": "Inbound", "access": "Allow", "protocol": "*",
            "description": "{}", "sourceAddressPrefixes": [{}], "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": "*"}}"#,
            100 + index,
            "d".repeat(if index == 0 { 141 } else { 140 }),
            list.join(",")
        )
    };
    let rules: Vec<String> = (0..1001).map(|index| rule(index, 4)).collect();
    let text = format!("{{\"name\": \"nsg\", \"securityRules\": [{}]}}", rules.join(","));
    let warnings = nsgwatch::nsg::load::parse_groups("x", &text, Format::Json).unwrap().warnings;
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(said[0].contains("141 characters; Azure's limit is 140"), "{}", said[0]);
    assert!(said[1].contains("1001 rules; Azure's limit for a group is 1000"), "{}", said[1]);
    assert!(said[2].contains("4004 source") && said[2].contains("4000"), "{}", said[2]);
}
