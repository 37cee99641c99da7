//! One security rule as Azure writes it, checked the way Azure Resource Manager checks it.
//!
//! Source: nsg-semantics.md section 1 (fields and legal values) and section 2 (what is refused, with which code).

use std::str::FromStr;

use super::document::{Node, Position};
use super::error::{Findings, Refusal, Scope, shown};
use super::name;
use super::references::{References, Role};
use super::rule_fields::RuleFields;
use super::rule_sides::{DESTINATION, SOURCE};
use crate::flow::{Direction, Protocol, UnknownWord};
use crate::nsg::{Access, Priority, RuleProtocol, SecurityRule};

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
}
