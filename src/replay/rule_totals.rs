//! What each rule decided: flows, packets and bytes, summed up from the ends of flows.
//!
//! In come events, out goes one sum for each rule at the end. Keeps no flow.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::engine::Event;
use crate::nsg::{Access, Layer, RuleProvenance};

/// The totals of one rule; `None` fields where no group applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleTotal {
    /// The rule's name.
    pub rule: Option<String>,
    /// Its network security group.
    pub nsg: Option<String>,
    /// Where the group is bound.
    pub layer: Option<Layer>,
    /// What the rule says.
    pub access: Access,
    /// Flows it decided.
    pub flows: u64,
    /// Packets of these flows, both ways.
    pub packets: u64,
    /// Bytes of these packets on the wire.
    pub bytes: u64,
}

/// The totals of all rules.
#[derive(Debug, Default)]
pub(super) struct RuleTotals {
    /// By the address of the rule's provenance, which is kept alive so that no other can take its address.
    by_rule: HashMap<(usize, Access), Decided, foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
struct Decided {
    rule: Option<Arc<RuleProvenance>>,
    flows: u64,
    packets: u64,
    bytes: u64,
}

impl RuleTotals {
    /// Adds the flows that ended.
    pub(super) fn add(&mut self, events: &[Event]) {
        for flow in events.iter().filter(|event| event.end.is_some()).map(|event| &event.flow) {
            let rule = &flow.verdict.rule;
            let address = rule.as_ref().map_or(0, |rule| Arc::as_ptr(rule).addr());
            let sums = self
                .by_rule
                .entry((address, flow.verdict.access))
                .or_insert_with(|| Decided { rule: rule.clone(), ..Decided::default() });
            sums.flows += 1;
            sums.packets += flow.to_destination.packets + flow.to_source.packets;
            sums.bytes += flow.to_destination.bytes + flow.to_source.bytes;
        }
    }

    /// Returns all totals, those with the most flows first.
    pub(super) fn sorted(self) -> Vec<RuleTotal> {
        let total = |((_, access), decided): ((usize, Access), Decided)| {
            let Decided { rule, flows, packets, bytes } = decided;
            let rule = rule.as_ref();
            RuleTotal {
                rule: rule.map(|rule| rule.rule.clone()),
                nsg: rule.map(|rule| rule.ruleset.clone()),
                layer: rule.map(|rule| rule.layer),
                access,
                flows,
                packets,
                bytes,
            }
        };
        let mut totals: Vec<RuleTotal> = self.by_rule.into_iter().map(total).collect();
        totals.sort_by(|one, other| {
            let name = |total: &RuleTotal| (total.nsg.clone(), total.rule.clone(), total.layer);
            other.flows.cmp(&one.flows).then_with(|| name(one).cmp(&name(other)))
        });
        totals
    }
}
