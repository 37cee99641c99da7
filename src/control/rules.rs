//! Which rules are in force and what they have done: the answer of `GET /v1/rules`.
//!
//! In come the hits of a policy's rules, out go plain values; the field names are the documentation of the answer.

use std::time::{Duration, UNIX_EPOCH};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{RuleHit, RuleHits};
use crate::flow::Direction;
use crate::nsg::{AddressPrefix, AdminAccess, AppliedRules, Layer, LayerRule};

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RulesAnswer {
    /// One for each interface.
    pub interfaces: Vec<InterfaceRules>,
}

/// The rules in force on one interface. All flows that were begun there are `withoutRule`, `byFormerRules`, or hits of
/// one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceRules {
    /// Name of the interface.
    pub interface: String,
    /// Version of the rules.
    pub policy_revision: u64,
    /// Flows that no rule decided.
    pub without_rule: u64,
    /// Flows that rules decided which are not in force any more.
    pub by_former_rules: u64,
    /// Inbound first, then layer after layer in the order of evaluation.
    pub rules: Vec<RuleLine>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleLine {
    /// Which packets it is for.
    pub direction: String,
    /// Its layer.
    pub layer: Layer,
    /// Name of its group or collection.
    pub network_security_group: String,
    /// Its priority.
    pub priority: u16,
    /// Its own name.
    pub name: String,
    /// Whether it is one of the six default rules.
    pub is_default_rule: bool,
    /// What it does with packets that it matches.
    pub access: AdminAccess,
    /// Protocol as Azure spells it.
    pub protocol: String,
    /// What its source resolves to.
    pub source: Resolved,
    /// Its source ports.
    pub source_ports: String,
    /// What its destination resolves to.
    pub destination: Resolved,
    /// Its destination ports.
    pub destination_ports: String,
    /// Flows that it decided. Null where nobody knows: an Allow hands packets on to the next layer, whose rule then
    /// decides.
    pub hits: Option<u64>,
    /// When the last of these flows began, RFC 3339, UTC.
    pub last_hit: Option<String>,
}

/// What an address field resolves to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// As the rule has it.
    pub values: Vec<String>,
    /// Prefixes of IPv4 that these values stand for, each value counted by itself; `*` is one of both families.
    pub ipv4_prefixes: usize,
    /// Prefixes of IPv6.
    pub ipv6_prefixes: usize,
    /// Names among the values that nobody knows.
    pub unresolved: usize,
}

impl InterfaceRules {
    /// Lists the rules of an interface.
    #[must_use]
    pub fn new(interface: &str, hits: &RuleHits) -> Self {
        let applied = hits.policy.rules();
        let mut counted = hits.rules.iter();
        let mut rules = Vec::with_capacity(hits.rules.len());
        for direction in [Direction::Inbound, Direction::Outbound] {
            let layers = applied.layers(direction);
            let last = layers.last().map(|layer| layer.layer);
            // The same rules in the same order: both come from the same applied rules.
            for (rule, hit) in layers.iter().flat_map(|layer| &layer.rules).zip(&mut counted) {
                rules.push(RuleLine::new(rule, hit, applied, Some(hit.rule.layer) == last));
            }
        }
        Self {
            interface: interface.to_owned(),
            policy_revision: hits.policy.revision(),
            without_rule: hits.without_rule,
            by_former_rules: hits.by_former_rules,
            rules,
        }
    }
}

impl RuleLine {
    fn new(
        rule: &LayerRule<'_>,
        hit: &RuleHit,
        applied: &AppliedRules,
        is_last_layer: bool,
    ) -> Self {
        let hands_on = hit.access == AdminAccess::Allow && !is_last_layer;
        let flows = hit.hits.flows;
        let provenance = &hit.rule;
        Self {
            direction: hit.direction.as_str().to_owned(),
            layer: provenance.layer,
            network_security_group: provenance.ruleset.clone(),
            priority: provenance.priority.0,
            name: provenance.rule.clone(),
            is_default_rule: provenance.is_default,
            access: hit.access,
            protocol: rule.fields.protocol.to_string(),
            source: Resolved::new(rule.fields.source, applied),
            source_ports: rule.fields.source_ports.to_string(),
            destination: Resolved::new(rule.fields.destination, applied),
            destination_ports: rule.fields.destination_ports.to_string(),
            hits: (flows > 0 || !hands_on).then_some(flows),
            last_hit: hit.hits.last_unix_ns.map(|unix_ns| {
                let time = UNIX_EPOCH + Duration::from_nanos(unix_ns);
                humantime::format_rfc3339_millis(time).to_string()
            }),
        }
    }

    /// Says whether the rule is known to have decided nothing.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.hits == Some(0)
    }
}

impl Resolved {
    fn new(field: &[AddressPrefix], applied: &AppliedRules) -> Self {
        let mut resolved = Self {
            values: field.iter().map(ToString::to_string).collect(),
            ipv4_prefixes: 0,
            ipv6_prefixes: 0,
            unresolved: 0,
        };
        for value in field {
            let named = applied.resolve(value).map(|set| set.to_prefixes());
            let is_v4 = |prefix: &&IpNet| prefix.addr().is_ipv4();
            let (v4, all) = match (value, &named) {
                (AddressPrefix::Any, _) => (1, 2),
                (AddressPrefix::Network(network), _) => (usize::from(is_v4(&network)), 1),
                (_, Some(prefixes)) => (prefixes.iter().filter(is_v4).count(), prefixes.len()),
                (_, None) => (0, 0),
            };
            resolved.unresolved += usize::from(applied.is_unresolved(value));
            resolved.ipv4_prefixes += v4;
            resolved.ipv6_prefixes += all - v4;
        }
        resolved
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::classifier::Policy;
    use crate::engine::{Engine, Limits};
    use crate::flow::{FiveTuple, Ports, Protocol, Timestamp};
    use crate::nsg::{NetworkSecurityGroup, ServiceTags};
    use crate::packet::{Fragment, Packet, PacketKind};

    fn rules() -> InterfaceRules {
        let rules = AppliedRules {
            subnet: Some(NetworkSecurityGroup::with_defaults_only("subnet-nsg")),
            nic: Some(NetworkSecurityGroup::with_defaults_only("nic-nsg")),
            service_tags: ServiceTags::new([
                "10.0.0.0/16".parse().unwrap(),
                "fd00::/64".parse().unwrap(),
            ]),
            ..AppliedRules::default()
        };
        let policy = Arc::new(Policy::compile(rules, 7).unwrap());
        let mut engine = Engine::new(policy, Limits::default(), 1);
        for source in ["203.0.113.9", "10.0.0.9"] {
            let tuple = FiveTuple {
                source: source.parse().unwrap(),
                destination: [10, 0, 0, 4].into(),
                protocol: Protocol::UDP,
                ports: Ports::Pair { source: 50_000, destination: 53 },
            };
            let kind = PacketKind::Other;
            let packet = Packet { tuple, kind, fragment: Fragment::Whole, wire_length: 60 };
            let now = Timestamp { monotonic_ns: 0, unix_ns: 1_000_000_000 };
            engine.observe(now, Direction::Inbound, &packet, &mut Vec::new());
        }
        InterfaceRules::new("eth0", &engine.rule_hits())
    }

    #[test]
    fn every_rule_is_there_in_the_order_of_evaluation() {
        let rules = rules();
        let lines = rules
            .rules
            .iter()
            .map(|rule| format!("{} {} {}", rule.direction, rule.layer, rule.priority));
        let expected = ["Inbound subnet", "Inbound nic", "Outbound nic", "Outbound subnet"]
            .map(|place| [65000, 65001, 65500].map(|priority| format!("{place} {priority}")));
        assert_eq!(lines.collect::<Vec<_>>(), expected.concat());
        assert_eq!((rules.interface.as_str(), rules.policy_revision), ("eth0", 7));
    }

    #[test]
    fn hits_are_of_the_rule_that_decides_and_unknown_where_an_allow_hands_on() {
        let rules = rules();
        let hits = rules.rules.iter().map(|rule| rule.hits);
        // Inbound: the subnet's two Allow hand on, its Deny decides; then the interface's.
        let inbound = [None, None, Some(1), Some(1), Some(0), Some(0)];
        let outbound = [None, None, Some(0), Some(0), Some(0), Some(0)];
        assert_eq!(hits.collect::<Vec<_>>(), [inbound, outbound].concat());
        let last = rules.rules.iter().filter_map(|rule| rule.last_hit.as_deref());
        assert_eq!(last.collect::<Vec<_>>(), ["1970-01-01T00:00:01.000Z"; 2]);
    }

    #[test]
    fn a_name_counts_the_prefixes_that_it_stands_for() {
        let rules = rules();
        let vnet = rules.rules.first().unwrap();
        // The virtual network of one prefix each, and the host address.
        assert_eq!((vnet.source.ipv4_prefixes, vnet.source.ipv6_prefixes), (2, 1));
        assert_eq!(vnet.source.values, ["VirtualNetwork"]);
        let deny = rules.rules.get(2).unwrap();
        assert_eq!((deny.source.ipv4_prefixes, deny.source.ipv6_prefixes), (1, 1));
        assert_eq!((deny.source_ports.as_str(), deny.source.unresolved), ("*", 0));
    }
}
