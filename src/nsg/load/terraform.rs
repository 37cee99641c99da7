//! Network security groups out of what `terraform show -json` prints, of a plan or of a state.
//!
//! In comes the tree; out come the groups in the form of Azure's API, with the rules that are resources of their
//! own put into their group. A value that Terraform knows only after apply is refused by its address. Source:
//! Terraform's *JSON output format*; the schema of the `azurerm` provider.

use std::collections::HashMap;

use super::document::{Field, Node, Value};
use super::error::{Findings, Refusal, Scope, shown};

const GROUP: &str = "azurerm_network_security_group";
const RULE: &str = "azurerm_network_security_rule";

/// The deepest nesting of modules.
const MAX_MODULES: usize = 16;

/// The provider's name of each field of a rule, and Azure's.
const RULE_FIELDS: [(&str, &str); 14] = [
    ("name", "name"),
    ("priority", "priority"),
    ("direction", "direction"),
    ("access", "access"),
    ("protocol", "protocol"),
    ("description", "description"),
    ("source_port_range", "sourcePortRange"),
    ("source_port_ranges", "sourcePortRanges"),
    ("destination_port_range", "destinationPortRange"),
    ("destination_port_ranges", "destinationPortRanges"),
    ("source_address_prefix", "sourceAddressPrefix"),
    ("source_address_prefixes", "sourceAddressPrefixes"),
    ("destination_address_prefix", "destinationAddressPrefix"),
    ("destination_address_prefixes", "destinationAddressPrefixes"),
];

/// The same for the lists of application security groups, whose elements are ids here and objects there.
const GROUP_FIELDS: [(&str, &str); 2] = [
    ("source_application_security_group_ids", "sourceApplicationSecurityGroups"),
    ("destination_application_security_group_ids", "destinationApplicationSecurityGroups"),
];

/// Returns the groups of a plan or state as Azure's API would show them.
pub(super) fn groups(root: &Node, findings: &mut Findings) -> Vec<Node> {
    let values = root.get("planned_values").or_else(|| root.get("values"));
    let changes = root.get("resource_changes").and_then(Node::elements).unwrap_or_default();
    let unknown = |change: &'_ Node| {
        let address = change.get("address").and_then(Node::text)?.to_owned();
        Some((address, change.get("change")?.get("after_unknown")?.clone()))
    };
    let configuration = root.get("configuration").and_then(|it| it.get("root_module"));
    let mut reader = Reader {
        findings,
        unknown: changes.iter().filter_map(unknown).collect(),
        configuration,
        groups: Vec::new(),
        rules: Vec::new(),
    };
    if let Some(module) = values.and_then(|values| values.get("root_module")) {
        reader.module(module, 0);
    }
    reader.joined()
}

/// A group as the provider names it.
struct Group {
    /// Its resource group.
    resources: String,
    name: String,
    address: String,
    node: Node,
    rules: Vec<Node>,
    /// The rules inside of the group are known only after apply.
    has_unknown_rules: bool,
}

/// A rule that is a resource of its own, and the group it says it belongs to.
struct LooseRule {
    resource_group: String,
    group: String,
    rule: Node,
}

struct Reader<'t, 'f> {
    findings: &'f mut Findings,
    unknown: HashMap<String, Node>,
    configuration: Option<&'t Node>,
    groups: Vec<Group>,
    rules: Vec<LooseRule>,
}

impl Reader<'_, '_> {
    fn module(&mut self, module: &Node, depth: usize) {
        if depth > MAX_MODULES {
            let refusal = Refusal::new(format!("modules nested deeper than {MAX_MODULES} levels"));
            return self.findings.refuse(&Scope::default(), None, module.position, refusal);
        }
        for resource in module.get("resources").and_then(Node::elements).unwrap_or_default() {
            let is_managed =
                resource.get("mode").and_then(Node::text).is_none_or(|mode| mode == "managed");
            let Some(values) = resource.get("values").filter(|_| is_managed) else { continue };
            let address = resource.get("address").and_then(Node::text).unwrap_or_default();
            match resource.get("type").and_then(Node::text) {
                Some(GROUP) => self.group(values, address),
                Some(RULE) => self.loose_rule(values, address),
                _ => {}
            }
        }
        for child in module.get("child_modules").and_then(Node::elements).unwrap_or_default() {
            self.module(child, depth + 1);
        }
    }

    fn group(&mut self, values: &Node, address: &str) {
        let unknown = self.unknown.get(address).cloned();
        let unknown = unknown.as_ref();
        self.refuse_unknown(address, values, unknown, &["name"]);
        let unknown_rules = unknown.and_then(|it| it.get("security_rule"));
        let blocks = values.get("security_rule").and_then(Node::elements).unwrap_or_default();
        let mut rules = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            let unknown = unknown_rules.and_then(Node::elements).and_then(|list| list.get(index));
            self.refuse_unknown(
                &format!("{address}.security_rule[{index}]"),
                block,
                unknown,
                &rule_fields(),
            );
            rules.push(rule(block));
        }
        self.groups.push(Group {
            resources: text(values, "resource_group_name"),
            name: text(values, "name"),
            address: address.to_owned(),
            node: values.clone(),
            rules,
            has_unknown_rules: unknown_rules.is_some_and(|it| it.value == Value::Bool(true)),
        });
    }

    fn loose_rule(&mut self, values: &Node, address: &str) {
        let unknown = self.unknown.get(address).cloned();
        let mut wanted = rule_fields();
        wanted.push("network_security_group_name");
        self.refuse_unknown(address, values, unknown.as_ref(), &wanted);
        self.rules.push(LooseRule {
            resource_group: text(values, "resource_group_name"),
            group: text(values, "network_security_group_name"),
            rule: rule(values),
        });
    }

    /// Notes every field that matters and that is known only after apply.
    fn refuse_unknown(
        &mut self,
        address: &str,
        values: &Node,
        unknown: Option<&Node>,
        wanted: &[&str],
    ) {
        for name in wanted {
            let Some(node) = unknown.and_then(|unknown| unknown.get(name)) else { continue };
            if holds_true(node) {
                let refusal = Refusal::new("is known only after apply")
                    .hint("give the state after apply: terraform show -json");
                let field = format!("{address}.{name}");
                self.findings.refuse(&Scope::default(), Some(&field), values.position, refusal);
            }
        }
    }

    /// Puts the loose rules into their groups and brings the groups into Azure's form.
    fn joined(mut self) -> Vec<Node> {
        for LooseRule { resource_group, group, rule } in std::mem::take(&mut self.rules) {
            let is_meant = |it: &&mut Group| {
                it.name.eq_ignore_ascii_case(&group)
                    && it.resources.eq_ignore_ascii_case(&resource_group)
            };
            if let Some(group) = self.groups.iter_mut().find(is_meant) {
                group.rules.push(rule);
                group.has_unknown_rules = false; // the provider takes rules inside or outside, never both
            } else {
                let message = format!(
                    "the group `{}` is not in this document; the rule is not used",
                    shown(&group)
                );
                let scope = Scope { group: None, rule: Some(text(&rule, "name")) };
                self.findings.warn(&scope, None, rule.position, message);
            }
        }
        for group in &self.groups {
            // Without blocks in the configuration the provider calls the rules unknown, and there are none.
            if group.has_unknown_rules && has_blocks(self.configuration, &group.address) {
                let refusal = Refusal::new("is known only after apply")
                    .hint("give the state after apply: terraform show -json");
                let field = format!("{}.security_rule", group.address);
                self.findings.refuse(&Scope::default(), Some(&field), group.node.position, refusal);
            }
        }
        self.groups.into_iter().map(Group::into_node).collect()
    }
}

impl Group {
    fn into_node(self) -> Node {
        let Self { node, rules, .. } = self;
        let own = |name: &str| node.get(name).map(|value| field(name, value.clone()));
        let mut fields: Vec<Field> = [own("name"), own("id")].into_iter().flatten().collect();
        let rules = Node { position: node.position, value: Value::Array(rules) };
        fields.push(field("securityRules", rules));
        Node { position: node.position, value: Value::Object(fields) }
    }
}

fn rule_fields() -> Vec<&'static str> {
    RULE_FIELDS.iter().chain(&GROUP_FIELDS).map(|(provider, _)| *provider).collect()
}

/// Brings a rule into Azure's form; empty values are the provider's way to say "not given".
fn rule(values: &Node) -> Node {
    let mut fields = Vec::new();
    for (provider, azure) in RULE_FIELDS {
        fields.extend(values.get(provider).map(|node| field(azure, node.clone())));
    }
    for (provider, azure) in GROUP_FIELDS {
        let Some(node) = values.get(provider) else { continue };
        let Some(ids) = node.elements() else { continue };
        let group = |id: &Node| {
            let fields = vec![field("id", id.clone())];
            Node { position: id.position, value: Value::Object(fields) }
        };
        let groups = Value::Array(ids.iter().map(group).collect());
        fields.push(field(azure, Node { position: node.position, value: groups }));
    }
    Node { position: values.position, value: Value::Object(fields) }
}

/// Says whether the configuration writes rules into the group. Addresses there have no indices, and each module's
/// configuration stands in its call. Where there is no configuration, rules may be there.
fn has_blocks(configuration: Option<&Node>, address: &str) -> bool {
    let Some(mut module) = configuration else { return true };
    let plain = without_indices(address);
    let mut parts: Vec<&str> = plain.split('.').collect();
    while let ["module", name, rest @ ..] = parts.as_slice() {
        let call = module.get("module_calls").and_then(|calls| calls.get(name));
        let Some(called) = call.and_then(|call| call.get("module")) else { return true };
        module = called;
        parts = rest.to_vec();
    }
    let own_address = parts.join(".");
    let resources = module.get("resources").and_then(Node::elements).unwrap_or_default();
    let is_it = |resource: &&Node| {
        resource.get("address").and_then(Node::text) == Some(own_address.as_str())
    };
    resources.iter().find(is_it).is_none_or(|resource| {
        resource.get("expressions").is_some_and(|it| it.get("security_rule").is_some())
    })
}

/// Takes `[0]` and `["key"]` out of an address.
fn without_indices(address: &str) -> String {
    let (mut plain, mut depth, mut in_quotes) = (String::new(), 0_usize, false);
    for character in address.chars() {
        match character {
            '"' => in_quotes = !in_quotes,
            '[' if !in_quotes => depth += 1,
            ']' if !in_quotes => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    plain
}

fn holds_true(node: &Node) -> bool {
    match &node.value {
        Value::Bool(value) => *value,
        Value::Array(elements) => elements.iter().any(holds_true),
        Value::Object(fields) => fields.iter().any(|field| holds_true(&field.node)),
        _ => false,
    }
}

fn text(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::text).unwrap_or_default().to_owned()
}

fn field(key: &str, node: Node) -> Field {
    Field { key: key.into(), key_position: node.position, node }
}
