//! The agent's counters as Prometheus reads them: its text format, named by its rules.
//!
//! In come values of one moment, out goes text. Asks nobody and keeps nothing. The number of series is bounded: labels
//! are words of a fixed list, watched interfaces, and rules, of which the first [`MOST_RULES`] of an interface are
//! shown; never addresses or ports.

use std::fmt::{Display, Write};

use super::RecordCounters;
use crate::engine::Counters;
use crate::flow::Direction;
use crate::nsg::{Access, Layer};

/// The most rules shown of one interface; the hits of all others are one series, its labels empty.
pub const MOST_RULES: usize = 2048;

/// Everything there is to show, as of one moment.
#[derive(Debug, Clone)]
pub struct Metrics<'a> {
    /// Version of the agent.
    pub version: &'a str,
    /// When the agent started, in seconds of Unix time.
    pub started_seconds: f64,
    /// One for each watched interface.
    pub interfaces: Vec<InterfaceMetrics<'a>>,
    /// What became of the records.
    pub records: RecordCounters,
    /// How reloads went.
    pub reloads: ReloadMetrics,
    /// Clients that were let in.
    pub clients_accepted: u64,
    /// Clients that were refused because too many were there.
    pub clients_refused: u64,
}

/// One watched interface.
#[derive(Debug, Clone)]
pub struct InterfaceMetrics<'a> {
    /// Its name.
    pub name: &'a str,
    /// Packets for the capture, dropped ones included.
    pub kernel_packets: u64,
    /// Of these, packets that found the ring full.
    pub kernel_drops: u64,
    /// How often the ring ran full.
    pub ring_freezes: u64,
    /// What the engine counted.
    pub engine: Counters,
    /// The most flows that can live at once.
    pub flow_limit: u64,
    /// Revision of the rules in force.
    pub rules_revision: u64,
    /// Flows by the rule that decided about them.
    pub rules: Vec<RuleHits<'a>>,
}

/// What one rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleHits<'a> {
    /// Direction of the flows.
    pub direction: Direction,
    /// What the rule says.
    pub access: Access,
    /// Where its group is bound.
    pub layer: Layer,
    /// Its group.
    pub group: &'a str,
    /// Its name.
    pub rule: &'a str,
    /// Flows that it decided about.
    pub hits: u64,
}

/// How reloads of the rules went since the start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReloadMetrics {
    /// Reloads that put new rules in force.
    pub successful: u64,
    /// Reloads that were refused.
    pub failed: u64,
    /// Whether the last load was successful; the one of the start was.
    pub last_successful: bool,
    /// When rules were last put in force, in seconds of Unix time.
    pub last_success_seconds: f64,
}

/// Returns all metrics as text.
#[must_use]
pub fn render(metrics: &Metrics<'_>) -> String {
    let mut page = Page::default();
    agent(&mut page, metrics);
    capture(&mut page, &metrics.interfaces);
    flows(&mut page, &metrics.interfaces);
    rules(&mut page, &metrics.interfaces);
    page.0
}

fn agent(page: &mut Page, metrics: &Metrics<'_>) {
    let Metrics { records, reloads, .. } = metrics;
    page.gauge("nsgwatch_build_info", "What runs; always 1.");
    page.series("nsgwatch_build_info", &[("version", metrics.version)], 1);
    page.gauge("nsgwatch_start_time_seconds", "When the agent started, Unix time.");
    page.series("nsgwatch_start_time_seconds", &[], metrics.started_seconds);
    page.counter("nsgwatch_records_written_total", "Records that are in the output.");
    page.series("nsgwatch_records_written_total", &[], records.written);
    page.counter("nsgwatch_records_lost_total", "Records that are not, by reason.");
    for (reason, lost) in [("queue_full", records.lost_queue_full), ("write", records.lost_write)] {
        page.series("nsgwatch_records_lost_total", &[("reason", reason)], lost);
    }
    page.counter("nsgwatch_reloads_total", "Reloads of the rules, by result.");
    for (result, count) in [("successful", reloads.successful), ("failed", reloads.failed)] {
        page.series("nsgwatch_reloads_total", &[("result", result)], count);
    }
    page.gauge("nsgwatch_last_reload_successful", "Whether the last load of the rules succeeded.");
    let successful = u8::from(reloads.last_successful);
    page.series("nsgwatch_last_reload_successful", &[], successful);
    let name = "nsgwatch_last_reload_success_timestamp_seconds";
    page.gauge(name, "When rules were last put in force, Unix time.");
    page.series(name, &[], reloads.last_success_seconds);
    page.counter("nsgwatch_clients_total", "Clients of the socket, by what became of them.");
    for (result, count) in
        [("accepted", metrics.clients_accepted), ("refused", metrics.clients_refused)]
    {
        page.series("nsgwatch_clients_total", &[("result", result)], count);
    }
}

fn capture(page: &mut Page, interfaces: &[InterfaceMetrics<'_>]) {
    type Read = fn(&InterfaceMetrics<'_>) -> u64;
    let families: [(&str, &str, Read); 5] = [
        (
            "nsgwatch_kernel_packets_total",
            "Packets for the capture, dropped ones included.",
            |it| it.kernel_packets,
        ),
        ("nsgwatch_kernel_dropped_packets_total", "Packets that found the ring full.", |it| {
            it.kernel_drops
        }),
        ("nsgwatch_ring_freezes_total", "How often the capture ring ran full.", |it| {
            it.ring_freezes
        }),
        ("nsgwatch_packets_total", "Packets judged.", |it| it.engine.packets),
        ("nsgwatch_packet_bytes_total", "Bytes of these packets on the wire.", |it| {
            it.engine.bytes
        }),
    ];
    for (name, help, read) in families {
        page.counter(name, help);
        for it in interfaces {
            page.series(name, &[("interface", it.name)], read(it));
        }
    }
    let name = "nsgwatch_skipped_frames_total";
    page.counter(name, "Frames that gave no packet, by reason.");
    for it in interfaces {
        let skipped = it.engine.skipped;
        for (reason, count) in [
            ("arp", skipped.arp),
            ("not_ip", skipped.not_ip),
            ("truncated", skipped.truncated),
            ("malformed", skipped.malformed),
        ] {
            page.series(name, &[("interface", it.name), ("reason", reason)], count);
        }
    }
    let name = "nsgwatch_undecided_fragments_total";
    page.counter(name, "Later fragments whose flow is not known.");
    for it in interfaces {
        page.series(name, &[("interface", it.name)], it.engine.fragments.undecided);
    }
}

fn flows(page: &mut Page, interfaces: &[InterfaceMetrics<'_>]) {
    page.gauge("nsgwatch_flows", "Flows in the table.");
    for it in interfaces {
        page.series("nsgwatch_flows", &[("interface", it.name)], it.engine.flows.live);
    }
    page.gauge("nsgwatch_flows_limit", "The most flows that can live at once.");
    for it in interfaces {
        page.series("nsgwatch_flows_limit", &[("interface", it.name)], it.flow_limit);
    }
    page.counter("nsgwatch_flows_created_total", "Flows begun.");
    for it in interfaces {
        page.series(
            "nsgwatch_flows_created_total",
            &[("interface", it.name)],
            it.engine.flows.created,
        );
    }
    let name = "nsgwatch_flows_ended_total";
    page.counter(name, "Flows ended, by reason; evicted are those that the table had no room for.");
    for it in interfaces {
        let ended = it.engine.flows.ended;
        for (reason, count) in [
            ("closed", ended.closed),
            ("reset", ended.reset),
            ("idle", ended.idle),
            ("evicted", ended.evicted),
            ("policy_change", ended.policy_change),
            ("superseded", ended.superseded),
            ("shutdown", ended.shutdown),
        ] {
            page.series(name, &[("interface", it.name), ("reason", reason)], count);
        }
    }
    page.counter("nsgwatch_verdicts_total", "Flows begun, by what the rules say of them.");
    for it in interfaces {
        let verdicts = it.engine.verdicts;
        for (access, count) in
            [("Allow", verdicts.allow), ("Deny", verdicts.deny), ("Undecided", verdicts.undecided)]
        {
            let labels = [("interface", it.name), ("access", access)];
            page.series("nsgwatch_verdicts_total", &labels, count);
        }
    }
}

fn rules(page: &mut Page, interfaces: &[InterfaceMetrics<'_>]) {
    page.gauge("nsgwatch_rules_revision", "Revision of the rules in force, from 1.");
    for it in interfaces {
        page.series("nsgwatch_rules_revision", &[("interface", it.name)], it.rules_revision);
    }
    let name = "nsgwatch_rule_hits_total";
    page.counter(name, "Flows begun, by the rule that decided about them.");
    for it in interfaces {
        for hits in it.rules.iter().take(MOST_RULES) {
            let labels = [
                ("interface", it.name),
                ("direction", hits.direction.as_str()),
                ("access", hits.access.as_str()),
                ("layer", hits.layer.as_str()),
                ("nsg", hits.group),
                ("rule", hits.rule),
            ];
            page.series(name, &labels, hits.hits);
        }
        let others: u64 = it.rules.iter().skip(MOST_RULES).map(|hits| hits.hits).sum();
        if it.rules.len() > MOST_RULES {
            page.series(name, &[("interface", it.name)], others);
        }
    }
}

/// The text as it grows.
#[derive(Default)]
struct Page(String);

impl Page {
    fn counter(&mut self, name: &str, help: &str) {
        self.family(name, help, "counter");
    }

    fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, help, "gauge");
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a string can not fail, here and below.
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn series(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            _ = write!(self.0, "{label}=\"");
            self.push_escaped(text);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        _ = writeln!(self.0, " {value}");
    }

    /// No name out of a rule file can end a label or a line.
    fn push_escaped(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(rules: Vec<RuleHits<'_>>) -> Metrics<'_> {
        let interface = InterfaceMetrics {
            name: "eth0",
            kernel_packets: 12,
            kernel_drops: 2,
            ring_freezes: 1,
            engine: Counters { packets: 9, ..Counters::default() },
            flow_limit: 100,
            rules_revision: 3,
            rules,
        };
        Metrics {
            version: "0.1.0",
            started_seconds: 1.5,
            interfaces: vec![interface.clone(), InterfaceMetrics { name: "eth1", ..interface }],
            records: RecordCounters { lost_write: 4, ..RecordCounters::default() },
            reloads: ReloadMetrics { failed: 1, ..ReloadMetrics::default() },
            clients_accepted: 7,
            clients_refused: 0,
        }
    }

    fn hits(rule: &str) -> RuleHits<'_> {
        let (direction, access) = (Direction::Inbound, Access::Deny);
        RuleHits { direction, access, layer: Layer::Nic, group: "web", rule, hits: 5 }
    }

    #[test]
    fn every_series_stands_behind_its_family_and_names_its_interface() {
        let text = render(&metrics(vec![hits("deny \"all\"\\\n")]));
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                assert_eq!(line.split(['{', ' ']).next().unwrap(), family, "{line}");
            }
        }
        for line in [
            "nsgwatch_kernel_dropped_packets_total{interface=\"eth1\"} 2",
            "nsgwatch_packets_total{interface=\"eth0\"} 9",
            "nsgwatch_records_lost_total{reason=\"write\"} 4",
            "nsgwatch_reloads_total{result=\"failed\"} 1",
            "nsgwatch_last_reload_successful 0",
            "nsgwatch_start_time_seconds 1.5",
            r#"nsgwatch_rule_hits_total{interface="eth0",direction="Inbound",access="Deny",layer="nic",nsg="web",rule="deny \"all\"\\\n"} 5"#,
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn the_number_of_series_is_bounded_and_no_hit_is_lost() {
        let text = render(&metrics(vec![hits("x"); MOST_RULES + 3]));
        assert_eq!(text.matches("nsgwatch_rule_hits_total{").count(), 2 * (MOST_RULES + 1));
        assert!(text.contains("nsgwatch_rule_hits_total{interface=\"eth0\"} 15\n"));
    }
}
