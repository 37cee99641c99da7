//! Real Azure data, which does not belong to this project: skipped loudly where it is not at hand.

use std::path::{Path, PathBuf};
use std::time::Instant;

use nsgwatch::flow::Direction;
use nsgwatch::nsg::load::{
    Format, LoadError, SourceFile, Sources, load, parse_groups, service_tag_file,
};
use nsgwatch::nsg::{Access, AppliedRules, Layer, NetworkSecurityGroup, ServiceTags, evaluate};

pub(super) fn shared(path: &str) -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = manifest
        .ancestors()
        .map(|folder| folder.join("shared/azure").join(path))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: shared/azure/{path} is not here");
    }
    found
}

/// Files of the real kind that Azure would refuse, and the words of the reason. Two were changed by hand by their
/// authors into something Azure does not take.
const REFUSED: [(&str, Option<&str>, &str); 2] = [
    ("batfish-NetworkSecurityGroupTest.json", None, "names are unique in a group"),
    (
        "batfish-test-nsg-vm2.json",
        Some("SecurityRuleInvalidPriority"),
        "`5` is not a number from 100 to 4096",
    ),
];

#[test]
fn every_recorded_group_loads_or_is_refused_for_a_documented_reason() {
    let Some(folder) = shared("nsg/rest") else { return };
    let mut groups = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let outcome = parse_groups(&name, &text, Format::Json);
        match REFUSED.iter().find(|(file, ..)| *file == name) {
            None => {
                let parsed = outcome.unwrap_or_else(|errors| panic!("{errors:#?}"));
                assert_eq!(parsed.warnings, [], "{name}");
                for loaded in &parsed.groups {
                    let defaults = loaded.group.rules.iter().filter(|rule| rule.is_default).count();
                    assert_eq!(defaults, 6, "{name}");
                    assert!(loaded.group.rules.iter().all(|rule| rule.id.is_some()), "{name}");
                }
                groups += parsed.groups.len();
            }
            Some((_, code, words)) => {
                let errors = outcome.expect_err(&name);
                assert_eq!(errors.len(), 1, "{errors:#?}");
                assert_eq!(errors[0].code, *code);
                assert!(errors[0].to_string().contains(words), "{}", errors[0]);
            }
        }
    }
    assert!(groups >= 7, "only {groups} groups");
}

#[test]
fn every_published_tag_can_be_read_and_one_tag_is_read_quickly() {
    let Some(path) = shared("servicetags/ServiceTags_Public_20251109.json") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let none = std::collections::BTreeSet::new();
    let names = service_tag_file::parse("tags", &text, &none).unwrap().names;
    assert_eq!(names.len(), 3041);
    let all = names.iter().map(ToString::to_string).collect();
    let found = service_tag_file::parse("tags", &text, &all).unwrap().found;
    assert_eq!(found.len(), 3041);
    let empty: Vec<&String> =
        found.iter().filter(|(_, set)| set.is_empty()).map(|(name, _)| name).collect();
    assert!(empty.is_empty(), "{empty:?}");
    let eastus = &found["storage.eastus"];
    assert!(eastus.contains("20.38.98.100".parse().unwrap()));

    let one = ["Storage.EastUS".to_owned()].into();
    let start = Instant::now();
    let tags = service_tag_file::parse("tags", &text, &one).unwrap();
    eprintln!("one tag of {} bytes in {:?}", text.len(), start.elapsed());
    assert_eq!(tags.found.len(), 1);
    if !cfg!(debug_assertions) {
        assert!(start.elapsed().as_millis() < 100);
    }
}

pub(super) fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let Some(folder) = shared(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

fn try_load(sources: &Sources<'_>) -> Result<AppliedRules, Vec<LoadError>> {
    load(sources).map(|loaded| loaded.rules)
}

/// Templates that are refused, and why.
const REFUSED_TEMPLATES: [(&str, &str); 3] = [
    ("avd-adds-25-rules.json", "`parameters('subnets')` has no default value"),
    ("tbb-nsg-dmz.json", "is not the schema of a deployment template"),
    ("tbb-nsg-web.json", "is not the schema of a deployment template"),
];

#[test]
fn every_template_loads_or_is_refused_for_a_stated_reason() {
    let mut groups = 0;
    for path in files("nsg/arm") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let outcome = parse_groups(&name, &text, Format::Json);
        if let Some((_, words)) = REFUSED_TEMPLATES.iter().find(|(file, _)| *file == name) {
            let errors = outcome.expect_err(&name);
            assert!(errors[0].to_string().contains(words), "{errors:#?}");
            continue;
        }
        match outcome {
            Ok(parsed) => {
                for loaded in &parsed.groups {
                    eprintln!(
                        "{name}: {} has {} rules",
                        loaded.group.name,
                        loaded.group.rules.len()
                    );
                }
                for warning in &parsed.warnings {
                    eprintln!("{warning}");
                }
                assert!(!parsed.groups.is_empty(), "{name}");
                groups += parsed.groups.len();
            }
            Err(errors) => {
                let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
                panic!("{name}: {said:#?}");
            }
        }
    }
    assert!(groups == 0 || groups >= 12, "only {groups} groups");
}

#[test]
fn answers_of_the_specification_load_once_they_are_taken_out_of_their_examples() {
    for path in files("rest-examples") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let example = json(&path);
        let body = &example["responses"]["200"]["body"];
        let text = body.to_string();
        let source = SourceFile { name: &name, text: &text, group: None };
        let sources = match name.as_str() {
            "NetworkInterfaceEffectiveNSGList.json" => {
                Sources { effective: Some(source), ..Sources::default() }
            }
            "NetworkManagerAdminRulePut.json"
            | "NetworkManagerEffectiveSecurityAdminRulesList.json" => {
                Sources { admin: vec![source], ..Sources::default() }
            }
            "NetworkSecurityGroupGet.json" => Sources { nic: Some(source), ..Sources::default() },
            // They show no rules; `diagnostics` looks at them.
            "NetworkWatcherIpFlowVerify.json"
            | "NetworkWatcherNetworkConfigurationDiagnostic.json"
            | "nsg-diagnostics-cli-output.docs.json" => continue,
            _ => panic!("{name}: nobody looks at this example"),
        };
        let rules = try_load(&sources).unwrap_or_else(|errors| panic!("{name}: {errors:#?}"));
        let decide = |direction, text: &str| evaluate(&rules, direction, &super::tuple(text));
        match name.as_str() {
            "NetworkInterfaceEffectiveNSGList.json" => {
                let rdp = decide(Direction::Inbound, "tcp 1.1.1.1:50000 10.0.0.4:3389");
                assert_eq!(rdp.rule.unwrap().azure_name(), "securityRules/default-allow-rdp");
                let out = decide(Direction::Outbound, "tcp 10.0.0.4:50000 1.1.1.1:443");
                assert_eq!(
                    out.rule.unwrap().azure_name(),
                    "defaultSecurityRules/AllowInternetOutBound"
                );
            }
            "NetworkSecurityGroupGet.json" => {
                let denied = decide(Direction::Inbound, "tcp 203.0.113.9:50000 10.0.0.4:81");
                assert_eq!(
                    denied.rule.unwrap().azure_name(),
                    "defaultSecurityRules/DenyAllInBound"
                );
            }
            _ => {
                let denied = decide(Direction::Inbound, "tcp 8.8.8.8:50000 10.0.0.4:22");
                assert_eq!(denied.access, Access::Deny, "{name}");
                assert_eq!(denied.rule.unwrap().layer, Layer::Admin);
            }
        }
        let whole = example.to_string();
        let errors = parse_groups(&name, &whole, Format::Json).unwrap_err();
        assert!(
            errors[0].to_string().contains("example of the API's specification"),
            "{}",
            errors[0]
        );
    }
}

#[test]
fn effective_rules_and_views_of_the_documentation_load_or_say_why_not() {
    for path in files("effective") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let source = SourceFile { name: &name, text: &text, group: None };
        let outcome = try_load(&Sources { nic: Some(source), ..Sources::default() });
        if name == "security-group-view.docs.json" {
            let rules = outcome.unwrap();
            let inside = super::tuple("tcp 10.1.0.4:50000 10.1.0.9:443");
            let verdict = evaluate(&rules, Direction::Outbound, &inside);
            assert_eq!(
                verdict.rule.unwrap().azure_name(),
                "defaultSecurityRules/AllowVnetOutBound"
            );
        } else {
            let said = outcome.unwrap_err()[0].to_string();
            assert!(said.contains("of a kind that is not known"), "{name}: {said}");
        }
    }
}

/// Rules that the recordings were made with, and their answers: IP flow verify's recorded body is the judge.
#[test]
fn recorded_answers_come_out_the_same() {
    let Some(folder) = shared("recordings") else { return };
    assert_eq!(files("recordings").len(), 4, "a recording that nobody looks at");
    let view = json(&folder.join("securityGroupView.azure-libraries-for-net.json"))["response"]
        .to_string();
    let source = SourceFile { name: "view.json", text: &view, group: None };
    let network = |prefix: &str| vec![prefix.parse().unwrap()];
    let recorded_view = try_load(&Sources {
        effective: Some(source),
        virtual_network: network("192.168.0.0/16"),
        ..Sources::default()
    })
    .unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert!(recorded_view.subnet.is_none(), "the view has no association with a subnet");

    let file = folder.join("ManageNetworkWatcherTest.azure-libraries-for-net.ipFlowVerify.json");
    for call in json(&file).as_array().unwrap() {
        let inner = |name: &str| serde_json::from_str(call[name].as_str().unwrap()).unwrap();
        assert_same(&recorded_view, &inner("RequestBody"), &inner("ResponseBody"));
    }

    // The default rules alone, in the network of the recording.
    let defaults = AppliedRules {
        nic: Some(NetworkSecurityGroup::with_defaults_only("vm1-nsg")),
        service_tags: ServiceTags::new(network("10.0.0.0/16")),
        ..AppliedRules::default()
    };
    let calls = json(&folder.join("azure-cli-2022-test-ip-flow.excerpt.json"))["calls"].clone();
    let request = &calls
        .as_array()
        .unwrap()
        .iter()
        .find(|call| call["requestBody"].is_object())
        .unwrap()["requestBody"];
    let answer = calls.as_array().unwrap().last().unwrap()["body"].as_str().unwrap();
    assert_same(&defaults, request, &serde_json::from_str(answer).unwrap());

    // The rule that the recorded command makes.
    let user = json(&folder.join("user-rule-test-ip-flow.excerpt.json"));
    let text = r#"{"name": "vm2NSG", "securityRules": [{"name": "Deny_8080", "priority": 100, "direction": "Inbound", "access": "Deny",
        "protocol": "Tcp", "sourceAddressPrefix": "10.0.1.4", "sourcePortRange": "*", "destinationAddressPrefix": "10.0.2.4",
        "destinationPortRanges": ["80", "8080"]}]}"#;
    let source = SourceFile { name: "nsg.json", text, group: None };
    let rules = try_load(&Sources {
        nic: Some(source),
        virtual_network: network("10.0.0.0/16"),
        ..Sources::default()
    })
    .unwrap();
    let question = serde_json::json!({"direction": "Inbound", "protocol": "TCP", "localPort": "8080", "remotePort": "30000",
        "localIPAddress": "10.0.2.4", "remoteIPAddress": "10.0.1.4"});
    assert_same(&rules, &question, &user["output"]);
}

fn assert_same(rules: &AppliedRules, question: &serde_json::Value, answer: &serde_json::Value) {
    let text = |name: &str| question[name].as_str().unwrap().replace('*', "50000");
    let direction: Direction = text("direction").parse().unwrap();
    let local = format!("{}:{}", text("localIPAddress"), text("localPort"));
    let remote = format!("{}:{}", text("remoteIPAddress"), text("remotePort"));
    let (source, destination) = match direction {
        Direction::Inbound => (remote, local),
        Direction::Outbound => (local, remote),
    };
    let tuple = super::tuple(&format!("{} {source} {destination}", text("protocol")));
    let verdict = evaluate(rules, direction, &tuple);
    assert_eq!(verdict.access.as_str(), answer["access"].as_str().unwrap(), "{question}");
    assert_eq!(
        verdict.rule.unwrap().azure_name(),
        answer["ruleName"].as_str().unwrap(),
        "{question}"
    );
}

/// 60 tags of all sizes, as the largest groups name them.
#[test]
fn sixty_tags_in_use_load_quickly_and_stay_small() {
    let Some(path) = shared("servicetags/ServiceTags_Public_20251109.json") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let none = std::collections::BTreeSet::new();
    let names = service_tag_file::parse("tags", &text, &none).unwrap().names;
    let wanted: std::collections::BTreeSet<String> = names
        .iter()
        .step_by(50)
        .map(ToString::to_string)
        .take(59)
        .chain(["AzureCloud".to_owned()])
        .collect();
    assert_eq!(wanted.len(), 60);
    let start = Instant::now();
    let tags = service_tag_file::parse("tags", &text, &wanted).unwrap();
    let took = start.elapsed();
    let ranges: usize =
        tags.found.values().map(|set| set.v4_ranges().len() * 8 + set.v6_ranges().len() * 32).sum();
    eprintln!("60 tags of {} bytes in {took:?}, {ranges} bytes of addresses", text.len());
    assert_eq!(tags.found.len(), 60);
    assert!(ranges < 10_000_000, "{ranges} bytes");
    if !cfg!(debug_assertions) {
        assert!(took.as_millis() < 100, "{took:?}");
    }
}
