//! Why the rules answer a question as they do: every rule that was asked, field by field, and how near the answer is
//! to another one.
//!
//! In comes a question and the rules in force, out goes the answer of IP flow verify with its reasons. The five
//! booleans of a rule are those of Azure's network security group diagnostics.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verify::{VerifyAnswer, VerifyError, VerifyQuery};
use crate::classifier::{FieldsMet, LayerExplanation, Policy, RuleExplanation};
use crate::flow::FiveTuple;
use crate::nsg::{
    Access, AddressPrefix, AddressSet, AdminAccess, AppliedRules, Layer, LayerRule, Match,
    RuleFields, RuleNameStyle,
};

/// An answer with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The answer, as without explanation.
    #[serde(flatten)]
    pub answer: VerifyAnswer,
    /// The deciding rule, as network security group diagnostics and flow logs name it; absent where no rule applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostics_rule_name: Option<String>,
    /// The layers in the order in which they were asked, up to the one that had the final word.
    pub layers: Vec<ExplainedLayer>,
    /// Of a Deny: the first rule that would have allowed the packet, had it met one more field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_allow: Option<NearestAllow>,
    /// How far around the packet the rules give the same answer by the same rule.
    pub same_answer: SameAnswer,
}

/// What one layer did with the packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedLayer {
    /// Which layer.
    pub layer: Layer,
    /// The rules in the order of evaluation, up to the deciding one.
    pub rules: Vec<ExplainedRule>,
}

/// What one rule made of the packet. A boolean is null where it depends on a name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedRule {
    /// The rule, as IP flow verify names it.
    pub rule_name: String,
    /// The rule, as network security group diagnostics and flow logs name it.
    pub diagnostics_rule_name: String,
    /// Name of its group or collection.
    pub network_security_group: String,
    /// Its priority.
    pub priority: u16,
    /// What it does with packets that it matches.
    pub access: AdminAccess,
    /// Whether the packet met all fields.
    pub matched: Option<bool>,
    /// Whether it met the protocol.
    pub protocol_matched: bool,
    /// Whether it met a source.
    pub source_matched: Option<bool>,
    /// Whether it met the source ports.
    pub source_port_matched: bool,
    /// Whether it met a destination.
    pub destination_matched: Option<bool>,
    /// Whether it met the destination ports.
    pub destination_port_matched: bool,
    /// Which source was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_matched_by: Option<MatchedBy>,
    /// Which destination was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_matched_by: Option<MatchedBy>,
}

/// The value of an address field that the packet met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MatchedBy {
    /// The value as the rule has it: `*`, a prefix, a service tag, an application security group.
    pub value: String,
    /// Of a name: the widest prefix around the address that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// A rule that would have allowed the packet but for one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NearestAllow {
    /// The rule, as IP flow verify names it.
    pub rule_name: String,
    /// The rule, as network security group diagnostics and flow logs name it.
    pub diagnostics_rule_name: String,
    /// Name of its group or collection.
    pub network_security_group: String,
    /// Its layer.
    pub layer: Layer,
    /// The field: `protocol`, `source`, `sourcePort`, `destination`, `destinationPort`.
    pub field: String,
    /// What the rule has there.
    pub expected: String,
    /// What the packet has there.
    pub actual: String,
}

/// The values that each field of the packet may take **while the others stay as they are**, exactly: the same access
/// by the same rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SameAnswer {
    /// The widest prefix around the source.
    pub source_address_prefix: String,
    /// The widest prefix around the destination.
    pub destination_address_prefix: String,
    /// The source ports; absent where the packet has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port_range: Option<String>,
    /// The destination ports; absent where the packet has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port_range: Option<String>,
}

impl Explained {
    /// Spells every `ruleName` in another style than IP flow verify's.
    pub fn respell(&mut self, style: RuleNameStyle) {
        self.answer.respell(style);
        for layer in &mut self.layers {
            for rule in &mut layer.rules {
                rule.rule_name = style.respell(&rule.rule_name, layer.layer);
            }
        }
        if let Some(nearest) = &mut self.nearest_allow {
            nearest.rule_name = style.respell(&nearest.rule_name, nearest.layer);
        }
    }

    /// Answers a question and says why.
    ///
    /// # Errors
    /// As [`VerifyQuery::ask`].
    pub fn answer(query: &VerifyQuery, policy: &Policy) -> Result<Self, VerifyError> {
        let answer = query.ask(policy)?;
        let (direction, tuple, rules) = (query.direction(), query.packet(), policy.rules());
        let explanation = policy.explain(direction, &tuple);
        let applied = rules.layers(direction);
        let nearest_allow = (answer.access == Access::Deny)
            .then(|| {
                let asked = explanation.layers.iter().zip(&applied);
                let deciding = answer.layer;
                asked
                    .flat_map(|(asked, layer)| asked.rules.iter().zip(&layer.rules))
                    .find_map(|(asked, rule)| NearestAllow::of(asked, rule, deciding, &tuple))
            })
            .flatten();
        let layers = explanation.layers.iter().zip(&applied);
        let layers = layers.map(|(asked, layer)| explain_layer(asked, &layer.rules, &tuple, rules));
        let region = policy.region(direction, &tuple);
        let deciding = answer.rule_name.as_deref().zip(answer.layer);
        Ok(Self {
            diagnostics_rule_name: deciding
                .map(|(name, layer)| RuleNameStyle::Diagnostics.respell(name, layer)),
            answer,
            layers: layers.collect(),
            nearest_allow,
            same_answer: SameAnswer {
                source_address_prefix: region.source.to_string(),
                destination_address_prefix: region.destination.to_string(),
                source_port_range: region.source_ports.map(|ports| ports.to_string()),
                destination_port_range: region.destination_ports.map(|ports| ports.to_string()),
            },
        })
    }
}

fn explain_layer(
    asked: &LayerExplanation,
    rules: &[LayerRule<'_>],
    tuple: &FiveTuple,
    applied: &AppliedRules,
) -> ExplainedLayer {
    let explain = |(asked, rule): (&RuleExplanation, &LayerRule<'_>)| {
        let FieldsMet { protocol, source, source_port, destination, destination_port } = asked.met;
        ExplainedRule {
            rule_name: asked.rule.azure_name(),
            diagnostics_rule_name: asked.rule.diagnostics_name(),
            network_security_group: asked.rule.ruleset.clone(),
            priority: asked.rule.priority.0,
            access: asked.access,
            matched: known(asked.matched()),
            protocol_matched: protocol,
            source_matched: known(source),
            source_port_matched: source_port,
            destination_matched: known(destination),
            destination_port_matched: destination_port,
            source_matched_by: MatchedBy::find(rule.fields.source, tuple.source, applied),
            destination_matched_by: MatchedBy::find(
                rule.fields.destination,
                tuple.destination,
                applied,
            ),
        }
    };
    let rules = asked.rules.iter().zip(rules).map(explain).collect();
    ExplainedLayer { layer: asked.layer, rules }
}

fn known(met: Match) -> Option<bool> {
    match met {
        Match::Yes => Some(true),
        Match::No => Some(false),
        Match::Unknown => None,
    }
}

impl MatchedBy {
    fn find(field: &[AddressPrefix], address: IpAddr, applied: &AppliedRules) -> Option<Self> {
        field.iter().find_map(|value| {
            let around = |set: &AddressSet| set.prefix_around(address);
            let prefix = match value {
                AddressPrefix::Any => None,
                AddressPrefix::Network(network) if network.contains(&address) => None,
                AddressPrefix::Network(_) => return None,
                name => Some(applied.resolve(name).and_then(|set| around(set))?.to_string()),
            };
            Some(Self { value: value.to_string(), prefix })
        })
    }
}

impl NearestAllow {
    /// Compares the packet with a rule that did not match. Only a rule of the layer that denied would have helped,
    /// or one that overrules all layers.
    fn of(
        asked: &RuleExplanation,
        rule: &LayerRule<'_>,
        deciding: Option<Layer>,
        tuple: &FiveTuple,
    ) -> Option<Self> {
        let would_help = match asked.access {
            AdminAccess::AlwaysAllow => true,
            AdminAccess::Allow => {
                Some(asked.rule.layer) == deciding && deciding != Some(Layer::Admin)
            }
            AdminAccess::Deny => false,
        };
        let (field, expected, actual) = missed_field(asked.met, &rule.fields, tuple)?;
        would_help.then(|| Self {
            rule_name: asked.rule.azure_name(),
            diagnostics_rule_name: asked.rule.diagnostics_name(),
            network_security_group: asked.rule.ruleset.clone(),
            layer: asked.rule.layer,
            field: field.to_owned(),
            expected,
            actual,
        })
    }
}

/// Returns the one field that the packet missed; `None` where it missed none, several, or one that nobody knows.
fn missed_field(
    met: FieldsMet,
    fields: &RuleFields<'_>,
    tuple: &FiveTuple,
) -> Option<(&'static str, String, String)> {
    let list = |field: &[AddressPrefix]| {
        field.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let port = |port: Option<u16>| port.map_or_else(|| "none".to_owned(), |port| port.to_string());
    let (source, destination) = (tuple.ports.source(), tuple.ports.destination());
    let all = [
        (met.protocol.into(), "protocol", fields.protocol.to_string(), tuple.protocol.to_string()),
        (met.source, "source", list(fields.source), tuple.source.to_string()),
        (met.source_port.into(), "sourcePort", fields.source_ports.to_string(), port(source)),
        (met.destination, "destination", list(fields.destination), tuple.destination.to_string()),
        (
            met.destination_port.into(),
            "destinationPort",
            fields.destination_ports.to_string(),
            port(destination),
        ),
    ];
    let mut missed = all.into_iter().filter(|(met, ..)| *met != Match::Yes);
    let (met, field, expected, actual) = missed.next()?;
    (met == Match::No && missed.next().is_none()).then_some((field, expected, actual))
}
