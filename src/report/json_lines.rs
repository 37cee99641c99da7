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
//!
//! A line is put together from few pieces, most of which repeat from line to line and are kept in rendered form: the
//! second of the time, all that follows from the verdict, the words of the protocol.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Gap;
use super::digits::{Addresses, push_fraction, push_number};
use super::escape::push_json;
use crate::engine::{Event, FlowRecord};
use crate::flow::{Direction, Protocol, Timestamp};
use crate::nsg::{Access, PlatformTraffic, RuleProvenance};

/// Pieces about verdicts that are kept; beyond it all are forgotten and rendered again.
const MOST_HEADS: usize = 8192;

/// Room that is made for a line at once, so that it seldom has to be made within one.
const LINE: usize = 1024;

const NANOSECONDS: u64 = 1_000_000_000;

/// Makes JSON lines. Keeps what repeats from line to line in rendered form.
#[derive(Debug)]
pub struct JsonLines {
    /// `,"network.interface.name":".."`
    interface: String,
    second: RenderedSecond,
    heads: HashMap<HeadKey, Head, foldhash::fast::RandomState>,
    /// By number of the protocol and address family: from `,"network.transport":".."` to `"source.address":"`. Empty
    /// before the first such line.
    networks: Vec<String>,
    addresses: Addresses,
}

/// What a line tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Start,
    End,
    Live,
}

/// Everything that a [`Head`] depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct HeadKey {
    kind: Kind,
    access: Access,
    direction: Direction,
    /// Address of the rule's provenance.
    rule: Option<usize>,
}

/// `","event":".."` and all that follows up to the rule.
#[derive(Debug)]
struct Head {
    text: Box<str>,
    /// Kept alive, so that no other rule can take its address.
    _rule: Option<Arc<RuleProvenance>>,
}

#[derive(Debug, Default)]
struct RenderedSecond {
    unix_seconds: u64,
    /// `{"timestamp":"` up to the second and the point behind it; empty before the first line.
    text: String,
}

/// How a line begins.
const BEGIN: &str = "{\"timestamp\":\"";

impl JsonLines {
    /// Makes lines that name this interface.
    #[must_use]
    pub fn new(interface_name: &str) -> Self {
        let mut interface = String::from(",\"network.interface.name\":\"");
        push_json(&mut interface, interface_name);
        interface.push('"');
        Self {
            interface,
            second: RenderedSecond::default(),
            heads: HashMap::default(),
            networks: vec![String::new(); 2 * (usize::from(u8::MAX) + 1)],
            addresses: Addresses::new(),
        }
    }

    /// Appends the line of one event, line feed included.
    pub fn render(&mut self, event: &Event, out: &mut String) {
        let flow = &event.flow;
        match event.end {
            None => self.push_flow(out, flow, flow.first, Kind::Start),
            Some(reason) => {
                self.push_flow(out, flow, flow.last, Kind::End);
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
        self.push_flow(out, flow, flow.last, Kind::Live);
        push_totals(out, flow);
        out.push_str("}\n");
    }

    /// Appends the line of a gap, line feed included.
    pub fn render_gap(&mut self, gap: &Gap, out: &mut String) {
        self.push_begin(out, gap.end.unix_ns);
        for (key, unix_ns) in [
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

    /// Appends what every line of a flow begins with.
    fn push_flow(&mut self, out: &mut String, flow: &FlowRecord, stamp: Timestamp, kind: Kind) {
        out.reserve(LINE);
        self.push_begin(out, stamp.unix_ns);
        self.push_head(out, flow, kind);
        push_platform(out, flow);
        self.push_network(out, flow);
    }

    /// Appends the beginning of a line and its time.
    fn push_begin(&mut self, out: &mut String, unix_ns: u64) {
        out.push_str(self.up_to_the_second(unix_ns / NANOSECONDS));
        push_fraction(out, unix_ns % NANOSECONDS);
        out.push('Z');
    }

    fn push_time(&mut self, out: &mut String, unix_ns: u64) {
        let begin = self.up_to_the_second(unix_ns / NANOSECONDS);
        out.push_str(begin.strip_prefix(BEGIN).unwrap_or_default());
        push_fraction(out, unix_ns % NANOSECONDS);
        out.push('Z');
    }

    fn up_to_the_second(&mut self, unix_seconds: u64) -> &str {
        if self.second.text.is_empty() || self.second.unix_seconds != unix_seconds {
            // 64 bits of nanoseconds end in the year 2554.
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds);
            self.second.unix_seconds = unix_seconds;
            self.second.text.clear();
            // Writing to a string can not fail.
            _ = write!(self.second.text, "{BEGIN}{}", humantime::format_rfc3339_seconds(moment));
            self.second.text.pop(); // the Z, which comes after the fraction
            self.second.text.push('.');
        }
        &self.second.text
    }

    fn push_head(&mut self, out: &mut String, flow: &FlowRecord, kind: Kind) {
        let rule = flow.verdict.rule.as_ref();
        let key = HeadKey {
            kind,
            access: flow.verdict.access,
            direction: flow.direction,
            rule: rule.map(|rule| Arc::as_ptr(rule).addr()),
        };
        if self.heads.len() >= MOST_HEADS {
            self.heads.clear();
        }
        let head = self.heads.entry(key).or_insert_with(|| Head {
            text: render_head(&key, rule.map(Arc::as_ref)).into_boxed_str(),
            _rule: rule.map(Arc::clone),
        });
        out.push_str(&head.text);
    }

    fn push_network(&mut self, out: &mut String, flow: &FlowRecord) {
        let tuple = &flow.tuple;
        let place = 2 * usize::from(tuple.protocol.0) + usize::from(tuple.source.is_ipv6());
        if let Some(network) = self.networks.get_mut(place) {
            if network.is_empty() {
                *network = render_network(tuple.protocol, tuple.source, &self.interface);
            }
            out.push_str(network);
        }
        self.addresses.push(out, tuple.source);
        if let Some(port) = tuple.ports.source() {
            out.push_str("\",\"source.port\":");
            push_number(out, port);
            out.push_str(",\"destination.address\":\"");
        } else {
            out.push_str("\",\"destination.address\":\"");
        }
        self.addresses.push(out, tuple.destination);
        if let Some(port) = tuple.ports.destination() {
            out.push_str("\",\"destination.port\":");
            push_number(out, port);
        } else {
            out.push('"');
        }
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

fn render_head(key: &HeadKey, rule: Option<&RuleProvenance>) -> String {
    let event = match key.kind {
        Kind::Start => "flow_start",
        Kind::End => "flow_end",
        Kind::Live => "flow_live",
    };
    let mut text = format!(
        "\",\"event\":\"{event}\",\"access\":\"{}\",\"direction\":\"{}\"",
        key.access, key.direction
    );
    let Some(rule) = rule else { return text };
    text.push_str(",\"security_rule.name\":\"");
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

fn render_network(protocol: Protocol, address: IpAddr, interface: &str) -> String {
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    format!(
        ",\"network.transport\":\"{protocol}\",\"network.type\":\"{family}\"{interface},\"source.address\":\""
    )
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
