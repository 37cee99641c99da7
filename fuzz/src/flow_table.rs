//! The flow table against a list that does everything the slow way.

use std::time::Duration;

use nsgwatch::flow::{Direction, FiveTuple, FlowKey, Ports, Protocol, Timestamp};
use nsgwatch::flow_table::{Flow, FlowTable, Opening, Slot, Timeouts, Traffic};

use super::bytes::Bytes;

/// How exact the table's times are: "about 0.3 s".
const TICK_NS: u64 = 1 << 28;
/// From this tick on some flow may be older than the table can order exactly: "about 275 s".
const EXACT_TICKS: u64 = 1000;
/// The most operations of one input.
const MOST_OPERATIONS: usize = 400;

/// The table's limit and its seed, then operations.
pub fn check(input: &[u8]) {
    let mut bytes = Bytes(input);
    let max_flows = usize::from(bytes.u8() % 15) + 1;
    let mut pair = Pair {
        table: FlowTable::new(max_flows, short_timeouts(), bytes.u64()),
        model: Vec::new(),
        max_flows,
        now: 0,
        created: 0,
        ended: 0,
    };
    for _ in 0..MOST_OPERATIONS {
        if bytes.is_empty() {
            break;
        }
        pair.apply(operation(&mut bytes));
    }
    let mut drained = 0;
    while pair.table.drain(2, |_| drained += 1) {}
    assert_eq!(drained, pair.model.len());
    assert!(pair.table.is_empty());
}

fn at(monotonic_ns: u64) -> Timestamp {
    Timestamp { monotonic_ns, unix_ns: monotonic_ns + 1_700_000_000_000_000_000 }
}

fn short_timeouts() -> Timeouts {
    let seconds = Duration::from_secs;
    Timeouts { tcp: seconds(600), udp: seconds(3), other: seconds(2), closed: seconds(1) }
}

/// One of few flows, so that they meet.
fn tuple(bytes: &mut Bytes<'_>) -> FiveTuple {
    let number = bytes.u8();
    FiveTuple {
        protocol: [Protocol::TCP, Protocol::UDP, Protocol::ESP][usize::from(number % 3)],
        source: [10, 0, 0, 4].into(),
        destination: [10, 0, 1, 1].into(),
        ports: Ports::Pair { source: 1000 + u16::from(number / 3) % 12, destination: 443 },
    }
}

/// What can be done to the table.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Packet { tuple: FiveTuple, reply: bool, bytes: u32, denied: bool },
    Close(FiveTuple),
    SetDenied(FiveTuple, bool),
    Remove(FiveTuple),
    Wait { nanoseconds: u64 },
    Expire,
}

fn operation(bytes: &mut Bytes<'_>) -> Operation {
    match bytes.u8() % 16 {
        0..=7 => {
            let (tuple, choice) = (tuple(bytes), bytes.u8());
            let (reply, denied) = (choice & 1 == 1, choice & 2 == 2);
            Operation::Packet { tuple, reply, bytes: 60 + u32::from(choice), denied }
        }
        8 => Operation::Close(tuple(bytes)),
        9 => Operation::SetDenied(tuple(bytes), bytes.bool()),
        10 => Operation::Remove(tuple(bytes)),
        11 | 12 => Operation::Wait { nanoseconds: u64::from(bytes.u16()) * (TICK_NS >> 14) },
        13 => Operation::Wait { nanoseconds: u64::from(bytes.u16() % 3000) * TICK_NS },
        _ => Operation::Expire,
    }
}

/// What the model knows of one flow.
#[derive(Debug, Clone)]
struct Known {
    key: FlowKey,
    denied: bool,
    closed: bool,
    first: u64,
    last: u64,
    traffic: [Traffic; 2],
    value: usize,
}

impl Known {
    fn timeout(&self) -> u64 {
        let timeouts = short_timeouts();
        let timeout = match self.key.protocol() {
            _ if self.closed => timeouts.closed,
            Protocol::TCP => timeouts.tcp,
            Protocol::UDP => timeouts.udp,
            _ => timeouts.other,
        };
        timeout.as_secs() * 1_000_000_000
    }

    /// Lower goes earlier.
    fn eviction_rank(&self) -> (u8, u64) {
        let group = match (self.denied, self.closed) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        (group, self.last / TICK_NS)
    }

    fn see(&mut self, now: u64, side: usize, bytes: u32) {
        self.last = now;
        self.traffic[side].packets += 1;
        self.traffic[side].bytes += u64::from(bytes);
    }

    fn assert_is(&self, flow: &Flow<usize>) {
        assert_eq!(FlowKey::from(&flow.tuple()), self.key);
        assert_eq!(flow.value, self.value);
        assert_eq!((flow.is_denied(), flow.is_closed()), (self.denied, self.closed));
        assert_eq!((flow.first(), flow.last()), (at(self.first), at(self.last)));
        assert_eq!([flow.to_destination(), flow.to_source()], self.traffic);
    }
}

/// Table and model side by side.
struct Pair {
    table: FlowTable<usize>,
    model: Vec<Known>,
    max_flows: usize,
    now: u64,
    created: usize,
    ended: usize,
}

impl Pair {
    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Packet { tuple, reply, bytes, denied } => {
                self.packet(&tuple, reply, bytes, denied);
            }
            Operation::Close(tuple) => {
                if let Some((slot, known)) = self.find(&tuple) {
                    self.table.close(slot);
                    self.model[known].closed = true;
                    self.see(slot, known);
                }
            }
            Operation::SetDenied(tuple, denied) => {
                if let Some((slot, known)) = self.find(&tuple) {
                    self.table.set_denied(slot, denied);
                    self.model[known].denied = denied;
                    self.see(slot, known);
                }
            }
            Operation::Remove(tuple) => {
                if let Some((slot, known)) = self.find(&tuple) {
                    let flow = self.table.remove(slot).expect("just found");
                    self.model.swap_remove(known).assert_is(&flow);
                    self.ended += 1;
                }
            }
            Operation::Wait { nanoseconds } => self.now += nanoseconds,
            Operation::Expire => self.expire(),
        }
        self.assert_equal();
    }

    /// Finds a flow in both, or in neither.
    fn find(&self, tuple: &FiveTuple) -> Option<(Slot, usize)> {
        let key = FlowKey::from(tuple);
        let slot = self.table.find(self.table.hash(&key), &key);
        let known = self.model.iter().position(|known| known.key == key);
        assert_eq!(slot.is_some(), known.is_some());
        slot.zip(known)
    }

    /// Counts the packet that was the reason to change a flow's class.
    fn see(&mut self, slot: Slot, known: usize) {
        let flow = self.table.get_mut(slot).expect("just found");
        let initiator = flow.opening().initiator;
        flow.count(at(self.now), initiator, 60);
        self.model[known].see(self.now, 0, 60);
    }

    fn packet(&mut self, tuple: &FiveTuple, reply: bool, bytes: u32, denied: bool) {
        let (_, initiator) = FlowKey::with_sender(tuple);
        let slot = match self.find(tuple) {
            Some((slot, _)) => slot,
            None => self.open(tuple, denied),
        };
        let sender = if reply { initiator.other() } else { initiator };
        self.table.get_mut(slot).expect("just found").count(at(self.now), sender, bytes);
        let (_, known) = self.find(tuple).expect("just put there");
        self.model[known].see(self.now, usize::from(reply), bytes);
    }

    fn open(&mut self, tuple: &FiveTuple, denied: bool) -> Slot {
        let (key, initiator) = FlowKey::with_sender(tuple);
        let (value, now) = (self.created, self.now);
        self.created += 1;
        let opening = Opening { initiator, direction: Direction::Outbound, midstream: false };
        let hash = self.table.hash(&key);
        let (slot, evicted) = self.table.insert(at(now), (hash, key), opening, denied, value);
        assert_eq!(evicted.is_some(), self.model.len() == self.max_flows);
        if let Some(evicted) = evicted {
            self.evicted(&evicted);
        }
        let traffic = [Traffic::default(); 2];
        self.model.push(Known {
            key,
            denied,
            closed: false,
            first: now,
            last: now,
            traffic,
            value,
        });
        slot
    }

    fn evicted(&mut self, flow: &Flow<usize>) {
        let victim = self.forget(flow);
        let first = self.model.iter().map(Known::eviction_rank).min();
        // Which one is the oldest is exact only while no flow is older than the table reaches back.
        let is_exact = self.now / TICK_NS < EXACT_TICKS;
        let rank = |(group, tick): (u8, u64)| (group, if is_exact { tick } else { 0 });
        assert!(
            first.is_none_or(|first| rank(victim.eviction_rank()) <= rank(first)),
            "{victim:?}"
        );
    }

    fn expire(&mut self) {
        let (now, mut ended) = (at(self.now), Vec::new());
        while self.table.expire(now, 3, |flow| ended.push(flow)) {}
        for flow in ended {
            let known = self.forget(&flow);
            assert!(known.last + known.timeout() <= self.now, "too early");
        }
        for known in &self.model {
            assert!(self.now < known.last + known.timeout() + TICK_NS, "too late: {known:?}");
        }
    }

    fn forget(&mut self, flow: &Flow<usize>) -> Known {
        let key = FlowKey::from(&flow.tuple());
        let position = self.model.iter().position(|known| known.key == key);
        let known = self.model.swap_remove(position.expect("the model knows all flows"));
        known.assert_is(flow);
        self.ended += 1;
        known
    }

    fn assert_equal(&self) {
        assert_eq!(self.table.len(), self.model.len());
        assert_eq!(self.created, self.table.len() + self.ended, "created = live + ended");
        assert_eq!(self.table.scan(0, usize::MAX).count(), self.model.len());
        for known in &self.model {
            let slot = self.table.find(self.table.hash(&known.key), &known.key).expect("is there");
            known.assert_is(self.table.get(slot).expect("is there"));
        }
    }
}
