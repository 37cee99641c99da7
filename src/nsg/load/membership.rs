//! Who is a member of which application security group.
//!
//! In comes a list of members by group (`{"id or name": ["10.0.0.4"]}`, JSON or YAML), or network interfaces as
//! `az network nic show` and `list` print them; out come addresses by group. Membership is a matter of IP
//! configurations: each gives its private address to the groups it names.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::document::Node;
use super::document_kind::{self, DocumentKind};
use super::error::{Findings, Refusal, Scope, shown};
use super::{address_field, effective_rules, name};

/// Azure's limits (nsg-semantics.md section 1).
const MAX_GROUPS_OF_CONFIGURATION: usize = 20;
const MAX_MEMBERS: usize = 4000;

/// Addresses by resource id or name of their group, as written first.
pub(super) type Members = BTreeMap<String, Vec<IpNet>>;

/// Reads all members of groups: a list by group, or all interfaces.
pub(super) fn all_members(root: &Node, findings: &mut Findings) -> Members {
    if document_kind::of(root) == Ok(DocumentKind::NetworkInterface) {
        return of_interfaces(root, findings);
    }
    let mut members = Members::new();
    let Some(fields) = root.fields() else {
        let refusal = Refusal::new(format!("must be an object, not {}", root.kind()))
            .hint("expected group: [addresses], or what `az network nic list` prints");
        findings.refuse(&Scope::default(), None, root.position, refusal);
        return members;
    };
    for field in fields {
        let scope = Scope { group: Some(field.key.to_string()), rule: None };
        if let Err(refusal) = name::check_id(&field.key) {
            findings.refuse(&scope, None, field.key_position, refusal);
        }
        let Some(elements) = field.node.elements() else {
            let refusal =
                Refusal::new(format!("must be a list of addresses, not {}", field.node.kind()));
            findings.refuse(&scope, None, field.node.position, refusal);
            continue;
        };
        let entry = members.entry(field.key.to_string()).or_default();
        for element in elements {
            match element.text().map(address_field::network) {
                Some(Ok(network)) => entry.push(network),
                Some(Err(refusal)) => findings.refuse(&scope, None, element.position, refusal),
                None => {
                    let refusal =
                        Refusal::new(format!("must hold addresses, not {}", element.kind()));
                    findings.refuse(&scope, None, element.position, refusal);
                }
            }
        }
        warn_of_many(entry.len(), field.node.position, &scope, findings);
    }
    members
}

/// Reads the memberships of one interface, the one of this machine.
pub(super) fn of_one_interface(root: &Node, findings: &mut Findings) -> Members {
    let problem = if document_kind::of(root) != Ok(DocumentKind::NetworkInterface) {
        "not a network interface"
    } else if effective_rules::elements(root).len() > 1 {
        "several network interfaces"
    } else {
        return of_interfaces(root, findings);
    };
    let refusal = Refusal::new(problem)
        .hint("give what `az network nic show` prints of this machine's interface");
    findings.refuse(&Scope::default(), None, root.position, refusal);
    Members::new()
}

fn of_interfaces(root: &Node, findings: &mut Findings) -> Members {
    let mut members = Members::new();
    for interface in effective_rules::elements(root) {
        let scope = Scope {
            group: interface.get("name").and_then(Node::text).map(str::to_owned),
            rule: None,
        };
        let configurations = property(interface, "ipConfigurations");
        let Some(configurations) = configurations.and_then(Node::elements) else {
            let refusal = Refusal::new("must be a list of IP configurations");
            findings.refuse(&scope, Some("ipConfigurations"), interface.position, refusal);
            continue;
        };
        for configuration in configurations {
            read_configuration(configuration, &scope, &mut members, findings);
        }
    }
    for (group, addresses) in &members {
        let scope = Scope { group: Some(group.clone()), rule: None };
        warn_of_many(addresses.len(), root.position, &scope, findings);
    }
    members
}

fn read_configuration(node: &Node, scope: &Scope, members: &mut Members, findings: &mut Findings) {
    const GROUPS: &str = "applicationSecurityGroups";
    let groups = property(node, GROUPS).and_then(Node::elements).unwrap_or_default();
    if groups.len() > MAX_GROUPS_OF_CONFIGURATION {
        let message = format!(
            "{} groups; Azure's limit for an IP configuration is {MAX_GROUPS_OF_CONFIGURATION}",
            groups.len()
        );
        findings.warn(scope, Some(GROUPS), node.position, message);
    }
    if groups.is_empty() {
        return;
    }
    let field = "privateIPAddress";
    let address = match property(node, field).and_then(Node::text).map(address_field::network) {
        Some(Ok(address)) => address,
        Some(Err(refusal)) => return findings.refuse(scope, Some(field), node.position, refusal),
        None => {
            let refusal =
                Refusal::new("is missing in an IP configuration that is a member of groups")
                    .hint("the machine must run for Azure to know its address");
            return findings.refuse(scope, Some(field), node.position, refusal);
        }
    };
    for group in groups {
        match group.get("id").and_then(Node::text) {
            Some(id) if name::check_id(id).is_ok() && !id.is_empty() => {
                let known = members.keys().find(|known| known.eq_ignore_ascii_case(id)).cloned();
                members.entry(known.unwrap_or_else(|| id.to_owned())).or_default().push(address);
            }
            _ => {
                let refusal = Refusal::new("needs the `id` of each group");
                findings.refuse(scope, Some(GROUPS), group.position, refusal);
            }
        }
    }
}

fn property<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    node.get(name).or_else(|| node.get("properties")?.get(name))
}

fn warn_of_many(
    count: usize,
    position: super::document::Position,
    scope: &Scope,
    findings: &mut Findings,
) {
    if count > MAX_MEMBERS {
        let group = shown(scope.group.as_deref().unwrap_or_default());
        let message =
            format!("{count} members of `{group}`; Azure's limit for a group is {MAX_MEMBERS}");
        findings.warn(scope, None, position, message);
    }
}
