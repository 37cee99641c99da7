//! Why a packet got its verdict: every rule that was asked, and which of its fields the packet met.
//!
//! In come the compiled rules and one packet, out go the rules as they were met, in order. The verdict is the one that
//! `classify` gives: both read the same tables.

use std::sync::Arc;

use super::Policy;
use super::layers::Effect;
use crate::flow::{Direction, FiveTuple};
use crate::nsg::{AdminAccess, Layer, Match, RuleProvenance, Verdict};

/// The verdict on one packet and the rules that were asked on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict; equal to [`Policy::classify`].
    pub verdict: Verdict,
    /// The layers in the order in which they were asked, up to the one that had the final word.
    pub layers: Vec<LayerExplanation>,
}

/// What one layer did with the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerExplanation {
    /// Which layer.
    pub layer: Layer,
    /// The rules in the order of evaluation, up to the deciding one, which is the last and the only one that
    /// matches or may match. Admin rules, and a group without its default rules, may have none that does.
    pub rules: Vec<RuleExplanation>,
}

/// What one rule made of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleExplanation {
    /// The rule.
    pub rule: Arc<RuleProvenance>,
    /// What the rule does with packets that it matches.
    pub access: AdminAccess,
    /// Which fields the packet met.
    pub met: FieldsMet,
}

impl RuleExplanation {
    /// Says whether the rule matches: the packet met all five fields.
    #[must_use]
    pub fn matched(&self) -> Match {
        self.met.all()
    }

    /// Says whether no later layer is asked.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.matched() {
            Match::Yes => self.access.is_final(),
            Match::Unknown => true,
            Match::No => false,
        }
    }
}

/// Which fields of a rule a packet met. The names are those of Azure's network security group diagnostics
/// (`protocolMatched`, `sourceMatched`, `sourcePortMatched`, `destinationMatched`, `destinationPortMatched`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldsMet {
    /// Azure's `protocolMatched`.
    pub protocol: bool,
    /// Azure's `sourceMatched`.
    pub source: Match,
    /// Azure's `sourcePortMatched`.
    pub source_port: bool,
    /// Azure's `destinationMatched`.
    pub destination: Match,
    /// Azure's `destinationPortMatched`.
    pub destination_port: bool,
}

impl FieldsMet {
    /// Says whether the packet met all fields.
    #[must_use]
    pub fn all(self) -> Match {
        let ports = self.source_port && self.destination_port;
        Match::from(self.protocol && ports).min(self.source).min(self.destination)
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
            let mut rules: Vec<RuleExplanation> = Vec::new();
            let mut bits = bits.peekable();
            while let Some(bit) = bits.next() {
                let Some((Effect::Rule(access), rule)) = compiled.rule(bit) else {
                    continue; // the first bit of a rule has its rule and says what it says
                };
                let may_match = bits.next_if(|&next| compiled.is_undecided(next));
                let met = compiled.table.fields_met(bit, may_match, tuple);
                rules.push(RuleExplanation { rule: Arc::clone(rule), access: *access, met });
                if met.all() != Match::No {
                    break;
                }
            }
            let is_over = rules.last().is_some_and(RuleExplanation::is_final);
            layers.push(LayerExplanation { layer, rules });
            if is_over {
                break;
            }
        }
        Explanation { verdict: self.classify(direction, tuple), layers }
    }
}
