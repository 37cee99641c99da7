//! One event, one aligned line for people. All times are UTC.
//!
//! ```text
//! 09:30:00.123 start ALLOW out tcp    10.0.1.4:50000 -> 203.0.113.9:443             AllowInternetOutBound (web-nsg, subnet, 65001)
//! 09:30:04.500 end   ALLOW out tcp    10.0.1.4:50000 -> 203.0.113.9:443             AllowInternetOutBound (web-nsg, subnet, 65001) packets 12/10, bytes 1800/5000, 4.377 s, closed
//! ```
//!
//! Traffic is given as to the destination / to the source; `midstream` stands at the end where who began the flow
//! is a guess.

use std::fmt::Write;

use super::Gap;
use super::escape::push_plain;
use crate::engine::{EndReason, Event, FlowRecord};
use crate::flow::Direction;
use crate::nsg::{Access, PlatformTraffic, RuleProvenance};

const MILLISECOND_NS: u64 = 1_000_000;

/// Makes lines for people.
#[derive(Debug)]
pub struct TextLines {
    colour: bool,
    /// Named where an interface was not watched.
    interface: String,
    /// Reused: the tuple, to be aligned.
    ends: String,
}

impl TextLines {
    /// Makes lines, with terminal colours or without.
    #[must_use]
    pub fn new(colour: bool, interface_name: &str) -> Self {
        Self { colour, interface: interface_name.to_owned(), ends: String::new() }
    }

    /// Appends the line of a gap, line feed included.
    pub fn render_gap(&mut self, gap: &Gap, out: &mut String) {
        push_time_of_day(out, gap.end.unix_ns);
        out.push_str(" gap   ");
        push_plain(out, &self.interface);
        let milliseconds = gap.milliseconds();
        // Writing to a string can not fail.
        _ = write!(
            out,
            " was {} and not watched for {}.{:03} s, since ",
            gap.reason,
            milliseconds / 1000,
            milliseconds % 1000
        );
        push_time_of_day(out, gap.start.unix_ns);
        out.push('\n');
    }

    /// Appends the line of one event, line feed included.
    pub fn render(&mut self, event: &Event, out: &mut String) {
        let flow = &event.flow;
        let (stamp, word) = match event.end {
            None => (flow.first, "start"),
            Some(_) => (flow.last, "end"),
        };
        push_time_of_day(out, stamp.unix_ns);
        // Writing to a string can not fail, here and below.
        _ = write!(out, " {word:5} ");
        self.push_access(out, flow.verdict.access);
        let direction = match flow.direction {
            Direction::Inbound => "in",
            Direction::Outbound => "out",
        };
        self.ends.clear();
        _ = write!(self.ends, "{}", flow.tuple);
        let ends = self.ends.split_once(' ').map_or("", |(_, ends)| ends);
        _ = write!(out, " {direction:3} {:6} {ends:45} ", flow.tuple.protocol);
        match &flow.verdict.rule {
            Some(rule) => push_rule(out, rule),
            None => out.push_str("no rule"),
        }
        if let Some(reason) = event.end {
            push_end(out, flow, reason);
        }
        if let Some(traffic) =
            PlatformTraffic::of(flow.direction, &flow.tuple, flow.verdict.rule.as_deref())
        {
            _ = write!(out, ", platform {traffic} {}", traffic.effect());
        }
        if flow.midstream {
            out.push_str(", midstream");
        }
        out.push('\n');
    }

    fn push_access(&self, out: &mut String, access: Access) {
        let (word, code) = match access {
            Access::Allow => ("ALLOW", "\x1b[32m"),
            Access::Deny => ("DENY ", "\x1b[31m"),
            Access::Undecided => ("UNDEC", "\x1b[33m"),
        };
        if self.colour {
            out.push_str(code);
            out.push_str(word);
            out.push_str("\x1b[0m");
        } else {
            out.push_str(word);
        }
    }
}

fn push_time_of_day(out: &mut String, unix_ns: u64) {
    let milliseconds = unix_ns / MILLISECOND_NS;
    let seconds = milliseconds / 1000;
    _ = write!(
        out,
        "{:02}:{:02}:{:02}.{:03}",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        milliseconds % 1000
    );
}

fn push_rule(out: &mut String, rule: &RuleProvenance) {
    push_plain(out, &rule.rule);
    out.push_str(" (");
    push_plain(out, &rule.ruleset);
    _ = write!(out, ", {}, {})", rule.layer, rule.priority);
}

fn push_end(out: &mut String, flow: &FlowRecord, reason: EndReason) {
    let (there, back) = (flow.to_destination, flow.to_source);
    let milliseconds =
        flow.last.monotonic_ns.saturating_sub(flow.first.monotonic_ns) / MILLISECOND_NS;
    _ = write!(
        out,
        " packets {}/{}, bytes {}/{}, {}.{:03} s, {}",
        there.packets,
        back.packets,
        there.bytes,
        back.bytes,
        milliseconds / 1000,
        milliseconds % 1000,
        reason.as_str()
    );
}
