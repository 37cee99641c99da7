//! The Linux kernel as an independent judge: random groups become nftables rules in a namespace of their own,
//! packets at the edges of every prefix and port range go through them, and the kernel's answer, rule by rule, must
//! be the product's.
//!
//! A run prints its seed; `NSGWATCH_SEED` repeats it.
//!
//! - `written`: random groups, kept as they were written.
//! - `translation`: the same as nftables rules.
//! - `probes`: packets at the edges; `frames`: their bytes.
//! - `gate`: the kernel; `packet_log`: how it says which rule a packet met.
//! - `conversations`: packets that follow one another, for the stateful half.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly, like the tests themselves"
)]

mod conversations;
mod frames;
mod gate;
#[path = "../netns/mod.rs"]
mod netns;
mod packet_log;
mod probes;
mod translation;
mod written;

use std::env;

use fastrand::Rng;
use ipnet::IpNet;
use nsgwatch::classifier::Policy;
use nsgwatch::nsg::{AddressPrefix, AppliedRules, PortRange, evaluate};
use nsgwatch::packet::{self, LinkType};

use frames::{Content, frame};
use gate::{Answer, Gate};
use probes::Probe;
use translation::{State, Translation};
use written::{WrittenRule, WrittenRules};

/// Packets that each half compares in a run, at least.
const ENOUGH: usize = 40_000;

/// Makes the run's random numbers and says how to have them again.
fn random(test: &str) -> Rng {
    let seed =
        env::var("NSGWATCH_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("{test}: NSGWATCH_SEED={seed}");
    Rng::with_seed(seed)
}

fn compile(rules: &AppliedRules) -> Policy {
    Policy::compile(rules.clone(), 1).unwrap()
}

/// Sends each packet through the kernel's rules and asks both ways of ours. Returns what differs.
fn differences(gate: &mut Gate, rules: &AppliedRules, probes: &[Probe]) -> Vec<String> {
    let numbered = probes.iter().zip(0..);
    let frames: Vec<_> = numbered
        .map(|(probe, number)| (probe.direction, frame(&probe.tuple, &Content::Plain, number)))
        .collect();
    let kernels = gate.ask(&frames);
    let policy = compile(rules);
    let mut differences = Vec::new();
    for (probe, ((direction, frame), kernel)) in probes.iter().zip(frames.iter().zip(kernels)) {
        let length = u32::try_from(frame.len()).unwrap();
        let tuple = packet::parse(LinkType::Ethernet, frame, length).unwrap().tuple;
        assert_eq!(tuple, probe.tuple);
        let oracle = Answer::of(&evaluate(rules, *direction, &tuple));
        let compiled = Answer::of(&policy.classify(*direction, &tuple));
        if oracle != kernel || compiled != kernel {
            differences.push(format!(
                "{direction} {tuple}: kernel {kernel:?}, evaluate {oracle:?}, compiled {compiled:?}"
            ));
        }
    }
    differences
}

fn assert_none(differences: &[String]) {
    let first = differences.iter().take(5).fold(String::new(), |all, one| all + "\n" + one);
    assert!(differences.is_empty(), "{} differences:{first}", differences.len());
}

#[test]
fn every_verdict_and_rule_is_the_kernels_at_every_edge() {
    let Some(mut gate) = Gate::open() else { return };
    let mut rng = random("stateless");
    let mut packets = 0;
    while packets < ENOUGH {
        let rules = WrittenRules::random(&mut rng);
        gate.load(Translation::of(&rules, State::Without));
        let mut probes = probes::at_the_edges(&rules, &mut rng);
        probes.retain(Probe::reaches_the_rules);
        assert_none(&differences(&mut gate, &rules.applied(), &probes));
        packets += probes.len();
    }
    eprintln!("stateless: {packets} packets, 0 differences");
}

#[test]
fn every_packet_of_a_conversation_is_judged_as_by_the_kernels_connection_tracking() {
    let mut rng = random("stateful");
    let (mut packets, mut established) = (0, 0);
    while packets < ENOUGH {
        let Some(mut gate) = Gate::open() else { return };
        let rules = WrittenRules::random(&mut rng);
        gate.load(Translation::of(&rules, State::With));
        let probes = probes::at_the_edges(&rules, &mut rng);
        let conversations = conversations::begin(&mut rng, probes);
        let comparison =
            conversations::compare(&mut gate, conversations, compile(&rules.applied()));
        assert_none(&comparison.differences);
        packets += comparison.packets;
        established += comparison.established;
    }
    assert!(established > packets / 10, "{established} of {packets} belong to a connection");
    eprintln!("stateful: {packets} packets, {established} established, 0 differences");
}

/// What is wrong, and how to make it so.
type Fault = (&'static str, fn(&mut WrittenRules));

/// Mistakes that a translation, or a product, could make.
const FAULTS: [Fault; 6] = [
    ("each range of ports is one port later", |rules| {
        change_ports(rules, |range| PortRange {
            first: range.first.saturating_add(1),
            last: range.last.saturating_add(1),
        });
    }),
    ("each range of ports lacks its last port", |rules| {
        change_ports(rules, |range| PortRange {
            last: range.first.max(range.last.saturating_sub(1)),
            ..range
        });
    }),
    ("each prefix is one bit longer", |rules| {
        change_networks(rules, |network| network.prefix_len().saturating_add(1));
    }),
    ("each prefix is one bit shorter", |rules| {
        change_networks(rules, |network| network.prefix_len().saturating_sub(1));
    }),
    ("the groups are asked in the wrong order", |rules| rules.groups.reverse()),
    ("one rule in ten is missing", |rules| {
        for (_, written) in &mut rules.groups {
            let mut number = 0;
            written.retain(|_| {
                number += 1;
                number % 10 != 0
            });
        }
    }),
];

fn each_rule(rules: &mut WrittenRules) -> impl Iterator<Item = &mut WrittenRule> {
    rules.groups.iter_mut().flat_map(|(_, written)| written)
}

fn change_ports(rules: &mut WrittenRules, change: impl Fn(PortRange) -> PortRange) {
    for written in each_rule(rules) {
        let ranges = written.source_ports.iter_mut().chain(&mut written.destination_ports);
        ranges.filter(|range| **range != PortRange::ANY).for_each(|range| *range = change(*range));
    }
}

fn change_networks(rules: &mut WrittenRules, length: impl Fn(IpNet) -> u8) {
    for written in each_rule(rules) {
        let fields = [&mut written.rule.source, &mut written.rule.destination];
        for prefix in fields.into_iter().flatten() {
            if let AddressPrefix::Network(network) = prefix {
                let length = length(*network).min(network.max_prefix_len());
                *network = IpNet::new(network.addr(), length).unwrap();
            }
        }
    }
}

fn two_groups(rng: &mut Rng) -> WrittenRules {
    loop {
        let rules = WrittenRules::random(rng);
        if rules.groups.len() == 2 {
            return rules;
        }
    }
}

#[test]
fn a_planted_fault_is_found() {
    let Some(mut gate) = Gate::open() else { return };
    let mut rng = random("faults");
    let rules = two_groups(&mut rng);
    let mut probes = probes::at_the_edges(&rules, &mut rng);
    probes.retain(Probe::reaches_the_rules);
    for (fault, plant) in FAULTS {
        let mut faulty = rules.clone();
        plant(&mut faulty);
        gate.load(Translation::of(&faulty, State::Without));
        let found = differences(&mut gate, &rules.applied(), &probes).len();
        eprintln!("{fault}: {found} of {} packets differ", probes.len());
        assert!(found > 0, "nobody notices that {fault}");
    }
}

#[test]
fn a_kernel_that_forgets_connections_is_found() {
    let Some(mut gate) = Gate::open() else { return };
    let mut rng = random("stateless kernel");
    let rules = two_groups(&mut rng);
    gate.load(Translation::of(&rules, State::Without));
    let probes = probes::at_the_edges(&rules, &mut rng);
    let conversations = conversations::begin(&mut rng, probes);
    let comparison = conversations::compare(&mut gate, conversations, compile(&rules.applied()));
    let found = comparison.differences.len();
    eprintln!("without connections: {found} of {} packets differ", comparison.packets);
    assert!(found > 0);
}
