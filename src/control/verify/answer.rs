//! The answer to a question: what Azure's service says, and where the verdict comes from.
//!
//! In come the question, the verdict and the rules, out goes a value that is written as JSON and read back by the
//! client. Judges nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::VerifyQuery;
use crate::classifier::Policy;
use crate::nsg::{
    Access, Layer, PlatformEffect, PlatformTraffic, RuleNameStyle, Verdict, assumptions, notes,
};

/// The answer: Azure's three fields first, then where the verdict comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyAnswer {
    /// What would happen to the packet.
    pub access: Access,
    /// `securityRules/x`, `defaultSecurityRules/x`, or the bare name of an admin rule; absent where no rule applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_name: Option<String>,
    /// Resource id of the rule, empty for default rules; absent where no rule applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
    /// Name of the deciding group or collection of admin rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_security_group: Option<String>,
    /// Resource id of the deciding group, where the rules have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_security_group_id: Option<String>,
    /// Which layer decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// Priority of the deciding rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// Whether the deciding rule is one of the six defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_default_rule: Option<bool>,
    /// Which version of the rules answered.
    pub policy_revision: u64,
    /// Where the platform handles such traffic by itself: how, whatever the rules say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformAnswer>,
    /// What else to know of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Remark>,
    /// What is assumed because Azure's documents do not say it, and what the answer rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<Remark>,
}

/// Traffic that the platform handles by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformAnswer {
    /// Which.
    pub traffic: PlatformTraffic,
    /// What becomes of it.
    pub effect: PlatformEffect,
}

/// A remark: a word that stays the same, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remark {
    /// For programs.
    pub id: String,
    /// For people.
    pub message: String,
}

impl Remark {
    fn new(id: &str, message: &str) -> Self {
        Self { id: id.to_owned(), message: message.to_owned() }
    }
}

impl VerifyAnswer {
    /// Spells the rule's name in another style than IP flow verify's.
    pub fn respell(&mut self, style: RuleNameStyle) {
        if let (Some(name), Some(layer)) = (&mut self.rule_name, self.layer) {
            *name = style.respell(name, layer);
        }
    }

    pub(super) fn new(query: &VerifyQuery, verdict: &Verdict, policy: &Policy) -> Self {
        let rule = verdict.rule.as_deref();
        let (direction, tuple) = (query.direction, query.packet());
        let rules = policy.rules();
        let platform = PlatformTraffic::of(direction, &tuple, rule)
            .map(|traffic| PlatformAnswer { traffic, effect: traffic.effect() });
        let notes = notes(rules, direction, &tuple, verdict);
        let assumptions = assumptions(rules, direction, &tuple);
        Self {
            access: verdict.access,
            rule_name: rule.map(crate::nsg::RuleProvenance::azure_name),
            rule_id: rule.map(|rule| rule.rule_id.clone().unwrap_or_default()),
            network_security_group: rule.map(|rule| rule.ruleset.clone()),
            network_security_group_id: rule.and_then(|rule| rule.ruleset_id.clone()),
            layer: rule.map(|rule| rule.layer),
            priority: rule.map(|rule| rule.priority.0),
            is_default_rule: rule.map(|rule| rule.is_default),
            policy_revision: policy.revision(),
            platform,
            notes: notes.iter().map(|note| Remark::new(note.id(), note.sentence())).collect(),
            assumptions: assumptions
                .iter()
                .map(|assumption| Remark::new(assumption.id(), assumption.sentence()))
                .collect(),
        }
    }
}
