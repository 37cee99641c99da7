//! Interfaces that come and go while the agent runs: real ones, made and removed in network namespaces of the test.
//! Needs root; skipped with a note without it, and never skipped where `NSGWATCH_REQUIRE_PRIVILEGED` is set.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod agent;
mod netns;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use agent::{Agent, BINARY, Finished, Rules, group, rule, text};
use netns::{OUTSIDE_INTERFACE, OUTSIDE_V4, Side, VM_INTERFACE, VM_V4, VethPair};

const NO_GROUP: Rules<'_> = Rules { subnet: None, nic: None };

/// Sends datagrams from the outside to a port of the VM, where nobody needs to listen.
fn send(pair: &VethPair, to: std::net::Ipv4Addr, port: u16, count: usize) {
    pair.inside(Side::Outside, move || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        for _ in 0..count {
            // A refusal that came back for the datagram before is told here.
            let _refused = socket.send_to(b"x", (to, port));
        }
    });
}

fn interface(agent: &Agent, number: usize) -> Value {
    agent.status()["interfaces"][number].clone()
}

fn wait_for_state(agent: &mut Agent, state: &str) -> Duration {
    let started = Instant::now();
    agent.wait_until(state, |agent| interface(agent, 0)["state"] == state);
    started.elapsed()
}

/// Sends until the agent has seen a flow to the port: the neighbour must be found first.
fn is_seen(pair: &VethPair, agent: &mut Agent, to: std::net::Ipv4Addr, port: u16) {
    agent.wait_until("a flow is seen", |agent| {
        send(pair, to, port, 1);
        let flows = agent.ask("flows", &[]);
        flows["flows"].as_array().unwrap().iter().any(|flow| flow["destination.port"] == port)
    });
}

fn gaps(finished: &Finished) -> Vec<&Value> {
    finished.records.iter().filter(|record| record["event"] == "gap").collect()
}

/// Makes the pair of interfaces anew, up and with addresses.
fn make_again(pair: &VethPair) {
    let outside = pair.namespace(Side::Outside);
    pair.ip(
        Side::Vm,
        &[
            "link",
            "add",
            VM_INTERFACE,
            "type",
            "veth",
            "peer",
            "name",
            OUTSIDE_INTERFACE,
            "netns",
            outside,
        ],
    );
    for (side, address) in [(Side::Vm, VM_V4), (Side::Outside, OUTSIDE_V4)] {
        let name = side.interface();
        pair.ip(side, &["address", "add", &format!("{address}/24"), "dev", name]);
        pair.ip(side, &["link", "set", name, "up"]);
    }
}

#[test]
fn an_interface_that_goes_down_and_up_again_is_watched_again_and_the_gap_is_told() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_GROUP, &[]);
    is_seen(&pair, &mut agent, VM_V4, 4001);
    pair.ip(Side::Vm, &["link", "set", VM_INTERFACE, "down"]);
    let took = wait_for_state(&mut agent, "down");
    assert!(took < Duration::from_secs(1), "the capture tells at once: {took:?}");
    assert!(interface(&agent, 0)["degraded_since"].is_string());
    pair.ip(Side::Vm, &["link", "set", VM_INTERFACE, "up"]);
    let took = wait_for_state(&mut agent, "watching");
    assert!(took < Duration::from_secs(1), "{took:?}");
    is_seen(&pair, &mut agent, VM_V4, 4002);
    let status = interface(&agent, 0);
    assert_eq!(status["degraded_since"], Value::Null);
    assert_eq!(status["gaps"]["count"], 1, "{status}");
    let done = agent.stop();
    assert_eq!(gaps(&done).len(), 1, "{:?}", gaps(&done));
    let gap = gaps(&done)[0];
    assert_eq!(gap["gap.reason"], "down");
    assert_eq!(gap["network.interface.name"], VM_INTERFACE);
    let [start, end] = ["last_start", "last_end"].map(|key| status["gaps"][key].as_str().unwrap());
    for (key, time) in [("gap.start", start), ("gap.end", end)] {
        assert!(gap[key].as_str().unwrap().starts_with(time.trim_end_matches('Z')), "{gap} {time}");
    }
    assert!(done.stderr.contains("is up again"), "{}", done.stderr);
}

#[test]
fn an_interface_that_is_deleted_and_made_anew_is_bound_to_again() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_GROUP, &[]);
    is_seen(&pair, &mut agent, VM_V4, 4001);
    let before = interface(&agent, 0);
    for round in 1..=3 {
        let rules = interface(&agent, 0)["rules"]["virtual_network"].clone();
        pair.ip(Side::Vm, &["link", "del", VM_INTERFACE]);
        wait_for_state(&mut agent, "absent");
        // The rules stay, and so do questions about them.
        assert_eq!(interface(&agent, 0)["rules"]["virtual_network"], rules);
        make_again(&pair);
        let took = wait_for_state(&mut agent, "watching");
        assert!(took < Duration::from_secs(1), "{took:?}");
        is_seen(&pair, &mut agent, VM_V4, 4001 + round);
    }
    let after = interface(&agent, 0);
    assert_ne!(after["index"], before["index"]);
    assert_eq!(after["gaps"]["count"], 3);
    let done = agent.stop();
    assert_eq!(gaps(&done).len(), 3);
    assert!(gaps(&done).iter().all(|gap| gap["gap.reason"] == "absent"));
}

#[test]
fn an_interface_is_followed_by_its_name_through_renaming_and_another_namespace() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_GROUP, &[]);
    pair.ip(Side::Vm, &["link", "set", VM_INTERFACE, "name", "other0"]);
    wait_for_state(&mut agent, "absent");
    pair.ip(Side::Vm, &["link", "set", "other0", "name", VM_INTERFACE]);
    wait_for_state(&mut agent, "watching");
    is_seen(&pair, &mut agent, VM_V4, 4001);
    // Away, and back again with the same index: the socket has lost it all the same.
    pair.ip(Side::Vm, &["link", "set", VM_INTERFACE, "netns", pair.namespace(Side::Outside)]);
    wait_for_state(&mut agent, "absent");
    pair.ip(Side::Outside, &["link", "set", VM_INTERFACE, "netns", pair.namespace(Side::Vm)]);
    pair.ip(Side::Vm, &["address", "add", &format!("{VM_V4}/24"), "dev", VM_INTERFACE]);
    pair.ip(Side::Vm, &["link", "set", VM_INTERFACE, "up"]);
    wait_for_state(&mut agent, "watching");
    is_seen(&pair, &mut agent, VM_V4, 4002);
    let done = agent.stop();
    assert_eq!(gaps(&done).len(), 2);
}

#[test]
fn an_interface_that_is_absent_at_the_start_is_waited_for() {
    let Some(pair) = VethPair::create() else { return };
    pair.ip(Side::Vm, &["link", "del", VM_INTERFACE]);
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_GROUP, &[]);
    let status = interface(&agent, 0);
    assert_eq!(status["state"], "absent");
    assert_eq!(status["index"], Value::Null);
    make_again(&pair);
    let took = wait_for_state(&mut agent, "watching");
    assert!(took < Duration::from_secs(1), "{took:?}");
    agent.wait_until("its networks are known", |agent| {
        let networks = &interface(agent, 0)["rules"]["virtual_network"];
        networks.as_array().unwrap().iter().any(|it| it == "10.77.0.0/24")
    });
    is_seen(&pair, &mut agent, VM_V4, 4001);
    let done = agent.stop();
    assert_eq!(gaps(&done).len(), 1);
    let told = "the interface is absent and not watched";
    assert!(
        done.stderr.contains(told) && done.stderr.contains("there_are=\"lo\""),
        "{}",
        done.stderr
    );
}

#[test]
fn an_agent_that_is_ended_while_the_interface_is_away_closes_its_books() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_GROUP, &[]);
    is_seen(&pair, &mut agent, VM_V4, 4001);
    pair.ip(Side::Vm, &["link", "del", VM_INTERFACE]);
    wait_for_state(&mut agent, "absent");
    let done = agent.stop();
    assert_eq!(gaps(&done).len(), 1);
}

#[test]
fn new_addresses_come_in_force_without_a_reload_where_the_virtual_network_is_taken_from_them() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_GROUP, &[]);
    pair.ip(Side::Vm, &["address", "add", "10.9.0.4/24", "dev", VM_INTERFACE]);
    agent.wait_until("the new network belongs to VirtualNetwork", |agent| {
        let status = interface(agent, 0);
        let has = |list: &Value, one| list.as_array().unwrap().iter().any(|it| it == one);
        has(&status["rules"]["virtual_network"], "10.9.0.0/24")
            && has(&status["addresses"], "10.9.0.4/24")
    });
    assert_eq!(interface(&agent, 0)["rules"]["revision"], 2);
    agent.stop();
    // Where it was said what the virtual network is, addresses change nothing.
    let options = ["--virtual-network", "10.0.0.0/16"];
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_GROUP, &options);
    pair.ip(Side::Vm, &["address", "del", "10.9.0.4/24", "dev", VM_INTERFACE]);
    agent.wait_until("the address is gone", |agent| {
        !interface(agent, 0)["addresses"].to_string().contains("10.9.0.4")
    });
    assert_eq!(interface(&agent, 0)["rules"]["revision"], 1);
    agent.stop();
}

/// Makes a second pair of interfaces beside the first.
fn make_second(pair: &VethPair) {
    let outside = pair.namespace(Side::Outside);
    pair.ip(
        Side::Vm,
        &["link", "add", "vm1", "type", "veth", "peer", "name", "out1", "netns", outside],
    );
    for (side, name, address) in
        [(Side::Vm, "vm1", "10.78.0.1/24"), (Side::Outside, "out1", "10.78.0.2/24")]
    {
        pair.ip(side, &["address", "add", address, "dev", name]);
        pair.ip(side, &["link", "set", name, "up"]);
    }
}

#[test]
fn each_of_several_interfaces_has_rules_of_its_own() {
    let Some(pair) = VethPair::create() else { return };
    make_second(&pair);
    let folder = tempfile::tempdir().unwrap();
    agent::give_to_the_agent(folder.path());
    let (denies, config) = (folder.path().join("denies.json"), folder.path().join("agent.toml"));
    let no_udp = group("strict", &[rule("no-udp", 100, "Inbound", "Deny", "Udp", "*")]);
    fs::write(&denies, no_udp.to_string()).unwrap();
    let tables = "[interface.vm0]\n[interface.vm1]\nnic-nsg = \"denies.json\"\n";
    fs::write(&config, tables).unwrap();
    let mut agent = Agent::start_with_config(&pair, &config);

    let second = std::net::Ipv4Addr::new(10, 78, 0, 1);
    is_seen(&pair, &mut agent, VM_V4, 4001);
    is_seen(&pair, &mut agent, second, 4001);
    let verify = |local: &str, more: &[&str]| {
        let question =
            ["--direction", "inbound", "--protocol", "udp", "--remote", "10.99.0.1:9", "--local"];
        let output = agent.command("verify", &[&question[..], &[local], more].concat());
        text(&{ output }.output().unwrap())
    };
    assert!(verify("10.78.0.1:4001", &[]).contains("no-udp  (NSG strict"));
    assert!(verify("10.77.0.1:4001", &[]).contains("DenyAllInBound  (NSG built-in-defaults"));
    assert!(verify("10.77.0.1:4001", &["--interface", "vm1"]).contains("no-udp"));
    let unclear = verify("10.1.1.1:4001", &[]);
    assert!(unclear.contains("no interface that is watched has the address 10.1.1.1"), "{unclear}");
    assert!(unclear.contains("vm0, vm1"), "{unclear}");

    // All or nothing over both: a table that is wrong for one leaves the other alone too.
    fs::write(
        &config,
        tables.replace("[interface.vm0]\n", "[interface.vm0]\nnic-nsg = \"none\"\n"),
    )
    .unwrap();
    fs::write(&denies, "{").unwrap();
    agent.signal(Signal::SIGHUP);
    agent.wait_until("the reload is refused", |agent| {
        agent.status()["last_reload"]["successful"] == false
    });
    let revisions =
        |agent: &Agent| [0, 1].map(|number| interface(agent, number)["rules"]["revision"].clone());
    assert_eq!(revisions(&agent), [1, 1]);
    fs::write(&denies, no_udp.to_string()).unwrap();
    agent.signal(Signal::SIGHUP);
    agent.wait_until("both are in force", |agent| revisions(agent) == [2, 2]);
    assert_eq!(interface(&agent, 0)["rules"]["nic"], Value::Null);

    let screen = text(&agent.command("status", &[]).output().unwrap());
    for part in ["vm0: watching", "vm1: watching", "strict (7 rules)", "CRC-32"] {
        assert!(screen.contains(part), "{screen}");
    }
    let done = agent.stop();
    for (name, access, by) in [("vm0", "Allow", "AllowVnetInBound"), ("vm1", "Deny", "no-udp")] {
        let (start, _) =
            done.first_flow(&json!({ "network.interface.name": name, "destination.port": 4001 }));
        assert_eq!((&start["access"], &start["security_rule.name"]), (&json!(access), &json!(by)));
    }
}

#[test]
fn the_interface_any_is_refused_with_the_reason() {
    let output = Command::new(BINARY).args(["run", "--interface", "any"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let message = text(&output);
    assert!(message.contains("a set of rules belongs to one interface"), "{message}");
}
