//! Single cases. The law, the table against a list that does everything the slow way, stands in `tests/hostile.rs`,
//! which shares its model with the fuzzer.

use std::net::{IpAddr, Ipv4Addr};

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
