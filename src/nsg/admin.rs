//! Security admin rules of a Virtual Network Manager: asked before every network security group, also where there is
//! none.
//!
//! Source: Microsoft, *Security admin rules in Azure Virtual Network Manager* (nsg-semantics.md section 4).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{
    Access, AddressPrefix, Layer, PortSet, Priority, RuleFields, RuleProtocol, RuleProvenance,
};
use crate::flow::{Direction, UnknownWord};

/// What a rule does with the packets that it matches. The rules of a network security group know only the first and
/// the last.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum AdminAccess {
    /// Let through; the next layer is asked.
    Allow,
    /// Delivered: no network security group is asked.
    AlwaysAllow,
    /// Dropped: nothing else is asked.
    Deny,
}

impl AdminAccess {
    /// Returns Azure's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::AlwaysAllow => "AlwaysAllow",
            Self::Deny => "Deny",
        }
    }

    /// Returns what happens to a packet that such a rule decides about.
    #[must_use]
    pub const fn access(self) -> Access {
        match self {
            Self::Allow | Self::AlwaysAllow => Access::Allow,
            Self::Deny => Access::Deny,
        }
    }

    /// Says whether no later layer is asked.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::AlwaysAllow | Self::Deny)
    }
}

impl fmt::Display for AdminAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AdminAccess {
    type Err = UnknownWord;

    /// Accepts any letter case, as Azure does.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Allow, Self::AlwaysAllow, Self::Deny]
            .into_iter()
            .find(|access| access.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownWord {
                value: text.to_owned(),
                expected: "Allow, AlwaysAllow or Deny",
            })
    }
}

/// A security admin rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityAdminRule {
    /// Name, unique in its collection.
    pub name: String,
    /// Place among the rules of all collections.
    pub priority: Priority,
    /// Which packets it is for.
    pub direction: Direction,
    /// What it does with them.
    pub access: AdminAccess,
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
    /// The resource id where the document has one.
    pub id: Option<String>,
}

impl SecurityAdminRule {
    /// The numbers that Azure gives to admin rules.
    pub const PRIORITIES: std::ops::RangeInclusive<u16> = 1..=4096;

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

/// A collection of security admin rules that applies to the interface's virtual network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminRuleCollection {
    /// Name.
    pub name: String,
    /// The resource id where the document has one.
    pub id: Option<String>,
    /// All rules, of both directions, in any order.
    pub rules: Vec<SecurityAdminRule>,
}

impl AdminRuleCollection {
    /// Returns where a verdict by this rule comes from.
    #[must_use]
    pub fn provenance(&self, rule: &SecurityAdminRule) -> Arc<RuleProvenance> {
        Arc::new(RuleProvenance {
            rule: rule.name.clone(),
            rule_id: rule.id.clone(),
            ruleset: self.name.clone(),
            ruleset_id: self.id.clone(),
            layer: Layer::Admin,
            priority: rule.priority,
            is_default: false,
            platform_tags: rule.fields().platform_tags(),
        })
    }
}
