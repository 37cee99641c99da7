//! What Azure says: security rules, network security groups, service tags, and what they mean.
//!
//! In come values that [`load`] has read from a foreign format (or that a test has built); out goes the answer of
//! [`evaluate()`] and the model that the classifier compiles. This room never opens a file, never reads a clock and
//! never decides how fast an answer comes: [`evaluate()`] is the oracle of every test and is not optimised.
//!
//! Source of the semantics: Microsoft's *network security groups overview* and *how network security groups filter
//! network traffic*; where they are silent, the README's section "Assumptions" says what is decided here.

mod address_set;
mod admin;
mod application_security_group;
mod assumption;
mod defaults;
mod evaluate;
mod layer;
pub mod load;
mod note;
mod platform;
mod rule_name;
mod service_tag;
mod verdict;

pub use address_set::{AddressSet, widest_prefix};
pub use admin::{AdminAccess, AdminRuleCollection, SecurityAdminRule};
pub use application_security_group::ApplicationSecurityGroups;
pub use assumption::{Assumption, assumptions};
pub use defaults::default_security_rules;
pub use evaluate::{Match, address_field_matches, evaluate};
pub use layer::{LayerRule, RuleFields, RuleLayer};
pub use note::{Note, notes};
pub use platform::{PlatformEffect, PlatformTraffic};
pub use rule_name::{RuleName, RuleNameStyle};
pub use service_tag::{AZURE_HOST_ADDRESS, ServiceTags, WellKnownTag};
pub use verdict::{Access, Layer, RuleProvenance, Verdict};

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use crate::flow::{Direction, Protocol};

/// A rule's place in its group: the lower number is evaluated first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Priority(pub u16);

impl Priority {
    /// The numbers a user's rule may have (nsg-semantics.md section 1).
    pub const USER_RANGE: std::ops::RangeInclusive<u16> = 100..=4096;
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The protocol field of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleProtocol {
    /// `*`: every protocol, those without a name in Azure's list included.
    Any,
    /// One protocol: `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah`.
    Only(Protocol),
}

impl RuleProtocol {
    /// Says whether a packet of this protocol meets the field. `Icmp` is ICMP for IPv4: ICMPv6 has no value of its
    /// own in Azure and meets only `*`.
    #[must_use]
    pub fn matches(self, protocol: Protocol) -> bool {
        match self {
            Self::Any => true,
            Self::Only(only) => only == protocol,
        }
    }
}

impl fmt::Display for RuleProtocol {
    /// Writes Azure's spelling: `*`, `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.pad("*"),
            Self::Only(Protocol::TCP) => f.pad("Tcp"),
            Self::Only(Protocol::UDP) => f.pad("Udp"),
            Self::Only(Protocol::ICMP) => f.pad("Icmp"),
            Self::Only(Protocol::ESP) => f.pad("Esp"),
            Self::Only(Protocol::AH) => f.pad("Ah"),
            Self::Only(other) => fmt::Display::fmt(other, f),
        }
    }
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    /// First port of the range.
    pub first: u16,
    /// Last port of the range; never below `first`.
    pub last: u16,
}

impl PortRange {
    /// All ports: what `*` stands for.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// Says whether the port lies in the range.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ANY => f.pad("*"),
            Self { first, last } if first == last => fmt::Display::fmt(&first, f),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

/// The port field of a rule: the ranges sorted, touching ranges joined, never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortSet(Vec<PortRange>);

impl PortSet {
    /// All ports.
    #[must_use]
    pub fn any() -> Self {
        Self(vec![PortRange::ANY])
    }

    /// Makes the field from its ranges; `None` where there is no range at all.
    #[must_use]
    pub fn new(mut ranges: Vec<PortRange>) -> Option<Self> {
        ranges.sort_unstable();
        let mut joined: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                    last.last = last.last.max(range.last);
                }
                _ => joined.push(range),
            }
        }
        (!joined.is_empty()).then_some(Self(joined))
    }

    /// Returns the ranges, sorted and disjoint.
    #[must_use]
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// Says whether every port meets the field: only then does a packet without ports meet it
    /// (architecture.md decision 7).
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == [PortRange::ANY]
    }

    /// Says whether a packet with this port, or without any, meets the field.
    #[must_use]
    pub fn matches(&self, port: Option<u16>) -> bool {
        port.map_or_else(|| self.is_any(), |port| self.0.iter().any(|range| range.contains(port)))
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            fmt::Display::fmt(range, f)?;
        }
        Ok(())
    }
}

/// One value of a rule's address field, as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AddressPrefix {
    /// `*`: IPv4 and IPv6 alike.
    Any,
    /// An address or a CIDR prefix, of one family; `0.0.0.0/0` covers IPv4 only (architecture.md decision 7).
    Network(IpNet),
    /// A service tag by name; what it stands for is in [`ServiceTags`].
    ServiceTag(String),
    /// An application security group by resource id or bare name; its members are in
    /// [`ApplicationSecurityGroups`].
    ApplicationSecurityGroup(String),
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.pad("*"),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                fmt::Display::fmt(&network.addr(), f)
            }
            Self::Network(network) => fmt::Display::fmt(network, f),
            Self::ServiceTag(name) | Self::ApplicationSecurityGroup(name) => f.pad(name),
        }
    }
}

/// A security rule as Azure writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityRule {
    /// Name, unique in its group.
    pub name: String,
    /// Place in the group.
    pub priority: Priority,
    /// Which packets it is for.
    pub direction: Direction,
    /// What it says of them; never undecided.
    pub access: Access,
    /// Protocol field.
    pub protocol: RuleProtocol,
    /// Source addresses; the rule meets a packet that meets one of them.
    pub source: Vec<AddressPrefix>,
    /// Source ports.
    pub source_ports: PortSet,
    /// Destination addresses.
    pub destination: Vec<AddressPrefix>,
    /// Destination ports.
    pub destination_ports: PortSet,
    /// One of the rules that every group ends with and nobody can remove.
    pub is_default: bool,
    /// The resource id where the document has one; Azure gives none for default rules.
    pub id: Option<String>,
}

impl SecurityRule {
    /// Returns the five fields that a packet must meet.
    #[must_use]
    pub fn fields(&self) -> RuleFields<'_> {
        RuleFields {
            protocol: self.protocol,
            source: &self.source,
            source_ports: &self.source_ports,
            destination: &self.destination,
            destination_ports: &self.destination_ports,
        }
    }
}

/// A network security group: the rules that one subnet or one network interface is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSecurityGroup {
    /// Name.
    pub name: String,
    /// The resource id where the document has one.
    pub id: Option<String>,
    /// All rules, default rules included, of both directions, by ascending priority.
    pub rules: Vec<SecurityRule>,
    /// Azure's `flushConnection`: allowed flows are judged again when the rules change.
    pub flush_connection: bool,
}

impl NetworkSecurityGroup {
    /// Makes a group of the user's rules and default rules, in evaluation order.
    #[must_use]
    pub fn new(name: impl Into<String>, mut rules: Vec<SecurityRule>) -> Self {
        rules.sort_by_key(|rule| rule.priority);
        Self { name: name.into(), id: None, rules, flush_connection: false }
    }

    /// Makes a group that holds nothing but the six default rules.
    #[must_use]
    pub fn with_defaults_only(name: impl Into<String>) -> Self {
        Self::new(name, default_security_rules())
    }

    /// Returns the rules of one direction in evaluation order.
    pub fn rules_of(&self, direction: Direction) -> impl Iterator<Item = &SecurityRule> {
        self.rules.iter().filter(move |rule| rule.direction == direction)
    }

    /// Returns where a verdict by this rule comes from.
    #[must_use]
    pub fn provenance(&self, layer: Layer, rule: &SecurityRule) -> Arc<RuleProvenance> {
        Arc::new(RuleProvenance {
            rule: rule.name.clone(),
            rule_id: rule.id.clone(),
            ruleset: self.name.clone(),
            ruleset_id: self.id.clone(),
            layer,
            priority: rule.priority,
            is_default: rule.is_default,
            platform_tags: rule.fields().platform_tags(),
        })
    }
}

/// Everything that decides about one interface's traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppliedRules {
    /// Collections of security admin rules, of all configurations together.
    pub admin: Vec<AdminRuleCollection>,
    /// The group of the interface's subnet, if it has one.
    pub subnet: Option<NetworkSecurityGroup>,
    /// The group of the interface itself, if it has one.
    pub nic: Option<NetworkSecurityGroup>,
    /// What the service tags named in the rules stand for.
    pub service_tags: ServiceTags,
    /// The members of the application security groups named in the rules.
    pub application_security_groups: ApplicationSecurityGroups,
}

impl AppliedRules {
    /// Returns the addresses that a named value of an address field stands for. `None` where the value is no name or
    /// nobody knows the name; a rule with such a name can not always be decided ([`Access::Undecided`]).
    #[must_use]
    pub fn resolve(&self, prefix: &AddressPrefix) -> Option<&Arc<AddressSet>> {
        match prefix {
            AddressPrefix::Any | AddressPrefix::Network(_) => None,
            AddressPrefix::ServiceTag(name) => self.service_tags.get(name),
            AddressPrefix::ApplicationSecurityGroup(id) => self.application_security_groups.get(id),
        }
    }

    /// Says whether the value is a name that nobody knows.
    #[must_use]
    pub fn is_unresolved(&self, prefix: &AddressPrefix) -> bool {
        let is_name = !matches!(prefix, AddressPrefix::Any | AddressPrefix::Network(_));
        is_name && self.resolve(prefix).is_none()
    }

    /// Returns the groups that are there, in the documented order of evaluation: inbound the subnet's first,
    /// outbound the interface's first (nsg-semantics.md section 4).
    pub fn groups(
        &self,
        direction: Direction,
    ) -> impl Iterator<Item = (Layer, &NetworkSecurityGroup)> {
        let subnet = (Layer::Subnet, self.subnet.as_ref());
        let nic = (Layer::Nic, self.nic.as_ref());
        match direction {
            Direction::Inbound => [subnet, nic],
            Direction::Outbound => [nic, subnet],
        }
        .into_iter()
        .filter_map(|(layer, group)| Some((layer, group?)))
    }
}
