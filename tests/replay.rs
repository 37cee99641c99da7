//! `nsgwatch replay`: its command line, and that it says of captured frames what the agent says of the same frames
//! live. The live half needs root; it is skipped with a note without it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agent;
mod netns;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use etherparse::{Icmpv4Type, Icmpv6Type, IpFragOffset, PacketBuilder, VlanId, icmpv4, icmpv6};
use pnet::datalink::{self, Channel, DataLinkSender};
use serde_json::{Value, json};
use tempfile::TempDir;

use agent::{Agent, BINARY, Rules, group, read_records, rule, text};
use netns::{Side, VM_INTERFACE, VethPair};

/// Neither end of the pair has these, so that no kernel answers.
const VM_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x10];
const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x20];
const VM4: [u8; 4] = [198, 18, 0, 4];
const VM6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];
const LOCAL: &str = "198.18.0.4,2001:db8::4";
/// A time in 2023, so that nothing depends on today.
const START: u32 = 1_700_000_000;

/// A frame and the side that sends it.
struct Sent {
    from: Side,
    bytes: Vec<u8>,
}

fn ethernet(from: Side) -> etherparse::PacketBuilderStep<etherparse::Ethernet2Header> {
    match from {
        Side::Vm => PacketBuilder::ethernet2(VM_MAC, GATEWAY_MAC),
        Side::Outside => PacketBuilder::ethernet2(GATEWAY_MAC, VM_MAC),
    }
}

fn remote4(host: u8) -> [u8; 4] {
    [198, 19, 0, host]
}

fn remote6(host: u8) -> [u8; 16] {
    let mut address = VM6;
    address[3] = 0xb9;
    address[15] = host;
    address
}

/// Source and destination of a packet that goes from this side.
fn ends<T>(from: Side, vm: T, remote: T) -> (T, T) {
    match from {
        Side::Vm => (vm, remote),
        Side::Outside => (remote, vm),
    }
}

macro_rules! built {
    ($from:expr, $builder:expr, $payload:expr) => {{
        let mut bytes = Vec::new();
        $builder.write(&mut bytes, $payload).unwrap();
        Sent { from: $from, bytes }
    }};
}

fn udp4(from: Side, host: u8, ports: (u16, u16), payload: &[u8]) -> Sent {
    let (source, destination) = ends(from, VM4, remote4(host));
    built!(from, ethernet(from).ipv4(source, destination, 64).udp(ports.0, ports.1), payload)
}

fn udp6(from: Side, host: u8, ports: (u16, u16), payload: &[u8]) -> Sent {
    let (source, destination) = ends(from, VM6, remote6(host));
    built!(from, ethernet(from).ipv6(source, destination, 64).udp(ports.0, ports.1), payload)
}

fn vlan_udp4(from: Side, host: u8, ports: (u16, u16), payload: &[u8]) -> Sent {
    let (source, destination) = ends(from, VM4, remote4(host));
    let tagged = ethernet(from).single_vlan(VlanId::try_new(42).unwrap());
    built!(from, tagged.ipv4(source, destination, 64).udp(ports.0, ports.1), payload)
}

/// A whole connection of nine packets.
fn tcp4(from: Side, host: u8, ports: (u16, u16)) -> Vec<Sent> {
    let other = if from == Side::Vm { Side::Outside } else { Side::Vm };
    let step = |side: Side, flags: &str, payload: &[u8]| {
        let (source, destination) = ends(side, VM4, remote4(host));
        let (source_port, destination_port) = if side == from { ports } else { (ports.1, ports.0) };
        let mut tcp =
            ethernet(side).ipv4(source, destination, 64).tcp(source_port, destination_port, 1, 999);
        if flags.contains('S') {
            tcp = tcp.syn();
        }
        if flags.contains('A') {
            tcp = tcp.ack(1);
        }
        if flags.contains('F') {
            tcp = tcp.fin();
        }
        if flags.contains('R') {
            tcp = tcp.rst();
        }
        built!(side, tcp, payload)
    };
    vec![
        step(from, "S", b""),
        step(other, "SA", b""),
        step(from, "A", b""),
        step(from, "A", b"question"),
        step(other, "A", b"a longer answer"),
        step(from, "FA", b""),
        step(other, "FA", b""),
        step(from, "A", b""),
    ]
}

fn icmp4(from: Side, host: u8, icmp_type: Icmpv4Type, payload: &[u8]) -> Sent {
    let (source, destination) = ends(from, VM4, remote4(host));
    built!(from, ethernet(from).ipv4(source, destination, 64).icmpv4(icmp_type), payload)
}

fn icmp6(from: Side, host: u8, icmp_type: Icmpv6Type, payload: &[u8]) -> Sent {
    let (source, destination) = ends(from, VM6, remote6(host));
    built!(from, ethernet(from).ipv6(source, destination, 64).icmpv6(icmp_type), payload)
}

/// A datagram in two fragments, cut behind its first 24 bytes.
fn fragments(from: Side, host: u8, ports: (u16, u16)) -> [Sent; 2] {
    let (source, destination) = ends(from, VM4, remote4(host));
    let whole = udp4(from, host, ports, &[7; 64]).bytes;
    let datagram = &whole[34..];
    [(0, &datagram[..24], true), (3, &datagram[24..], false)].map(|(offset, part, more)| {
        let mut header = etherparse::Ipv4Header::new(
            u16::try_from(part.len()).unwrap(),
            64,
            etherparse::ip_number::UDP,
            source,
            destination,
        )
        .unwrap();
        header.identification = 0x5157;
        header.dont_fragment = false;
        header.more_fragments = more;
        header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
        header.header_checksum = header.calc_header_checksum();
        let mut bytes = whole[..14].to_vec();
        header.write(&mut bytes).unwrap();
        bytes.extend(part);
        Sent { from, bytes }
    })
}

fn all_kinds_of_frames() -> Vec<Sent> {
    use Side::{Outside, Vm};
    let echo = etherparse::IcmpEchoHeader { id: 77, seq: 1 };
    let refused = udp4(Vm, 6, (40_000, 7001), b"to nobody").bytes;
    let refused6 = udp6(Vm, 6, (40_000, 7001), b"to nobody").bytes;
    let unreachable4 = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
    let unreachable6 = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
    let arp = [&[0xff; 6], GATEWAY_MAC.as_slice(), &[8, 6], &[0; 46]].concat();
    let mut frames = vec![
        udp4(Outside, 1, (5000, 5001), b"allowed"),
        udp4(Outside, 1, (5000, 5001), b"again"),
        udp4(Vm, 1, (5001, 5000), b"reply"),
        udp4(Outside, 2, (5000, 6999), b"denied"),
        udp4(Vm, 3, (4000, 7000), b"denied on the way out"),
        udp6(Outside, 1, (5000, 5001), b"allowed over IPv6"),
        udp6(Vm, 3, (4000, 53), b"query"),
        udp6(Outside, 3, (53, 4000), b"response"),
        vlan_udp4(Outside, 4, (5000, 5002), b"tagged"),
        vlan_udp4(Vm, 4, (5002, 5000), b"tagged reply"),
        vlan_udp4(Outside, 4, (5000, 6998), b"tagged and denied"),
        icmp4(Outside, 5, Icmpv4Type::EchoRequest(echo), b"ping"),
        icmp4(Vm, 5, Icmpv4Type::EchoReply(echo), b"ping"),
        icmp6(Vm, 5, Icmpv6Type::EchoRequest(echo), b"ping"),
        icmp6(Outside, 5, Icmpv6Type::EchoReply(echo), b"ping"),
        Sent { from: Vm, bytes: refused.clone() },
        icmp4(Outside, 6, unreachable4.clone(), &refused[14..]),
        Sent { from: Vm, bytes: refused6.clone() },
        icmp6(Outside, 6, unreachable6, &refused6[14..]),
        // Quotes a packet that nobody saw.
        icmp4(Outside, 7, unreachable4, &udp4(Vm, 7, (1, 2), b"").bytes[14..]),
        Sent { from: Outside, bytes: arp },
    ];
    frames.extend(fragments(Outside, 8, (5000, 5003)));
    frames.extend(fragments(Vm, 8, (4000, 7000)));
    frames.extend(tcp4(Outside, 9, (50_000, 8080)));
    frames.extend(tcp4(Vm, 9, (50_001, 443)));
    frames.extend(tcp4(Outside, 9, (50_002, 9999)).into_iter().take(1));
    // Met in the middle, and reset.
    frames.extend(tcp4(Outside, 10, (50_003, 8080)).into_iter().skip(3).take(2));
    frames
}

fn pcap(frames: &[Sent]) -> Vec<u8> {
    let mut file = pcap_header();
    for (number, frame) in (0..).zip(frames) {
        file.extend(record(START, number * 1000, &frame.bytes));
    }
    file
}

fn pcap_header() -> Vec<u8> {
    let fields = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1];
    fields.iter().flat_map(|field| field.to_le_bytes()).collect()
}

fn record(seconds: u32, microseconds: u32, frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    let header = [seconds, microseconds, length, length].map(u32::to_le_bytes).concat();
    [header, frame.to_vec()].concat()
}

fn rules() -> (Value, Value) {
    let subnet = group(
        "subnet-nsg",
        &[
            rule("web", 100, "Inbound", "Allow", "Tcp", "8080"),
            rule("udp", 110, "Inbound", "Allow", "Udp", "5000-5999"),
            rule("ping", 120, "Inbound", "Allow", "Icmp", "*"),
        ],
    );
    let nic = group(
        "nic-nsg",
        &[
            rule("any-in", 100, "Inbound", "Allow", "*", "*"),
            rule("no-7000", 100, "Outbound", "Deny", "Udp", "7000"),
            rule("out", 110, "Outbound", "Allow", "*", "*"),
        ],
    );
    (subnet, nic)
}

/// A folder with rule files and captures.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let (subnet, nic) = rules();
        folder.write("subnet.json", subnet.to_string().as_bytes());
        folder.write("nic.json", nic.to_string().as_bytes());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.0.path()).arg("replay").args([
            "--subnet-nsg",
            "subnet.json",
            "--nic-nsg",
            "nic.json",
            "--virtual-network",
            "10.0.0.0/16",
        ]);
        command.args(arguments);
        command
    }

    fn replay(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Replays well and returns the last line; asserts that its sums balance.
    fn summary(&self, arguments: &[&str]) -> Value {
        let output = self.replay(arguments);
        assert!(output.status.success(), "{}", text(&output));
        summary_of(&output)
    }
}

fn summary_of(output: &Output) -> Value {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let summary: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let count = |name: &str| summary[name].as_u64().unwrap_or_else(|| panic!("{name}: {summary}"));
    let sum = count("parsed") + count("skipped") + count("unreadable");
    assert_eq!(count("packets"), sum, "{summary}");
    let verdicts = count("flows_allowed") + count("flows_denied") + count("flows_undecided");
    assert_eq!(count("flows"), verdicts, "{summary}");
    assert_eq!(count("records_lost"), 0, "{summary}");
    if let Some(rules) = summary.get("rules") {
        let total = |name: &str| -> u64 {
            rules.as_array().unwrap().iter().map(|rule| rule[name].as_u64().unwrap()).sum()
        };
        assert_eq!(total("flows"), count("flows"), "{summary}");
        let packets = count("parsed") - count("fragments_undecided");
        assert_eq!(total("packets"), packets, "{summary}");
    }
    summary
}

fn raw_sender(pair: &VethPair, side: Side) -> Box<dyn DataLinkSender> {
    let name = side.interface();
    pair.inside(side, move || {
        let interface = datalink::interfaces().into_iter().find(|it| it.name == name).unwrap();
        match datalink::channel(&interface, datalink::Config::default()).unwrap() {
            Channel::Ethernet(sender, _) => sender,
            _ => panic!("no Ethernet channel"),
        }
    })
}

/// What both must say of each flow of the test's own addresses, in an order of no meaning.
fn flows(records: &[Value]) -> Vec<String> {
    let fields = [
        "network.transport",
        "source.address",
        "source.port",
        "destination.address",
        "destination.port",
        "direction",
        "access",
        "security_rule.name",
        "security_rule.ruleset.name",
        "packets.to_destination",
        "packets.to_source",
        "bytes.to_destination",
        "bytes.to_source",
        "midstream",
        "end_reason",
    ];
    let is_ours = |record: &&Value| {
        record["event"] == "flow_end"
            && ["source.address", "destination.address"]
                .iter()
                .any(|side| matches!(record[side].as_str(), Some("198.18.0.4" | "2001:db8::4")))
    };
    let line = |record: &Value| fields.map(|field| format!("{field}={}", record[field])).join(" ");
    let mut lines: Vec<String> = records.iter().filter(is_ours).map(line).collect();
    lines.sort();
    lines
}

#[test]
fn a_replay_says_of_captured_frames_what_the_agent_says_of_them_live() {
    let frames = all_kinds_of_frames();
    let folder = Folder::new();
    folder.write("frames.pcap", &pcap(&frames));
    let arguments = ["--local", LOCAL, "--output", "flows.jsonl", "-o", "json", "frames.pcap"];
    let summary = folder.summary(&arguments);
    assert_eq!(summary["packets"], frames.len(), "{summary}");
    assert_eq!(summary["skipped"], 1, "the ARP request: {summary}");
    assert_eq!(summary["direction_assumed"], 0, "{summary}");
    let replayed = flows(&read_records(&folder.path("flows.jsonl")));
    assert_eq!(replayed.len() as u64, summary["flows"].as_u64().unwrap());
    assert!(replayed.len() >= 18, "{replayed:#?}");

    let Some(pair) = VethPair::create() else { return };
    let (subnet, nic) = rules();
    let rules = Rules { subnet: Some(&subnet), nic: Some(&nic) };
    let mut agent =
        Agent::start(&pair, VM_INTERFACE, &rules, &["--virtual-network", "10.0.0.0/16"]);
    let mut senders = [Side::Vm, Side::Outside].map(|side| raw_sender(&pair, side));
    let mut before = None;
    for frame in &frames {
        if before != Some(frame.from) {
            // The kernel delivers what one side sent a moment later than it takes what the other side sends.
            thread::sleep(Duration::from_millis(20));
            before = Some(frame.from);
        }
        let sender = &mut senders[usize::from(frame.from == Side::Outside)];
        sender.send_to(&frame.bytes, None).unwrap().unwrap();
    }
    agent.wait_for_flows(replayed.len() as u64);
    thread::sleep(Duration::from_millis(200));
    let live = flows(&agent.stop().records);
    assert_eq!(live, replayed);
}

#[test]
fn the_table_names_what_each_rule_decided() {
    let folder = Folder::new();
    folder.write("frames.pcap", &pcap(&all_kinds_of_frames()));
    let output = folder.replay(&["--local", LOCAL, "frames.pcap"]);
    assert!(output.status.success(), "{}", text(&output));
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let rows: Vec<Vec<&str>> =
        stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["RULE", "NSG", "LAYER", "ACCESS", "FLOWS", "PACKETS", "BYTES"]);
    let denied = rows.iter().find(|row| row[0] == "no-7000").unwrap();
    assert_eq!(denied[..6], ["no-7000", "nic-nsg", "nic", "Deny", "2", "3"], "{stdout}");
    assert!(
        rows.iter().any(|row| row[0] == "DenyAllInBound" && row[1] == "subnet-nsg"),
        "{stdout}"
    );
    let summary = summary_of(&output);
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary.get("rules"), None);
    assert!(output.stderr.is_empty(), "{}", text(&output));
    let json = folder.summary(&["--local", LOCAL, "-o", "json", "frames.pcap"]);
    assert_eq!(json["flows"], summary["flows"]);
}

#[test]
fn records_take_the_place_of_the_table_on_standard_output() {
    let folder = Folder::new();
    folder.write("frames.pcap", &pcap(&all_kinds_of_frames()));
    for option in ["--records", "--output=-"] {
        let output = folder.replay(&["--local", LOCAL, option, "frames.pcap"]);
        assert!(output.status.success(), "{}", text(&output));
        let summary = summary_of(&output);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Value> =
            stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len() as u64, summary["records_written"].as_u64().unwrap() + 1);
        assert_eq!(summary["records_written"], summary["flows"].as_u64().unwrap() * 2);
        assert_eq!(lines[0]["event"], "flow_start");
        assert_eq!(lines[0]["timestamp"], "2023-11-14T22:13:20.000000000Z");
        assert_eq!(lines[0]["network.interface.name"], "replay");
    }
    let output = folder.replay(&["--local", LOCAL, "--records", "--format", "text", "frames.pcap"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("22:13:20.000 start"),
        "{}",
        text(&output)
    );
}

#[test]
fn several_files_are_one_capture_in_the_order_given() {
    let folder = Folder::new();
    let frames = all_kinds_of_frames();
    let whole = folder.write("whole.pcap", &pcap(&frames));
    let (first, second) = frames.split_at(15);
    folder.write("1.pcap", &pcap(first));
    folder.write("2.pcap", &pcap(second));
    let counts = |summary: Value| {
        ["packets", "flows", "flows_allowed", "fragments_undecided"].map(|it| summary[it].clone())
    };
    let one = counts(folder.summary(&["--local", LOCAL, whole.to_str().unwrap()]));
    assert_eq!(counts(folder.summary(&["--local", LOCAL, "1.pcap", "2.pcap"])), one);
}

#[test]
fn idle_flows_end_by_the_time_of_the_packets() {
    let folder = Folder::new();
    let udp = udp4(Side::Outside, 1, (5000, 5001), b"x").bytes;
    let times = [0, 20, 45, 80, 200];
    let records = times.map(|seconds| record(START + seconds, 0, &udp)).concat();
    folder.write("slow.pcap", &[pcap_header(), records].concat());
    let ends = |more: &[&str]| {
        let arguments = ["--local", LOCAL, "--records", "slow.pcap"];
        let output = folder.replay(&[&arguments, more].concat());
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ends = lines.filter(|line| line["event"] == "flow_end");
        ends.map(|end| {
            (end["packets.to_destination"].as_u64(), end["end_reason"].as_str().map(str::to_owned))
        })
        .collect::<Vec<_>>()
    };
    let idle = |packets| (Some(packets), Some("idle".to_owned()));
    let last = |packets| (Some(packets), Some("shutdown".to_owned()));
    assert_eq!(ends(&[]), [idle(3), idle(1), last(1)]);
    assert_eq!(ends(&["--udp-idle-timeout", "10"]), [idle(1), idle(1), idle(1), idle(1), last(1)]);
    assert_eq!(ends(&["--udp-idle-timeout", "10m"]), [last(5)]);
}

#[test]
fn standard_input_is_read_where_the_local_side_is_given() {
    let folder = Folder::new();
    let file = pcap(&all_kinds_of_frames());
    let run = |arguments: &[&str]| {
        let mut command = folder.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Where the program ends without reading, the pipe is closed early.
        let _closed_early = child.stdin.take().unwrap().write_all(&file);
        child.wait_with_output().unwrap()
    };
    let output = run(&["--local", LOCAL, "-"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(summary_of(&output)["skipped"], 1);
    let output = run(&["-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("can not be read twice"), "{}", text(&output));
}

#[test]
fn the_local_side_is_guessed_and_told_or_asked_for() {
    let folder = Folder::new();
    let frames = all_kinds_of_frames();
    folder.write("frames.pcap", &pcap(&frames));
    // Two stations, each with many remote addresses or one: only the IP addresses can tell.
    let output = folder.replay(&["frames.pcap"]);
    assert!(output.status.success(), "{}", text(&output));
    let expected = "the local side is taken as 198.18.0.4, 2001:db8::4: an end of every packet";
    assert!(text(&output).contains(expected), "{}", text(&output));
    let given = folder.summary(&["--local", LOCAL, "frames.pcap"]);
    assert_eq!(summary_of(&output), given);

    folder.write("pair.pcap", &pcap(&frames[..2]));
    let output = folder.replay(&["pair.pcap"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "all packets go between 198.19.0.1 and 198.18.0.4; say it with --local";
    assert!(text(&output).contains(expected), "{}", text(&output));
}

#[test]
fn a_packet_of_strangers_is_taken_as_inbound_and_that_is_told() {
    let folder = Folder::new();
    folder.write("frames.pcap", &pcap(&all_kinds_of_frames()[..3]));
    let output = folder.replay(&["--local", "10.9.9.9", "frames.pcap"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(summary_of(&output)["direction_assumed"], 3);
    assert!(text(&output).contains("3 packets are not between"), "{}", text(&output));
}

#[test]
fn a_cut_file_is_used_with_a_warning_and_a_damaged_one_with_an_error() {
    let folder = Folder::new();
    let file = pcap(&all_kinds_of_frames());
    folder.write("cut.pcap", &file[..file.len() - 3]);
    let output = folder.replay(&["--local", LOCAL, "cut.pcap"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(summary_of(&output)["unreadable"], 1);
    assert!(text(&output).contains("warning: cut.pcap: cut off in the record at byte "));

    let damaged = [file.as_slice(), &[0xff; 16]].concat();
    folder.write("damaged.pcap", &damaged);
    let output = folder.replay(&["--local", LOCAL, "damaged.pcap"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(summary_of(&output)["unreadable"], 0);
    let expected = format!("error: damaged.pcap: byte {}: a record of 4294967295", file.len());
    assert!(text(&output).contains(&expected), "{}", text(&output));
}

#[test]
fn what_can_not_be_replayed_is_refused_with_the_reason() {
    let folder = Folder::new();
    folder.write("empty.pcap", b"");
    folder.write("text.pcap", b"this is no capture file at all");
    folder.write("good.pcap", &pcap(&all_kinds_of_frames()));
    let refused = |arguments: &[&str], code: i32, reason: &str| {
        let output = folder.replay(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(reason), "{arguments:?}: {}", text(&output));
        assert!(output.stdout.is_empty());
    };
    refused(&["empty.pcap"], 1, "error: empty.pcap: the file is empty");
    refused(&["--local", LOCAL, "empty.pcap"], 1, "error: empty.pcap: the file is empty");
    refused(&["text.pcap"], 1, "neither pcap nor pcapng");
    refused(&["gone.pcap"], 1, "can not open gone.pcap: No such file");
    refused(&["--local", LOCAL, "."], 1, "can not read .: Is a directory");
    refused(&[], 2, "<FILE>");
    refused(&["--local", "10.0.0.4/24", "good.pcap"], 2, "did you mean 10.0.0.0/24?");
    refused(&["--records", "--output", "x", "good.pcap"], 2, "cannot be used with");
    refused(&["--max-flows", "0", "good.pcap"], 1, "max-flows is 0");
    refused(&["--service-tags", "gone.json", "good.pcap"], 1, "gone.json: can not open");
}

#[test]
fn help_shows_examples() {
    let output = Command::new(BINARY).args(["replay", "--help"]).output().unwrap();
    for part in ["Examples:", "--local", "--records", "--nic-nsg", "pcapng.gz", "tcpdump -i"] {
        assert!(text(&output).contains(part), "{part}");
    }
    assert!(!Path::new("flows.jsonl").exists());
    assert_eq!(json!(output.status.code()), json!(0));
}
