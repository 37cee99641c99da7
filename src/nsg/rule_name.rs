//! A rule's name in the spellings of Azure's surfaces.
//!
//! | surface | a user's rule | a default rule |
//! |---|---|---|
//! | IP flow verify, effective rules | `securityRules/x` | `defaultSecurityRules/x` |
//! | diagnostics, flow logs | `UserRule_x` | `DefaultRule_x` |
//! | resource manager | `x`, or the resource id | `x` |
//!
//! Rules of security admin collections are bare everywhere. Old answers name `DefaultInboundDenyAll` and
//! `DefaultOutboundDenyAll`, which stand for the two rules that deny all (nsg-semantics.md sections 3, 9 and 14.35).

use std::convert::Infallible;
use std::str::FromStr;

use super::{Layer, RuleProvenance};
use crate::flow::UnknownWord;

/// A rule as somebody names it, in any of the spellings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName {
    given: String,
    /// The bare name, and whether a default rule is meant, where the spelling says.
    spelled: Option<(String, bool)>,
}

impl FromStr for RuleName {
    type Err = Infallible;

    /// Takes every text: what is none of the spellings is a bare name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let lower = text.to_ascii_lowercase();
        let spelled = match lower.as_str() {
            "defaultinbounddenyall" => Some(("denyallinbound", true)),
            "defaultoutbounddenyall" => Some(("denyalloutbound", true)),
            _ => [("defaultrule_", true), ("userrule_", false)]
                .into_iter()
                .find_map(|(prefix, is_default)| Some((lower.strip_prefix(prefix)?, is_default)))
                .or_else(|| {
                    // Also the end of a resource id.
                    let (path, name) = lower.rsplit_once('/')?;
                    match path.rsplit('/').next() {
                        Some("securityrules") => Some((name, false)),
                        Some("defaultsecurityrules") => Some((name, true)),
                        _ => None,
                    }
                }),
        };
        let spelled = spelled.map(|(name, is_default)| match name {
            "defaultinbounddenyall" => ("denyallinbound".to_owned(), is_default),
            "defaultoutbounddenyall" => ("denyalloutbound".to_owned(), is_default),
            name => (name.to_owned(), is_default),
        });
        Ok(Self { given: text.to_owned(), spelled })
    }
}

impl RuleName {
    /// Says whether the rule is meant. Names compare in any letter case, as Azure compares them.
    #[must_use]
    pub fn names(&self, rule: &RuleProvenance) -> bool {
        let is_bare = rule.rule.eq_ignore_ascii_case(&self.given);
        let is_spelled = self.spelled.as_ref().is_some_and(|(name, is_default)| {
            rule.layer != Layer::Admin
                && rule.is_default == *is_default
                && rule.rule.eq_ignore_ascii_case(name)
        });
        is_bare || is_spelled
    }
}

/// In which spelling rules are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RuleNameStyle {
    /// Of IP flow verify and effective rules: `securityRules/x`, `defaultSecurityRules/x`.
    #[default]
    Azure,
    /// Of network security group diagnostics and flow logs: `UserRule_x`, `DefaultRule_x`.
    Diagnostics,
    /// Of the resource manager: `x`.
    Bare,
}

impl RuleNameStyle {
    /// Spells the name of a rule; an admin rule is bare in every style.
    #[must_use]
    pub fn spell(self, name: &str, layer: Layer, is_default: bool) -> String {
        let prefix = match (self, is_default) {
            _ if layer == Layer::Admin => "",
            (Self::Azure, true) => "defaultSecurityRules/",
            (Self::Azure, false) => "securityRules/",
            (Self::Diagnostics, true) => "DefaultRule_",
            (Self::Diagnostics, false) => "UserRule_",
            (Self::Bare, _) => "",
        };
        format!("{prefix}{name}")
    }

    /// Spells a name in this style that [`RuleProvenance::azure_name`] has spelled.
    #[must_use]
    pub fn respell(self, azure_name: &str, layer: Layer) -> String {
        let user = azure_name.strip_prefix("securityRules/");
        match user.or_else(|| azure_name.strip_prefix("defaultSecurityRules/")) {
            Some(name) => self.spell(name, layer, user.is_none()),
            None => azure_name.to_owned(),
        }
    }
}

impl FromStr for RuleNameStyle {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [("azure", Self::Azure), ("diagnostics", Self::Diagnostics), ("bare", Self::Bare)]
            .into_iter()
            .find_map(|(word, style)| text.eq_ignore_ascii_case(word).then_some(style))
            .ok_or_else(|| UnknownWord {
                value: text.to_owned(),
                expected: "azure, diagnostics or bare",
            })
    }
}

impl RuleProvenance {
    /// Returns the name in a spelling.
    #[must_use]
    pub fn name_in(&self, style: RuleNameStyle) -> String {
        style.spell(&self.rule, self.layer, self.is_default)
    }

    /// Returns the spelling of IP flow verify: `securityRules/x`, `defaultSecurityRules/x`, and the bare name of an
    /// admin rule (nsg-semantics.md sections 8 and 14.35).
    #[must_use]
    pub fn azure_name(&self) -> String {
        self.name_in(RuleNameStyle::Azure)
    }

    /// Returns the spelling of network security group diagnostics and flow logs: `UserRule_x`, `DefaultRule_x`, and
    /// the bare name of an admin rule.
    #[must_use]
    pub fn diagnostics_name(&self) -> String {
        self.name_in(RuleNameStyle::Diagnostics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nsg::Priority;

    fn rule(name: &str, layer: Layer, is_default: bool) -> RuleProvenance {
        RuleProvenance {
            rule: name.to_owned(),
            rule_id: None,
            ruleset: "nsg".to_owned(),
            ruleset_id: None,
            layer,
            priority: Priority(100),
            is_default,
            platform_tags: Vec::new(),
        }
    }

    fn names(text: &str, rule: &RuleProvenance) -> bool {
        let Ok(name) = text.parse::<RuleName>();
        name.names(rule)
    }

    #[test]
    fn one_rule_is_known_by_every_spelling() {
        let user = rule("allow-ssh", Layer::Nic, false);
        let default = rule("DenyAllInBound", Layer::Subnet, true);
        let admin = rule("BlockTelnet", Layer::Admin, false);
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/n/securityRules/allow-ssh";
        for text in
            ["allow-ssh", "securityRules/allow-ssh", "UserRule_allow-ssh", "userrule_ALLOW-SSH", id]
        {
            assert!(names(text, &user), "{text}");
            assert!(!names(text, &default) && !names(text, &admin), "{text}");
        }
        for text in [
            "DenyAllInBound",
            "defaultSecurityRules/DenyAllInBound",
            "DefaultRule_DenyAllInBound",
            "DefaultInboundDenyAll",
            "defaultSecurityRules/DefaultInboundDenyAll",
        ] {
            assert!(names(text, &default), "{text}");
            assert!(
                !names(text, &rule("DenyAllInBound", Layer::Nic, false))
                    || text == "DenyAllInBound"
            );
        }
        assert!(names("BlockTelnet", &admin));
        assert!(!names("securityRules/BlockTelnet", &admin), "admin rules are bare");
    }

    #[test]
    fn a_rule_that_is_called_like_a_spelling_is_found_by_its_own_name() {
        let odd = rule("UserRule_x", Layer::Nic, false);
        assert!(names("UserRule_x", &odd) && names("UserRule_UserRule_x", &odd));
        assert!(names("UserRule_x", &rule("x", Layer::Nic, false)));
    }

    #[test]
    fn a_printed_name_names_its_rule() {
        for rule in [
            rule("a", Layer::Nic, false),
            rule("AllowVnetInBound", Layer::Nic, true),
            rule("b", Layer::Admin, false),
        ] {
            assert!(names(&rule.azure_name(), &rule) && names(&rule.diagnostics_name(), &rule));
        }
    }
    #[test]
    fn a_name_is_spelled_in_every_style_from_every_rule_and_from_azures_name() {
        use RuleNameStyle::{Azure, Bare, Diagnostics};
        for (name, layer, is_default, expected) in [
            ("ssh", Layer::Nic, false, ["securityRules/ssh", "UserRule_ssh", "ssh"]),
            (
                "Deny",
                Layer::Subnet,
                true,
                ["defaultSecurityRules/Deny", "DefaultRule_Deny", "Deny"],
            ),
            ("Block", Layer::Admin, false, ["Block", "Block", "Block"]),
        ] {
            let rule = rule(name, layer, is_default);
            for (style, expected) in [Azure, Diagnostics, Bare].into_iter().zip(expected) {
                assert_eq!(rule.name_in(style), expected);
                assert_eq!(style.respell(&rule.azure_name(), layer), expected);
            }
        }
        assert!("arm".parse::<RuleNameStyle>().is_err());
        assert_eq!("Bare".parse(), Ok(Bare));
    }
}
