//! What the engine keeps beside each flow of the table, and what it tells of it.

use std::sync::Arc;

use super::record::{EndReason, Event, FlowRecord, Told};
use super::tcp::{TcpProgress, TcpStage};
use crate::flow::Protocol;
use crate::flow_table::Flow;
use crate::nsg::{Access, RuleProvenance, Verdict};

/// What was decided about a flow, and how far it has come: 16 bytes beside each flow.
#[derive(Debug, Clone)]
pub(super) struct Judgment {
    pub(super) rule: Option<Arc<RuleProvenance>>,
    /// The engine's own number of the policy that decided.
    pub(super) generation: u32,
    pub(super) access: Access,
    /// This policy also denies what the other side sent to open a flow of its own.
    pub(super) reverse_denied: bool,
    pub(super) tcp: TcpProgress,
}

impl Judgment {
    pub(super) fn new(verdict: Verdict, generation: u32) -> Self {
        let Verdict { access, rule } = verdict;
        Self { rule, generation, access, reverse_denied: false, tcp: TcpProgress::default() }
    }

    pub(super) fn is_denial(&self) -> bool {
        self.access != Access::Allow
    }

    /// Says whether the flow need not be judged again now that this generation of the policy is in force: it was judged by
    /// it, or was allowed where the policy leaves such flows alone.
    #[inline]
    pub(super) fn holds(&self, generation: u32, judge_allowed_again: bool) -> bool {
        self.generation == generation || !(self.is_denial() || judge_allowed_again)
    }

    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        self.access == other.access && self.rule == other.rule
    }

    fn verdict(&self) -> Verdict {
        Verdict { access: self.access, rule: self.rule.clone() }
    }
}

/// How a flow ended by itself, if it did.
pub(super) fn own_end(flow: &Flow<Judgment>) -> Option<EndReason> {
    match flow.value.tcp.stage() {
        TcpStage::Closed => Some(EndReason::Closed),
        TcpStage::Reset => Some(EndReason::Reset),
        TcpStage::Opening | TcpStage::Established | TcpStage::Closing => None,
    }
}

impl Told {
    /// Tells of a flow that begins, if that is told.
    pub(super) fn push_start(self, flow: &Flow<Judgment>, events: &mut Vec<Event>) {
        if self != Self::End {
            events.push(Event::start(record_of(flow)));
        }
    }

    /// Tells of a flow that ended, if that is told.
    pub(super) fn push_end(
        self,
        flow: &Flow<Judgment>,
        reason: EndReason,
        events: &mut Vec<Event>,
    ) {
        if self != Self::Start {
            events.push(Event::end(record_of(flow), reason));
        }
    }
}

pub(super) fn record_of(flow: &Flow<Judgment>) -> FlowRecord {
    let tuple = flow.tuple();
    FlowRecord {
        tuple,
        direction: flow.opening().direction,
        verdict: flow.value.verdict(),
        midstream: flow.opening().midstream,
        first: flow.first(),
        last: flow.last(),
        to_destination: flow.to_destination(),
        to_source: flow.to_source(),
        tcp: (tuple.protocol == Protocol::TCP).then(|| flow.value.tcp.stage()),
    }
}
