//! Security admin rules of a virtual network manager, as the REST API and `az network manager` print them.
//!
//! In comes the tree of a document: one rule, a list of rules, `effectiveSecurityAdminRules`, collections that hold
//! their rules, or effective rules whose association is a network manager. Out come the collections. Source:
//! nsg-semantics.md section 4; the REST examples of the admin rules.

use std::str::FromStr;

use super::document::{Field, Node, Position, Value};
use super::error::{Findings, Refusal, Scope, shown};
use super::references::{GroupReference, References, Role};
use super::rule_fields::RuleFields;
use super::{address_field, effective_rules, is_any, name, port_field, security_rule};
use crate::flow::{Direction, UnknownWord};
use crate::nsg::{
    AddressPrefix, AdminAccess, AdminRuleCollection, PortSet, Priority, RuleProtocol,
    SecurityAdminRule,
};

/// What a collection is called where the document does not say.
const UNNAMED: &str = "admin-rules";

const KNOWN_FIELDS: [&str; 31] = [
    "access",
    "configurationDescription",
    "configurationId",
    "description",
    "destinationPortRanges",
    "destinations",
    "direction",
    "displayName",
    "etag",
    "flag",
    "id",
    "kind",
    "name",
    "priority",
    "properties",
    "protocol",
    "provisioningState",
    "resourceGroup",
    "resourceGuid",
    "ruleCollectionAppliesToGroups",
    "ruleCollectionDescription",
    "ruleCollectionId",
    "ruleCollectionName",
    "ruleGroups",
    "ruleId",
    "ruleName",
    "sourcePortRanges",
    "sources",
    "systemData",
    "type",
    "location",
];

/// Reads the collections of a document.
pub(super) fn collections(
    root: &Node,
    references: &mut References,
    findings: &mut Findings,
) -> Vec<AdminRuleCollection> {
    let mut reader = Reader { collections: Vec::new(), references, findings };
    for element in effective_rules::elements(root) {
        let nested = element
            .get("rules")
            .or_else(|| element.get("properties").and_then(|it| it.get("rules")));
        if let Some(rules) = nested {
            let name = text(element, "name").unwrap_or(UNNAMED);
            reader.rules(rules, Some((name, text(element, "id"))));
        } else if let Some(rules) = element.get("effectiveSecurityRules") {
            let rules =
                rules.elements().unwrap_or_default().iter().map(effective_rules::as_admin_rule);
            let rules = Node { position: element.position, value: Value::Array(rules.collect()) };
            let id = element.get("networkSecurityGroup").or_else(|| element.get("association"));
            let id = id.and_then(|it| it.get("id").or_else(|| it.get("networkManager")?.get("id")));
            let id = id.and_then(Node::text);
            reader.rules(&rules, Some((id.map_or(UNNAMED, last_segment), id)));
        } else if is_rule(element) {
            reader.rule(element, 0, None);
        } else {
            let refusal = Refusal::new("no security admin rule").hint(
                "expected what `az network manager security-admin-config rule-collection rule list` prints",
            );
            reader.findings.refuse(&Scope::default(), None, element.position, refusal);
        }
    }
    reader.collections
}

fn is_rule(element: &Node) -> bool {
    let properties = element.get("properties");
    ["access", "direction", "priority"]
        .iter()
        .any(|name| element.get(name).or_else(|| properties?.get(name)).is_some())
}

struct Reader<'r> {
    collections: Vec<AdminRuleCollection>,
    references: &'r mut References,
    findings: &'r mut Findings,
}

impl Reader<'_> {
    fn rules(&mut self, rules: &Node, collection: Option<(&str, Option<&str>)>) {
        let Some(list) = rules.elements() else {
            let refusal = Refusal::new(format!("must be a list, not {}", rules.kind()));
            return self.findings.refuse(&Scope::default(), Some("rules"), rules.position, refusal);
        };
        for (index, rule) in list.iter().enumerate() {
            self.rule(rule, index, collection);
        }
    }

    fn rule(&mut self, node: &Node, index: usize, collection: Option<(&str, Option<&str>)>) {
        let (collection, collection_id) = collection.map_or_else(
            || collection_of(node),
            |(name, id)| (name.to_owned(), id.map(str::to_owned)),
        );
        let scope =
            Scope { group: Some(collection.clone()), rule: Some(format!("rules[{index}]")) };
        for (field, text) in [("name", Some(collection.as_str())), ("id", collection_id.as_deref())]
        {
            let checked = text.map_or(Ok(()), |text| {
                if field == "id" { name::check_id(text) } else { name::check(text) }
            });
            if let Err(refusal) = checked {
                return self.findings.refuse(&scope, Some(field), node.position, refusal);
            }
        }
        let before = self.findings.refused();
        let rule = RuleFields::of(node, scope, self.findings)
            .and_then(|fields| fields.admin_rule(self.references));
        let Some(rule) = rule.filter(|_| self.findings.refused() == before) else { return };
        let known =
            self.collections.iter_mut().find(|it| it.name == collection && it.id == collection_id);
        match known {
            Some(known) => known.rules.push(rule),
            None => self.collections.push(AdminRuleCollection {
                name: collection,
                id: collection_id,
                rules: vec![rule],
            }),
        }
    }
}

/// The collection that a rule's id names.
fn collection_of(rule: &Node) -> (String, Option<String>) {
    const BEFORE: &str = "/rulecollections/";
    let found = text(rule, "id").and_then(|id| {
        let start = id.to_ascii_lowercase().find(BEFORE)? + BEFORE.len();
        let (head, tail) = id.split_at_checked(start)?;
        let name = tail.split('/').next().filter(|name| !name.is_empty())?;
        Some((name.to_owned(), Some(format!("{head}{name}"))))
    });
    found.unwrap_or_else(|| (text(rule, "ruleCollectionName").unwrap_or(UNNAMED).to_owned(), None))
}

fn text<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.get(name).and_then(Node::text).filter(|text| !text.is_empty())
}

fn last_segment(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

impl<'a> RuleFields<'a, '_> {
    /// Reads what a rule says, so that every bad field is noted before the first one ends the attempt.
    fn admin_rule(mut self, references: &mut References) -> Option<SecurityAdminRule> {
        let name = self.admin_name();
        self.refuse_fields_outside(&KNOWN_FIELDS, "a security admin rule");
        let id = self.text("id").map(|(id, _)| id.to_owned());
        let access = self
            .word("access", |text| AdminAccess::from_str(text).map_err(|word| unknown_word(&word)));
        let direction = self.word("direction", |text| {
            Direction::from_str(text).map_err(|word| unknown_word(&word))
        });
        let priority = self.word("priority", |text| {
            let number = text.parse().ok().filter(|it| SecurityAdminRule::PRIORITIES.contains(it));
            number.map(Priority).ok_or_else(|| {
                Refusal::new(format!("`{}` is not a number from 1 to 4096", shown(text)))
            })
        });
        let protocol: Option<RuleProtocol> = self.word("protocol", security_rule::protocol);
        let source_ports = self.admin_ports("sourcePortRanges");
        let destination_ports = self.admin_ports("destinationPortRanges");
        let source = self.admin_addresses("sources", references);
        let destination = self.admin_addresses("destinations", references);
        Some(SecurityAdminRule {
            name: name?,
            priority: priority?,
            direction: direction?,
            access: access?,
            protocol: protocol?,
            source: source?,
            source_ports: source_ports?,
            destination: destination?,
            destination_ports: destination_ports?,
            id,
        })
    }

    /// Effective admin rules have no name of their own, only an id.
    fn admin_name(&mut self) -> Option<String> {
        let named = ["name", "ruleName"].iter().find_map(|field| self.text(field));
        let (text, position) = match (named, self.text("id")) {
            (Some(named), _) => named,
            (None, Some((id, position))) => (last_segment(id), position),
            (None, None) => self.word_position("flag")?,
        };
        match name::check(text) {
            Ok(()) => {
                self.scope.rule = Some(text.to_owned());
                Some(text.to_owned())
            }
            Err(refusal) => {
                self.refuse("name", position, refusal);
                None
            }
        }
    }

    fn word_position(&mut self, field: &str) -> Option<(&'a str, Position)> {
        let found = self.get(field).and_then(|node| Some((node.text()?, node.position)));
        if found.is_none() {
            self.refuse("name", self.position, Refusal::new("is missing"));
        }
        found
    }

    /// Ports that are not given mean all of them: Azure's default is `0-65535`.
    fn admin_ports(&mut self, field: &'static str) -> Option<PortSet> {
        let before = self.findings.refused();
        let Some((_, list)) = self.list(field) else {
            return (self.findings.refused() == before).then(PortSet::any);
        };
        PortSet::new(self.each(field, &list, port_field::single)?)
    }

    /// Addresses that are not given mean all of them.
    fn admin_addresses(
        &mut self,
        field: &'static str,
        references: &mut References,
    ) -> Option<Vec<AddressPrefix>> {
        let Some(node) = self.get(field) else { return Some(vec![AddressPrefix::Any]) };
        let Some(elements) = node.elements() else {
            let refusal = Refusal::new(format!("must be a list, not {}", node.kind()));
            self.refuse(field, node.position, refusal);
            return None;
        };
        if elements.is_empty() {
            return Some(vec![AddressPrefix::Any]);
        }
        elements.iter().map(|element| self.admin_address(field, element, references)).collect()
    }

    fn admin_address(
        &mut self,
        field: &'static str,
        element: &Node,
        references: &mut References,
    ) -> Option<AddressPrefix> {
        let kind = text(element, "addressPrefixType").unwrap_or("IPPrefix").to_ascii_lowercase();
        let Some(value) = text(element, "addressPrefix") else {
            let refusal = Refusal::new("needs an `addressPrefix` in each element");
            self.refuse(field, element.position, refusal);
            return None;
        };
        let read = match kind.as_str() {
            "ipprefix" if is_any(value) => Ok(AddressPrefix::Any),
            "ipprefix" => address_field::network(value).map(AddressPrefix::Network),
            "servicetag" => address_field::single(value),
            "networkgroup" => name::check_id(value)
                .map(|()| AddressPrefix::ApplicationSecurityGroup(value.to_owned())),
            _ => Err(Refusal::new(format!(
                "`{}` is not IPPrefix, ServiceTag or NetworkGroup",
                shown(&kind)
            ))),
        };
        match read {
            Ok(prefix) => {
                let place = self.findings.place(&self.scope, Some(field), Some(element.position));
                match &prefix {
                    AddressPrefix::ServiceTag(tag) => references.tag(tag, place),
                    AddressPrefix::ApplicationSecurityGroup(id) => references
                        .application_security_groups
                        .push(GroupReference { id: id.clone(), place, role: Role::NetworkGroup }),
                    AddressPrefix::Any | AddressPrefix::Network(_) => {}
                }
                Some(prefix)
            }
            Err(refusal) => {
                self.refuse(field, element.position, refusal);
                None
            }
        }
    }
}

fn unknown_word(word: &UnknownWord) -> Refusal {
    Refusal::new(format!("`{}` is not {}", shown(&word.value), word.expected))
}

/// Makes an element of `sources` or `destinations` out of a prefix of effective rules.
pub(super) fn address_element(prefix: &Node) -> Node {
    let text = prefix.text().unwrap_or_default();
    let is_tag = !is_any(text)
        && !text.contains(['/', ':'])
        && !text.starts_with(|it: char| it.is_ascii_digit());
    let field = |key: &str, value: Value| Field {
        key: key.into(),
        key_position: prefix.position,
        node: Node { position: prefix.position, value },
    };
    let kind = if is_tag { "ServiceTag" } else { "IPPrefix" };
    let fields = vec![
        field("addressPrefix", prefix.value.clone()),
        field("addressPrefixType", Value::String(kind.into())),
    ];
    Node { position: prefix.position, value: Value::Object(fields) }
}
