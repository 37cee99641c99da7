use std::path::PathBuf;

use nsgwatch::nsg::load::{Format, SourceFile, Sources, load, parse_groups};

fn file<'a>(name: &'a str, text: &'a str) -> SourceFile<'a> {
    SourceFile { name, text, group: None }
}

fn rule(tag: &str) -> String {
    format!(
        "name: n\nsecurityRules:\n- name: r\n  priority: 100\n  direction: Outbound\n  access: Allow\n  protocol: Tcp\n  \
         sourceAddressPrefix: Any\n  sourcePortRange: Any\n  destinationAddressPrefix: {tag}\n  destinationPortRange: 443\n"
    )
}

const TAGS: &str = r#"{"values": [
{"name": "Storage", "properties": {"addressPrefixes": ["192.0.2.0/24"]}},
{"name": "Sql", "properties": {"addressPrefixes": ["198.51.100.0/24"]}}]}"#;

#[test]
fn only_the_tags_that_rules_name_are_kept() {
    let text = rule("sToRaGe");
    let sources = Sources {
        nic: Some(file("n.yaml", &text)),
        service_tags: Some(file("t.json", TAGS)),
        ..Sources::default()
    };
    let tags = load(&sources).unwrap().rules.service_tags;
    assert!(tags.get("Storage").unwrap().contains("192.0.2.1".parse().unwrap()));
    assert!(tags.get("Sql").is_none());
}

#[test]
fn an_unknown_tag_is_an_error_at_its_rule_with_the_nearest_name() {
    for (tag, tags, words) in [
        ("Storge", Some(TAGS), "did you mean `Storage`?"),
        ("CorpNetSaw", Some(TAGS), "no such tag; VirtualNetwork"),
        ("CorpNetSaw", None, "no service tag file is given; VirtualNetwork"),
        ("Virtualnetwrk", None, "did you mean `VirtualNetwork`?"),
    ] {
        let text = rule(tag);
        let sources = Sources {
            subnet: Some(file("n.yaml", &text)),
            service_tags: tags.map(|tags| file("t.json", tags)),
            ..Sources::default()
        };
        let errors = load(&sources).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        let said = errors[0].to_string();
        let place =
            "n.yaml:10:29: rule `r` of `n`, field `destinationAddressPrefix`: unknown service tag";
        assert!(said.starts_with(place) && said.contains(words), "{said}");
        assert_eq!(errors[0].code, Some("SecurityRuleInvalidAddressPrefix"));
    }
    for built_in in ["VirtualNetwork", "internet", "AZURE_LOADBALANCER"] {
        let text = rule(built_in);
        assert!(
            load(&Sources { subnet: Some(file("n.yaml", &text)), ..Sources::default() }).is_ok()
        );
    }
}

#[test]
fn all_errors_of_all_files_come_at_once_sorted_by_file_and_place() {
    let (subnet, nic) = (rule("Unknown.Tag").replace("443", "x"), rule("Storge"));
    let broken_tags = TAGS.replace("192.0.2.0/24", "192.0.2.1/24");
    let with_storage = rule("Storage");
    let errors = load(&Sources {
        subnet: Some(file("b.yaml", &subnet)),
        nic: Some(file("a.yaml", &nic)),
        service_tags: Some(file("t.json", TAGS)),
        ..Sources::default()
    })
    .unwrap_err();
    let files: Vec<&str> = errors.iter().map(|error| error.place.file.as_str()).collect();
    assert_eq!(files, ["a.yaml", "b.yaml", "b.yaml"], "{errors:#?}");
    assert!(errors[1].to_string().contains("Unknown.Tag") && errors[2].to_string().contains("`x`"));
    let errors = load(&Sources {
        subnet: Some(file("b.yaml", &subnet)),
        nic: Some(file("a.yaml", &with_storage)),
        service_tags: Some(file("t.json", &broken_tags)),
        ..Sources::default()
    })
    .unwrap_err();
    let files: Vec<&str> = errors.iter().map(|error| error.place.file.as_str()).collect();
    assert_eq!(files, ["b.yaml", "t.json"], "{errors:#?}");
}

#[test]
fn one_broken_file_for_both_places_is_reported_once() {
    let text = rule("10.0.0.1/8");
    let errors = load(&Sources {
        subnet: Some(file("n.yaml", &text)),
        nic: Some(file("n.yaml", &text)),
        ..Sources::default()
    });
    assert_eq!(errors.unwrap_err().len(), 1);
}

#[test]
fn a_group_nobody_chose_needs_no_tag_of_its_own() {
    let group = |name: &str, tag: &str| {
        let text = rule(tag).replacen("name: n", &format!("name: {name}"), 1);
        text.lines().enumerate().fold(String::new(), |all, (index, line)| {
            all + if index == 0 { "- " } else { "  " } + line + "\n"
        })
    };
    let text = group("a", "NoSuchTag") + &group("b", "Internet");
    let source = |wanted| Some(SourceFile { name: "all.yaml", text: &text, group: Some(wanted) });
    assert!(load(&Sources { nic: source("b"), ..Sources::default() }).is_ok());
    assert!(load(&Sources { nic: source("a"), ..Sources::default() }).is_err());
}

#[test]
fn the_supplied_expansion_of_internet_and_the_virtual_network_reach_the_tags() {
    let sources = Sources {
        virtual_network: vec!["10.7.0.0/16".parse().unwrap()],
        internet: Some(vec!["1.0.0.0/8".parse().unwrap()]),
        ..Sources::default()
    };
    let rules = load(&sources).unwrap().rules;
    let has = |tag: &str, address: &str| {
        rules.service_tags.get(tag).unwrap().contains(address.parse().unwrap())
    };
    assert!(
        has("VirtualNetwork", "10.7.1.1")
            && has("Internet", "1.2.3.4")
            && !has("Internet", "9.9.9.9")
    );
    assert!(rules.subnet.is_none() && rules.nic.is_none());
}

#[test]
fn every_sample_in_rules_loads_without_a_warning() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rules");
    let tags = std::fs::read_to_string(folder.join("service-tags.json")).unwrap();
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut loaded = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name == "README.md" || readme.contains(&name), "{name} is not in the README");
        if name == "README.md" || name == "service-tags.json" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let sources = Sources {
            nic: Some(file(&name, &text)),
            service_tags: Some(file("service-tags.json", &tags)),
            ..Sources::default()
        };
        let outcome = load(&sources).unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(outcome.warnings, [], "{name}");
        let groups = parse_groups(&name, &text, Format::of(&name, &text)).unwrap().groups;
        assert!(groups[0].group.rules.len() > 6, "{name}");
        loaded += 1;
    }
    assert_eq!(loaded, 4);
}
