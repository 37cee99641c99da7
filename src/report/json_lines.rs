//! One event, one line of JSON: flat keys in a fixed order, named after OpenTelemetry's semantic conventions.
//!
//! | key | value | present |
//! |---|---|---|
//! | `timestamp` | RFC 3339, UTC, nine digits of a second: the first packet of a flow that starts, the last packet of one that ended | always |
//! | `event` | `flow_start`, `flow_end`; `gap`: see below | always |
//! | `access` | `Allow`, `Deny`, `Undecided` (a rule that might decide names what nobody knows) | always |
//! | `direction` | `Inbound`, `Outbound`: of the initiator's packets, seen from the interface | always |
//! | `security_rule.name` | the rule that decided | with a rule |
//! | `security_rule.ruleset.name` | its network security group or collection of admin rules | with a rule |
//! | `security_rule.layer` | `subnet`, `nic`: where the group is bound; `admin`: a security admin rule | with a rule |
//! | `security_rule.priority` | number | with a rule |
//! | `security_rule.default` | `true` for one of the six default rules | with a rule |
//! | `platform.traffic` | what Azure handles by itself: `wire_server`, `dns`, `instance_metadata`, `licensing`, `dhcp`, `neighbor_discovery`, `broadcast`, `multicast`, `tunnel`, `reserved_port` | of such traffic |
//! | `platform.effect` | what becomes of it whatever the rules say: `exempt` (it passes), `unsupported` (no virtual network carries it) | of such traffic |
//! | `network.transport` | `tcp`, `udp`, `icmp`, `icmpv6`, `esp`, `ah`, else the protocol's number as a string | always |
//! | `network.type` | `ipv4`, `ipv6` | always |
//! | `network.interface.name` | the interface | always |
//! | `source.address` | of the flow's initiator | always |
//! | `source.port` | number | with ports |
//! | `destination.address` | of the other side | always |
//! | `destination.port` | number | with ports |
//! | `packets.to_destination`, `packets.to_source` | numbers | at the end |
//! | `bytes.to_destination`, `bytes.to_source` | on the wire, link-layer header included | at the end |
//! | `duration_ms` | whole milliseconds from the first to the last packet, by a clock that never jumps | at the end |
//! | `midstream` | `true` where the flow was first met in the middle: who began it is a guess | at the end |
//! | `end_reason` | `closed`, `reset`, `idle`, `evicted`, `policy_change`, `superseded`, `shutdown` | at the end |
//!
//! A `gap` says that the interface was not watched for a while, and has other keys: `timestamp` (its end),
//! `network.interface.name`, `gap.start`, `gap.end`, `gap.reason` (`down`, `absent`) and `duration_ms`.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Gap;
use super::escape::push_json;
use crate::engine::{Event, FlowRecord};
use crate::flow::Timestamp;
use crate::nsg::{PlatformTraffic, RuleProvenance};

/// Rules kept in rendered form; beyond it all are forgotten and rendered again.
const MOST_RULES: usize = 8192;

const NANOSECONDS: u64 = 1_000_000_000;

/// Makes JSON lines. Keeps what repeats from line to line in rendered form.
#[derive(Debug)]
pub struct JsonLines {
    /// `,"network.interface.name":".."`
    interface: String,
    second: RenderedSecond,
    /// By the address of the rule's provenance, which is kept alive so that no other can take its address.
    rules: HashMap<usize, (Arc<RuleProvenance>, Box<str>), foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
struct RenderedSecond {
    unix_seconds: u64,
    /// Up to the second, without fraction; empty before the first line.
    text: String,
}

impl JsonLines {
    /// Makes lines that name this interface.
    #[must_use]
    pub fn new(interface_name: &str) -> Self {
        let mut interface = String::from(",\"network.interface.name\":\"");
        push_json(&mut interface, interface_name);
        interface.push('"');
        Self { interface, second: RenderedSecond::default(), rules: HashMap::default() }
    }

    /// Appends the line of one event, line feed included.
    pub fn render(&mut self, event: &Event, out: &mut String) {
        let flow = &event.flow;
        match event.end {
            None => self.push_flow(out, flow, flow.first, "flow_start"),
            Some(reason) => {
                self.push_flow(out, flow, flow.last, "flow_end");
                push_totals(out, flow);
                out.push_str(",\"end_reason\":\"");
                out.push_str(reason.as_str());
                out.push('"');
            }
        }
        out.push_str("}\n");
    }

    /// Appends the line of a flow that has not ended: the keys of one that has, without `end_reason`, and with the
    /// `event` `flow_live`.
    pub fn render_live(&mut self, flow: &FlowRecord, out: &mut String) {
        self.push_flow(out, flow, flow.last, "flow_live");
        push_totals(out, flow);
        out.push_str("}\n");
    }

    /// Appends the line of a gap, line feed included.
    pub fn render_gap(&mut self, gap: &Gap, out: &mut String) {
        for (key, unix_ns) in [
            ("{\"timestamp\":\"", gap.end.unix_ns),
            ("\",\"event\":\"gap\",\"gap.start\":\"", gap.start.unix_ns),
            ("\",\"gap.end\":\"", gap.end.unix_ns),
        ] {
            out.push_str(key);
            self.push_time(out, unix_ns);
        }
        out.push_str("\",\"gap.reason\":\"");
        out.push_str(gap.reason);
        out.push_str("\",\"duration_ms\":");
        push_number(out, gap.milliseconds());
        out.push_str(&self.interface);
        out.push_str("}\n");
    }

    /// Appends what every line begins with.
    fn push_flow(&mut self, out: &mut String, flow: &FlowRecord, stamp: Timestamp, event: &str) {
        out.push_str("{\"timestamp\":\"");
        self.push_time(out, stamp.unix_ns);
        out.push_str("\",\"event\":\"");
        out.push_str(event);
        out.push_str("\",\"access\":\"");
        out.push_str(flow.verdict.access.as_str());
        out.push_str("\",\"direction\":\"");
        out.push_str(flow.direction.as_str());
        out.push('"');
        if let Some(rule) = &flow.verdict.rule {
            self.push_rule(out, rule);
        }
        push_platform(out, flow);
        self.push_network(out, flow);
    }

    fn push_time(&mut self, out: &mut String, unix_ns: u64) {
        let (seconds, mut fraction) = (unix_ns / NANOSECONDS, unix_ns % NANOSECONDS);
        if self.second.text.is_empty() || self.second.unix_seconds != seconds {
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            self.second.unix_seconds = seconds;
            self.second.text.clear();
            // Writing to a string can not fail, and 64 bits of nanoseconds end in the year 2554.
            _ = write!(self.second.text, "{}", humantime::format_rfc3339_seconds(moment));
            self.second.text.pop(); // the Z, which comes after the fraction
        }
        out.push_str(&self.second.text);
        out.push('.');
        let mut digits = [b'0'; 9];
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789".get((fraction % 10) as usize).copied().unwrap_or(b'0');
            fraction /= 10;
        }
        out.push_str(str::from_utf8(&digits).unwrap_or("000000000"));
        out.push('Z');
    }

    fn push_rule(&mut self, out: &mut String, rule: &Arc<RuleProvenance>) {
        if self.rules.len() >= MOST_RULES {
            self.rules.clear();
        }
        let (_, text) = self
            .rules
            .entry(Arc::as_ptr(rule).addr())
            .or_insert_with(|| (Arc::clone(rule), render_rule(rule).into_boxed_str()));
        out.push_str(text);
    }

    fn push_network(&mut self, out: &mut String, flow: &FlowRecord) {
        let tuple = &flow.tuple;
        out.push_str(",\"network.transport\":\"");
        match tuple.protocol.name() {
            Some(name) => out.push_str(name),
            None => push_number(out, tuple.protocol.0),
        }
        out.push_str(match tuple.source {
            IpAddr::V4(_) => "\",\"network.type\":\"ipv4\"",
            IpAddr::V6(_) => "\",\"network.type\":\"ipv6\"",
        });
        out.push_str(&self.interface);
        push_end_point(out, "source", tuple.source, tuple.ports.source());
        push_end_point(out, "destination", tuple.destination, tuple.ports.destination());
    }
}

fn push_platform(out: &mut String, flow: &FlowRecord) {
    let deciding = flow.verdict.rule.as_deref();
    if let Some(traffic) = PlatformTraffic::of(flow.direction, &flow.tuple, deciding) {
        out.push_str(",\"platform.traffic\":\"");
        out.push_str(traffic.as_str());
        out.push_str("\",\"platform.effect\":\"");
        out.push_str(traffic.effect().as_str());
        out.push('"');
    }
}

fn render_rule(rule: &RuleProvenance) -> String {
    let mut text = String::from(",\"security_rule.name\":\"");
    push_json(&mut text, &rule.rule);
    text.push_str("\",\"security_rule.ruleset.name\":\"");
    push_json(&mut text, &rule.ruleset);
    // Writing to a string can not fail.
    _ = write!(
        text,
        "\",\"security_rule.layer\":\"{}\",\"security_rule.priority\":{},\"security_rule.default\":{}",
        rule.layer, rule.priority, rule.is_default
    );
    text
}

fn push_number(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

fn push_end_point(out: &mut String, side: &str, address: IpAddr, port: Option<u16>) {
    out.push_str(",\"");
    out.push_str(side);
    out.push_str(".address\":\"");
    match address {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push('.');
                }
                push_number(out, octet);
            }
        }
        IpAddr::V6(v6) => _ = write!(out, "{v6}"),
    }
    out.push('"');
    if let Some(port) = port {
        out.push_str(",\"");
        out.push_str(side);
        out.push_str(".port\":");
        push_number(out, port);
    }
}

fn push_totals(out: &mut String, flow: &FlowRecord) {
    let duration_ns = flow.last.monotonic_ns.saturating_sub(flow.first.monotonic_ns);
    for (key, number) in [
        (",\"packets.to_destination\":", flow.to_destination.packets),
        (",\"packets.to_source\":", flow.to_source.packets),
        (",\"bytes.to_destination\":", flow.to_destination.bytes),
        (",\"bytes.to_source\":", flow.to_source.bytes),
        (",\"duration_ms\":", duration_ns / 1_000_000),
    ] {
        out.push_str(key);
        push_number(out, number);
    }
    out.push_str(if flow.midstream { ",\"midstream\":true" } else { ",\"midstream\":false" });
}
