//! Records: whatever names rules and interfaces have, a record is one line that reads back as what it was made of.

use std::sync::Arc;

use nsgwatch::engine::{EndReason, Event, FlowRecord, Traffic};
use nsgwatch::flow::Timestamp;
use nsgwatch::nsg::{Access, Layer, Priority, RuleProvenance, Verdict};
use nsgwatch::report::{JsonLines, TextLines};
use serde_json::{Value, json};

use super::bytes::Bytes;

/// The most events of one input.
const MOST_EVENTS: usize = 4;

/// The name of the interface, then events.
pub fn check(input: &[u8]) {
    let mut bytes = Bytes(input);
    let interface = bytes.text();
    let mut json = JsonLines::new(&interface);
    let rules = [(); 2].map(|()| Arc::new(rule(&mut bytes)));
    for _ in 0..MOST_EVENTS {
        let event = event(&mut bytes, &rules);
        let mut line = String::new();
        json.render(&event, &mut line);
        check_json(&event, &interface, assert_one_line(&line));
        let mut line = String::new();
        json.render_live(&event.flow, &mut line);
        let parsed = serde_json::from_str::<Value>(assert_one_line(&line)).expect("JSON");
        assert_eq!(parsed["event"], "flow_live");
        check_text(&event);
        if bytes.is_empty() {
            break;
        }
    }
}

fn rule(bytes: &mut Bytes<'_>) -> RuleProvenance {
    RuleProvenance {
        rule: bytes.text(),
        rule_id: None,
        ruleset: bytes.text(),
        ruleset_id: None,
        layer: [Layer::Admin, Layer::Subnet, Layer::Nic][usize::from(bytes.u8() % 3)],
        priority: Priority(bytes.u16()),
        is_default: bytes.bool(),
        platform_tags: Vec::new(),
    }
}

fn event(bytes: &mut Bytes<'_>, rules: &[Arc<RuleProvenance>]) -> Event {
    use EndReason::{Closed, Evicted, Idle, PolicyChange, Reset, Shutdown, Superseded};
    let access = [Access::Allow, Access::Deny, Access::Undecided][usize::from(bytes.u8() % 3)];
    let rule = rules.get(usize::from(bytes.u8() % 3)).map(Arc::clone);
    let end = [Closed, Reset, Idle, Evicted, PolicyChange, Superseded, Shutdown];
    let end = end.get(usize::from(bytes.u8() % 8)).copied();
    let flow = FlowRecord {
        tuple: bytes.tuple(),
        direction: bytes.direction(),
        verdict: Verdict { access, rule },
        midstream: bytes.bool(),
        first: bytes.timestamp(),
        last: bytes.timestamp(),
        to_destination: Traffic { packets: bytes.u64(), bytes: bytes.u64() },
        to_source: Traffic { packets: bytes.u64(), bytes: bytes.u64() },
        tcp: None,
    };
    Event { flow, end }
}

/// Returns the line without its end, which is the only thing in it that a terminal or a reader of lines obeys.
fn assert_one_line(line: &str) -> &str {
    let body = line.strip_suffix('\n').expect("a line ends");
    let is_harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!body.contains(is_harmful), "{body:?}");
    body
}

fn check_json(event: &Event, interface: &str, line: &str) {
    let flow = &event.flow;
    let record: Value = serde_json::from_str(line).expect("JSON");
    let is = |key: &str, wanted: Value| assert_eq!(record[key], wanted, "{key} of {line}");
    is("event", json!(if event.end.is_some() { "flow_end" } else { "flow_start" }));
    is("access", json!(flow.verdict.access.as_str()));
    is("direction", json!(flow.direction.as_str()));
    is("network.interface.name", json!(interface));
    is("network.transport", json!(flow.tuple.protocol.to_string()));
    is("source.address", json!(flow.tuple.source));
    is("destination.address", json!(flow.tuple.destination));
    is("source.port", json!(flow.tuple.ports.source()));
    is("destination.port", json!(flow.tuple.ports.destination()));
    let rule = flow.verdict.rule.as_deref();
    is("security_rule.name", json!(rule.map(|rule| &rule.rule)));
    is("security_rule.ruleset.name", json!(rule.map(|rule| &rule.ruleset)));
    is("security_rule.priority", json!(rule.map(|rule| rule.priority.0)));
    is("end_reason", json!(event.end.map(EndReason::as_str)));
    if event.end.is_some() {
        is("packets.to_destination", json!(flow.to_destination.packets));
        is("bytes.to_source", json!(flow.to_source.bytes));
        is("midstream", json!(flow.midstream));
    }
    let stamp = if event.end.is_some() { flow.last } else { flow.first };
    check_stamp(stamp, record["timestamp"].as_str().expect("a time"));
}

/// `2026-11-23T11:24:03.000000001Z`: the digits of the fraction are those of the clock.
fn check_stamp(stamp: Timestamp, text: &str) {
    let fraction = text.get(19..).expect("a fraction");
    assert_eq!(fraction, format!(".{:09}Z", stamp.unix_ns % 1_000_000_000), "{text}");
}

fn check_text(event: &Event) {
    let mut plain = String::new();
    TextLines::new(false, "eth0").render(event, &mut plain);
    let plain = assert_one_line(&plain);
    let mut coloured = String::new();
    TextLines::new(true, "eth0").render(event, &mut coloured);
    let codes = ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"];
    let without = codes.iter().fold(coloured, |text, code| text.replacen(code, "", 1));
    assert_eq!(assert_one_line(&without), plain, "colours are all that differs");
}
