//! A virtual machine as Azure serves it: three layers, both directions, service tags of the published file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nsgwatch::classifier::Policy;
use nsgwatch::flow::{Direction, Protocol};
use nsgwatch::nsg::load::service_tag_file;
use nsgwatch::nsg::{
    Access, AddressPrefix, AdminAccess, AdminRuleCollection, AppliedRules, NetworkSecurityGroup,
    PortRange, PortSet, Priority, RuleProtocol, SecurityAdminRule, SecurityRule, ServiceTags,
    default_security_rules,
};

use crate::measure::build_ms;

/// The tags that both groups name: all of Azure, its widest services, and some of one region.
const TAGS: [&str; 20] = [
    "AzureCloud",
    "AzureCloud.WestEurope",
    "AzureMonitor",
    "Sql",
    "AppService",
    "AzureContainerRegistry",
    "GuestAndHybridManagement",
    "AzureKeyVault",
    "EventHub",
    "Storage",
    "Storage.WestEurope",
    "AzureBackup",
    "AzureTrafficManager",
    "ApiManagement",
    "ActionGroup",
    "GatewayManager",
    "AzureActiveDirectory",
    "AzureFrontDoor.Frontend",
    "AzureDevOps",
    "Internet",
];
const PORTS: [u16; 4] = [22, 443, 1433, 8443];

/// Measures how long the three layers take to compile; says so where the tag file is not at hand.
pub(crate) fn machine(passes: usize) {
    println!("\nThree layers, both directions, published service tags\n");
    let Some(path) = tag_file() else {
        eprintln!("SKIPPED: real service tags (no ServiceTags_Public_*.json in shared/azure)");
        return;
    };
    let rules = three_layers(published(&path));
    let policy = Policy::compile(rules.clone(), 1).expect("the rules fit the budget");
    let prefixes: usize =
        TAGS.iter().filter_map(|tag| rules.service_tags.get(tag)).fold(0, |prefixes, addresses| {
            prefixes + addresses.v4_ranges().len() + addresses.v6_ranges().len()
        });
    println!("| tags | ranges | build ms | KiB |\n|---|---|---|---|");
    println!(
        "| {} | {prefixes} | {:.2} | {} |",
        TAGS.len(),
        build_ms(&rules, passes),
        policy.memory_bytes() / 1024
    );
}

/// Finds the published file beside the project, whatever its date.
fn tag_file() -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder =
        folders.map(|folder| folder.join("shared/azure/servicetags")).find(|it| it.is_dir());
    let mut files = std::fs::read_dir(folder?).ok()?.flatten().map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "json"))
}

fn published(path: &Path) -> ServiceTags {
    let text = std::fs::read_to_string(path).expect("the file can be read");
    let wanted: BTreeSet<String> = TAGS.iter().map(|&tag| tag.to_owned()).collect();
    let file = service_tag_file::parse("tags", &text, &wanted).expect("the published format");
    let mut tags = ServiceTags::new(["10.0.0.0/16".parse().expect("a prefix")]);
    for (name, addresses) in file.found {
        tags.insert(&name, addresses);
    }
    tags
}

/// Each tag is named once in each direction by either group, and once inbound by the admin rules.
fn three_layers(service_tags: ServiceTags) -> AppliedRules {
    let group = |name| {
        let mut rules: Vec<SecurityRule> = Direction::ALL.into_iter().flat_map(named).collect();
        rules.extend(default_security_rules());
        Some(NetworkSecurityGroup::new(name, rules))
    };
    let admin = named(Direction::Inbound).map(|rule| SecurityAdminRule {
        name: rule.name,
        priority: rule.priority,
        direction: rule.direction,
        access: match rule.access {
            Access::Deny => AdminAccess::Deny,
            _ => AdminAccess::Allow,
        },
        protocol: rule.protocol,
        source: rule.source,
        source_ports: rule.source_ports,
        destination: rule.destination,
        destination_ports: rule.destination_ports,
        id: None,
    });
    let admin = AdminRuleCollection { name: "admin".into(), id: None, rules: admin.collect() };
    AppliedRules {
        admin: vec![admin],
        subnet: group("subnet"),
        nic: group("nic"),
        service_tags,
        ..AppliedRules::default()
    }
}

fn named(direction: Direction) -> impl Iterator<Item = SecurityRule> {
    TAGS.iter().zip(PORTS.iter().cycle()).zip(100..).map(move |((&tag, &port), priority)| {
        let remote = vec![AddressPrefix::ServiceTag(tag.to_owned())];
        let local = vec![AddressPrefix::ServiceTag("VirtualNetwork".to_owned())];
        let (source, destination) = match direction {
            Direction::Inbound => (remote, local),
            Direction::Outbound => (local, remote),
        };
        SecurityRule {
            name: format!("{tag}-{direction}"),
            priority: Priority(priority),
            direction,
            access: if priority % 4 == 3 { Access::Deny } else { Access::Allow },
            protocol: RuleProtocol::Only(Protocol::TCP),
            source,
            source_ports: PortSet::any(),
            destination,
            destination_ports: PortSet::new(vec![PortRange { first: port, last: port }])
                .expect("one range"),
            is_default: false,
            id: None,
        }
    })
}
