//! What becomes of one packet: it belongs to a flow, opens one, or ends one and opens another.
//!
//! In come packets whose flows have been located; out go events. The rules about state that are followed here are those
//! of the [engine](super).

use super::judgment::{Judgment, own_end};
use super::opening::{can_open, is_first_syn, opening_of};
use super::{EndReason, Engine, Event};
use crate::classifier::Decision;
use crate::flow::{Direction, FiveTuple, FlowKey, Sender, Timestamp};
use crate::flow_table::{Flow, FlowHash, Slot};
use crate::nsg::Access;
use crate::packet::{Fragment, Packet, PacketKind};

impl Engine {
    pub(super) fn locate(&self, tuple: &FiveTuple) -> Located {
        let (key, sender) = FlowKey::with_sender(tuple);
        Located { hash: self.table.hash(&key), key, sender }
    }

    /// Takes in one packet.
    pub(super) fn observe_located(&mut self, arrival: &Arrival<'_>, events: &mut Vec<Event>) {
        let &Arrival { now, packet, located, .. } = arrival;
        self.counters.packets += 1;
        self.counters.bytes += u64::from(packet.wire_length);
        match packet.fragment {
            Fragment::Whole => {
                if let Err(known) = self.count_known(arrival) {
                    self.track(arrival, known, events);
                }
            }
            Fragment::First(id) => {
                let known = self.table.find(located.hash, &located.key);
                let tuple = self.track(arrival, known, events);
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

    /// Counts the packet in the common case: its flow is known, and what was decided about it can not be in question. A
    /// short way to what [`Self::track`] would do; a function of its own, because nearly every packet takes it and the
    /// rest of `track` needs many registers.
    ///
    /// # Errors
    ///
    /// The case is another one; where the flow is known, its slot.
    #[inline(never)]
    fn count_known(
        &mut self,
        &Arrival { now, packet, located, .. }: &Arrival<'_>,
    ) -> Result<(), Option<Slot>> {
        let slot = self.table.find(located.hash, &located.key).ok_or(None)?;
        let flow = self.table.get(slot).ok_or(None)?;
        let holds = flow.value.holds(self.generation, self.judge_allowed_again);
        let asks_for_nothing =
            !flow.value.is_denial() || located.sender == flow.opening().initiator;
        let is_error = matches!(packet.kind, PacketKind::IcmpError { .. });
        if is_error || !holds || !asks_for_nothing || flow.is_closed() {
            return Err(Some(slot));
        }
        self.count(now, slot, located.sender, packet);
        Ok(())
    }

    /// Takes in a packet whose flow is known or not. Returns the tuple under which the packet was counted.
    fn track(
        &mut self,
        arrival: &Arrival<'_>,
        known: Option<Slot>,
        events: &mut Vec<Event>,
    ) -> FiveTuple {
        let &Arrival { now, packet, located, .. } = arrival;
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
        match known.map(|slot| (slot, self.meet(slot, arrival))) {
            None => self.open(arrival, events),
            Some((slot, Meeting::Belongs)) => self.count(now, slot, sender, packet),
            Some((slot, Meeting::OpensAnother(reason))) => {
                if let Some(flow) = self.table.remove(slot) {
                    self.end(&flow, reason, events);
                }
                self.open(arrival, events);
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
        &Arrival { direction, packet, located, .. }: &Arrival<'_>,
    ) -> Meeting {
        let Some(flow) = self.table.get_mut(slot) else { return Meeting::Belongs };
        if flow.is_closed() && is_first_syn(packet.kind) {
            return Meeting::OpensAnother(own_end(flow).unwrap_or(EndReason::Superseded));
        }
        let holds = flow.value.holds(self.generation, self.judge_allowed_again);
        let again = (!holds).then(|| {
            let opened = flow.opening().direction;
            let decision = self.policy.decide(opened, &flow.tuple());
            let verdict = self.policy.verdict(opened, decision);
            let judgment =
                Judgment { tcp: flow.value.tcp, ..Judgment::new(verdict, self.generation) };
            (judgment, opened, decision)
        });
        // The judgment holds a counted reference that other threads share: it is looked at, and not cloned.
        let judgment = again.as_ref().map_or(&flow.value, |(judgment, ..)| judgment);
        let from_other_side = located.sender != flow.opening().initiator;
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
        &Arrival { now, direction, packet, located }: &Arrival<'_>,
        events: &mut Vec<Event>,
    ) {
        let &Located { key, sender, hash } = located;
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

    #[inline]
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
pub(super) struct Located {
    key: FlowKey,
    sender: Sender,
    pub(super) hash: FlowHash,
}

/// A packet as it came, and where its flow is to be looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) now: Timestamp,
    pub(super) direction: Direction,
    pub(super) packet: &'a Packet,
    pub(super) located: &'a Located,
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
