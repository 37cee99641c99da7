//! Effective rules: what Azure itself says is in force at one interface, with its tags expanded.
//!
//! In comes the tree of `az network nic list-effective-nsg` (REST: `effectiveNetworkSecurityGroups`; PowerShell's
//! spelling passes too) or of a security group view; out come groups in the form of Azure's API and where each is
//! bound. Names lose their prefix, `All` becomes `*`, and `0.0.0.0/0` becomes `*` too: effective rules write it for
//! "any" (nsg-semantics.md section 10). A tag with an expansion is replaced by it, which is what holds for exactly
//! this interface; a tag without one stays a tag.

use std::collections::HashMap;

use super::document::{Field, Node, Value};
use super::error::{Findings, Refusal, Scope};
use super::{admin_rules, is_any};
use crate::nsg::{Layer, Priority};

/// A group in the form of Azure's API, and where it is bound.
pub(super) struct EffectiveGroup {
    /// The group.
    pub(super) group: Node,
    /// Where it is bound; empty where the document does not say.
    pub(super) layers: Vec<Layer>,
}

/// Expansions of tags by name in lower case.
type Expansions<'a> = HashMap<String, &'a [Node]>;

/// Reads the elements of a list of effective groups, or one element.
pub(super) fn of_list(root: &Node, findings: &mut Findings) -> Vec<EffectiveGroup> {
    let mut groups = Vec::new();
    for element in elements(root) {
        if is_of_network_manager(element) {
            continue; // admin rules; not a group
        }
        let association = element.get("association");
        let bound = |name: &str| association.and_then(|it| it.get(name)).is_some();
        let layers = [("subnet", Layer::Subnet), ("networkInterface", Layer::Nic)];
        let layers = layers.into_iter().filter(|(name, _)| bound(name)).map(|(_, layer)| layer);
        let id = element.get("networkSecurityGroup").and_then(|group| group.get("id"));
        let Some(rules) = list(element, "effectiveSecurityRules", findings) else { continue };
        let expansions = tag_map(element);
        let rules = rules.iter().map(|rule| effective_rule(rule, &expansions)).collect();
        groups.push(EffectiveGroup { group: group(element, id, rules), layers: layers.collect() });
    }
    groups
}

/// Returns the elements of a list of effective groups that hold rules of a network manager.
pub(super) fn of_network_managers(root: &Node) -> impl Iterator<Item = &Node> {
    elements(root).iter().filter(|element| is_of_network_manager(element))
}

/// Reads a security group view: for each interface the rules of its own group and of its subnet's.
pub(super) fn of_view(root: &Node, findings: &mut Findings) -> Vec<EffectiveGroup> {
    let mut groups = Vec::new();
    for interface in list(root, "networkInterfaces", findings).unwrap_or_default() {
        let Some(associations) = interface.get("securityRuleAssociations") else { continue };
        let defaults =
            associations.get("defaultSecurityRules").and_then(Node::elements).unwrap_or_default();
        let effective =
            associations.get("effectiveSecurityRules").and_then(Node::elements).unwrap_or_default();
        let sides =
            [("subnetAssociation", Layer::Subnet), ("networkInterfaceAssociation", Layer::Nic)];
        let sides = sides.map(|(name, layer)| Some((associations.get(name)?, layer)));
        let sides: Vec<(&Node, Layer)> = sides.into_iter().flatten().collect();
        let has_rules = |side: &Node| {
            side.get("securityRules")
                .and_then(Node::elements)
                .is_some_and(|rules| !rules.is_empty())
        };
        if let [(one, _), (other, _)] = sides.as_slice()
            && has_rules(one) != has_rules(other)
        {
            let refusal = Refusal::new(
                "can not be told: is there a group without rules of its own, or none?",
            )
            .hint("give what `az network nic list-effective-nsg` prints");
            findings.refuse(
                &Scope::default(),
                Some("securityRuleAssociations"),
                associations.position,
                refusal,
            );
            continue;
        }
        if effective.is_empty() && defaults.is_empty() {
            continue; // neither has a group
        }
        let expansions = expansions_of(effective);
        for (side, layer) in sides {
            let own = side.get("securityRules").and_then(Node::elements).unwrap_or_default();
            let id = own.iter().find_map(|rule| rule.get("id"));
            let rules = own.iter().chain(defaults).map(|rule| effective_rule(rule, &expansions));
            let group = group(side, id.or_else(|| side.get("id")), rules.collect());
            groups.push(EffectiveGroup { group, layers: vec![layer] });
        }
    }
    groups
}

/// Returns the elements of `{"value": [...]}`, of an array, or the one that the document is.
pub(super) fn elements(root: &Node) -> &[Node] {
    let list = root.get("value").unwrap_or(root);
    list.elements().unwrap_or(std::slice::from_ref(list))
}

/// Says whether the rules are those of a virtual network manager: it stands alone in the association, or the place
/// of the group's id holds a manager's.
fn is_of_network_manager(element: &Node) -> bool {
    let association = element.get("association");
    let bound = |name: &str| association.and_then(|it| it.get(name)).is_some();
    let id =
        element.get("networkSecurityGroup").and_then(|group| group.get("id")).and_then(Node::text);
    let id = id.unwrap_or_default().to_ascii_lowercase();
    id.contains("/networkmanagers/")
        || (bound("networkManager") && !bound("subnet") && !bound("networkInterface"))
}

fn list<'a>(node: &'a Node, name: &str, findings: &mut Findings) -> Option<&'a [Node]> {
    let found = node.get(name)?;
    let elements = found.elements();
    if elements.is_none() {
        let refusal = Refusal::new(format!("must be a list, not {}", found.kind()));
        findings.refuse(&Scope::default(), Some(name), found.position, refusal);
    }
    elements
}

/// Makes a group out of its rules; the user's and the default ones are told apart by their names.
fn group(from: &Node, id: Option<&Node>, rules: Vec<(bool, Node)>) -> Node {
    let (mut user, mut default): (Vec<Node>, Vec<Node>) = (Vec::new(), Vec::new());
    for (is_default, rule) in rules {
        let list = if is_default { &mut default } else { &mut user };
        // Azure lists a default rule twice under two names.
        if !list.iter().any(|known| is_same(known, &rule)) {
            list.push(rule);
        }
    }
    let position = from.position;
    let mut fields = vec![field("name", from, Value::String(group_name(id).into()))];
    fields.extend(id.map(|id| field("id", id, id.value.clone())));
    fields.push(field("securityRules", from, Value::Array(user)));
    fields.push(field("defaultSecurityRules", from, Value::Array(default)));
    Node { position, value: Value::Object(fields) }
}

/// The name after `networkSecurityGroups/` in an id, else the last name in it.
fn group_name(id: Option<&Node>) -> String {
    let parts: Vec<&str> = id.and_then(Node::text).unwrap_or_default().split('/').collect();
    let is_group = |part: &&str| part.eq_ignore_ascii_case("networkSecurityGroups");
    let after = parts.iter().position(is_group).and_then(|at| parts.get(at + 1));
    let name = after.or(parts.last()).copied().filter(|name| !name.is_empty());
    name.unwrap_or("effective-rules").to_owned()
}

fn is_same(one: &Node, other: &Node) -> bool {
    [
        "name",
        "direction",
        "priority",
        "access",
        "sourceAddressPrefixes",
        "destinationAddressPrefixes",
    ]
    .iter()
    .all(|name| {
        let mut pairs = texts_of(one.get(name)).zip(texts_of(other.get(name)));
        texts_of(one.get(name)).count() == texts_of(other.get(name)).count()
            && pairs.all(|(one, other)| one.eq_ignore_ascii_case(other))
    })
}

/// Brings a rule into the form of Azure's API; says whether it is a default rule.
fn effective_rule(rule: &Node, expansions: &Expansions<'_>) -> (bool, Node) {
    let Some(outer) = rule.fields() else { return (false, rule.clone()) };
    let inner = rule.get("properties").and_then(Node::fields).unwrap_or_default();
    let all = || outer.iter().chain(inner).filter(|field| !field.node.is_null());
    let get = |name: &str| all().find(|field| field.is_named(name)).map(|field| &field.node);
    let priority: u32 =
        get("priority").and_then(Node::text).and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut is_default = priority > u32::from(*Priority::USER_RANGE.end());
    let mut fields = Vec::new();
    for one in all() {
        let text = one.node.text().unwrap_or_default();
        if one.is_named("name") {
            let (default, name) = own_name(text);
            is_default |= default;
            fields.push(field("name", &one.node, Value::String(name.into())));
        } else if one.is_named("protocol") && text.eq_ignore_ascii_case("all") {
            fields.push(field("protocol", &one.node, Value::String("*".into())));
        } else if !one.is_named("properties") && !SIDES.iter().any(|side| side.names(one)) {
            fields.push(one.clone());
        }
    }
    for side in &SIDES {
        let ports = merged([get(side.port), get(side.ports)]);
        fields.push(field(
            side.ports,
            rule,
            Value::Array(ports.map(|it| any_as(it, "0-65535")).collect()),
        ));
        fields.push(field(side.prefixes, rule, Value::Array(prefixes(side, get, expansions))));
    }
    (is_default, Node { position: rule.position, value: Value::Object(fields) })
}

/// Brings a rule of a network manager into the form of Azure's admin rules.
pub(super) fn as_admin_rule(rule: &Node) -> Node {
    let (_, rule) = effective_rule(rule, &Expansions::new());
    let mut fields = Vec::new();
    for one in rule.fields().unwrap_or_default() {
        let elements = one.node.elements().unwrap_or_default();
        let addresses =
            || Value::Array(elements.iter().map(admin_rules::address_element).collect());
        fields.push(match one.key.as_ref() {
            "sourceAddressPrefixes" => field("sources", &one.node, addresses()),
            "destinationAddressPrefixes" => field("destinations", &one.node, addresses()),
            _ => one.clone(),
        });
    }
    Node { position: rule.position, value: Value::Object(fields) }
}

/// Names of one side's fields.
struct Side {
    prefix: &'static str,
    prefixes: &'static str,
    expanded: &'static str,
    port: &'static str,
    ports: &'static str,
}

const SIDES: [Side; 2] = [
    Side {
        prefix: "sourceAddressPrefix",
        prefixes: "sourceAddressPrefixes",
        expanded: "expandedSourceAddressPrefix",
        port: "sourcePortRange",
        ports: "sourcePortRanges",
    },
    Side {
        prefix: "destinationAddressPrefix",
        prefixes: "destinationAddressPrefixes",
        expanded: "expandedDestinationAddressPrefix",
        port: "destinationPortRange",
        ports: "destinationPortRanges",
    },
];

impl Side {
    fn names(&self, field: &Field) -> bool {
        [self.prefix, self.prefixes, self.expanded, self.port, self.ports]
            .iter()
            .any(|name| field.is_named(name))
    }
}

/// Returns the addresses of one side, tags replaced by what they are expanded to.
fn prefixes<'a>(
    side: &Side,
    get: impl Fn(&str) -> Option<&'a Node>,
    expansions: &Expansions<'_>,
) -> Vec<Node> {
    let expanded = get(side.expanded).and_then(Node::elements).unwrap_or_default();
    let mut prefixes = Vec::new();
    for node in merged([get(side.prefix), get(side.prefixes)]) {
        let text = node.text().unwrap_or_default();
        if is_any(text) || text == "0.0.0.0/0" {
            return vec![any_as(node, "*")];
        }
        let is_tag =
            text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains(':');
        let known = if is_tag { expansions.get(&text.to_ascii_lowercase()).copied() } else { None };
        match (is_tag, expanded.is_empty(), known) {
            (true, false, _) => {} // the expansion follows
            (true, true, Some(known)) => prefixes.extend_from_slice(known),
            _ => prefixes.push(node.clone()),
        }
    }
    prefixes.extend_from_slice(expanded);
    prefixes
}

/// Returns the texts of a singular and a plural field, each once.
fn merged(fields: [Option<&Node>; 2]) -> impl Iterator<Item = &Node> {
    let mut all: Vec<&Node> = Vec::new();
    for node in fields.into_iter().flatten() {
        for one in node.elements().unwrap_or(std::slice::from_ref(node)) {
            let is_new = |known: &&Node| known.value != one.value;
            if one.text() != Some("") && all.iter().all(is_new) {
                all.push(one);
            }
        }
    }
    all.into_iter()
}

fn any_as(node: &Node, text: &str) -> Node {
    if node.text().is_some_and(|it| is_any(it) || it == "0.0.0.0/0") {
        Node { position: node.position, value: Value::String(text.into()) }
    } else {
        node.clone()
    }
}

/// The expansions that `tagMap` gives for the rules of one group.
fn tag_map(element: &Node) -> Expansions<'_> {
    let fields = element.get("tagMap").and_then(Node::fields).unwrap_or_default().iter();
    fields
        .map(|field| (field.key.to_ascii_lowercase(), field.node.elements().unwrap_or_default()))
        .filter(|(_, prefixes)| !prefixes.is_empty())
        .collect()
}

/// The expansions that the rules in force show of the tags they name alone.
fn expansions_of(rules: &[Node]) -> Expansions<'_> {
    let mut expansions = HashMap::new();
    for rule in rules {
        for side in &SIDES {
            let tag = rule.get(side.prefix).and_then(Node::text);
            let expanded = rule.get(side.expanded).and_then(Node::elements);
            if let (Some(tag), Some(expanded @ [_, ..])) = (tag, expanded) {
                expansions.insert(tag.to_ascii_lowercase(), expanded);
            }
        }
    }
    expansions
}

/// Takes the prefix off a rule's name, in all of Azure's spellings; says whether it names a default rule.
fn own_name(text: &str) -> (bool, &str) {
    for (old, new) in
        [("DefaultInboundDenyAll", "DenyAllInBound"), ("DefaultOutboundDenyAll", "DenyAllOutBound")]
    {
        if text.eq_ignore_ascii_case(old) {
            return (true, new);
        }
    }
    let prefixes = [
        ("defaultSecurityRules/", true),
        ("DefaultRule_", true),
        ("securityRules/", false),
        ("UserRule_", false),
    ];
    for (prefix, is_default) in prefixes {
        if let Some((start, name)) = text.split_at_checked(prefix.len())
            && start.eq_ignore_ascii_case(prefix)
        {
            return (is_default, name);
        }
    }
    (false, text)
}

fn texts_of(node: Option<&Node>) -> impl Iterator<Item = &str> {
    node.into_iter()
        .flat_map(|node| node.elements().unwrap_or(std::slice::from_ref(node)))
        .filter_map(Node::text)
}

fn field(key: &str, from: &Node, value: Value) -> Field {
    let node = Node { position: from.position, value };
    Field { key: key.into(), key_position: from.position, node }
}
