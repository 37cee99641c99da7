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

use std::hint::black_box;
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
use self::opening::{can_open, is_first_syn, opening_of};
use crate::classifier::{Decision, Policy};
use crate::flow::{Direction, FiveTuple, FlowKey, Sender, Timestamp};
use crate::flow_table::{Flow, FlowHash, FlowTable, Slot};
use crate::nsg::Access;
use crate::packet::{Fragment, Packet, PacketKind, Skip};

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

/// Packets whose flows [`Engine::observe_block`] fetches at once.
const BATCH: usize = 32;

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
        self.observe_located(now, direction, packet, self.locate(&packet.tuple), events);
    }

    /// Takes in the packets of one block, in order: the same as [`Self::observe`] for each, but the memory of many
    /// flows is fetched at once.
    pub fn observe_block(
        &mut self,
        packets: &[(Timestamp, Direction, Packet)],
        events: &mut Vec<Event>,
    ) {
        let mut located = Vec::with_capacity(BATCH);
        for batch in packets.chunks(BATCH) {
            located.clear();
            located.extend(batch.iter().map(|(_, _, packet)| self.locate(&packet.tuple)));
            // Reading places and then flows for their own sake: no read waits for another one.
            let mut slots = [None; BATCH];
            for (slot, located) in slots.iter_mut().zip(&located) {
                *slot = self.table.peek(located.hash);
            }
            let flows = slots.iter().flatten().filter_map(|slot| self.table.get(*slot));
            black_box(flows.fold(0, |all, flow| all ^ flow.touch()));
            for ((now, direction, packet), located) in batch.iter().zip(&located) {
                self.observe_located(*now, *direction, packet, *located, events);
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

    fn locate(&self, tuple: &FiveTuple) -> Located {
        let (key, sender) = FlowKey::with_sender(tuple);
        Located { hash: self.table.hash(&key), key, sender }
    }

    fn observe_located(
        &mut self,
        now: Timestamp,
        direction: Direction,
        packet: &Packet,
        located: Located,
        events: &mut Vec<Event>,
    ) {
        self.counters.packets += 1;
        self.counters.bytes += u64::from(packet.wire_length);
        match packet.fragment {
            Fragment::Whole => _ = self.track(now, direction, packet, located, events),
            Fragment::First(id) => {
                let tuple = self.track(now, direction, packet, located, events);
                let forgot = self.fragments.remember(now.monotonic_ns, id, tuple);
                self.counters.fragments.forgotten += u64::from(forgot);
            }
            Fragment::Later(id) => {
                let first = self.fragments.tuple_of(now.monotonic_ns, &id);
                if first.is_some_and(|tuple| self.attach(now, &tuple, packet)) {
                    self.counters.fragments.joined += 1;
                } else {
                    self.counters.fragments.undecided += 1;
                }
            }
        }
    }

    /// Finds the packet's flow or opens one. Returns the tuple under which the packet was counted.
    fn track(
        &mut self,
        now: Timestamp,
        direction: Direction,
        packet: &Packet,
        located: Located,
        events: &mut Vec<Event>,
    ) -> FiveTuple {
        if let PacketKind::IcmpError { quoted } = packet.kind {
            // It travels towards the source of the packet it quotes, as a reply would.
            if let Some(reply) = quoted.map(FiveTuple::reversed)
                && self.attach(now, &reply, packet)
            {
                self.counters.icmp_errors.attached += 1;
                return reply;
            }
            self.counters.icmp_errors.unattached += 1;
        }
        let sender = located.sender;
        let known = self.table.find(located.hash, &located.key);
        match known.map(|slot| (slot, self.meet(slot, direction, packet, sender))) {
            None => self.open(now, direction, packet, located, events),
            Some((slot, Meeting::Belongs)) => self.count(now, slot, sender, packet),
            Some((slot, Meeting::OpensAnother(reason))) => {
                if let Some(flow) = self.table.remove(slot) {
                    self.end(&flow, reason, events);
                }
                self.open(now, direction, packet, located, events);
            }
            Some((slot, Meeting::JudgedOtherwise(judgment, opened, decision))) => {
                self.hits.count(opened, decision, now.unix_ns);
                self.restart(now, slot, judgment, events);
                self.count(now, slot, sender, packet);
                self.announce(slot, events);
            }
        }
        packet.tuple
    }

    /// Says what a packet means for the flow that it has the key of.
    fn meet(
        &mut self,
        slot: Slot,
        direction: Direction,
        packet: &Packet,
        sender: Sender,
    ) -> Meeting {
        let Some(flow) = self.table.get_mut(slot) else { return Meeting::Belongs };
        if flow.is_closed() && is_first_syn(packet.kind) {
            return Meeting::OpensAnother(own_end(flow).unwrap_or(EndReason::Superseded));
        }
        let is_memory = flow.value.is_denial() || self.judge_allowed_again;
        let again = (flow.value.generation != self.generation && is_memory).then(|| {
            let opened = flow.opening().direction;
            let decision = self.policy.decide(opened, &flow.tuple());
            let verdict = self.policy.verdict(opened, decision);
            let judgment =
                Judgment { tcp: flow.value.tcp, ..Judgment::new(verdict, self.generation) };
            (judgment, opened, decision)
        });
        // The judgment holds a counted reference that other threads share: it is looked at, and not cloned.
        let judgment = again.as_ref().map_or(&flow.value, |(judgment, ..)| judgment);
        let from_other_side = sender != flow.opening().initiator;
        let asks_for_its_own =
            judgment.is_denial() && !judgment.reverse_denied && from_other_side && can_open(packet);
        if asks_for_its_own
            && self.policy.decide(direction, &packet.tuple).access() == Access::Allow
        {
            let was_denied = flow.is_denied();
            return Meeting::OpensAnother(if was_denied {
                EndReason::Superseded
            } else {
                EndReason::PolicyChange
            });
        }
        if let Some((mut judgment, opened, decision)) = again {
            judgment.reverse_denied = asks_for_its_own;
            if !judgment.says_the_same_as(&flow.value) {
                return Meeting::JudgedOtherwise(judgment, opened, decision);
            }
            flow.value = judgment;
        } else if asks_for_its_own {
            flow.value.reverse_denied = true;
        }
        Meeting::Belongs
    }

    /// Opens a flow with its first packet.
    fn open(
        &mut self,
        now: Timestamp,
        direction: Direction,
        packet: &Packet,
        Located { key, sender, hash }: Located,
        events: &mut Vec<Event>,
    ) {
        let opening = opening_of(direction, packet, sender);
        let tuple = key.tuple_from(opening.initiator);
        let decision = self.policy.decide(opening.direction, &tuple);
        let verdict = self.policy.verdict(opening.direction, decision);
        self.hits.count(opening.direction, decision, now.unix_ns);
        let judgment = Judgment::new(verdict, self.generation);
        let denied = judgment.is_denial();
        let (slot, evicted) = self.table.insert(now, (hash, key), opening, denied, judgment);
        if let Some(flow) = evicted {
            self.end(&flow, EndReason::Evicted, events);
        }
        self.count(now, slot, sender, packet);
        self.announce(slot, events);
    }

    /// Ends a flow that is judged otherwise now, and begins another in its place: same ends, same connection.
    fn restart(&mut self, now: Timestamp, slot: Slot, judgment: Judgment, events: &mut Vec<Event>) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        self.told.push_end(flow, EndReason::PolicyChange, events);
        let denied = judgment.is_denial();
        flow.value = judgment;
        flow.restart(now);
        self.table.set_denied(slot, denied);
        self.counters.flows.ended.count(EndReason::PolicyChange);
    }

    /// Tells of a flow that has just been opened by its first packet.
    fn announce(&mut self, slot: Slot, events: &mut Vec<Event>) {
        if let Some(flow) = self.table.get(slot) {
            self.counters.flows.created += 1;
            self.counters.verdicts.count(flow.value.access);
            self.told.push_start(flow, events);
        }
    }

    fn end(&mut self, flow: &Flow<Judgment>, reason: EndReason, events: &mut Vec<Event>) {
        self.counters.flows.ended.count(reason);
        self.told.push_end(flow, reason, events);
    }

    /// Counts a packet in the flow of another tuple than its own; says whether there is one.
    fn attach(&mut self, now: Timestamp, tuple: &FiveTuple, packet: &Packet) -> bool {
        let Located { key, sender, hash } = self.locate(tuple);
        let found = self.table.find(hash, &key);
        let flow = found.and_then(|slot| self.table.get_mut(slot));
        if let Some(flow) = flow {
            flow.count(now, sender, packet.wire_length);
            return true;
        }
        false
    }

    fn count(&mut self, now: Timestamp, slot: Slot, sender: Sender, packet: &Packet) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        flow.count(now, sender, packet.wire_length);
        if let PacketKind::Tcp(flags) = packet.kind {
            let from_initiator = sender == flow.opening().initiator;
            flow.value.tcp = flow.value.tcp.after(flags, from_initiator);
            if flow.value.tcp.is_over() && !flow.is_closed() {
                self.table.close(slot);
            }
        }
    }
}

/// A tuple's key, which end sends it, and where its flow is to be looked for.
#[derive(Debug, Clone, Copy)]
struct Located {
    key: FlowKey,
    sender: Sender,
    hash: FlowHash,
}

/// What a packet means for the flow that it has the key of.
enum Meeting {
    /// It belongs to the flow.
    Belongs,
    /// It ends the flow, for this reason, and opens another.
    OpensAnother(EndReason),
    /// The rules that are in force now say something else of the flow, which was opened in this direction.
    JudgedOtherwise(Judgment, Direction, Decision),
}
