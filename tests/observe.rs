//! Watching live: what readers of the stream get, what slow ones lose, and that none of them costs a packet; the hits
//! of rules. Needs root; skipped with a note without it, and never skipped where `NSGWATCH_REQUIRE_PRIVILEGED` is set.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod netns;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use agent::{Agent, Rules, group, read_records, rule};
use netns::{OUTSIDE_V4, Side, VM_INTERFACE, VM_V4, VethPair};

const ELSEWHERE: [&str; 2] = ["--virtual-network", "10.0.0.0/16"];

/// UDP to 53 is allowed, everything else that comes in is denied.
fn start(pair: &VethPair) -> Agent {
    let nic = group("nic-nsg", &[rule("allow-dns", 100, "Inbound", "Allow", "Udp", "53")]);
    Agent::start(pair, VM_INTERFACE, &Rules { subnet: None, nic: Some(&nic) }, &ELSEWHERE)
}

/// Sends one datagram each to so many ports of the VM; each is a flow.
fn send(pair: &VethPair, ports: std::ops::Range<u16>) {
    pair.inside(Side::Outside, move || {
        let socket = UdpSocket::bind((OUTSIDE_V4, 40_000)).unwrap();
        for port in ports {
            socket.send_to(b"x", (VM_V4, port)).unwrap();
        }
    });
}

/// Sends one datagram each to so many ports of the outside. The kernel shows an outgoing packet to the capture before
/// any queue, so that none is lost on the way however many there are.
fn send_out(pair: &VethPair, ports: std::ops::Range<u16>) {
    pair.inside(Side::Vm, move || {
        let socket = UdpSocket::bind((VM_V4, 40_000)).unwrap();
        for port in ports {
            socket.send_to(b"x", (OUTSIDE_V4, port)).unwrap();
        }
    });
}

fn observe(agent: &Agent, arguments: &[&str], to: &str) -> Child {
    let mut command = agent.command("observe", arguments);
    command.stdout(File::create(agent.path(to)).unwrap()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn observers(agent: &Agent, field: &str) -> u64 {
    agent.status().pointer(&format!("/observers/{field}")).unwrap().as_u64().unwrap()
}

#[test]
fn a_follower_gets_every_record_as_it_is_written_and_ends_with_the_agent() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = start(&pair);
    send(&pair, 50..60);
    agent.wait_for_flows(10);
    let all = ["--follow", "--last", "8192", "-o", "json"];
    let mut follower = observe(&agent, &all, "observed.jsonl");
    agent.wait_until("it is watched", |agent| observers(agent, "readers") == 1);
    send(&pair, 60..70);
    agent.wait_for_flows(20);
    let observed = agent.path("observed.jsonl");
    agent.wait_until("it is seen", |_| read_whole_lines(&observed) >= 20);
    let seen = File::open(&observed).unwrap();
    let done = agent.stop();
    assert!(follower.wait().unwrap().success());
    let seen: Vec<Value> = BufReader::new(seen)
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(seen, done.records);
}

fn read_whole_lines(path: &std::path::Path) -> usize {
    std::fs::read_to_string(path).unwrap().matches('\n').count()
}

#[test]
fn filters_choose_among_the_remembered_records() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = start(&pair);
    send(&pair, 50..60);
    agent.wait_for_flows(10);
    let ports = |arguments: &[&str]| {
        let all = [arguments, &["-o", "json", "--protocol", "udp"]].concat();
        let mut child = observe(&agent, &all, "chosen.jsonl");
        assert!(child.wait().unwrap().success());
        let chosen = read_records(&agent.path("chosen.jsonl"));
        chosen.iter().map(|it| it["destination.port"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ports(&[]), (50..60).collect::<Vec<_>>());
    assert_eq!(ports(&["--access", "allow"]), [53]);
    assert_eq!(ports(&["--rule", "allow-dns", "--nsg", "NIC-NSG"]), [53]);
    assert_eq!(ports(&["--last", "2", "--access", "deny", "--not", "--port", "59"]), [57, 58]);
    assert_eq!(ports(&["--port", "51", "--port", "57", "--ip", "10.77.0.0/24"]), [51, 57]);
    assert_eq!(ports(&["--not", "--ip", "10.77.0.1"]), Vec::<u64>::new());
    assert_eq!(ports(&["--since", "1h", "--direction", "inbound"]).len(), 10);
    assert!(ports(&["--until", "1h"]).is_empty());
    let wrong = agent.command("observe", &["--port", "http"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    agent.stop();
}

#[test]
fn a_follower_whose_output_is_closed_ends_quietly() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = start(&pair);
    let mut command = agent.command("observe", &["--follow"]);
    let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    agent.wait_until("it is watched", |agent| observers(agent, "readers") == 1);
    drop(follower.stdout.take());
    send(&pair, 50..52);
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    agent.wait_until("it is gone", |agent| observers(agent, "readers") == 0);
    agent.stop();
}

#[test]
fn a_reader_that_does_not_read_loses_records_is_told_how_many_and_costs_no_packet() {
    const FLOWS: u16 = 40_000;
    let Some(pair) = VethPair::create() else { return };
    let mut agent = start(&pair);
    let mut slow = UnixStream::connect(agent.socket()).unwrap();
    slow.write_all(
        b"GET /v1/observe?follow=true&protocol=udp HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .unwrap();
    agent.wait_until("it is watched", |agent| observers(agent, "readers") == 1);
    send_out(&pair, 1000..1000 + FLOWS);
    agent.wait_for_flows(FLOWS.into());
    agent.wait_until("all is written", |agent| {
        agent.status()["records"]["written"].as_u64().unwrap() >= FLOWS.into()
    });
    // Now it reads: with the flows' beginnings alone, the end of the agent and its patience stay out of it.
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut records, mut lost) = (0, 0);
    // Lines of chunks' lengths stand between those of records.
    let lines = BufReader::new(slow).lines().map(Result::unwrap);
    for line in lines.filter(|line| line.starts_with("{\"")) {
        let line: Value = serde_json::from_str(&line).unwrap();
        match line["event"].as_str().unwrap() {
            "lost" => lost += line["count"].as_u64().unwrap(),
            _ => records += 1,
        }
        if records + lost >= u64::from(FLOWS) {
            break;
        }
    }
    assert!(lost > 0 && records > 0, "{records} records, {lost} lost");
    assert_eq!(records + lost, u64::from(FLOWS), "{records} read, {lost} lost");
    assert_eq!(observers(&agent, "lost"), lost);
    let done = agent.stop();
    assert_eq!(done.count("kernel_drops"), 0);
}

#[test]
fn readers_beyond_the_limit_are_refused_and_told_so() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = start(&pair);
    let mut readers: Vec<Child> =
        (0..16).map(|_| observe(&agent, &["--follow"], "nothing")).collect();
    agent.wait_until("all are there", |agent| observers(agent, "readers") == 16);
    let refused = agent.command("observe", &["--follow"]).output().unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(words.contains("too many readers"), "{words}");
    assert_eq!(observers(&agent, "refused"), 1);
    agent.stop();
    for reader in &mut readers {
        assert!(reader.wait().unwrap().success());
    }
}

#[test]
fn hits_are_flows_by_rule_and_stay_over_a_reload() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = start(&pair);
    send(&pair, 50..60);
    agent.wait_for_flows(10);
    let hits = |agent: &Agent, name: &str| {
        let answer = agent.ask("rules", &[]);
        let rules = answer["interfaces"][0]["rules"].as_array().unwrap().clone();
        let sum: u64 = rules.iter().filter_map(|rule| rule["hits"].as_u64()).sum();
        let created =
            agent.status()["interfaces"][0]["engine"]["flows"]["created"].as_u64().unwrap();
        assert_eq!(sum, created, "{answer}");
        let rule = rules.iter().find(|rule| rule["name"] == name);
        let rule = rule.unwrap_or_else(|| panic!("no {name} in {answer}"));
        rule["hits"].as_u64().unwrap()
    };
    assert_eq!((hits(&agent, "allow-dns"), hits(&agent, "DenyAllOutBound")), (1, 0));
    assert_eq!(hits(&agent, "DenyAllInBound"), 9);
    let nic = group(
        "nic-nsg",
        &[
            rule("allow-dns", 100, "Inbound", "Allow", "Udp", "53"),
            rule("allow-time", 110, "Inbound", "Allow", "Udp", "123"),
        ],
    );
    std::fs::write(agent.path("nic.json"), nic.to_string()).unwrap();
    agent.signal(Signal::SIGHUP);
    agent.wait_until("the rules are in force", |agent| {
        agent.status()["interfaces"][0]["rules"]["revision"] == 2
    });
    send(&pair, 123..124);
    agent.wait_for_flows(11);
    assert_eq!((hits(&agent, "allow-dns"), hits(&agent, "allow-time")), (1, 1));
    let unused = agent.command("rules", &["--unused"]).output().unwrap();
    let unused = String::from_utf8(unused.stdout).unwrap();
    assert!(unused.contains("DenyAllOutBound") && !unused.contains("allow-dns"), "{unused}");
    agent.stop();
}
