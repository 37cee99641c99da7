//! What is decided here because Azure's documents do not say it, and which answers rest on it.
//!
//! In come the rules and a packet, out come the assumptions without which some rule that was asked would have
//! answered otherwise. The list is that of architecture.md decision 7.

use std::collections::BTreeSet;

use super::{
    AddressPrefix, AppliedRules, Match, RuleFields, RuleProtocol, WellKnownTag,
    address_field_matches,
};
use crate::flow::{Direction, FiveTuple, Ports, Protocol};

/// A convention where Azure is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Assumption {
    /// `*` covers IPv4 and IPv6.
    AnyCoversIpv6,
    /// `0.0.0.0/0` covers IPv4 only.
    ZeroPrefixIsIpv4,
    /// A packet without ports meets a rule only where both port fields are any.
    PortlessMeetsOnlyAnyPort,
    /// `*` covers protocols that Azure's rules have no value for.
    AnyCoversEveryProtocol,
    /// What `Internet` stands for was derived, not supplied.
    InternetIsDerived,
    /// An application security group on the remote side stands for its members' addresses.
    RemoteGroupIsItsMembers,
    /// What `AzurePlatformLKM` stands for is inferred.
    LicensingAddresses,
}

impl Assumption {
    /// Returns a word that programs can tell apart; it stays the same.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::AnyCoversIpv6 => "any-covers-ipv6",
            Self::ZeroPrefixIsIpv4 => "zero-prefix-is-ipv4",
            Self::PortlessMeetsOnlyAnyPort => "portless-meets-only-any-port",
            Self::AnyCoversEveryProtocol => "any-covers-every-protocol",
            Self::InternetIsDerived => "internet-is-derived",
            Self::RemoteGroupIsItsMembers => "remote-group-is-its-members",
            Self::LicensingAddresses => "licensing-addresses",
        }
    }

    /// Returns the assumption for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AnyCoversIpv6 => "`*` as an address covers IPv4 and IPv6",
            Self::ZeroPrefixIsIpv4 => "0.0.0.0/0 covers IPv4 only",
            Self::PortlessMeetsOnlyAnyPort => {
                "a packet without ports meets a rule only where both port fields are `*`"
            }
            Self::AnyCoversEveryProtocol => {
                "`*` as a protocol covers every protocol, also those that rules can not name"
            }
            Self::InternetIsDerived => {
                "Internet is taken as the public address space outside VirtualNetwork; Azure's own expansion, as \
                 effective rules show it, was not supplied"
            }
            Self::RemoteGroupIsItsMembers => {
                "an application security group on the remote side stands for its members' addresses"
            }
            Self::LicensingAddresses => {
                "AzurePlatformLKM stands for the key management servers that Microsoft documents"
            }
        }
    }
}

/// Returns the assumptions that the answer about a packet rests on: of every rule up to the deciding one, those by
/// which it matched, or by which alone it did not.
#[must_use]
pub fn assumptions(
    rules: &AppliedRules,
    direction: Direction,
    tuple: &FiveTuple,
) -> BTreeSet<Assumption> {
    let mut found = BTreeSet::new();
    for layer in rules.layers(direction) {
        for rule in &layer.rules {
            let asked = Asked { rules, direction, tuple, fields: &rule.fields };
            // Most rules miss by protocol or ports, which cost least to look at.
            if !rule.fields.protocol.matches(tuple.protocol) {
                continue;
            }
            if !asked.ports_are_met() {
                asked.missed_by_ports(&mut found);
                continue;
            }
            match rule.fields.matches(tuple, rules) {
                Match::No => asked.missed_by_addresses(&mut found),
                outcome => {
                    asked.met_by(&mut found);
                    if outcome == Match::Unknown || rule.access.is_final() {
                        return found;
                    }
                    break;
                }
            }
        }
    }
    found
}

/// One rule that was asked about a packet.
struct Asked<'a> {
    rules: &'a AppliedRules,
    direction: Direction,
    tuple: &'a FiveTuple,
    fields: &'a RuleFields<'a>,
}

/// The address field of one side: whether the packet meets it, the field, and whether the side is the remote one.
type Side<'a> = (Match, &'a [AddressPrefix], bool);

impl<'a> Asked<'a> {
    fn sides(&self) -> [Side<'a>; 2] {
        let met = |field, address| address_field_matches(field, address, self.rules);
        let Self { fields, tuple, .. } = self;
        let source_is_remote = self.direction == Direction::Inbound;
        [
            (met(fields.source, tuple.source), fields.source, source_is_remote),
            (met(fields.destination, tuple.destination), fields.destination, !source_is_remote),
        ]
    }

    fn ports_are_met(&self) -> bool {
        self.fields.source_ports.matches(self.tuple.ports.source())
            && self.fields.destination_ports.matches(self.tuple.ports.destination())
    }

    /// The rule matched.
    fn met_by(&self, found: &mut BTreeSet<Assumption>) {
        let named = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ESP, Protocol::AH];
        if self.fields.protocol == RuleProtocol::Any && !named.contains(&self.tuple.protocol) {
            found.insert(Assumption::AnyCoversEveryProtocol);
        }
        for (_, field, is_remote) in self.sides() {
            if field.contains(&AddressPrefix::Any) && self.tuple.source.is_ipv6() {
                found.insert(Assumption::AnyCoversIpv6);
            }
            found.extend(field.iter().filter_map(|prefix| self.by_name(prefix, is_remote)));
        }
    }

    /// The rule did not match by its ports: notes why, where that alone was in the way.
    fn missed_by_ports(&self, found: &mut BTreeSet<Assumption>) {
        let has_ports = matches!(self.tuple.ports, Ports::Pair { .. });
        if !has_ports && self.sides().iter().all(|(met, ..)| *met != Match::No) {
            found.insert(Assumption::PortlessMeetsOnlyAnyPort);
        }
    }

    /// The rule met all but addresses: notes why it did not match, where one side alone was in the way.
    fn missed_by_addresses(&self, found: &mut BTreeSet<Assumption>) {
        let sides = self.sides();
        let mut missed = sides.iter().filter(|(met, ..)| *met == Match::No);
        if let (Some((_, field, is_remote)), None) = (missed.next(), missed.next()) {
            let is_zero = |prefix: &AddressPrefix| {
                matches!(prefix, AddressPrefix::Network(network @ ipnet::IpNet::V4(_))
                    if network.prefix_len() == 0)
            };
            if self.tuple.source.is_ipv6() && field.iter().any(is_zero) {
                found.insert(Assumption::ZeroPrefixIsIpv4);
            }
            found.extend(field.iter().filter_map(|prefix| self.by_name(prefix, *is_remote)));
        }
    }

    /// Returns what is assumed about a name.
    fn by_name(&self, prefix: &AddressPrefix, is_remote: bool) -> Option<Assumption> {
        match prefix {
            AddressPrefix::Any | AddressPrefix::Network(_) => None,
            AddressPrefix::ServiceTag(name) => match WellKnownTag::from_name(name)? {
                WellKnownTag::Internet => (!self.rules.service_tags.internet_is_supplied())
                    .then_some(Assumption::InternetIsDerived),
                WellKnownTag::AzurePlatformLkm => Some(Assumption::LicensingAddresses),
                _ => None,
            },
            AddressPrefix::ApplicationSecurityGroup(_) => {
                is_remote.then_some(Assumption::RemoteGroupIsItsMembers)
            }
        }
    }
}
