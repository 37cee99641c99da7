//! The main job for real: the agent in one network namespace, the outside in another, a veth pair between them, real
//! TCP, UDP and ICMP over IPv4 and IPv6. Needs root; skipped with a note without it, and never skipped where
//! `NSGWATCH_REQUIRE_PRIVILEGED` is set.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod agent;
mod netns;

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use agent::{Agent, BINARY, Rules, group, rule, text};
use netns::{OUTSIDE_V4, OUTSIDE_V6, Side, VM_INTERFACE, VM_V4, VM_V6, VethPair, is_privileged};

/// The outside is neither in this virtual network nor public, so that no default rule allows it anything.
const ELSEWHERE: [&str; 2] = ["--virtual-network", "10.0.0.0/16"];

fn subnet_group() -> Value {
    group(
        "subnet-nsg",
        &[
            rule("allow-web", 100, "Inbound", "Allow", "Tcp", "8080"),
            rule("allow-udp", 110, "Inbound", "Allow", "Udp", "5000-5999"),
            rule("allow-ping", 120, "Inbound", "Allow", "Icmp", "*"),
            rule("subnet-out", 100, "Outbound", "Allow", "*", "*"),
        ],
    )
}

fn nic_group() -> Value {
    group(
        "nic-nsg",
        &[
            rule("nic-web", 200, "Inbound", "Allow", "TCP", "8080"),
            rule("nic-udp", 210, "Inbound", "Allow", "*", "5000-6999"),
            rule("nic-ping", 220, "Inbound", "Allow", "Icmp", "*"),
            rule("nic-no-7000", 100, "Outbound", "Deny", "Udp", "7000"),
            rule("nic-out", 110, "Outbound", "Allow", "*", "*"),
        ],
    )
}

/// Sends `there` datagrams from one side to the other and `back` datagrams in answer, each waited for.
fn exchange_datagrams(
    pair: &VethPair,
    from: Side,
    source: IpAddr,
    to: SocketAddr,
    there: u8,
    back: u8,
) -> u16 {
    let other = if from == Side::Vm { Side::Outside } else { Side::Vm };
    let receiver = pair.inside(other, move || UdpSocket::bind(to).unwrap());
    pair.inside(from, move || {
        let sender = UdpSocket::bind((source, 0)).unwrap();
        let timeout = Some(std::time::Duration::from_secs(5));
        sender.set_read_timeout(timeout).unwrap();
        receiver.set_read_timeout(timeout).unwrap();
        let mut buffer = [0; 16];
        for number in 0..there {
            sender.send_to(&[number], to).unwrap();
            receiver.recv_from(&mut buffer).unwrap();
        }
        let port = sender.local_addr().unwrap().port();
        for number in 0..back {
            receiver.send_to(&[number], (source, port)).unwrap();
            sender.recv_from(&mut buffer).unwrap();
        }
        port
    })
}

/// Opens a connection, sends a request, waits for the answer and closes both sides.
fn talk_tcp(pair: &VethPair, from: Side, to: SocketAddr) {
    let other = if from == Side::Vm { Side::Outside } else { Side::Vm };
    let listener = pair.inside(other, move || TcpListener::bind(to).unwrap());
    let server = pair.spawn_thread_in(other, move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        stream.write_all(b"answer").unwrap();
        request
    });
    pair.inside(from, move || {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(b"question").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    });
    assert_eq!(server.join().unwrap(), b"question");
}

fn ping(pair: &VethPair, from: Side, to: IpAddr, count: u8) {
    let output =
        pair.run_in(from, &["ping", "-n", "-i", "0.2", "-c", &count.to_string(), &to.to_string()]);
    assert!(output.status.success(), "{}", text(&output));
}

fn all_kinds_of_traffic(pair: &VethPair) {
    let (vm4, out4) = (IpAddr::V4(VM_V4), IpAddr::V4(OUTSIDE_V4));
    let (vm6, out6) = (IpAddr::V6(VM_V6), IpAddr::V6(OUTSIDE_V6));
    talk_tcp(pair, Side::Outside, (vm4, 8080).into());
    talk_tcp(pair, Side::Outside, (vm6, 8080).into());
    talk_tcp(pair, Side::Outside, (vm4, 9999).into());
    talk_tcp(pair, Side::Vm, (out4, 8443).into());
    talk_tcp(pair, Side::Vm, (out6, 8443).into());
    exchange_datagrams(pair, Side::Outside, out4, (vm4, 5001).into(), 7, 3);
    exchange_datagrams(pair, Side::Outside, out6, (vm6, 6001).into(), 4, 0);
    exchange_datagrams(pair, Side::Vm, vm4, (out4, 7000).into(), 5, 1);
    exchange_datagrams(pair, Side::Vm, vm6, (out6, 7001).into(), 6, 6);
    ping(pair, Side::Outside, vm4, 3);
    ping(pair, Side::Outside, vm6, 2);
    ping(pair, Side::Vm, out4, 2);
}

/// Direction, transport, source, destination, destination port, what decides (access, rule, group, layer), and
/// packets there and back where they are known beforehand.
type Case<'a> = (
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    Option<u16>,
    (&'a str, &'a str, &'a str, &'a str),
    Option<(u64, u64)>,
);

#[test]
fn every_flow_of_real_traffic_carries_its_verdict_its_rule_and_its_packets() {
    let Some(pair) = VethPair::create_unacquainted() else { return };
    let (subnet, nic) = (subnet_group(), nic_group());
    let rules = Rules { subnet: Some(&subnet), nic: Some(&nic) };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &rules, &ELSEWHERE);
    all_kinds_of_traffic(&pair);
    agent.wait_for_flows(12);
    let done = agent.stop();

    let (vm4, out4) = (VM_V4.to_string(), OUTSIDE_V4.to_string());
    let (vm6, out6) = (VM_V6.to_string(), OUTSIDE_V6.to_string());
    let deny_in = ("Deny", "DenyAllInBound", "subnet-nsg", "subnet");
    let out = ("Allow", "subnet-out", "subnet-nsg", "subnet");
    let allow = |rule| ("Allow", rule, "nic-nsg", "nic");
    let cases: [Case<'_>; 12] = [
        ("Inbound", "tcp", &out4, &vm4, Some(8080), allow("nic-web"), None),
        ("Inbound", "tcp", &out6, &vm6, Some(8080), allow("nic-web"), None),
        ("Inbound", "tcp", &out4, &vm4, Some(9999), deny_in, None),
        ("Outbound", "tcp", &vm4, &out4, Some(8443), out, None),
        ("Outbound", "tcp", &vm6, &out6, Some(8443), out, None),
        ("Inbound", "udp", &out4, &vm4, Some(5001), allow("nic-udp"), Some((7, 3))),
        ("Inbound", "udp", &out6, &vm6, Some(6001), deny_in, Some((4, 0))),
        (
            "Outbound",
            "udp",
            &vm4,
            &out4,
            Some(7000),
            ("Deny", "nic-no-7000", "nic-nsg", "nic"),
            Some((5, 1)),
        ),
        ("Outbound", "udp", &vm6, &out6, Some(7001), out, Some((6, 6))),
        ("Inbound", "icmp", &out4, &vm4, None, allow("nic-ping"), Some((3, 3))),
        ("Inbound", "icmpv6", &out6, &vm6, None, deny_in, Some((2, 2))),
        ("Outbound", "icmp", &vm4, &out4, None, out, Some((2, 2))),
    ];
    for case in cases {
        let (direction, transport, source, destination, port, verdict, packets) = case;
        let (access, name, ruleset, layer) = verdict;
        let mut fields = json!({
            "direction": direction, "network.transport": transport,
            "source.address": source, "destination.address": destination,
            "access": access, "security_rule.name": name, "security_rule.ruleset.name": ruleset,
            "security_rule.layer": layer, "security_rule.default": name == "DenyAllInBound",
            "network.interface.name": VM_INTERFACE, "midstream": false,
        });
        if let Some(port) = port {
            fields["destination.port"] = json!(port);
        }
        check_flow(&done, fields, transport, packets);
    }
}

/// Finds the one flow with these fields; `midstream` is known at the end only, and neighbour discovery makes
/// ICMPv6 flows of its own, told apart by their number of packets.
fn check_flow(
    done: &agent::Finished,
    mut fields: Value,
    transport: &str,
    packets: Option<(u64, u64)>,
) {
    let object = fields.as_object_mut().unwrap();
    object.remove("midstream");
    let ends: Vec<&Value> = done
        .records
        .iter()
        .filter(|record| record["event"] == "flow_end")
        .filter(|record| object.iter().all(|(name, value)| record[name] == *value))
        .filter(|record| {
            packets.is_none_or(|(there, back)| {
                record["packets.to_destination"] == there && record["packets.to_source"] == back
            })
        })
        .collect();
    let [end] = ends[..] else {
        panic!("not one flow with {object:#?} and {packets:?}: {ends:#?} of {:#?}", done.records)
    };
    assert_eq!(end["midstream"], false, "{end}");
    if transport == "tcp" {
        assert_eq!(end["end_reason"], "closed", "{end}");
        assert!(end["packets.to_destination"].as_u64().unwrap() >= 4, "{end}");
        assert!(end["packets.to_source"].as_u64().unwrap() >= 3, "{end}");
    } else {
        assert_eq!(end["end_reason"], "shutdown", "{end}");
    }
    let starts = done.records.iter().filter(|record| {
        record["event"] == "flow_start" && object.iter().all(|(name, value)| record[name] == *value)
    });
    assert!(starts.count() >= 1, "no flow_start with {object:#?}");
}

#[test]
fn a_reload_during_traffic_changes_new_flows_only() {
    let Some(pair) = VethPair::create() else { return };
    let allow = group("nic-nsg", &[rule("udp-in", 100, "Inbound", "Allow", "Udp", "5001")]);
    let deny = group("nic-nsg", &[rule("no-udp", 100, "Inbound", "Deny", "Udp", "5001")]);
    let rules = Rules { subnet: None, nic: Some(&allow) };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &rules, &ELSEWHERE);
    let to = SocketAddr::from((VM_V4, 5001));
    let receiver = pair.inside(Side::Vm, move || UdpSocket::bind(to).unwrap());
    let senders =
        pair.inside(Side::Outside, || [(); 2].map(|()| UdpSocket::bind((OUTSIDE_V4, 0)).unwrap()));
    let send = |sender: &UdpSocket, count: u8| {
        for number in 0..count {
            sender.send_to(&[number], to).unwrap();
            receiver.recv_from(&mut [0; 16]).unwrap();
        }
    };
    send(&senders[0], 10);
    agent.wait_for_flows(1);

    fs::write(agent.path("nic.json"), "{\"name\": \"nic-nsg\", \"securityRules\": [{}]}").unwrap();
    agent.signal(Signal::SIGHUP);
    agent.wait_until("the reload has failed", |agent| {
        agent.status()["last_reload"]["successful"] == false
    });
    assert_eq!(agent.status()["interfaces"][0]["rules"]["revision"], 1);
    send(&senders[0], 5);

    fs::write(agent.path("nic.json"), deny.to_string()).unwrap();
    agent.signal(Signal::SIGHUP);
    agent.wait_until("new rules are in force", |agent| {
        agent.status()["interfaces"][0]["rules"]["revision"] == 2
    });
    send(&senders[0], 3);
    send(&senders[1], 4);
    agent.wait_until("the second flow is there", |agent| {
        agent.status()["interfaces"][0]["engine"]["verdicts"]["deny"].as_u64().unwrap() >= 1
    });
    let done = agent.stop();
    for (sender, access, name, packets) in
        [(&senders[0], "Allow", "udp-in", 18), (&senders[1], "Deny", "no-udp", 4)]
    {
        let port = sender.local_addr().unwrap().port();
        let (_, end) = done.flow(&json!({ "network.transport": "udp", "source.port": port }));
        assert_eq!(end["access"], access, "{end}");
        assert_eq!(end["security_rule.name"], name, "{end}");
        assert_eq!(end["packets.to_destination"], packets, "{end}");
    }
    assert!(done.stderr.contains("the old ones stay in force"), "{}", done.stderr);
}

/// A security admin rule as the REST API gives it, for UDP from anywhere.
fn admin_rule(name: &str, priority: u16, access: &str, port: &str) -> Value {
    let anywhere = json!([{ "addressPrefix": "*", "addressPrefixType": "IPPrefix" }]);
    json!({ "name": name, "kind": "Custom", "properties": {
        "access": access, "direction": "Inbound", "priority": priority, "protocol": "Udp",
        "sources": anywhere, "destinations": anywhere,
        "sourcePortRanges": ["0-65535"], "destinationPortRanges": [port],
    } })
}

#[test]
fn admin_rules_security_group_members_and_unknown_names_decide_about_real_traffic() {
    let Some(pair) = VethPair::create() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (admin, members) = (folder.path().join("admin.json"), folder.path().join("members.json"));
    let rules = [
        admin_rule("no-7001", 10, "Deny", "7001"),
        admin_rule("always-7002", 20, "AlwaysAllow", "7002"),
    ];
    fs::write(&admin, json!({ "name": "basics", "rules": rules }).to_string()).unwrap();
    fs::write(&members, json!({ "web": [OUTSIDE_V4] }).to_string()).unwrap();
    let mut from_web = rule("from-web", 100, "Inbound", "Allow", "Udp", "5001");
    from_web.as_object_mut().unwrap().remove("sourceAddressPrefix");
    from_web["sourceApplicationSecurityGroups"] = json!([{ "id": "/subscriptions/s/web" }]);
    let mut from_nobody_knows = rule("from-a-tag", 110, "Inbound", "Allow", "Udp", "6001");
    from_nobody_knows["sourceAddressPrefix"] = json!("CorpNetSaw");
    let no_7002 = rule("no-7002", 120, "Inbound", "Deny", "Udp", "7002");
    let nic = group("nic-nsg", &[from_web, from_nobody_knows, no_7002]);
    let options = [
        "--admin-rules",
        admin.to_str().unwrap(),
        "--application-security-groups",
        members.to_str().unwrap(),
        "--unresolved",
        "undecided",
    ];
    let options = [&options[..], &ELSEWHERE].concat();
    let mut agent =
        Agent::start(&pair, VM_INTERFACE, &Rules { subnet: None, nic: Some(&nic) }, &options);

    let (v4, v6) = (IpAddr::V4(OUTSIDE_V4), IpAddr::V6(OUTSIDE_V6));
    let cases = [
        (v4, 7001, 3, ("Deny", "no-7001", "basics", "admin")),
        (v6, 7001, 2, ("Deny", "no-7001", "basics", "admin")),
        (v4, 7002, 4, ("Allow", "always-7002", "basics", "admin")),
        (v4, 5001, 5, ("Allow", "from-web", "nic-nsg", "nic")),
        (v6, 5001, 6, ("Deny", "DenyAllInBound", "nic-nsg", "nic")),
        (v4, 6001, 7, ("Undecided", "from-a-tag", "nic-nsg", "nic")),
    ];
    for (source, port, packets, _) in cases {
        let vm = if source.is_ipv4() { IpAddr::V4(VM_V4) } else { IpAddr::V6(VM_V6) };
        exchange_datagrams(&pair, Side::Outside, source, (vm, port).into(), packets, 1);
    }
    agent.wait_until("the last flow is there", |agent| {
        agent.status()["interfaces"][0]["engine"]["verdicts"]["undecided"] == 1
    });
    let undecided = agent.ask("flows", &["--access", "undecided", "--rule-names", "diagnostics"]);
    assert_eq!(undecided["flows"][0]["security_rule.name"], "UserRule_from-a-tag", "{undecided}");
    let done = agent.stop();
    for (source, port, packets, (access, name, ruleset, layer)) in cases {
        let (start, end) = done.flow(&json!({
            "network.transport": "udp", "source.address": source, "destination.port": port,
        }));
        for record in [start, end] {
            assert_eq!(record["access"], access, "{record}");
            assert_eq!(record["security_rule.name"], name, "{record}");
            assert_eq!(record["security_rule.ruleset.name"], ruleset, "{record}");
            assert_eq!(record["security_rule.layer"], layer, "{record}");
        }
        assert_eq!(end["packets.to_destination"], packets, "{end}");
        assert_eq!(end["packets.to_source"], 1, "{end}");
    }
    assert!(done.stderr.contains("CorpNetSaw"), "a warning names the tag: {}", done.stderr);
}

#[test]
fn the_socket_answers_what_the_same_rules_answer_without_an_agent() {
    let Some(pair) = VethPair::create() else { return };
    let nic = nic_group();
    let rules = Rules { subnet: None, nic: Some(&nic) };
    let agent = Agent::start(&pair, VM_INTERFACE, &rules, &ELSEWHERE);
    let nic_file = agent.path("nic.json");
    for question in [
        ["inbound", "tcp", "10.77.0.1:8080", "203.0.113.9:50211"],
        ["inbound", "udp", "[fd77::1]:4999", "[2001:db8::9]:*"],
        ["outbound", "udp", "10.77.0.1:*", "8.8.8.8:7000"],
        ["inbound", "icmp", "10.77.0.1", "203.0.113.9"],
    ] {
        let [direction, protocol, local, remote] = question;
        let options = [
            "--direction",
            direction,
            "--protocol",
            protocol,
            "--local",
            local,
            "--remote",
            remote,
        ];
        let live = agent.ask("verify", &options);
        let offline = Command::new(BINARY)
            .args(["verify", "-o", "json", "--nic-nsg"])
            .arg(&nic_file)
            .args(ELSEWHERE)
            .args(options)
            .output()
            .unwrap();
        assert!(offline.status.success(), "{}", text(&offline));
        assert_eq!(live, serde_json::from_slice::<Value>(&offline.stdout).unwrap(), "{question:?}");
    }
    let status = agent.status();
    assert_eq!(status["interfaces"][0]["name"], VM_INTERFACE);
    assert_eq!(status["interfaces"][0]["rules"]["nic"]["name"], "nic-nsg");
    assert_eq!(status["interfaces"][0]["rules"]["subnet"], Value::Null);
    agent.stop();
}

#[test]
fn on_the_loopback_every_packet_is_judged_once() {
    let Some(pair) = VethPair::create() else { return };
    let up = pair.run_in(Side::Vm, &["ip", "link", "set", "lo", "up"]);
    assert!(up.status.success(), "{}", text(&up));
    let none = Rules { subnet: None, nic: None };
    let mut agent = Agent::start(&pair, "lo", &none, &[]);
    ping(&pair, Side::Vm, IpAddr::from([127, 0, 0, 1]), 3);
    agent.wait_for_flows(1);
    let flows = agent.ask("flows", &[]);
    assert_eq!(flows["flows"].as_array().unwrap().len(), 1, "{flows}");
    let done = agent.stop();
    let (_, end) = done.flow(&json!({ "network.transport": "icmp" }));
    // Both ends of this flow are the same address, so the ways can not be told apart, but nothing counts twice.
    let packets =
        ["packets.to_destination", "packets.to_source"].map(|way| end[way].as_u64().unwrap());
    assert_eq!(packets.iter().sum::<u64>(), 6, "{end}");
    assert_eq!(end["access"], "Allow", "{end}");
    assert_eq!(end.get("security_rule.name"), None, "no group, so no rule: {end}");
}

#[test]
fn the_output_is_opened_again_after_it_was_moved_away() {
    let Some(pair) = VethPair::create() else { return };
    let none = Rules { subnet: None, nic: None };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &none, &[]);
    ping(&pair, Side::Outside, VM_V4.into(), 1);
    agent.wait_for_flows(1);
    let (old, new) = (agent.path("flows.jsonl"), agent.path("flows.jsonl.1"));
    agent.wait_until("the first record is written", |_| fs::metadata(&old).unwrap().len() > 0);
    fs::rename(&old, &new).unwrap();
    agent.signal(Signal::SIGHUP);
    agent.wait_until("the output is there again", |_| old.exists());
    let moved = agent::read_records(&new);
    assert!(moved.iter().any(|record| record["event"] == "flow_start"), "{moved:?}");
    agent.signal(Signal::SIGTERM);
    agent.wait_until("the end of the flow is written", |_| fs::metadata(&old).unwrap().len() > 0);
    let ends = agent::read_records(&old);
    assert!(ends.iter().any(|record| record["end_reason"] == "shutdown"), "{ends:?}");
}

#[test]
fn the_running_agent_holds_no_capability() {
    let Some(pair) = VethPair::create() else { return };
    let agent = Agent::start(&pair, VM_INTERFACE, &Rules { subnet: None, nic: None }, &[]);
    for task in fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let line = status.lines().find(|line| line.starts_with(set)).unwrap();
            assert!(line.ends_with("0000000000000000"), "{line}");
        }
    }
    agent.stop();
}

#[test]
fn started_by_root_the_agent_is_another_user_for_good() {
    let Some(pair) = VethPair::create() else { return };
    let agent = Agent::start(&pair, VM_INTERFACE, &Rules { subnet: None, nic: None }, &[]);
    let user = nix::unistd::User::from_name(agent::AGENTS_USER).unwrap().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let words = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(words("Name:"), ["nsgwatch"]);
    assert_eq!(words("Uid:"), vec![user.uid.to_string(); 4]);
    assert_eq!(words("Gid:"), vec![user.gid.to_string(); 4]);
    assert_eq!(words("Groups:"), [user.gid.to_string()]);
    assert_eq!((words("NoNewPrivs:"), words("CapBnd:")), (vec!["1".into()], vec!["0".repeat(16)]));
    agent.stop();
}

#[test]
fn what_only_root_may_read_is_not_read_for_an_agent_that_root_started() {
    let Some(pair) = VethPair::create() else { return };
    let folder = tempfile::tempdir().unwrap();
    agent::give_to_the_agent(folder.path());
    let rules = folder.path().join("rules.json");
    fs::write(&rules, nic_group().to_string()).unwrap();
    fs::set_permissions(&rules, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let output = pair
        .command_in(Side::Vm, BINARY)
        .args(["run", "--interface", VM_INTERFACE, "--user", agent::AGENTS_USER, "--nic-nsg"])
        .arg(&rules)
        .arg("--socket")
        .arg(folder.path().join("agent.sock"))
        .output()
        .unwrap();
    let message = text(&output);
    assert_eq!(output.status.code(), Some(78), "{message}");
    assert!(message.contains("rules.json") && message.contains("ermission denied"), "{message}");
    assert!(message.contains("started by root; goes on as another user"), "{message}");
}

#[test]
fn an_agent_that_sudo_started_becomes_whoever_used_it() {
    let Some(pair) = VethPair::create() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let daemon = nix::unistd::User::from_name("daemon").unwrap().unwrap();
    let output = pair
        .command_in(Side::Vm, BINARY)
        .env("SUDO_UID", daemon.uid.to_string())
        .args(["run", "--interface", VM_INTERFACE, "--nic-nsg"])
        .arg(folder.path().join("no-such-rules.json"))
        .arg("--socket")
        .arg(folder.path().join("run/agent.sock"))
        .output()
        .unwrap();
    let message = text(&output);
    assert_eq!(output.status.code(), Some(78), "{message}");
    assert!(message.contains("goes on as another user") && message.contains("daemon"), "{message}");
    let made = fs::metadata(folder.path().join("run")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), daemon.uid.as_raw());
}

#[test]
fn an_unknown_user_is_refused_by_name() {
    if !is_privileged() {
        return;
    }
    let output = Command::new(BINARY).args(["run", "--user", "no such user"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    assert!(text(&output).contains("no user `no such user`"), "{}", text(&output));
}

/// `systemd-socket-activate` does what a socket unit does: it listens, and becomes the agent when a client comes.
#[test]
fn the_first_question_starts_an_agent_whose_socket_the_service_manager_has_opened() {
    let Some(pair) = VethPair::create() else { return };
    let folder = tempfile::tempdir().unwrap();
    agent::give_to_the_agent(folder.path());
    let socket = folder.path().join("activated.sock");
    let mut agent = pair
        .command_in(Side::Vm, "systemd-socket-activate")
        .arg("--listen")
        .arg(&socket)
        .args([BINARY, "run", "--interface", VM_INTERFACE, "--format", "json"])
        .args(["--user", agent::AGENTS_USER])
        .arg("--output")
        .arg(folder.path().join("flows.jsonl"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while !socket.exists() {
        assert_eq!(agent.try_wait().unwrap(), None, "systemd-socket-activate has ended");
        std::thread::yield_now();
    }
    let asked = Command::new(BINARY).args(["status", "--socket"]).arg(&socket).output().unwrap();
    assert!(asked.status.success(), "{}", text(&asked));
    assert!(text(&asked).contains(VM_INTERFACE), "{}", text(&asked));
    let pid = nix::unistd::Pid::from_raw(agent.id().try_into().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert!(agent.wait_with_output().unwrap().status.success());
    assert!(socket.exists(), "it is the service manager's to remove");
}

#[test]
fn without_permission_the_error_names_the_capability_and_how_to_grant_it() {
    if !is_privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nsgwatch");
    // By another process: a file that this one has open for writing could be inherited by a child of another test.
    assert!(Command::new("cp").arg(BINARY).arg(&program).status().unwrap().success());
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), open).unwrap();
    let output = Command::new(program)
        .args(["run", "--interface", "lo"])
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output);
    assert!(message.contains("CAP_NET_RAW") && message.contains("setcap"), "{message}");
}

#[test]
fn only_the_events_that_are_asked_for_become_records() {
    let Some(pair) = VethPair::create() else { return };
    let rules = Rules { subnet: Some(&subnet_group()), nic: Some(&nic_group()) };
    for (which, event) in [("start", "flow_start"), ("end", "flow_end")] {
        let more = [&ELSEWHERE[..], &["--events", which]].concat();
        let mut agent = Agent::start(&pair, VM_INTERFACE, &rules, &more);
        exchange_datagrams(&pair, Side::Outside, OUTSIDE_V4.into(), (VM_V4, 5000).into(), 2, 1);
        agent.wait_for_flows(1);
        let done = agent.stop_with_losses();
        assert!(done.records.iter().all(|record| record["event"] == event), "{:?}", done.records);
        assert_eq!(done.count("records_written"), done.count("flows"), "{}", done.summary);
        assert_eq!(done.count("records_lost"), 0, "{}", done.summary);
        let ours = |record: &&Value| record["destination.port"] == 5000;
        let ours: Vec<_> = done.records.iter().filter(ours).collect();
        assert_eq!(ours.len(), 1, "{:?}", done.records);
        assert_eq!(ours.first().unwrap()["security_rule.name"], "nic-udp");
    }
}
