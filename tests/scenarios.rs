//! Runs every file of `tests/scenarios`: rules in Azure's shape, then questions with the expected answer, or the
//! errors that the rules must be refused with.
//!
//! Each file names its source and holds `scenarios`; each scenario has `subnet` and `nic` (a network security group),
//! `virtualNetwork` (prefixes), and either `cases` (direction, protocol, local and remote as `address:port`, access,
//! rule in IP flow verify's spelling, nsg, layer; a port `*` stands for every port) or `errors` (rule, field, code, a
//! part of the message). Both the oracle and the compiled policy must give each answer. A case may also name the
//! traffic that the `platform` handles by itself, the ids of `notes` and `assumptions`, and other `names` of the rule.
//!
//! `admin` holds collections of security admin rules, `subnetRules` rules of the subnet's group beside those of
//! `subnet`, both in a short form (see `ModelRule`) in which `asg:NAME` is an application security group;
//! `applicationSecurityGroups` says who its members are.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail loudly, like the tests themselves"
)]

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use nsgwatch::classifier::Policy;
use nsgwatch::flow::{Direction, FiveTuple, Ports, Protocol};
use nsgwatch::nsg::load::{LoadError, Loaded, SourceFile, Sources, Unresolved, load};
use nsgwatch::nsg::{
    Access, AddressPrefix, AdminAccess, AdminRuleCollection, AppliedRules, NetworkSecurityGroup,
    PlatformTraffic, PortRange, PortSet, Priority, RuleName, RuleNameStyle, RuleProtocol,
    RuleProvenance, SecurityAdminRule, SecurityRule, Verdict, assumptions, evaluate, notes,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    source: String,
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Scenario {
    title: String,
    virtual_network: Vec<ipnet::IpNet>,
    #[serde(default)]
    internet: Option<Vec<ipnet::IpNet>>,
    #[serde(default)]
    unresolved: Option<Unresolved>,
    #[serde(default)]
    service_tags: Option<Value>,
    #[serde(default)]
    subnet: Option<Value>,
    #[serde(default)]
    interface: Option<Value>,
    /// Members of application security groups as a file names them; `application_security_groups` skips the loader.
    #[serde(default)]
    members: Option<Value>,
    #[serde(default)]
    nic: Option<Value>,
    #[serde(default)]
    admin: Vec<Collection>,
    #[serde(default)]
    subnet_rules: Vec<ModelRule>,
    #[serde(default)]
    application_security_groups: HashMap<String, Vec<ipnet::IpNet>>,
    #[serde(default)]
    cases: Vec<Case>,
    #[serde(default)]
    errors: Vec<ExpectedError>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    direction: String,
    protocol: String,
    local: String,
    remote: String,
    access: Access,
    rule: Option<String>,
    nsg: Option<String>,
    layer: Option<String>,
    platform: Option<String>,
    #[serde(default)]
    notes: Vec<String>,
    /// Looked at only where given.
    assumptions: Option<Vec<String>>,
    names: Option<Names>,
}

/// The deciding rule's name on other surfaces than IP flow verify, texts that name it, and texts that do not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    diagnostics: String,
    bare: String,
    accepted: Vec<String>,
    others: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Collection {
    name: String,
    rules: Vec<ModelRule>,
}

/// A rule in short: `source` and `destination` are `*`, a prefix, a tag or `asg:NAME`; `port` is a destination port.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelRule {
    name: String,
    priority: u16,
    direction: String,
    access: String,
    protocol: String,
    source: String,
    destination: String,
    port: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedError {
    rule: String,
    field: String,
    code: Option<String>,
    message: Option<String>,
}

/// Ports that stand for "every port" in a question.
const SAMPLE_PORTS: [u16; 6] = [0, 1, 80, 443, 49_152, 65_535];

#[test]
fn every_scenario_is_answered_as_its_source_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert!(paths.len() >= 30, "only {} scenario files", paths.len());
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file: ScenarioFile = serde_json::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!file.source.is_empty() && !file.scenarios.is_empty(), "{name}");
        for scenario in &file.scenarios {
            run(scenario, &format!("{name}: {}", scenario.title));
        }
    }
}

fn run(scenario: &Scenario, title: &str) {
    let outcome = load_scenario(scenario);
    assert_ne!(scenario.cases.is_empty(), scenario.errors.is_empty(), "{title}: one of the two");
    if scenario.cases.is_empty() {
        assert_refused(&outcome.expect_err(title), &scenario.errors, title);
        return;
    }
    let mut rules = outcome.unwrap_or_else(|errors| panic!("{title}: {errors:#?}")).rules;
    scenario.add_model_rules(&mut rules);
    let policy = Policy::compile(rules.clone(), 1).unwrap();
    for case in &scenario.cases {
        let direction: Direction = case.direction.parse().unwrap();
        for tuple in case.tuples(direction) {
            let title = format!("{title}: {direction} {tuple}");
            case.assert_answer(&evaluate(&rules, direction, &tuple), &format!("{title}: oracle"));
            case.assert_answer(&policy.classify(direction, &tuple), &format!("{title}: policy"));
            case.assert_remarks(&rules, direction, &tuple, &title);
        }
    }
}

fn load_scenario(scenario: &Scenario) -> Result<Loaded, Vec<LoadError>> {
    let text = |value: &Option<Value>| value.as_ref().map(ToString::to_string);
    let (subnet, nic, tags) =
        (text(&scenario.subnet), text(&scenario.nic), text(&scenario.service_tags));
    let (interface, members) = (text(&scenario.interface), text(&scenario.members));
    load(&Sources {
        subnet: source("subnet.json", subnet.as_deref()),
        nic: source("nic.json", nic.as_deref()),
        service_tags: source("service-tags.json", tags.as_deref()),
        virtual_network: scenario.virtual_network.clone(),
        internet: scenario.internet.clone(),
        unresolved: scenario.unresolved.unwrap_or_default(),
        interface: source("interface.json", interface.as_deref()),
        application_security_groups: source("members.json", members.as_deref())
            .into_iter()
            .collect(),
        ..Sources::default()
    })
}

fn source<'a>(name: &'a str, text: Option<&'a str>) -> Option<SourceFile<'a>> {
    Some(SourceFile { name, text: text?, group: None })
}

fn assert_refused(errors: &[LoadError], expected: &[ExpectedError], title: &str) {
    assert_eq!(errors.len(), expected.len(), "{title}: {errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert_eq!(error.place.rule.as_deref(), Some(expected.rule.as_str()), "{title}: {error}");
        assert_eq!(error.place.field.as_deref(), Some(expected.field.as_str()), "{title}: {error}");
        assert_eq!(error.code, expected.code.as_deref(), "{title}: {error}");
        let part = expected.message.as_deref().unwrap_or_default();
        assert!(error.to_string().contains(part), "{title}: {error}");
    }
}

impl Scenario {
    fn add_model_rules(&self, rules: &mut AppliedRules) {
        for (id, members) in &self.application_security_groups {
            let members = members.iter().copied().collect();
            rules.application_security_groups.add_members(id, &members);
        }
        for Collection { name, rules: admin } in &self.admin {
            let rules_of = admin.iter().map(ModelRule::admin).collect();
            rules.admin.push(AdminRuleCollection { name: name.clone(), id: None, rules: rules_of });
        }
        if let Some(subnet) = rules.subnet.as_mut().filter(|_| !self.subnet_rules.is_empty()) {
            let more = self.subnet_rules.iter().map(ModelRule::of_group);
            let all = subnet.rules.drain(..).chain(more).collect();
            *subnet = NetworkSecurityGroup::new(subnet.name.clone(), all);
        }
    }
}

impl ModelRule {
    fn of_group(&self) -> SecurityRule {
        SecurityRule {
            name: self.name.clone(),
            priority: Priority(self.priority),
            direction: self.direction.parse().unwrap(),
            access: self.access.parse().unwrap(),
            protocol: match self.protocol.as_str() {
                "*" => RuleProtocol::Any,
                name => RuleProtocol::Only(name.parse().unwrap()),
            },
            source: vec![prefix(&self.source)],
            source_ports: PortSet::any(),
            destination: vec![prefix(&self.destination)],
            destination_ports: match self.port.as_str() {
                "*" => PortSet::any(),
                port => {
                    let port = port.parse().unwrap();
                    PortSet::new(vec![PortRange { first: port, last: port }]).unwrap()
                }
            },
            is_default: false,
            id: None,
        }
    }

    fn admin(&self) -> SecurityAdminRule {
        let access: AdminAccess = self.access.parse().unwrap();
        let rule = ModelRule { access: "Deny".to_owned(), ..self.clone() }.of_group();
        SecurityAdminRule {
            name: rule.name,
            priority: rule.priority,
            direction: rule.direction,
            access,
            protocol: rule.protocol,
            source: rule.source,
            source_ports: rule.source_ports,
            destination: rule.destination,
            destination_ports: rule.destination_ports,
            id: None,
        }
    }
}

fn prefix(text: &str) -> AddressPrefix {
    if text == "*" {
        AddressPrefix::Any
    } else if let Some(name) = text.strip_prefix("asg:") {
        AddressPrefix::ApplicationSecurityGroup(name.to_owned())
    } else if let Ok(network) = text.parse() {
        AddressPrefix::Network(network)
    } else {
        AddressPrefix::ServiceTag(text.to_owned())
    }
}

impl Case {
    fn assert_remarks(
        &self,
        rules: &AppliedRules,
        direction: Direction,
        tuple: &FiveTuple,
        title: &str,
    ) {
        let verdict = evaluate(rules, direction, tuple);
        let platform = PlatformTraffic::of(direction, tuple, verdict.rule.as_deref());
        assert_eq!(platform.map(PlatformTraffic::as_str), self.platform.as_deref(), "{title}");
        let notes: Vec<_> =
            notes(rules, direction, tuple, &verdict).iter().map(|note| note.id()).collect();
        assert_eq!(notes, self.notes, "{title}");
        if let Some(expected) = &self.assumptions {
            let assumed = assumptions(rules, direction, tuple);
            let assumed: Vec<_> = assumed.iter().map(|assumption| assumption.id()).collect();
            assert_eq!(&assumed, expected, "{title}");
        }
        if let Some(names) = &self.names {
            names.assert_name(verdict.rule.as_deref().unwrap(), title);
        }
    }

    fn assert_answer(&self, verdict: &Verdict, title: &str) {
        let rule = verdict.rule.as_deref();
        assert_eq!(verdict.access, self.access, "{title}: {rule:?}");
        assert_eq!(rule.map(RuleProvenance::azure_name), self.rule, "{title}");
        assert_eq!(rule.map(|rule| rule.ruleset.clone()), self.nsg, "{title}");
        assert_eq!(rule.map(|rule| rule.layer.to_string()), self.layer, "{title}");
    }

    /// The packets the question stands for: one, or one for each sample port.
    fn tuples(&self, direction: Direction) -> Vec<FiveTuple> {
        let protocol: Protocol = self.protocol.parse().unwrap();
        let ((local, local_ports), (remote, remote_ports)) =
            (endpoint(&self.local), endpoint(&self.remote));
        let packet = |local_port: Option<u16>, remote_port: Option<u16>| {
            let outbound = FiveTuple {
                protocol,
                source: local,
                destination: remote,
                ports: match local_port.zip(remote_port) {
                    Some((source, destination)) => Ports::Pair { source, destination },
                    None => Ports::Absent,
                },
            };
            match direction {
                Direction::Outbound => outbound,
                Direction::Inbound => outbound.reversed(),
            }
        };
        let mut tuples = Vec::new();
        for local_port in &local_ports {
            tuples.extend(remote_ports.iter().map(|remote| packet(*local_port, *remote)));
        }
        tuples
    }
}

impl Names {
    fn assert_name(&self, rule: &RuleProvenance, title: &str) {
        assert_eq!(rule.name_in(RuleNameStyle::Diagnostics), self.diagnostics, "{title}");
        assert_eq!(rule.name_in(RuleNameStyle::Bare), self.bare, "{title}");
        let is_named = |text: &String| text.parse::<RuleName>().unwrap().names(rule);
        for text in &self.accepted {
            assert!(is_named(text), "{title}: {text}");
        }
        for text in &self.others {
            assert!(!is_named(text), "{title}: {text}");
        }
    }
}

/// Reads `address`, `address:port`, `[address]:port`, or `*` for the port.
fn endpoint(text: &str) -> (IpAddr, Vec<Option<u16>>) {
    if let Ok(address) = text.parse() {
        return (address, vec![None]);
    }
    let (address, port) = text.rsplit_once(':').unwrap();
    let address = address.trim_start_matches('[').trim_end_matches(']').parse().unwrap();
    let ports = match port {
        "*" => SAMPLE_PORTS.iter().copied().map(Some).collect(),
        port => vec![Some(port.parse().unwrap())],
    };
    (address, ports)
}
