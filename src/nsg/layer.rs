//! All rules that apply, layer after layer in the order in which Azure asks them, whatever kind of rule they are.
//!
//! In come applied rules, out go layers of rules that look alike; neither a packet nor a verdict is known here.

use std::sync::Arc;

use super::{
    Access, AddressPrefix, AdminAccess, AdminRuleCollection, AppliedRules, Layer,
    NetworkSecurityGroup, PortSet, RuleProtocol, RuleProvenance, SecurityAdminRule, SecurityRule,
    WellKnownTag,
};
use crate::flow::Direction;

/// The five fields of a rule that a packet must meet.
#[derive(Debug, Clone, Copy)]
pub struct RuleFields<'a> {
    /// Protocol.
    pub protocol: RuleProtocol,
    /// Source addresses.
    pub source: &'a [AddressPrefix],
    /// Source ports.
    pub source_ports: &'a PortSet,
    /// Destination addresses.
    pub destination: &'a [AddressPrefix],
    /// Destination ports.
    pub destination_ports: &'a PortSet,
}

impl RuleFields<'_> {
    /// Returns the `AzurePlatform..` tags that the fields name.
    pub(super) fn platform_tags(&self) -> Vec<WellKnownTag> {
        let named = |prefix: &AddressPrefix| match prefix {
            AddressPrefix::ServiceTag(name) => WellKnownTag::from_name(name),
            _ => None,
        };
        let tags = self.source.iter().chain(self.destination).filter_map(named);
        tags.filter(|tag| tag.is_platform()).collect()
    }
}

/// The rules of one layer and one direction, in the order of evaluation.
#[derive(Debug, Clone)]
pub struct RuleLayer<'a> {
    /// Which layer.
    pub layer: Layer,
    /// Its rules, by ascending priority.
    pub rules: Vec<LayerRule<'a>>,
}

/// One rule of a layer.
#[derive(Debug, Clone, Copy)]
pub struct LayerRule<'a> {
    /// What it does with packets that it matches. A group's Allow is the same as an admin rule's: the next layer is
    /// asked.
    pub access: AdminAccess,
    /// Which packets it matches.
    pub fields: RuleFields<'a>,
    origin: Origin<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Origin<'a> {
    Admin(&'a AdminRuleCollection, &'a SecurityAdminRule),
    Group(Layer, &'a NetworkSecurityGroup, &'a SecurityRule),
}

impl LayerRule<'_> {
    /// Returns where a verdict by this rule comes from.
    #[must_use]
    pub fn provenance(&self) -> Arc<RuleProvenance> {
        match self.origin {
            Origin::Admin(collection, rule) => collection.provenance(rule),
            Origin::Group(layer, group, rule) => group.provenance(layer, rule),
        }
    }
}

impl AppliedRules {
    /// Returns the layers that are there, in the documented order: the admin rules, then inbound the subnet's group
    /// and the interface's, outbound the interface's and the subnet's (nsg-semantics.md section 4).
    #[must_use]
    pub fn layers(&self, direction: Direction) -> Vec<RuleLayer<'_>> {
        let mut layers = Vec::with_capacity(3);
        let admin = self.admin_rules(direction);
        if !admin.is_empty() {
            layers.push(RuleLayer { layer: Layer::Admin, rules: admin });
        }
        layers.extend(self.groups(direction).map(|(layer, group)| {
            let rule = |rule| LayerRule {
                access: group_access(rule),
                fields: rule.fields(),
                origin: Origin::Group(layer, group, rule),
            };
            RuleLayer { layer, rules: group.rules_of(direction).map(rule).collect() }
        }));
        layers
    }

    /// Collects the rules of all collections; of two with one priority the one of the earlier collection is first.
    fn admin_rules(&self, direction: Direction) -> Vec<LayerRule<'_>> {
        let all = self
            .admin
            .iter()
            .flat_map(|collection| collection.rules.iter().map(move |rule| (collection, rule)));
        let mut rules: Vec<_> = all.filter(|(_, rule)| rule.direction == direction).collect();
        rules.sort_by_key(|(_, rule)| rule.priority);
        rules
            .into_iter()
            .map(|(collection, rule)| LayerRule {
                access: rule.access,
                fields: rule.fields(),
                origin: Origin::Admin(collection, rule),
            })
            .collect()
    }
}

/// A rule of a group that is not an Allow lets nothing through.
fn group_access(rule: &SecurityRule) -> AdminAccess {
    match rule.access {
        Access::Allow => AdminAccess::Allow,
        Access::Deny | Access::Undecided => AdminAccess::Deny,
    }
}
