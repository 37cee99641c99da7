//! The table against a list that does everything the slow way.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::flow::{Direction, FiveTuple, Ports};

const TICK_NS: u64 = 1 << TICK_SHIFT;

fn at(monotonic_ns: u64) -> Timestamp {
    Timestamp { monotonic_ns, unix_ns: monotonic_ns + 1_700_000_000_000_000_000 }
}

fn tuple(number: u16, protocol: Protocol) -> FiveTuple {
    FiveTuple {
        protocol,
        source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4)),
        destination: IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1)),
        ports: Ports::Pair { source: 1000 + number, destination: 443 },
    }
}

fn short_timeouts() -> Timeouts {
    let seconds = Duration::from_secs;
    Timeouts { tcp: seconds(600), udp: seconds(3), other: seconds(2), closed: seconds(1) }
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
    value: u32,
}

impl Known {
    fn timeout(&self, timeouts: Timeouts) -> u64 {
        let timeout = match self.key.protocol() {
            _ if self.closed => timeouts.closed,
            Protocol::TCP => timeouts.tcp,
            Protocol::UDP => timeouts.udp,
            _ => timeouts.other,
        };
        u64::try_from(timeout.as_nanos()).unwrap()
    }

    /// Lower goes earlier.
    fn eviction_rank(&self) -> (u8, u64) {
        let group = match (self.denied, self.closed) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        (group, tick_of(self.last))
    }

    fn assert_is(&self, flow: &Flow<u32>) {
        assert_eq!(flow.key, self.key);
        assert_eq!(flow.value, self.value);
        assert_eq!((flow.is_denied(), flow.is_closed()), (self.denied, self.closed));
        assert_eq!((flow.first(), flow.last()), (at(self.first), at(self.last)));
        assert_eq!([flow.to_destination(), flow.to_source()], self.traffic);
    }
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Packet { number: u16, protocol: Protocol, reply: bool, bytes: u32, denied: bool },
    Close { number: u16, protocol: Protocol },
    SetDenied { number: u16, protocol: Protocol, denied: bool },
    Remove { number: u16, protocol: Protocol },
    Wait { nanoseconds: u64 },
    Expire,
}

fn operation() -> impl Strategy<Value = Operation> {
    let protocol = prop_oneof![Just(Protocol::TCP), Just(Protocol::UDP), Just(Protocol::ESP)];
    let flow = (0_u16..12, protocol);
    prop_oneof![
        8 => (flow.clone(), any::<bool>(), 60_u32..1500, any::<bool>()).prop_map(
            |((number, protocol), reply, bytes, denied)| Operation::Packet {
                number, protocol, reply, bytes, denied
            }
        ),
        1 => flow.clone().prop_map(|(number, protocol)| Operation::Close { number, protocol }),
        1 => (flow.clone(), any::<bool>()).prop_map(|((number, protocol), denied)| {
            Operation::SetDenied { number, protocol, denied }
        }),
        1 => flow.prop_map(|(number, protocol)| Operation::Remove { number, protocol }),
        3 => prop_oneof![
            9 => 0..TICK_NS * 4,
            1 => 0..TICK_NS * 3000,
        ].prop_map(|nanoseconds| Operation::Wait { nanoseconds }),
        2 => Just(Operation::Expire),
    ]
}

/// Table and model side by side.
struct Pair {
    table: FlowTable<u32>,
    model: Vec<Known>,
    max_flows: usize,
    now: u64,
    created: usize,
    ended: usize,
}

impl Pair {
    fn find(&self, number: u16, protocol: Protocol) -> (Option<Slot>, Option<usize>) {
        let key = FlowKey::from(&tuple(number, protocol));
        let slot = self.table.find(self.table.hash(&key), &key);
        (slot, self.model.iter().position(|known| known.key == key))
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Packet { number, protocol, reply, bytes, denied } => {
                self.packet(number, protocol, reply, bytes, denied);
            }
            Operation::Close { number, protocol } => {
                if let (Some(slot), Some(known)) = self.find(number, protocol) {
                    self.table.close(slot);
                    self.model[known].closed = true;
                    self.see(slot, known);
                }
            }
            Operation::SetDenied { number, protocol, denied } => {
                if let (Some(slot), Some(known)) = self.find(number, protocol) {
                    self.table.set_denied(slot, denied);
                    self.model[known].denied = denied;
                    self.see(slot, known);
                }
            }
            Operation::Remove { number, protocol } => {
                if let (Some(slot), Some(known)) = self.find(number, protocol) {
                    let flow = self.table.remove(slot).unwrap();
                    self.model.swap_remove(known).assert_is(&flow);
                    self.ended += 1;
                }
            }
            Operation::Wait { nanoseconds } => self.now += nanoseconds,
            Operation::Expire => self.expire(),
        }
        self.assert_equal();
    }

    /// Counts the packet that was the reason to change a flow's class.
    fn see(&mut self, slot: Slot, known: usize) {
        let flow = self.table.get_mut(slot).unwrap();
        let initiator = flow.opening().initiator;
        flow.count(at(self.now), initiator, 60);
        self.model[known].last = self.now;
        self.model[known].traffic[0].add(60);
    }

    fn packet(&mut self, number: u16, protocol: Protocol, reply: bool, bytes: u32, denied: bool) {
        let tuple = tuple(number, protocol);
        let (key, initiator) = FlowKey::with_sender(&tuple);
        let hash = self.table.hash(&key);
        let found = self.table.find(hash, &key);
        let known = self.model.iter().position(|known| known.key == key);
        assert_eq!(found.is_some(), known.is_some());
        let slot = found.unwrap_or_else(|| {
            let value = u32::try_from(self.created).unwrap();
            self.created += 1;
            let full = self.model.len() == self.max_flows;
            let opening = Opening { initiator, direction: Direction::Outbound, midstream: false };
            let now = at(self.now);
            let (slot, evicted) = self.table.insert(now, (hash, key), opening, denied, value);
            assert_eq!(evicted.is_some(), full);
            if let Some(evicted) = evicted {
                self.evicted(&evicted);
            }
            self.model.push(Known {
                key,
                denied,
                closed: false,
                first: self.now,
                last: self.now,
                traffic: [Traffic::default(); 2],
                value,
            });
            slot
        });
        let sender = if reply { initiator.other() } else { initiator };
        self.table.get_mut(slot).unwrap().count(at(self.now), sender, bytes);
        let known = self.model.iter_mut().find(|known| known.key == key).unwrap();
        known.last = self.now;
        known.traffic[usize::from(reply)].add(bytes);
    }

    fn evicted(&mut self, flow: &Flow<u32>) {
        let position = self.model.iter().position(|known| known.key == flow.key).unwrap();
        let victim = self.model.swap_remove(position);
        victim.assert_is(flow);
        let first = self.model.iter().map(Known::eviction_rank).min();
        // Which one is the oldest is exact only while no flow is older than the rings reach back.
        let is_exact = tick_of(self.now) < 1000;
        let rank = |(group, tick): (u8, u64)| (group, if is_exact { tick } else { 0 });
        assert!(
            first.is_none_or(|first| rank(victim.eviction_rank()) <= rank(first)),
            "{victim:?}"
        );
        self.ended += 1;
    }

    fn expire(&mut self) {
        let (now, mut ended) = (at(self.now), Vec::new());
        while self.table.expire(now, 3, |flow| ended.push(flow)) {}
        for flow in ended {
            let position = self.model.iter().position(|known| known.key == flow.key).unwrap();
            let known = self.model.swap_remove(position);
            known.assert_is(&flow);
            assert!(known.last + known.timeout(short_timeouts()) <= self.now, "too early");
            self.ended += 1;
        }
        for known in &self.model {
            let latest = known.last + known.timeout(short_timeouts()) + TICK_NS;
            assert!(self.now < latest, "too late: {known:?}");
        }
    }

    fn assert_equal(&self) {
        assert_eq!(self.table.len(), self.model.len());
        assert_eq!(self.created, self.table.len() + self.ended, "created = live + ended");
        assert_eq!(self.table.scan(0, usize::MAX).count(), self.model.len());
        for known in &self.model {
            let slot = self.table.find(self.table.hash(&known.key), &known.key).unwrap();
            known.assert_is(self.table.get(slot).unwrap());
        }
    }
}

proptest! {
    #[test]
    fn the_table_equals_a_list_that_does_everything_the_slow_way(
        max_flows in 1_usize..16,
        seed in any::<u64>(),
        operations in prop::collection::vec(operation(), 0..200),
    ) {
        let mut pair = Pair {
            table: FlowTable::new(max_flows, short_timeouts(), seed),
            model: Vec::new(),
            max_flows,
            now: 0,
            created: 0,
            ended: 0,
        };
        for operation in operations {
            pair.apply(operation);
        }
        let mut drained = 0;
        while pair.table.drain(2, |_| drained += 1) {}
        prop_assert_eq!(drained, pair.model.len());
        prop_assert!(pair.table.is_empty());
    }
}

#[test]
fn a_flow_takes_128_bytes_with_16_bytes_of_judgment() {
    assert_eq!(size_of::<Option<Flow<[u64; 2]>>>(), 128);
}

#[test]
fn an_active_flow_outlives_a_flood_of_new_ones() {
    let mut table = FlowTable::new(64, Timeouts::default(), 7);
    let insert = |table: &mut FlowTable<()>, number, now| {
        let (key, initiator) = FlowKey::with_sender(&tuple(number, Protocol::TCP));
        let opening = Opening { initiator, direction: Direction::Inbound, midstream: false };
        let hash = table.hash(&key);
        match table.find(hash, &key) {
            Some(slot) => table.get_mut(slot).unwrap().count(at(now), initiator, 60),
            None => _ = table.insert(at(now), (hash, key), opening, false, ()),
        }
        table.len()
    };
    insert(&mut table, 0, 0);
    for number in 1..5000 {
        // 64 flows are as many as come in 32 ticks; the first flow is seen in each.
        let now = u64::from(number) * TICK_NS / 2;
        assert!(insert(&mut table, number, now) <= 64);
        insert(&mut table, 0, now);
    }
    let (key, _) = FlowKey::with_sender(&tuple(0, Protocol::TCP));
    let slot = table.find(table.hash(&key), &key).unwrap();
    assert_eq!(table.get(slot).unwrap().to_destination().packets, 4999);
}

#[test]
fn a_table_asked_for_no_flow_at_all_keeps_one() {
    let mut table = FlowTable::new(0, Timeouts::default(), 7);
    for number in 0..3 {
        let (key, initiator) = FlowKey::with_sender(&tuple(number, Protocol::UDP));
        let opening = Opening { initiator, direction: Direction::Inbound, midstream: false };
        let (_, evicted) = table.insert(at(0), (table.hash(&key), key), opening, true, number);
        assert_eq!(evicted.map(|flow| flow.value), number.checked_sub(1));
        assert_eq!(table.len(), 1);
    }
}
