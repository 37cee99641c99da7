//! One side of a security rule: addresses or application security groups, and ports.
//!
//! Each field stands in a singular and a plural form, of which Azure takes one (nsg-semantics.md sections 1 and 2).

use super::arm_template::UNKNOWN_PART;
use super::document::{Node, Position};
use super::error::Refusal;
use super::references::{GroupReference, References, Role};
use super::rule_fields::{Given, RuleFields};
use super::security_rule::Dialect;
use super::{address_field, name, port_field};
use crate::nsg::{AddressPrefix, PortSet};

/// The most application security groups on one side of a rule (nsg-semantics.md section 1).
const MAX_GROUPS: usize = 10;

/// The names of one side's fields.
pub(super) struct Side {
    prefix: &'static str,
    prefixes: &'static str,
    port_range: &'static str,
    port_ranges: &'static str,
    application_security_groups: &'static str,
}

/// The side that a packet comes from.
pub(super) const SOURCE: Side = Side {
    prefix: "sourceAddressPrefix",
    prefixes: "sourceAddressPrefixes",
    port_range: "sourcePortRange",
    port_ranges: "sourcePortRanges",
    application_security_groups: "sourceApplicationSecurityGroups",
};

/// The side that a packet goes to.
pub(super) const DESTINATION: Side = Side {
    prefix: "destinationAddressPrefix",
    prefixes: "destinationAddressPrefixes",
    port_range: "destinationPortRange",
    port_ranges: "destinationPortRanges",
    application_security_groups: "destinationApplicationSecurityGroups",
};

impl<'a> RuleFields<'a, '_> {
    /// Reads the ports of one side.
    pub(super) fn ports(&mut self, side: &Side) -> Option<PortSet> {
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

    /// Reads the addresses of one side, or the application security groups in their place.
    pub(super) fn addresses(
        &mut self,
        (side, role): (&Side, Role),
        dialect: Dialect,
        references: &mut References,
    ) -> Option<Vec<AddressPrefix>> {
        let given = self.given(side.prefix, side.prefixes)?;
        let field = side.application_security_groups;
        let groups = self.group_elements(field)?;
        match (groups, &given) {
            ([], _) => {}
            (groups, Given::Nothing) => return self.groups((field, groups), role, references),
            _ => {
                let message = "application security groups and address prefixes in one rule";
                let [one, many] = [side.prefix, side.prefixes];
                let hint = format!("Azure takes exactly one of `{one}`, `{many}` and `{field}`");
                self.refuse(field, self.position_of(field), Refusal::new(message).hint(hint));
                return None;
            }
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

    /// Returns the application security groups of one side, as written; none is an empty list.
    fn group_elements(&mut self, field: &'static str) -> Option<&'a [Node]> {
        let Some(node) = self.get(field) else { return Some(&[]) };
        if node.elements().is_none() {
            let refusal = Refusal::new(format!("must be a list, not {}", node.kind()));
            self.refuse(field, node.position, refusal);
        }
        node.elements()
    }

    fn groups(
        &mut self,
        (field, elements): (&'static str, &[Node]),
        role: Role,
        references: &mut References,
    ) -> Option<Vec<AddressPrefix>> {
        if elements.len() > MAX_GROUPS {
            let message = format!(
                "{} groups; Azure's limit for one side of a rule is {MAX_GROUPS}",
                elements.len()
            );
            self.findings.warn(&self.scope, Some(field), self.position_of(field), message);
        }
        let groups: Vec<Option<AddressPrefix>> = elements
            .iter()
            .map(|element| self.group_id(field, element, role, references))
            .collect();
        groups.into_iter().collect()
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

    /// Notes IPv4 and IPv6 prefixes in one rule.
    pub(super) fn refuse_mixed_families(
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
