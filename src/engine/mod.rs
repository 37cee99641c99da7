//! One policy snapshot, one flow table, and the counters: what becomes of each packet.
//!
//! In come packets with a time and a direction, and now and then another policy; out go [`Event`]s, each the start
//! or the end of a flow. The engine has one owner, takes no lock, reads no clock and does no IO.
//!
//! # State (architecture.md decisions 5 and 7, nsg-semantics.md section 5)
//!
//! * A flow is judged once, by the packet that opened it; what follows, replies included, belongs to it. An
//!   **allowed** flow keeps its verdict when the rules change, unless a group has `flushConnection`.
//! * A **denied** entry is no connection, only a memory that keeps the records from repeating themselves. It is
//!   judged again by the first packet under another policy, and a packet of the other side that could open a flow
//!   of its own is judged by itself. An **undecided** one is treated alike: whether it is a connection is not known.
//! * Who began a TCP connection that was met in the middle is a guess: who receives a SYN-ACK, else the side with
//!   the higher port. The record says `midstream`.
//! * An ICMP echo is a flow by addresses and identifier; an ICMP error belongs to the flow it quotes; a later
//!   fragment belongs to the flow of its first one.

mod counters;
mod fragments;
mod hits;
mod judgment;
mod opening;
mod record;
mod tcp;
#[cfg(test)]
mod tests;
mod tracking;

use std::sync::Arc;

pub use self::counters::{
    Counters, EndCounters, FlowCounters, FragmentCounters, IcmpErrorCounters, SkipCounters,
    VerdictCounters,
};
pub use self::hits::{Hits, RuleHit, RuleHits};
pub use self::record::{EndReason, Event, FlowFilter, FlowRecord, Told};
pub use self::tcp::TcpStage;
pub use crate::flow_table::{Timeouts, Traffic};

use self::fragments::FragmentTable;
use self::hits::HitCounters;
use self::judgment::{Judgment, own_end, record_of};
use self::tracking::Arrival;
use crate::classifier::Policy;
use crate::flow::{Direction, Timestamp};
use crate::flow_table::FlowTable;
use crate::packet::{Packet, Skip};

/// How much the engine may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most flows in the table; at least one is kept.
    pub max_flows: usize,
    /// When idle flows end.
    pub timeouts: Timeouts,
    /// Most first fragments remembered.
    pub max_fragments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_flows: 262_144, timeouts: Timeouts::default(), max_fragments: 4096 }
    }
}

/// Flows looked at in one call of [`Engine::expire`].
const EXPIRE_LOOKS: usize = 4096;

/// Packets that [`Engine::observe_block`] works through at once: with what is found out about them, they stay in the
/// processor's nearest cache.
const BATCH: usize = 64;

/// Packets between one step of fetching a flow and the next: the time that memory takes to come.
const AHEAD: usize = 8;

/// The engine.
#[derive(Debug)]
pub struct Engine {
    policy: Arc<Policy>,
    generation: u32,
    judge_allowed_again: bool,
    table: FlowTable<Judgment>,
    fragments: FragmentTable,
    counters: Counters,
    hits: HitCounters,
    told: Told,
}

impl Engine {
    /// Makes an engine without flows. The seed keeps strangers from choosing packets that all hash alike, so it
    /// must be random.
    #[must_use]
    pub fn new(policy: Arc<Policy>, limits: Limits, seed: u64) -> Self {
        Self {
            judge_allowed_again: policy.flush_connection(),
            hits: HitCounters::new(&policy),
            policy,
            generation: 0,
            table: FlowTable::new(limits.max_flows, limits.timeouts, seed),
            fragments: FragmentTable::new(limits.max_fragments, seed),
            counters: Counters::default(),
            told: Told::default(),
        }
    }

    /// Chooses which events are told; without it, all of them.
    #[must_use]
    pub fn telling(self, told: Told) -> Self {
        Self { told, ..self }
    }

    /// Takes in one packet.
    pub fn observe(
        &mut self,
        now: Timestamp,
        direction: Direction,
        packet: &Packet,
        events: &mut Vec<Event>,
    ) {
        let located = self.locate(&packet.tuple);
        self.observe_located(&Arrival { now, direction, packet, located: &located }, events);
    }

    /// Takes in the packets of one block, in order: the same as [`Self::observe`] for each, but no packet waits for the
    /// memory of its flow. That is asked for in three steps while other packets are worked on.
    pub fn observe_block(
        &mut self,
        packets: &[(Timestamp, Direction, Packet)],
        events: &mut Vec<Event>,
    ) {
        let mut located = Vec::with_capacity(BATCH);
        for batch in packets.chunks(BATCH) {
            located.clear();
            located.extend(batch.iter().map(|(.., packet)| {
                let located = self.locate(&packet.tuple);
                self.table.fetch_place(located.hash);
                located
            }));
            for step in 0..batch.len() + 2 * AHEAD {
                if let Some(located) = located.get(step) {
                    self.table.fetch_flow(located.hash);
                }
                if let Some(located) = step.checked_sub(AHEAD).and_then(|at| located.get(at)) {
                    self.table.fetch_traffic(located.hash);
                }
                if let Some(at) = step.checked_sub(2 * AHEAD)
                    && let Some((&(now, direction, ref packet), located)) =
                        batch.get(at).zip(located.get(at))
                {
                    let arrival = Arrival { now, direction, packet, located };
                    self.observe_located(&arrival, events);
                }
            }
        }
    }

    /// Counts a frame that gave no packet.
    pub fn skip(&mut self, reason: Skip) {
        self.counters.skipped.count(reason);
    }

    /// Puts other rules in force. No flow is touched now: what must be judged again is judged by its next packet.
    pub fn replace_policy(&mut self, policy: Arc<Policy>) {
        if policy.revision() != self.policy.revision() {
            self.generation = self.generation.wrapping_add(1);
        }
        self.judge_allowed_again = policy.flush_connection();
        self.hits = self.hits.carried_over(&self.policy, &policy);
        self.policy = policy;
    }

    /// Ends flows that were idle for too long; to be called about once a second and between blocks of packets.
    /// The work of one call is bounded: returns whether there is more to do now.
    pub fn expire(&mut self, now: Timestamp, events: &mut Vec<Event>) -> bool {
        self.fragments.expire(now.monotonic_ns, EXPIRE_LOOKS);
        let (ended, told) = (&mut self.counters.flows.ended, self.told);
        self.table.expire(now, EXPIRE_LOOKS, |flow| {
            let reason = own_end(&flow).unwrap_or(EndReason::Idle);
            ended.count(reason);
            told.push_end(&flow, reason, events);
        })
    }

    /// Ends up to `most` flows because the program ends; a closed flow that only waited for late packets ends as
    /// what it is. Returns whether flows remain: they are not found any more, so no packet may come after this.
    pub fn finish(&mut self, most: usize, events: &mut Vec<Event>) -> bool {
        let (ended, told) = (&mut self.counters.flows.ended, self.told);
        self.table.drain(most, |flow| {
            let reason = own_end(&flow).unwrap_or(EndReason::Shutdown);
            ended.count(reason);
            told.push_end(&flow, reason, events);
        })
    }

    /// Returns the counters as of now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        counters.flows.live = self.table.len() as u64;
        counters
    }

    /// Returns what each rule in force has decided.
    #[must_use]
    pub fn rule_hits(&self) -> RuleHits {
        self.hits.snapshot(&self.policy)
    }

    /// Appends flows to `found`, up to `limit` of them in all, looking at no more than `looks` places of the table
    /// from place `from` on. Returns the place to go on from, `None` at the table's end: so a big table is read in
    /// slices between which packets are taken in.
    pub fn flows(
        &self,
        from: usize,
        looks: usize,
        filter: &FlowFilter,
        limit: usize,
        found: &mut Vec<FlowRecord>,
    ) -> Option<usize> {
        let room = limit.saturating_sub(found.len());
        let records = self.table.scan(from, looks).map(record_of);
        found.extend(records.filter(|flow| filter.accepts(flow)).take(room));
        let next = from.saturating_add(looks);
        (next < self.table.places() && found.len() < limit).then_some(next)
    }
}
