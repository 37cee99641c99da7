//! The answer for one packet, and who gave it.
//!
//! Plain values: made by whoever judges, read by whoever tells of it. Nothing is decided here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Priority, WellKnownTag};
use crate::flow::UnknownWord;

/// What a rule, or all rules together, say of a packet.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Access {
    /// Let through.
    Allow,
    /// Dropped.
    Deny,
    /// Nobody can know: a rule that might decide names a service tag or an application security group that is not
    /// known. Only answers say so, rules never do.
    Undecided,
}

impl Access {
    /// Returns Azure's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
            Self::Undecided => "Undecided",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Access {
    type Err = UnknownWord;

    /// Accepts any letter case, as Azure does.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Allow, Self::Deny, Self::Undecided]
            .into_iter()
            .find(|access| access.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownWord {
                value: text.to_owned(),
                expected: "Allow, Deny or Undecided",
            })
    }
}

/// Where the group that a rule stands in is bound.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The security admin rules of the virtual network.
    Admin,
    /// The subnet of the interface.
    Subnet,
    /// The network interface itself.
    Nic,
}

impl Layer {
    /// Returns the word used in records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Subnet => "subnet",
            Self::Nic => "nic",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which rule decided, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleProvenance {
    /// The rule's own name, without any prefix.
    pub rule: String,
    /// The rule's resource id; Azure has none for default rules.
    pub rule_id: Option<String>,
    /// Name of the group, or the collection of admin rules, that the rule stands in.
    pub ruleset: String,
    /// Resource id of the group.
    pub ruleset_id: Option<String>,
    /// Which layer the group is.
    pub layer: Layer,
    /// The rule's priority.
    pub priority: Priority,
    /// One of the six default rules.
    pub is_default: bool,
    /// The `AzurePlatform..` tags that the rule names: with them it decides about traffic that is exempt otherwise.
    pub platform_tags: Vec<WellKnownTag>,
}

/// The answer for one packet: what happens to it and which rule decided.
///
/// A packet that no rule sees is allowed and has no rule (nsg-semantics.md section 4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    /// What happens to the packet.
    pub access: Access,
    /// The deciding rule; where several layers allow, the rule of the last one evaluated, as Azure's flow logs
    /// name it. Where the answer is undecided, the rule that can not be decided.
    pub rule: Option<Arc<RuleProvenance>>,
}

impl Verdict {
    /// The answer where no group applies at all.
    pub const NO_GROUP: Self = Self { access: Access::Allow, rule: None };
}
