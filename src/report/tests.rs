//! Lines, and what becomes of events when the queue is full, the disk is full, or the file is renamed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::engine::{EndReason, FlowRecord, TcpStage, Traffic};
use crate::flow::{Direction, FiveTuple, Ports, Protocol, Timestamp};
use crate::nsg::{Access, Layer, PlatformTraffic, Priority, RuleProvenance, Verdict};

const PATIENCE: Duration = Duration::from_secs(20);

fn rule(name: &str) -> Arc<RuleProvenance> {
    Arc::new(RuleProvenance {
        rule: name.to_owned(),
        rule_id: None,
        ruleset: "web-nsg".to_owned(),
        ruleset_id: None,
        layer: Layer::Nic,
        priority: Priority(300),
        is_default: false,
        platform_tags: Vec::new(),
    })
}

fn flow() -> FlowRecord {
    FlowRecord {
        tuple: FiveTuple {
            protocol: Protocol::TCP,
            source: "203.0.113.9".parse().unwrap(),
            destination: "10.0.1.4".parse().unwrap(),
            ports: Ports::Pair { source: 50_211, destination: 443 },
        },
        direction: Direction::Inbound,
        verdict: Verdict { access: Access::Allow, rule: Some(rule("allow-web")) },
        midstream: false,
        first: Timestamp { monotonic_ns: 5_000_000_000, unix_ns: 1_767_225_599_000_000_042 },
        last: Timestamp { monotonic_ns: 6_234_567_890, unix_ns: 1_767_225_600_234_567_890 },
        to_destination: Traffic { packets: 12, bytes: 1800 },
        to_source: Traffic { packets: 10, bytes: 5000 },
        tcp: Some(TcpStage::Closed),
    }
}

fn json_line(event: &Event) -> String {
    let mut line = String::new();
    JsonLines::new("eth0").render(event, &mut line);
    line
}

#[test]
fn a_flow_that_starts_is_one_json_line_with_documented_keys() {
    assert_eq!(
        json_line(&Event::start(flow())),
        concat!(
            r#"{"timestamp":"2025-12-31T23:59:59.000000042Z","event":"flow_start","access":"Allow","#,
            r#""direction":"Inbound","security_rule.name":"allow-web","#,
            r#""security_rule.ruleset.name":"web-nsg","security_rule.layer":"nic","#,
            r#""security_rule.priority":300,"security_rule.default":false,"#,
            r#""network.transport":"tcp","network.type":"ipv4","network.interface.name":"eth0","#,
            r#""source.address":"203.0.113.9","source.port":50211,"#,
            r#""destination.address":"10.0.1.4","destination.port":443}"#,
            "\n"
        )
    );
}

#[test]
fn a_flow_that_ended_also_tells_its_traffic_and_why() {
    let mut flow = flow();
    flow.tuple = FiveTuple {
        protocol: Protocol(47),
        source: "2001:db8::1".parse().unwrap(),
        destination: "2001:db8::2".parse().unwrap(),
        ports: Ports::Absent,
    };
    flow.verdict = Verdict::NO_GROUP;
    flow.midstream = true;
    assert_eq!(
        json_line(&Event::end(flow, EndReason::Idle)),
        concat!(
            r#"{"timestamp":"2026-01-01T00:00:00.234567890Z","event":"flow_end","access":"Allow","#,
            r#""direction":"Inbound","platform.traffic":"tunnel","platform.effect":"unsupported","#,
            r#""network.transport":"47","network.type":"ipv6","#,
            r#""network.interface.name":"eth0","source.address":"2001:db8::1","#,
            r#""destination.address":"2001:db8::2","packets.to_destination":12,"#,
            r#""packets.to_source":10,"bytes.to_destination":1800,"bytes.to_source":5000,"#,
            r#""duration_ms":1234,"midstream":true,"end_reason":"idle"}"#,
            "\n"
        )
    );
}

#[test]
fn an_echo_has_no_ports_in_its_record() {
    let mut flow = flow();
    flow.tuple.protocol = Protocol::ICMP;
    flow.tuple.ports = Ports::Echo(7);
    let line = json_line(&Event::start(flow));
    assert!(!line.contains(".port\""), "{line}");
}

#[test]
fn the_same_rule_in_other_words_is_not_taken_for_the_cached_one() {
    let mut lines = JsonLines::new("eth0");
    for round in 0..3 {
        for number in 0..100 {
            let mut flow = flow();
            let name = format!("rule-{round}-{number}");
            flow.verdict.rule = Some(rule(&name));
            let mut line = String::new();
            lines.render(&Event::start(flow), &mut line);
            assert!(line.contains(&format!("\"{name}\"")), "{line}");
        }
    }
}

#[test]
fn lines_for_people_are_aligned_and_complete() {
    let mut denied = flow();
    denied.verdict.access = Access::Deny;
    denied.midstream = true;
    denied.direction = Direction::Outbound;
    let mut without_rule = flow();
    without_rule.verdict = Verdict::NO_GROUP;
    for (event, colour, expected) in [
        (
            Event::start(flow()),
            false,
            "23:59:59.000 start ALLOW in  tcp    203.0.113.9:50211 -> 10.0.1.4:443             allow-web (web-nsg, nic, 300)\n",
        ),
        (
            Event::end(denied, EndReason::Closed),
            true,
            "00:00:00.234 end   \x1b[31mDENY \x1b[0m out tcp    203.0.113.9:50211 -> 10.0.1.4:443             allow-web (web-nsg, nic, 300) packets 12/10, bytes 1800/5000, 1.234 s, closed, midstream\n",
        ),
        (
            Event::start(without_rule),
            false,
            "23:59:59.000 start ALLOW in  tcp    203.0.113.9:50211 -> 10.0.1.4:443             no rule\n",
        ),
    ] {
        let mut line = String::new();
        TextLines::new(colour, "eth0").render(&event, &mut line);
        assert_eq!(line, expected);
    }
}

fn any_flow() -> impl Strategy<Value = FlowRecord> {
    let address = prop_oneof![
        any::<[u8; 4]>().prop_map(|bytes| (bytes.into(), bytes.into())),
        any::<([u8; 16], [u8; 16])>().prop_map(|(one, two)| (one.into(), two.into())),
    ];
    let ports = prop_oneof![
        Just(Ports::Absent),
        any::<u16>().prop_map(Ports::Echo),
        any::<(u16, u16)>().prop_map(|(source, destination)| Ports::Pair { source, destination }),
    ];
    let name = prop::collection::vec(any::<char>(), 0..12)
        .prop_map(|characters| characters.into_iter().collect::<String>());
    let rule = prop::option::of((name.clone(), name, any::<u16>(), any::<bool>()));
    let numbers = any::<[u64; 8]>();
    (address, ports, any::<(u8, bool, bool)>(), rule, numbers).prop_map(
        |((source, destination), ports, (protocol, inbound, midstream), rule, numbers)| {
            let [first_mono, first, last_mono, last, there, there_bytes, back, back_bytes] =
                numbers;
            let rule = rule.map(|(rule, ruleset, priority, is_default)| {
                Arc::new(RuleProvenance {
                    rule,
                    rule_id: None,
                    ruleset,
                    ruleset_id: None,
                    layer: if is_default { Layer::Subnet } else { Layer::Nic },
                    priority: Priority(priority),
                    is_default,
                    platform_tags: Vec::new(),
                })
            });
            FlowRecord {
                tuple: FiveTuple { protocol: Protocol(protocol), source, destination, ports },
                direction: if inbound { Direction::Inbound } else { Direction::Outbound },
                verdict: Verdict { access: Access::Deny, rule },
                midstream,
                first: Timestamp { monotonic_ns: first_mono, unix_ns: first },
                last: Timestamp { monotonic_ns: last_mono, unix_ns: last },
                to_destination: Traffic { packets: there, bytes: there_bytes },
                to_source: Traffic { packets: back, bytes: back_bytes },
                tcp: None,
            }
        },
    )
}

/// What a record must say, made the slow way.
fn expected(event: &Event) -> Value {
    let flow = &event.flow;
    let stamp = if event.end.is_some() { flow.last } else { flow.first };
    let moment = std::time::UNIX_EPOCH + Duration::from_nanos(stamp.unix_ns);
    let mut record = json!({
        "timestamp": humantime::format_rfc3339_nanos(moment).to_string(),
        "event": if event.end.is_some() { "flow_end" } else { "flow_start" },
        "access": "Deny",
        "direction": flow.direction.to_string(),
        "network.transport": flow.tuple.protocol.to_string(),
        "network.type": if flow.tuple.source.is_ipv4() { "ipv4" } else { "ipv6" },
        "network.interface.name": "eth\u{1b}0",
        "source.address": flow.tuple.source.to_string(),
        "destination.address": flow.tuple.destination.to_string(),
    });
    if let Some(rule) = &flow.verdict.rule {
        record["security_rule.name"] = json!(rule.rule);
        record["security_rule.ruleset.name"] = json!(rule.ruleset);
        record["security_rule.layer"] = json!(rule.layer.as_str());
        record["security_rule.priority"] = json!(rule.priority.0);
        record["security_rule.default"] = json!(rule.is_default);
    }
    let deciding = flow.verdict.rule.as_deref();
    if let Some(traffic) = PlatformTraffic::of(flow.direction, &flow.tuple, deciding) {
        record["platform.traffic"] = json!(traffic);
        record["platform.effect"] = json!(traffic.effect());
    }
    if let Ports::Pair { source, destination } = flow.tuple.ports {
        record["source.port"] = json!(source);
        record["destination.port"] = json!(destination);
    }
    if let Some(reason) = event.end {
        let duration = flow.last.monotonic_ns.saturating_sub(flow.first.monotonic_ns);
        record["packets.to_destination"] = json!(flow.to_destination.packets);
        record["packets.to_source"] = json!(flow.to_source.packets);
        record["bytes.to_destination"] = json!(flow.to_destination.bytes);
        record["bytes.to_source"] = json!(flow.to_source.bytes);
        record["duration_ms"] = json!(duration / 1_000_000);
        record["end_reason"] = json!(reason.as_str());
        record["midstream"] = json!(flow.midstream);
    }
    record
}

fn assert_one_harmless_line(line: &str) {
    let inside = line.strip_suffix('\n').unwrap();
    let harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!inside.contains(harmful), "{line:?}");
}

proptest! {
    #[test]
    fn each_line_is_one_harmless_line_that_reads_back_as_what_was_meant(
        flows in prop::collection::vec(any_flow(), 1..4),
        reason in prop::option::of(prop_oneof![Just(EndReason::Reset), Just(EndReason::Shutdown)]),
    ) {
        let mut json = JsonLines::new("eth\u{1b}0");
        for flow in flows {
            let event = Event { flow, end: reason };
            let mut line = String::new();
            json.render(&event, &mut line);
            assert_one_harmless_line(&line);
            prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected(&event));
            line.clear();
            TextLines::new(false, "eth0").render(&event, &mut line);
            assert_one_harmless_line(&line);
        }
    }
}

fn writer_to(path: &Path, queue_limit: usize) -> RecordWriter {
    RecordWriter {
        output: Output::open(Sink::File(path.to_owned())).unwrap(),
        format: Format::Json,
        interface_names: vec!["eth0".to_owned()],
        queue_limit,
        hub: Hub::new(0, 0),
    }
}

fn started(
    writer: RecordWriter,
    on_reader_gone: impl FnOnce() + Send + 'static,
) -> (RecordQueue, WriterHandle) {
    let (queues, handle) = writer.start(on_reader_gone).unwrap();
    (queues.into_iter().next().unwrap(), handle)
}

fn nobody_leaves() {
    panic!("a file has no reader that could leave");
}

pub(super) fn events(count: usize) -> Vec<Event> {
    vec![Event::start(flow()); count]
}

/// Reads a record file; each of its lines must be a whole record.
fn records_in(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    for line in text.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    text.lines().count() as u64
}

#[track_caller]
fn assert_balanced(counters: RecordCounters) {
    let RecordCounters { events, written, lost_queue_full, lost_write } = counters;
    assert_eq!(events, written + lost_queue_full + lost_write, "{counters:?}");
}

#[test]
fn all_events_that_fit_the_queue_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let (mut queue, handle) = started(writer_to(&path, 100_000), nobody_leaves);
    for count in [1, 10, 5000, 0, 300] {
        let mut batch = events(count);
        queue.send(&mut batch);
        assert!(batch.is_empty());
    }
    let counters = handle.finish(PATIENCE);
    assert_eq!(counters, RecordCounters { events: 5311, written: 5311, ..Default::default() });
    assert_eq!(records_in(&path), 5311);
    queue.send(&mut events(3));
    assert_eq!(queue.counters().lost_write, 3, "the writer has finished");
}

#[test]
fn the_last_lines_of_a_burst_are_written_though_no_event_follows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let (mut queue, handle) = started(writer_to(&path, 100_000), nobody_leaves);
    // More than the buffer holds, and no multiple of it.
    queue.send(&mut events(1999));
    let deadline = Instant::now() + PATIENCE;
    while handle.counters().written < 1999 {
        assert!(Instant::now() < deadline, "{:?}", handle.counters());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(records_in(&path), 1999);
    assert_eq!(handle.finish(PATIENCE).written, 1999);
}

#[test]
fn a_file_is_made_for_owner_and_group_only_and_appended_to() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    for round in 1..=2 {
        let (mut queue, handle) = started(writer_to(&path, 10), nobody_leaves);
        queue.send(&mut events(2));
        assert_eq!(handle.finish(PATIENCE).written, 2);
        assert_eq!(records_in(&path), 2 * round);
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
}

#[test]
fn after_a_torn_line_a_new_one_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    fs::write(&path, "{\"whole\":1}\n{\"torn").unwrap();
    let (mut queue, writer) = started(writer_to(&path, 10), nobody_leaves);
    queue.send(&mut events(1));
    assert_eq!(writer.finish(Duration::from_secs(5)).written, 1);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "{\"torn");
    assert!(lines.len() == 3 && serde_json::from_str::<Value>(lines[2]).is_ok(), "{text}");
}

#[test]
fn a_sink_that_can_not_be_opened_is_an_error_with_its_path() {
    let missing = PathBuf::from("/proc/self/no-such-folder/flows.jsonl");
    let error = Output::open(Sink::File(missing)).unwrap_err();
    assert!(error.to_string().contains("/proc/self/no-such-folder/flows.jsonl"), "{error}");
}

#[test]
fn what_does_not_fit_the_queue_is_counted_as_lost_to_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let (mut queue, handle) = started(writer_to(&path, 1000), nobody_leaves);
    queue.send(&mut events(1700));
    assert_eq!(queue.counters().lost_queue_full, 700);
    for _ in 0..200 {
        queue.send(&mut events(999));
    }
    let counters = handle.finish(PATIENCE);
    assert_balanced(counters);
    assert_eq!(counters.events, 1700 + 200 * 999);
    assert_eq!(counters.written, records_in(&path));
    assert_eq!(counters.lost_write, 0);
}

#[test]
fn a_sender_that_waits_loses_nothing_to_a_small_queue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let (mut queue, handle) = started(writer_to(&path, 64), nobody_leaves);
    let mut batch = events(10_000);
    queue.send_waiting(&mut batch, Instant::now() + PATIENCE);
    assert!(batch.is_empty());
    let counters = handle.finish(PATIENCE);
    assert_eq!(counters, RecordCounters { events: 10_000, written: 10_000, ..Default::default() });
}

#[test]
fn a_renamed_file_is_left_complete_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let old = folder.path().join("flows.jsonl.1");
    let (mut queue, handle) = started(writer_to(&path, 1000), nobody_leaves);
    queue.send(&mut events(10));
    fs::rename(&path, &old).unwrap_or_else(|error| panic!("{error}"));
    queue.send(&mut events(5));
    handle.reopen();
    queue.send(&mut events(7));
    assert_eq!(handle.finish(PATIENCE).written, 22);
    assert_eq!((records_in(&old), records_in(&path)), (15, 7));
}

#[test]
fn standard_output_is_not_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = Sink::File(folder.path().join("flows.jsonl"));
    for (sink, anew) in [(Sink::Stdout, false), (file, true)] {
        assert_eq!(Output::open(sink).unwrap().reopen().unwrap(), anew);
    }
}

#[test]
fn a_file_that_can_not_be_opened_anew_stays_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    let moved = folder.path().join("moved");
    fs::create_dir(&inner).unwrap();
    let (mut queue, handle) = started(writer_to(&inner.join("flows.jsonl"), 1000), nobody_leaves);
    fs::rename(&inner, &moved).unwrap();
    handle.reopen();
    queue.send(&mut events(4));
    assert_eq!(handle.finish(PATIENCE).written, 4);
    assert_eq!(records_in(&moved.join("flows.jsonl")), 4);
}

#[test]
fn a_device_that_is_always_full_loses_everything_and_stops_nothing() {
    let (mut queue, handle) = started(writer_to(Path::new("/dev/full"), 1000), nobody_leaves);
    for _ in 0..5 {
        queue.send(&mut events(3));
    }
    let counters = handle.finish(PATIENCE);
    assert_eq!(counters, RecordCounters { events: 15, lost_write: 15, ..Default::default() });
}

#[test]
fn a_reader_that_leaves_is_told_once_and_the_rest_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = {
        let path = path.clone();
        std::thread::spawn(move || drop(fs::File::open(path).unwrap()))
    };
    let (tell, told) = mpsc::channel();
    let (mut queue, handle) = started(writer_to(&path, 1000), move || tell.send(()).unwrap());
    reader.join().unwrap();
    queue.send(&mut events(3));
    told.recv_timeout(PATIENCE).unwrap();
    queue.send(&mut events(4));
    let counters = handle.finish(PATIENCE);
    assert_eq!(counters, RecordCounters { events: 7, lost_write: 7, ..Default::default() });
    assert!(told.recv().is_err(), "told once");
}

#[test]
fn a_reader_that_does_not_read_can_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = {
        let path = path.clone();
        std::thread::spawn(move || fs::File::open(path).unwrap())
    };
    let (mut queue, handle) = started(writer_to(&path, 10_000), || ());
    let reader = reader.join().unwrap();
    let mut batch = events(30_000);
    queue.send_waiting(&mut batch, Instant::now() + Duration::from_millis(300));
    assert!(batch.is_empty());
    let counters = handle.finish(Duration::from_millis(300));
    assert_eq!(counters.events, 30_000);
    assert_balanced(counters);
    assert!(counters.lost_queue_full > 0 && counters.lost_write > 0, "{counters:?}");
    drop(reader);
}

/// A file system of 64 KiB, unmounted when dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where the test may not mount; an error where it must.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "nsgwatch-test"])
            .arg(folder.path())
            .output();
        let mounted = output.as_ref().is_ok_and(|output| output.status.success());
        if !mounted {
            let required =
                std::env::var_os("NSGWATCH_REQUIRE_PRIVILEGED").is_some_and(|v| v == "1");
            assert!(!required, "mount of a small tmpfs failed: {output:?}");
            eprintln!("SKIPPED: needs the right to mount a tmpfs");
            return None;
        }
        Some(Self { folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

#[test]
fn a_full_disk_tears_no_line_loses_what_it_counts_and_is_left_behind() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.folder.path().join("flows.jsonl");
    let ballast = disk.folder.path().join("ballast");
    fs::write(&ballast, vec![0; 30_000]).unwrap();
    let (mut queue, handle) = started(writer_to(&path, 100_000), nobody_leaves);
    let wait_until_done = |queue: &RecordQueue| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = queue.counters();
            if now.events == now.written + now.lost_write + now.lost_queue_full {
                return now;
            }
            assert!(Instant::now() < deadline, "{now:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    queue.send(&mut events(500));
    let full = wait_until_done(&queue);
    assert!(full.written > 0 && full.lost_write > 0, "{full:?}");
    assert_eq!(full.written, records_in(&path));

    queue.send(&mut events(20));
    let still_full = wait_until_done(&queue);
    assert_eq!(still_full.written, records_in(&path));
    assert!(still_full.lost_write > full.lost_write, "{still_full:?}");

    fs::remove_file(&ballast).unwrap();
    queue.send(&mut events(30));
    let counters = handle.finish(PATIENCE);
    assert_eq!(counters.written, still_full.written + 30);
    assert_eq!(counters.written, records_in(&path));
    assert_balanced(counters);
}

#[test]
fn the_queues_of_several_interfaces_share_one_output_and_a_gap_counts_as_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let interface_names = vec!["eth0".to_owned(), "eth1".to_owned()];
    let writer = RecordWriter { interface_names, ..writer_to(&path, 1000) };
    let (mut queues, handle) = writer.start(nobody_leaves).unwrap();
    for (queue, count) in queues.iter_mut().zip([3, 4]) {
        queue.send(&mut events(count));
    }
    let at = |seconds: u64| Timestamp {
        monotonic_ns: seconds * 1_000_000_000,
        unix_ns: (1_800_000_000 + seconds) * 1_000_000_000,
    };
    handle.gap(1, Gap { start: at(1), end: at(3), reason: "absent" });
    let counters = handle.finish(Duration::from_secs(5));
    assert_eq!((counters.events, counters.written), (8, 8));
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name| lines.iter().filter(|line| line["network.interface.name"] == name).count();
    assert_eq!((of("eth0"), of("eth1")), (3, 5));
    let gap = serde_json::json!({
        "timestamp": "2027-01-15T08:00:03.000000000Z", "event": "gap",
        "gap.start": "2027-01-15T08:00:01.000000000Z", "gap.end": "2027-01-15T08:00:03.000000000Z",
        "gap.reason": "absent", "duration_ms": 2000, "network.interface.name": "eth1",
    });
    assert_eq!(lines[7], gap);
    let mut line = String::new();
    TextLines::new(false, "eth1")
        .render_gap(&Gap { start: at(1), end: at(3), reason: "down" }, &mut line);
    assert_eq!(
        line,
        "08:00:03.000 gap   eth1 was down and not watched for 2.000 s, since 08:00:01.000\n"
    );
}
