//! Why a packet got its verdict: every rule that was asked, and which of its fields the packet met.

use std::sync::Arc;

use super::Policy;
use crate::flow::{Direction, FiveTuple};
use crate::nsg::{Access, Layer, RuleProvenance, Verdict};

/// The verdict on one packet and the rules that were asked on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict; equal to [`Policy::classify`].
    pub verdict: Verdict,
    /// The layers in the order in which they were asked. A Deny ends it: later layers are not there.
    pub layers: Vec<LayerExplanation>,
}

/// What one group did with the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerExplanation {
    /// Where the group is bound.
    pub layer: Layer,
    /// The rules in the order of evaluation, up to the deciding one, which is the last and the only one that
    /// matches. A group without its default rules may have none that does.
    pub rules: Vec<RuleExplanation>,
}

/// What one rule made of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleExplanation {
    /// The rule.
    pub rule: Arc<RuleProvenance>,
    /// What the rule says of packets that it matches.
    pub access: Access,
    /// Which fields the packet met.
    pub met: FieldsMet,
}

impl RuleExplanation {
    /// Says whether the rule matches: the packet met all five fields.
    #[must_use]
    pub fn matched(&self) -> bool {
        self.met.all()
    }
}

/// Which fields of a rule a packet met. The names are those of Azure's network security group diagnostics
/// (`protocolMatched`, `sourceMatched`, `sourcePortMatched`, `destinationMatched`, `destinationPortMatched`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "Azure's own five answers, one a field")]
pub struct FieldsMet {
    /// Azure's `protocolMatched`.
    pub protocol: bool,
    /// Azure's `sourceMatched`.
    pub source: bool,
    /// Azure's `sourcePortMatched`.
    pub source_port: bool,
    /// Azure's `destinationMatched`.
    pub destination: bool,
    /// Azure's `destinationPortMatched`.
    pub destination_port: bool,
}

impl FieldsMet {
    /// Says whether the packet met all fields.
    #[must_use]
    pub fn all(self) -> bool {
        self.protocol
            && self.source
            && self.source_port
            && self.destination
            && self.destination_port
    }
}

impl Policy {
    /// Says why a packet that goes in this direction gets its verdict. Reads the rows that
    /// [`Policy::classify`] reads, so the two can not disagree.
    #[must_use]
    pub fn explain(&self, direction: Direction, tuple: &FiveTuple) -> Explanation {
        let compiled = self.direction(direction);
        let mut layers = Vec::new();
        for (&layer, bits) in compiled.layers.iter().zip(compiled.table.layers().bits()) {
            let mut rules = Vec::new();
            for bit in bits {
                let Some((access, rule)) = compiled.rule(bit) else {
                    continue; // every bit of a layer has its rule
                };
                let met = compiled.table.fields_met(bit, tuple);
                rules.push(RuleExplanation { rule: Arc::clone(rule), access: *access, met });
                if met.all() {
                    break;
                }
            }
            let denied =
                rules.last().is_some_and(|rule| rule.matched() && rule.access == Access::Deny);
            layers.push(LayerExplanation { layer, rules });
            if denied {
                break;
            }
        }
        Explanation { verdict: self.classify(direction, tuple), layers }
    }
}
