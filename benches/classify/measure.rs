//! The tables: look-up, build time, memory, IPv6, growth.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Instant;

use nsgwatch::classifier::Policy;
use nsgwatch::flow::{Direction, FiveTuple};
use nsgwatch::nsg::{
    AddressPrefix, AppliedRules, NetworkSecurityGroup, SecurityRule, default_security_rules,
    evaluate,
};

use crate::random::Random;
use crate::real;
use crate::rte_acl::RteAcl;
use crate::sets::{Family, SETS, Set, named};
use crate::traces::{Boxes, Packet, PacketV4, PacketV6};

const TRACES: [&str; 3] = ["uniform", "zipf", "miss"];
/// Packets of a trace.
const PACKETS: usize = 500_000;
/// The oracle is slow: it sees only so many packets of a trace.
const LINEAR_PACKETS: usize = 20_000;

/// Measures everything, each figure from so many passes.
pub(crate) fn tables(passes: usize, only: Option<&str>) {
    let driver = std::env::var_os("RTE_ACL_DRIVER").map(PathBuf::from);
    if driver.is_none() {
        eprintln!("SKIPPED: rte_acl (RTE_ACL_DRIVER is not set; see benches/classify.sh)");
    }
    println!(
        "\nLook-up, ns a packet (median; rte_acl: AVX2, batches of 32; nsgwatch, linear: single calls)\n"
    );
    println!(
        "| set | trace | nsgwatch | fastest pass | with rule names | rte_acl | fastest pass | linear | rte_acl / nsgwatch | linear / nsgwatch | IPv6 | IPv6 / IPv4 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut loads = Vec::new();
    for set in named(only) {
        loads.push(one_set(set, driver.as_ref().filter(|_| set.acl), passes));
    }
    println!("\nBuild and memory of one direction (median of {passes} builds)\n");
    println!("| set | build ms | KiB | rte_acl build ms | rte_acl KiB |\n|---|---|---|---|---|");
    for line in &loads {
        println!("{line}");
    }
    if only.is_none() {
        growth(passes);
        layers(passes);
        real::machine(passes);
    }
}

struct Engine<P> {
    policy: Policy,
    traces: [Vec<FiveTuple>; 3],
    packed: [Vec<P>; 3],
}

impl<P: Packet> Engine<P> {
    fn new(rules: &AppliedRules, boxes: &Boxes) -> Self {
        let policy = Policy::compile(rules.clone(), 1).expect("the set fits the budget");
        let traces = [boxes.uniform(PACKETS, 11), boxes.zipf(PACKETS, 12), boxes.miss(PACKETS, 13)];
        let packed = traces.each_ref().map(|trace| trace.iter().map(P::pack).collect());
        Self { policy, traces, packed }
    }
}

fn one_set(set: &Set, driver: Option<&PathBuf>, passes: usize) -> String {
    let rules = (set.make)(Family::V4);
    let boxes = Boxes::new(&rules, Family::V4);
    let v4 = Engine::<PacketV4>::new(&rules, &boxes);
    let rules_v6 = (set.make)(Family::V6);
    let v6 = Engine::<PacketV6>::new(&rules_v6, &Boxes::new(&rules_v6, Family::V6));
    let mut acl = driver
        .map(|driver| RteAcl::start(driver, &boxes, &v4.traces.each_ref().map(Vec::as_slice)));
    for (number, name) in TRACES.iter().enumerate() {
        let trace = &v4.traces[number];
        let mut times: [Vec<f64>; 5] = Default::default();
        let mut acl_sum = None;
        for _ in 0..passes {
            times[0].push(decide_all(&v4.policy, &v4.packed[number]));
            if let Some(acl) = &mut acl {
                let (ns, sum) = acl.pass(number);
                times[1].push(ns);
                acl_sum = Some(sum);
            }
            times[2].push(classify_all(&v4.policy, &v4.packed[number]));
            times[3].push(decide_all(&v6.policy, &v6.packed[number]));
            times[4].push(evaluate_all(&rules, trace));
        }
        if let Some(acl_sum) = acl_sum {
            assert_eq!(acl_sum as u64, sum_of_priorities(&v4.policy, trace), "rte_acl disagrees");
        }
        let [own, acl, named, own_v6, linear] = times.map(Figure::of);
        println!(
            "| {} | {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            set.name,
            show(own.median),
            show(own.fastest),
            show(named.median),
            show(acl.median),
            show(acl.fastest),
            show(linear.median),
            show(acl.median / own.median),
            show(linear.median / own.median),
            show(own_v6.median),
            show(own_v6.median / own.median),
        );
    }
    let build = build_ms(&rules, passes);
    let kib = v4.policy.memory_bytes() as f64 / 1024.0;
    let acl = acl.map_or((f64::NAN, f64::NAN), |acl| (acl.build_ms, acl.kib));
    format!("| {} | {build:.2} | {kib:.0} | {} | {} |", set.name, show(acl.0), show(acl.1))
}

/// How look-up, build time and memory grow with the number of prefixes: 200 rules that share random prefixes.
pub(crate) fn growth(passes: usize) {
    println!("\nGrowth: 100 rules with random prefixes from /20 to /32\n");
    println!("| prefixes | look-up ns | build ms | KiB |\n|---|---|---|---|");
    for prefixes in [10, 100, 1000, 10_000, 100_000] {
        let rules = scattered(prefixes);
        let engine = Engine::<PacketV4>::new(&rules, &Boxes::new(&rules, Family::V4));
        let times = (0..passes).map(|_| decide_all(&engine.policy, &engine.packed[0])).collect();
        let build = build_ms(&rules, passes);
        let kib = engine.policy.memory_bytes() as f64 / 1024.0;
        println!("| {prefixes} | {} | {build:.2} | {kib:.0} |", show(Figure::of(times).median));
    }
}

fn scattered(prefixes: usize) -> AppliedRules {
    let random = &mut Random(7);
    let rules = prefixes.min(100);
    let mut rules: Vec<SecurityRule> = default_security_rules()
        .into_iter()
        .filter(|rule| rule.name == "DenyAllInBound")
        .cycle()
        .take(rules)
        .map(|rule| {
            let mut network = || {
                let address = Ipv4Addr::from_bits(random.bits() as u32);
                let length = random.within(20, 32) as u8;
                ipnet::IpNet::new(address.into(), length).expect("a length").trunc()
            };
            let source = (0..prefixes / rules).map(|_| AddressPrefix::Network(network())).collect();
            SecurityRule { source, ..rule }
        })
        .collect();
    rules.extend(default_security_rules());
    let nic = Some(NetworkSecurityGroup::new("growth", rules));
    AppliedRules { nic, ..AppliedRules::default() }
}

/// Both layers in one compile, against one of them.
fn layers(passes: usize) {
    println!("\nTwo layers, subnet and interface with the same rules, against one\n");
    println!("| set | one ns | two ns | ratio |\n|---|---|---|---|");
    for set in [&SETS[0], &SETS[3]] {
        let one = (set.make)(Family::V4);
        let two = AppliedRules { subnet: one.nic.clone(), ..one.clone() };
        let engine = Engine::<PacketV4>::new(&one, &Boxes::new(&one, Family::V4));
        let both = Policy::compile(two, 1).expect("the set fits the budget");
        let mut times: [Vec<f64>; 2] = Default::default();
        for _ in 0..passes {
            times[0].push(decide_all(&engine.policy, &engine.packed[0]));
            times[1].push(decide_all(&both, &engine.packed[0]));
        }
        let [one, two] = times.map(Figure::of);
        let ratio = two.median / one.median;
        println!(
            "| {} | {} | {} | {} |",
            set.name,
            show(one.median),
            show(two.median),
            show(ratio)
        );
    }
}

struct Figure {
    median: f64,
    fastest: f64,
}

impl Figure {
    fn of(mut passes: Vec<f64>) -> Self {
        passes.sort_by(f64::total_cmp);
        let at = |index: usize| passes.get(index).copied().unwrap_or(f64::NAN);
        Self { median: at(passes.len() / 2), fastest: at(0) }
    }
}

fn show(figure: f64) -> String {
    match figure {
        nan if nan.is_nan() => "-".to_owned(),
        large if large >= 100.0 => format!("{large:.0}"),
        small => format!("{small:.1}"),
    }
}

fn decide_all<P: Packet>(policy: &Policy, trace: &[P]) -> f64 {
    per_packet(trace.len(), || {
        for packet in trace {
            let _ = black_box(policy.decide(Direction::Inbound, &packet.tuple()));
        }
    })
}

fn classify_all<P: Packet>(policy: &Policy, trace: &[P]) -> f64 {
    per_packet(trace.len(), || {
        for packet in trace {
            let _ = black_box(policy.classify(Direction::Inbound, &packet.tuple()));
        }
    })
}

fn evaluate_all(rules: &AppliedRules, trace: &[FiveTuple]) -> f64 {
    let some = &trace[..LINEAR_PACKETS.min(trace.len())];
    per_packet(some.len(), || {
        for tuple in some {
            let _ = black_box(evaluate(rules, Direction::Inbound, tuple));
        }
    })
}

fn per_packet(packets: usize, pass: impl FnOnce()) -> f64 {
    let start = Instant::now();
    pass();
    start.elapsed().as_nanos() as f64 / packets as f64
}

fn sum_of_priorities(policy: &Policy, trace: &[FiveTuple]) -> u64 {
    let priority = |tuple| {
        let verdict = policy.classify(Direction::Inbound, tuple);
        verdict.rule.map_or(0, |rule| u64::from(rule.priority.0))
    };
    trace.iter().map(priority).sum()
}

/// Returns the median time of so many builds, in milliseconds.
pub(crate) fn build_ms(rules: &AppliedRules, passes: usize) -> f64 {
    let times = (0..passes).map(|_| {
        let rules = rules.clone();
        let start = Instant::now();
        let policy = Policy::compile(rules, 1);
        let elapsed = start.elapsed().as_secs_f64() * 1000.0;
        black_box(policy.is_ok());
        elapsed
    });
    Figure::of(times.collect()).median
}
