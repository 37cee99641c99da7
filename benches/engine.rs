//! What a packet, a new flow and a record cost: `cargo bench --bench engine`.
//!
//! Prints nanoseconds (the median of several rounds) and the memory of a table full of flows. Without any rules, so
//! that the classifier is not measured.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring program")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use nsgwatch::classifier::Policy;
use nsgwatch::engine::{Engine, Event, Limits};
use nsgwatch::flow::{Direction, FiveTuple, Ports, Protocol, Timestamp};
use nsgwatch::nsg::{AppliedRules, NetworkSecurityGroup, ServiceTags};
use nsgwatch::packet::{Fragment, Packet, PacketKind, TcpFlags};
use nsgwatch::report::{JsonLines, TextLines};

const ROUNDS: usize = 9;
const PACKETS_A_ROUND: u32 = 1_000_000;
/// Packets taken in at once.
const BLOCK: u32 = 256;

fn main() {
    println!(
        "{:>10} {:>14} {:>14} {:>14} {:>12}",
        "flows", "new ns", "observe ns", "block ns", "bytes/flow"
    );
    for flows in [1_000, 100_000, 1_000_000] {
        let before = resident_bytes();
        let mut engine = engine(flows as usize, AppliedRules::default());
        let mut events = Vec::with_capacity(BLOCK as usize);
        let new = nanoseconds_each(flows, || open_all(&mut engine, flows, &mut events));
        let memory = (resident_bytes() - before) / u64::from(flows);
        let each = median(|| nanoseconds_each(PACKETS_A_ROUND, || known(&mut engine, flows)));
        let block =
            median(|| nanoseconds_each(PACKETS_A_ROUND, || known_by_block(&mut engine, flows)));
        println!("{flows:>10} {new:>14.1} {each:>14.1} {block:>14.1} {memory:>12}");
    }
    let made = median(|| {
        nanoseconds_each(PACKETS_A_ROUND, || {
            for number in numbers(1000).take(PACKETS_A_ROUND as usize) {
                black_box(packet(number));
            }
        })
    });
    println!("making a packet, contained in all of these: {made:.1} ns");
    let mut engine = engine(100_000, AppliedRules::default());
    let mut events = Vec::new();
    open_all(&mut engine, 100_000, &mut events);
    let mut next = 100_000;
    let churn = median(|| {
        nanoseconds_each(PACKETS_A_ROUND, || {
            for number in next..next + PACKETS_A_ROUND {
                engine.observe(now(), Direction::Inbound, &packet(number), &mut events);
                events.clear();
            }
            next += PACKETS_A_ROUND;
        })
    });
    println!("new flow in a full table of 100000, another evicted for it: {churn:.1} ns");
    records();
}

fn records() {
    let mut engine = engine(1000, default_rules());
    let mut events: Vec<Event> = Vec::new();
    for number in 0..1000 {
        engine.observe(now(), Direction::Inbound, &packet(number), &mut events);
    }
    while engine.finish(1000, &mut events) {}
    let (mut json, mut text) = (JsonLines::new("eth0"), TextLines::new(false, "eth0"));
    let mut out = String::with_capacity(1 << 20);
    let mut cost = |render: &mut dyn FnMut(&Event, &mut String)| {
        median(|| {
            nanoseconds_each(200 * 2000, || {
                for _ in 0..200 {
                    out.clear();
                    for event in &events {
                        render(event, &mut out);
                    }
                    black_box(&out);
                }
            })
        })
    };
    println!("JSON line: {:.1} ns", cost(&mut |event, out| json.render(event, out)));
    println!("text line: {:.1} ns", cost(&mut |event, out| text.render(event, out)));
}

/// The default rules, for records that name one.
fn default_rules() -> AppliedRules {
    AppliedRules {
        subnet: Some(NetworkSecurityGroup::with_defaults_only("nsg")),
        nic: None,
        service_tags: ServiceTags::new(["10.0.0.0/8".parse().unwrap()]),
        ..AppliedRules::default()
    }
}

fn engine(max_flows: usize, rules: AppliedRules) -> Engine {
    let policy = Arc::new(Policy::compile(rules, 1).unwrap());
    Engine::new(policy, Limits { max_flows, ..Limits::default() }, 0x5eed)
}

/// The SYN of a flow inside the virtual network: allowed.
fn packet(number: u32) -> Packet {
    let [_, b, c, d] = number.to_be_bytes();
    Packet {
        tuple: FiveTuple {
            protocol: Protocol::TCP,
            source: IpAddr::V4(Ipv4Addr::new(10, b, c, d)),
            destination: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4)),
            ports: Ports::Pair { source: 40_000, destination: 443 },
        },
        kind: PacketKind::Tcp(TcpFlags::SYN),
        fragment: Fragment::Whole,
        wire_length: 60,
    }
}

const fn now() -> Timestamp {
    Timestamp { monotonic_ns: 1_000_000_000, unix_ns: 1_767_225_600_000_000_000 }
}

fn open_all(engine: &mut Engine, flows: u32, events: &mut Vec<Event>) {
    for number in 0..flows {
        engine.observe(now(), Direction::Inbound, &packet(number), events);
        events.clear();
    }
}

/// Flow numbers in an order that no cache foresees.
fn numbers(flows: u32) -> impl Iterator<Item = u32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from(((state >> 32) * u64::from(flows)) >> 32).unwrap()
    })
}

fn known(engine: &mut Engine, flows: u32) {
    let mut events = Vec::new();
    for number in numbers(flows).take(PACKETS_A_ROUND as usize) {
        engine.observe(now(), Direction::Inbound, &packet(number), &mut events);
    }
    assert!(events.is_empty());
}

fn known_by_block(engine: &mut Engine, flows: u32) {
    let (mut events, mut block) = (Vec::new(), Vec::with_capacity(BLOCK as usize));
    for number in numbers(flows).take(PACKETS_A_ROUND as usize) {
        block.push((now(), Direction::Inbound, packet(number)));
        if block.len() == block.capacity() {
            engine.observe_block(&block, &mut events);
            block.clear();
        }
    }
    engine.observe_block(&block, &mut events);
    assert!(events.is_empty());
}

fn nanoseconds_each(count: u32, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| measure()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
