//! More packets than the agent can take, and packets that are made to fill its tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::agent::{Agent, Rules, group, rule};
use super::netns::{VM_INTERFACE, VethPair};
use super::{NOBODY, STRANGER, frame_sender, resident_kib, send, syn_frame, udp_frame};

const NO_RULES: Rules<'_> = Rules { subnet: None, nic: None };
/// Frames that the kernel sends of itself in the namespaces, at most.
const NOISE: u64 = 50;

/// Packets of an ended flow, both ways.
fn packets(end: &Value) -> u64 {
    ["packets.to_destination", "packets.to_source"]
        .iter()
        .map(|way| end[way].as_u64().unwrap())
        .sum()
}

#[test]
fn every_packet_that_finds_the_ring_full_is_counted() {
    const SENT: u64 = 60_000;
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_RULES, &["--ring-mib", "2"]);
    let mut sender = frame_sender(&pair);
    agent.signal(Signal::SIGSTOP);
    let frame = udp_frame(40_000, 9077);
    for _ in 0..SENT {
        send(&mut *sender, &frame);
    }
    agent.signal(Signal::SIGCONT);
    let kernel = |agent: &Agent, counter: &str| {
        agent.status()["interfaces"][0]["kernel"][counter].as_u64().unwrap()
    };
    agent.wait_until("all are counted", |agent| kernel(agent, "packets") >= SENT);
    assert!(kernel(&agent, "drops") > 0, "the ring was not too small");
    // The ring takes packets again.
    send(&mut *sender, &udp_frame(40_001, 9078));
    agent.wait_until("a packet is judged", |agent| {
        let flows = agent.ask("flows", &["--limit", "1000"]);
        flows["flows"].as_array().unwrap().iter().any(|flow| flow["destination.port"] == 9078)
    });
    let done = agent.stop();
    let (_, end) = done.flow(&json!({ "destination.port": 9077 }));
    let accounted = packets(end) + done.count("kernel_drops");
    assert!((SENT..SENT + NOISE).contains(&accounted), "{accounted} of {SENT}: {}", done.summary);
}

#[test]
fn a_flood_of_new_connections_takes_no_memory_and_no_established_flow() {
    const TABLE: u64 = 4000;
    let Some(pair) = VethPair::create() else { return };
    let rules = group("nic-nsg", &[rule("web", 100, "Inbound", "Allow", "*", "80")]);
    let rules = Rules { subnet: None, nic: Some(&rules) };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &rules, &["--max-flows", &TABLE.to_string()]);
    let mut sender = frame_sender(&pair);
    let marked = udp_frame(50_123, 80);
    let (mut marked_sent, mut sent, mut resident) = (0, 0, 0);
    // Allowed connections, so slowly that the table holds those of the last second; the marked flow goes on.
    for burst in 0..12 {
        send(&mut *sender, &marked);
        marked_sent += 1;
        for number in 0..1000 {
            send(&mut *sender, &syn_frame(burst * 1000 + number, 80));
            sent += 1;
        }
        thread::sleep(Duration::from_millis(300));
        if burst == 5 {
            resident = resident_kib(&agent);
        }
    }
    // Denied ones, as fast as can be; the marked flow is silent.
    for number in 0..20_000 {
        send(&mut *sender, &syn_frame(60_000 + number, 81));
        sent += 1;
    }
    agent.wait_for_flows(sent + 1);
    send(&mut *sender, &marked);
    marked_sent += 1;
    let flows = agent.status()["interfaces"][0]["engine"]["flows"].clone();
    let ended: u64 =
        flows["ended"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    let live = flows["live"].as_u64().unwrap();
    assert_eq!(flows["created"].as_u64().unwrap(), live + ended, "{flows}");
    assert!(live <= TABLE && flows["ended"]["evicted"].as_u64().unwrap() > 20_000, "{flows}");
    let grown = resident_kib(&agent).saturating_sub(resident);
    assert!(grown < 8 * 1024, "{grown} KiB more than in the middle of the flood");
    let done = agent.stop();
    let (_, end) = done.flow(&json!({ "source.port": 50_123 }));
    assert_eq!((packets(end), &end["end_reason"]), (marked_sent, &json!("shutdown")), "{end}");
    assert_eq!(done.count("kernel_drops"), 0, "{}", done.summary);
}

/// A fragment of a datagram; offset in units of 8 bytes.
fn fragment_frame(identification: u16, offset: u16, more: bool) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0, 0, 44]);
    frame.extend(identification.to_be_bytes());
    frame.extend((offset | u16::from(more) << 13).to_be_bytes());
    frame.extend([64, 17, 0, 0]);
    frame.extend(STRANGER);
    frame.extend(NOBODY);
    // What would be the ports 16705 and 16705 in a later fragment is "AAAA".
    frame.extend(if offset == 0 { [0x9c, 0x40, 0, 53, 0, 24, 0, 0] } else { [b'A'; 8] });
    frame.extend([b'A'; 16]);
    frame
}

#[test]
fn a_flood_of_fragments_is_counted_and_makes_no_flow_of_its_own() {
    const FIRST: u16 = 10_000;
    const LATER: u64 = 5000;
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_RULES, &[]);
    let mut sender = frame_sender(&pair);
    for identification in 0..FIRST {
        send(&mut *sender, &fragment_frame(identification, 0, true));
    }
    // The latest datagram is still known; the others here never had a first fragment.
    send(&mut *sender, &fragment_frame(FIRST - 1, 3, false));
    for identification in 0..LATER {
        let identification = 60_000 - u16::try_from(identification).unwrap();
        send(&mut *sender, &fragment_frame(identification, 3, false));
    }
    agent.wait_until("all are counted", |agent| {
        let fragments = agent.status()["interfaces"][0]["engine"]["fragments"].clone();
        fragments["undecided"] == LATER && fragments["joined"] == 1
    });
    let engine = agent.status()["interfaces"][0]["engine"].clone();
    assert!(
        engine["fragments"]["forgotten"].as_u64().unwrap() > 0,
        "the limit was not reached: {engine}"
    );
    let done = agent.stop_with_losses();
    let in_flows: u64 = done.ends().map(packets).sum();
    assert_eq!(in_flows + LATER, done.count("parsed"), "{}", done.summary);
    assert!(done.records.iter().all(|record| record["source.port"] != 0x4141), "payload for ports");
    let (_, end) = done.flow(&json!({ "destination.port": 53 }));
    assert_eq!(packets(end), u64::from(FIRST) + 1, "{end}");
}

#[test]
fn told_to_end_in_a_flood_the_agent_accounts_for_every_packet_and_ends_at_once() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_RULES, &["--ring-mib", "4"]);
    let mut sender = frame_sender(&pair);
    let over = Arc::new(AtomicBool::new(false));
    let flood = thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let mut sent = 0_u64;
            while !over.load(Ordering::Relaxed) {
                send(&mut *sender, &udp_frame(u16::try_from(sent % 500).unwrap(), 9077));
                sent += 1;
            }
            sent
        }
    });
    agent.wait_for_flows(500);
    let asked = Instant::now();
    let done = agent.stop();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    over.store(true, Ordering::Relaxed);
    let sent = flood.join().unwrap();
    assert!(done.count("kernel_packets") <= sent + NOISE, "{sent} sent: {}", done.summary);
    assert!(done.count("flows") >= 500, "{}", done.summary);
}
