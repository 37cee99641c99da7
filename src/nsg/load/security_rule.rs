//! One security rule as Azure writes it, checked the way Azure Resource Manager checks it.
//!
//! Source: nsg-semantics.md section 1 (fields and legal values) and section 2 (what is refused, with which code).

use std::str::FromStr;

use super::arm_template::UNKNOWN_PART;
use super::document::{Node, Position};
use super::error::{Findings, Refusal, Scope, shown};
use super::references::{GroupReference, References, Role};
use super::rule_fields::{Given, RuleFields};
use super::{address_field, name, port_field};
use crate::flow::{Direction, Protocol, UnknownWord};
use crate::nsg::{Access, AddressPrefix, PortSet, Priority, RuleProtocol, SecurityRule};

/// Every field that Azure itself writes into a rule.
const KNOWN_FIELDS: [&str; 27] = [
    "access",
    "additionalProperties",
    "description",
    "destinationAddressPrefix",
    "destinationAddressPrefixes",
    "destinationApplicationSecurityGroups",
    "destinationPortRange",
    "destinationPortRanges",
    "direction",
    "etag",
    "expandedDestinationAddressPrefix",
    "expandedSourceAddressPrefix",
    "id",
    "name",
    "priority",
    "properties",
    "protocol",
    "provisioningState",
    "resourceGroup",
    "sourceAddressPrefix",
    "sourceAddressPrefixes",
    "sourceApplicationSecurityGroups",
    "sourcePortRange",
    "sourcePortRanges",
    "systemData",
    "type",
    "location",
];

const MAX_DESCRIPTION: usize = 140;

/// Azure's limit (nsg-semantics.md section 1).
const MAX_GROUPS_OF_SIDE: usize = 10;

/// Whether a rule stands in `securityRules` or in `defaultSecurityRules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Written by a user.
    User,
    /// Written by Azure.
    Default,
}

impl Kind {
    /// The name of the group's field that holds such rules.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::User => "securityRules",
            Self::Default => "defaultSecurityRules",
        }
    }
}

/// Who wrote a document, which decides how strictly its rules are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A person: a field nobody knows is a mistake.
    Handwritten,
    /// Azure, of the rules as they were set.
    Resource,
    /// Azure, of the rules in force: tags are expanded in place, so lists hold what no user may write there.
    Effective,
}

/// A rule, and what can be said of it even where something is wrong with it.
#[derive(Debug)]
pub(super) struct LoadedRule {
    /// The rule, where nothing is wrong with it.
    pub(super) rule: Option<SecurityRule>,
    /// Whose fields these are: group and rule.
    pub(super) scope: Scope,
    /// The name, where it is legal.
    pub(super) name: Option<String>,
    /// The place in the order of evaluation, where it is legal.
    pub(super) order: Option<(Priority, Direction)>,
    /// Where the rule starts.
    pub(super) position: Position,
    /// Where its priority stands.
    pub(super) priority_position: Position,
    /// Which service tags and application security groups it names.
    pub(super) references: References,
}

/// The fields of one side of a rule.
struct Side {
    prefix: &'static str,
    prefixes: &'static str,
    port_range: &'static str,
    port_ranges: &'static str,
    application_security_groups: &'static str,
}

const SOURCE: Side = Side {
    prefix: "sourceAddressPrefix",
    prefixes: "sourceAddressPrefixes",
    port_range: "sourcePortRange",
    port_ranges: "sourcePortRanges",
    application_security_groups: "sourceApplicationSecurityGroups",
};

const DESTINATION: Side = Side {
    prefix: "destinationAddressPrefix",
    prefixes: "destinationAddressPrefixes",
    port_range: "destinationPortRange",
    port_ranges: "destinationPortRanges",
    application_security_groups: "destinationApplicationSecurityGroups",
};

/// Reads a rule; `None` where it is no object at all. What is wrong with it is among the findings.
pub(super) fn load(
    node: &Node,
    kind: Kind,
    index: usize,
    group: &Scope,
    dialect: Dialect,
    findings: &mut Findings,
) -> Option<LoadedRule> {
    let rule = Some(format!("{}[{index}]", kind.field()));
    let scope = Scope { group: group.group.clone(), rule };
    let before = findings.refused();
    let mut fields = RuleFields::of(node, scope, findings)?;
    let name = fields.name();
    fields.refuse_unknown_fields(dialect == Dialect::Handwritten);
    fields.warn_of_long_description();
    let priority = fields.priority(kind);
    let direction = fields.word("direction", known_word::<Direction>);
    let mut references = References::default();
    let order = priority.zip(direction);
    let rule = fields.rule((kind, dialect), name.clone(), order, &mut references);
    let is_clean = fields.findings.refused() == before;
    Some(LoadedRule {
        rule: rule.filter(|_| is_clean),
        name,
        order,
        position: node.position,
        priority_position: fields.position_of("priority"),
        scope: fields.scope,
        references,
    })
}

fn known_word<T: FromStr<Err = UnknownWord>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|word: UnknownWord| {
        Refusal::new(format!("`{}` is not {}", shown(&word.value), word.expected))
    })
}

fn access(text: &str) -> Result<Access, Refusal> {
    match text.parse() {
        Ok(access @ (Access::Allow | Access::Deny)) => Ok(access),
        Ok(Access::Undecided) | Err(_) => {
            Err(Refusal::new(format!("`{}` is not Allow or Deny", shown(text))))
        }
    }
}

pub(super) fn protocol(text: &str) -> Result<RuleProtocol, Refusal> {
    if super::is_any(text) {
        return Ok(RuleProtocol::Any);
    }
    let known = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ESP, Protocol::AH];
    known
        .into_iter()
        .map(RuleProtocol::Only)
        .find(|protocol| protocol.to_string().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            let refusal = Refusal::new(format!(
                "`{}` is not a protocol of security rules: *, Tcp, Udp, Icmp, Esp or Ah",
                shown(text)
            ));
            if text.eq_ignore_ascii_case("icmpv6") {
                refusal.hint("Azure has no value for ICMPv6; only `*` covers it")
            } else {
                refusal
            }
        })
}

impl RuleFields<'_, '_> {
    /// Reads what a rule says, so that every bad field is noted before the first one ends the attempt.
    fn rule(
        &mut self,
        (kind, dialect): (Kind, Dialect),
        name: Option<String>,
        order: Option<(Priority, Direction)>,
        references: &mut References,
    ) -> Option<SecurityRule> {
        let access = self.word("access", access);
        let protocol = self.word("protocol", protocol);
        let id = self.id();
        let (source_role, destination_role) = match order {
            Some((_, Direction::Outbound)) => (Role::Local, Role::Remote),
            _ => (Role::Remote, Role::Local),
        };
        let source = self.addresses((&SOURCE, source_role), dialect, references);
        let source_ports = self.ports(&SOURCE);
        let destination = self.addresses((&DESTINATION, destination_role), dialect, references);
        let destination_ports = self.ports(&DESTINATION);
        if dialect != Dialect::Effective {
            self.refuse_mixed_families(source.as_deref(), destination.as_deref());
        }
        let (priority, direction) = order?;
        Some(SecurityRule {
            name: name?,
            priority,
            direction,
            access: access?,
            protocol: protocol?,
            source: source?,
            source_ports: source_ports?,
            destination: destination?,
            destination_ports: destination_ports?,
            is_default: kind == Kind::Default,
            id,
        })
    }

    fn name(&mut self) -> Option<String> {
        let name = self.word("name", |text| name::check(text).map(|()| text.to_owned()))?;
        self.scope.rule = Some(name.clone());
        Some(name)
    }

    fn id(&mut self) -> Option<String> {
        let (id, position) = self.text("id")?;
        match name::check_id(id) {
            Ok(()) => Some(id.to_owned()),
            Err(refusal) => {
                self.refuse("id", position, refusal);
                None
            }
        }
    }

    /// A misspelled field would silently widen the rule, so it is refused. In Azure's own output a field that
    /// resembles none we know is newer than this program; it is said, not refused.
    fn refuse_unknown_fields(&mut self, is_handwritten: bool) {
        for field in self.fields.clone() {
            if KNOWN_FIELDS.iter().any(|known| field.is_named(known)) {
                continue;
            }
            let nearest = name::nearest(&field.key, KNOWN_FIELDS);
            if nearest.is_none() && !is_handwritten {
                let message = "a field this program does not know; it is not used".to_owned();
                self.findings.warn(&self.scope, Some(&field.key), field.key_position, message);
                continue;
            }
            let refusal = Refusal::new("is not a field of a security rule");
            let refusal = match nearest {
                Some(known) => refusal.hint(format!("did you mean `{known}`?")),
                None => refusal,
            };
            self.refuse(&field.key, field.key_position, refusal);
        }
    }

    fn warn_of_long_description(&mut self) {
        let Some((text, position)) = self.text("description") else { return };
        let length = text.chars().count();
        if length > MAX_DESCRIPTION {
            let message = format!("{length} characters; Azure's limit is {MAX_DESCRIPTION}");
            self.findings.warn(&self.scope, Some("description"), position, message);
        }
    }

    fn priority(&mut self, kind: Kind) -> Option<Priority> {
        self.word("priority", |text| {
            let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = only_digits.then(|| text.parse::<u16>().ok()).flatten();
            number
                .filter(|number| kind == Kind::Default || Priority::USER_RANGE.contains(number))
                .map(Priority)
                .ok_or_else(|| {
                    Refusal::new(format!("`{}` is not a number from 100 to 4096", shown(text)))
                        .arm("SecurityRuleInvalidPriority")
                })
        })
    }

    fn ports(&mut self, side: &Side) -> Option<PortSet> {
        match self.given(side.port_range, side.port_ranges)? {
            Given::Nothing => {
                self.refuse_missing(side.port_range, side.port_ranges);
                None
            }
            Given::One(field, text, position) => match port_field::single(text) {
                Ok(range) => PortSet::new(vec![range]),
                Err(refusal) => {
                    self.refuse(field, position, refusal);
                    None
                }
            },
            Given::List(_, list) => {
                PortSet::new(self.each(side.port_ranges, &list, port_field::listed)?)
            }
        }
    }

    fn addresses(
        &mut self,
        (side, role): (&Side, Role),
        dialect: Dialect,
        references: &mut References,
    ) -> Option<Vec<AddressPrefix>> {
        let given = self.given(side.prefix, side.prefixes)?;
        if let Some(groups) = self.application_security_groups(side, role, &given, references)? {
            return Some(groups);
        }
        match given {
            Given::Nothing => {
                self.refuse_missing(side.prefix, side.prefixes);
                None
            }
            Given::One(field, text, position) => match address_field::single(text) {
                Ok(prefix) => {
                    self.note_tag(field, &prefix, position, references);
                    Some(vec![prefix])
                }
                Err(refusal) => {
                    self.refuse(field, position, refusal);
                    None
                }
            },
            Given::List(_, list) if dialect == Dialect::Effective => {
                let prefixes = self.each(side.prefixes, &list, address_field::single)?;
                for (prefix, (_, position)) in prefixes.iter().zip(&list) {
                    self.note_tag(side.prefixes, prefix, *position, references);
                }
                Some(prefixes)
            }
            Given::List(position, list) => {
                let networks = self.each(side.prefixes, &list, address_field::listed)?;
                if let Err(refusal) = address_field::refuse_overlap(&networks) {
                    self.refuse(side.prefixes, position, refusal);
                }
                Some(networks.into_iter().map(AddressPrefix::Network).collect())
            }
        }
    }

    /// Reads the application security groups of one side; `Some(None)` where there are none.
    fn application_security_groups(
        &mut self,
        side: &Side,
        role: Role,
        given: &Given<'_>,
        references: &mut References,
    ) -> Option<Option<Vec<AddressPrefix>>> {
        let field = side.application_security_groups;
        let Some(node) = self.get(field) else { return Some(None) };
        let Some(elements) = node.elements() else {
            let refusal = Refusal::new(format!("must be a list, not {}", node.kind()));
            self.refuse(field, node.position, refusal);
            return None;
        };
        if elements.is_empty() {
            return Some(None);
        }
        if !matches!(given, Given::Nothing) {
            let refusal = Refusal::new(
                "application security groups and address prefixes in one rule",
            )
            .hint(format!(
                "Azure takes exactly one of `{}`, `{}` and `{field}`",
                side.prefix, side.prefixes
            ));
            self.refuse(field, node.position, refusal);
            return None;
        }
        if elements.len() > MAX_GROUPS_OF_SIDE {
            let message = format!(
                "{} groups; Azure's limit for one side of a rule is {MAX_GROUPS_OF_SIDE}",
                elements.len()
            );
            self.findings.warn(&self.scope, Some(field), node.position, message);
        }
        let groups: Vec<Option<AddressPrefix>> = elements
            .iter()
            .map(|element| self.group_id(field, element, role, references))
            .collect();
        groups.into_iter().collect::<Option<Vec<_>>>().map(Some)
    }

    /// Reads `{"id": "..."}`, or an id alone as people write it.
    fn group_id(
        &mut self,
        field: &'static str,
        element: &Node,
        role: Role,
        references: &mut References,
    ) -> Option<AddressPrefix> {
        let id = element.get("id").and_then(Node::text).or_else(|| element.text());
        let Some(id) = id.filter(|id| !id.is_empty() && name::check_id(id).is_ok()) else {
            let refusal = Refusal::new("needs the `id` of each group");
            self.refuse(field, element.position, refusal);
            return None;
        };
        // A template does not know where it is deployed; what it does know is the name.
        let id = match id.rsplit_once('/') {
            Some((before, name)) if before.contains(UNKNOWN_PART) => name,
            _ => id,
        };
        let place = self.findings.place(&self.scope, Some(field), Some(element.position));
        references.application_security_groups.push(GroupReference {
            id: id.to_owned(),
            place,
            role,
        });
        Some(AddressPrefix::ApplicationSecurityGroup(id.to_owned()))
    }

    fn note_tag(
        &self,
        field: &'static str,
        prefix: &AddressPrefix,
        position: Position,
        references: &mut References,
    ) {
        if let AddressPrefix::ServiceTag(tag) = prefix {
            references.tag(tag, self.findings.place(&self.scope, Some(field), Some(position)));
        }
    }

    fn refuse_mixed_families(
        &mut self,
        source: Option<&[AddressPrefix]>,
        destination: Option<&[AddressPrefix]>,
    ) {
        let prefixes = source.into_iter().chain(destination).flatten();
        if let Err(refusal) = address_field::refuse_mixed_families(prefixes) {
            let [singular, plural] = [DESTINATION.prefix, DESTINATION.prefixes];
            let (field, node) = match self.get(plural).filter(|node| node.elements() != Some(&[])) {
                Some(node) => (plural, Some(node)),
                None => (singular, self.get(singular)),
            };
            let position = node.map_or(self.position, |node| node.position);
            self.refuse(field, position, refusal);
        }
    }
}
