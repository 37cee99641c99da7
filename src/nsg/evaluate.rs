//! The meaning, on one screen. The oracle of every test; never optimised.
//!
//! In come the rules that apply and one packet, out goes the verdict. Knows no flow and no earlier packet.

use std::net::IpAddr;

use super::{Access, AddressPrefix, AppliedRules, RuleFields, Verdict};
use crate::flow::{Direction, FiveTuple};

/// Says what the rules do with a packet that goes in this direction.
///
/// The layers are asked in the documented order: security admin rules, then the groups. Each answers with its first
/// rule, by priority, that meets the packet. A Deny or `AlwaysAllow` ends it; after an Allow the next layer is asked,
/// so all must allow. A rule that might meet the packet, but names a tag or a group that nobody knows, ends it as
/// undecided. Without any layer everything is allowed, without a rule. Knows no connection: a reply is judged like
/// any other packet, as IP flow verify does.
///
/// Source: nsg-semantics.md sections 4 and 8 (Microsoft, *How network security groups filter network traffic* and
/// *Security admin rules in Azure Virtual Network Manager*); undecided: architecture.md decision 3.
pub fn evaluate(rules: &AppliedRules, direction: Direction, tuple: &FiveTuple) -> Verdict {
    let mut verdict = Verdict::NO_GROUP;
    for layer in rules.layers(direction) {
        let mut asked = layer.rules.iter().map(|rule| (rule, rule.fields.matches(tuple, rules)));
        let Some((rule, answer)) = asked.find(|(_, answer)| *answer != Match::No) else {
            continue; // admin rules, and a group without its default rules, may have nothing to say
        };
        let is_sure = answer == Match::Yes;
        let access = if is_sure { rule.access.access() } else { Access::Undecided };
        verdict = Verdict { access, rule: Some(rule.provenance()) };
        if rule.access.is_final() || !is_sure {
            break;
        }
    }
    verdict
}

/// Whether a packet meets a field or a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Match {
    /// It does not.
    No,
    /// It depends on a service tag or an application security group that nobody knows.
    Unknown,
    /// It does.
    Yes,
}

impl From<bool> for Match {
    fn from(is_met: bool) -> Self {
        if is_met { Self::Yes } else { Self::No }
    }
}

impl RuleFields<'_> {
    /// Says whether a packet meets all five fields: one that it surely does not meet settles it.
    #[must_use]
    pub fn matches(&self, tuple: &FiveTuple, rules: &AppliedRules) -> Match {
        let source = address_field_matches(self.source, tuple.source, rules);
        let destination = address_field_matches(self.destination, tuple.destination, rules);
        Match::from(self.protocol.matches(tuple.protocol))
            .min(self.source_ports.matches(tuple.ports.source()).into())
            .min(self.destination_ports.matches(tuple.ports.destination()).into())
            .min(source)
            .min(destination)
    }
}

/// Says whether an address meets one value of an address field: one that it surely meets settles it.
#[must_use]
pub fn address_field_matches(
    field: &[AddressPrefix],
    address: IpAddr,
    rules: &AppliedRules,
) -> Match {
    let meets = |prefix: &AddressPrefix| match prefix {
        AddressPrefix::Any => Match::Yes,
        AddressPrefix::Network(network) => network.contains(&address).into(),
        AddressPrefix::ServiceTag(_) | AddressPrefix::ApplicationSecurityGroup(_) => {
            rules.resolve(prefix).map_or(Match::Unknown, |set| set.contains(address).into())
        }
    };
    field.iter().map(meets).max().unwrap_or(Match::No)
}
