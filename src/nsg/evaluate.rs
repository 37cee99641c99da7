//! The meaning, on one screen. The oracle of every test; never optimised.

use std::net::IpAddr;

use super::{Access, AddressPrefix, AppliedRules, SecurityRule, ServiceTags, Verdict};
use crate::flow::{Direction, FiveTuple};

/// Says what the rules do with a packet that goes in this direction.
///
/// The groups are asked in the documented order; each answers with its first rule, by priority, that meets the
/// packet; the first Deny ends it, and all groups must allow. Without any group everything is allowed, without a
/// rule. Knows no connection: a reply is judged like any other packet, as IP flow verify does.
///
/// Source: nsg-semantics.md sections 4 and 8 (Microsoft, *How network security groups filter network traffic*).
pub fn evaluate(rules: &AppliedRules, direction: Direction, tuple: &FiveTuple) -> Verdict {
    let mut verdict = Verdict::NO_GROUP;
    for (layer, group) in rules.groups(direction) {
        let decides = |rule: &&SecurityRule| rule_matches(rule, tuple, &rules.service_tags);
        let Some(rule) = group.rules_of(direction).find(decides) else {
            continue; // only a group without its default rules gets here; it has nothing to say
        };
        verdict = Verdict { access: rule.access, rule: Some(group.provenance(layer, rule)) };
        if verdict.access == Access::Deny {
            break;
        }
    }
    verdict
}

/// Says whether a packet meets all five fields of a rule. The rule's direction is the caller's business.
#[must_use]
pub fn rule_matches(rule: &SecurityRule, tuple: &FiveTuple, tags: &ServiceTags) -> bool {
    let meets = |field: &[AddressPrefix], address| {
        field.iter().any(|prefix| prefix_contains(prefix, address, tags))
    };
    rule.protocol.matches(tuple.protocol)
        && meets(&rule.source, tuple.source)
        && meets(&rule.destination, tuple.destination)
        && rule.source_ports.matches(tuple.ports.source())
        && rule.destination_ports.matches(tuple.ports.destination())
}

fn prefix_contains(prefix: &AddressPrefix, address: IpAddr, tags: &ServiceTags) -> bool {
    match prefix {
        AddressPrefix::Any => true,
        AddressPrefix::Network(network) => network.contains(&address),
        AddressPrefix::ServiceTag(name) => tags.get(name).is_some_and(|set| set.contains(address)),
    }
}
