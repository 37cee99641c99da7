//! The metrics: Prometheus' own tool accepts them, and alerts and dashboard use no metric that is not there. The part
//! with a live agent needs root; it is skipped with a note without it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says what it skips"
)]

mod agent;
mod netns;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nsgwatch::engine::Counters;
use nsgwatch::flow::Direction;
use nsgwatch::nsg::{Access, Layer};
use nsgwatch::report::RecordCounters;
use nsgwatch::report::metrics::{InterfaceMetrics, Metrics, ReloadMetrics, RuleHits, render};

use agent::{Agent, Rules};
use netns::{VM_INTERFACE, VethPair};

fn packaging(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(below)
}

fn sample() -> String {
    let (direction, access, layer) = (Direction::Inbound, Access::Deny, Layer::Nic);
    let rules =
        vec![RuleHits {
            direction, access, layer, group: "web", rule: "a \"b\" \\ \n ö", hits: 3
        }];
    render(&Metrics {
        version: "0.1.0",
        started_seconds: 1_700_000_000.25,
        interfaces: vec![InterfaceMetrics {
            name: "eth0",
            kernel_packets: 3,
            kernel_drops: 1,
            ring_freezes: 0,
            engine: Counters::default(),
            flow_limit: 100,
            rules_revision: 1,
            rules,
        }],
        records: RecordCounters::default(),
        reloads: ReloadMetrics::default(),
        clients_accepted: 0,
        clients_refused: 0,
    })
}

/// Runs promtool with a text on its standard input; what is wrong is the panic's message.
fn promtool(arguments: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let required = std::env::var_os("NSGWATCH_REQUIRE_PRIVILEGED").is_some();
            assert!(!required, "promtool is missing: {error}");
            return eprintln!("SKIPPED: promtool is missing");
        }
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{arguments:?}: {said}\n{input}");
    assert!(arguments != ["check", "metrics"] || said.is_empty(), "{said}\n{input}");
}

#[test]
fn prometheus_accepts_the_metrics_and_has_nothing_to_say_about_their_names() {
    promtool(&["check", "metrics"], &sample());
}

#[test]
fn the_alerts_fire_when_they_should_and_only_then() {
    promtool(&["check", "rules", packaging("prometheus/nsgwatch.rules.yml").to_str().unwrap()], "");
    promtool(&["test", "rules", packaging("prometheus/nsgwatch.test.yml").to_str().unwrap()], "");
}

/// All words of a text that look like metrics of ours.
fn metrics_named(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("nsgwatch_"))
        .collect()
}

#[test]
fn alerts_and_dashboard_use_metrics_that_are_there() {
    let text = sample();
    let there = metrics_named(&text);
    for file in
        ["prometheus/nsgwatch.rules.yml", "prometheus/nsgwatch.test.yml", "grafana/nsgwatch.json"]
    {
        let text = fs::read_to_string(packaging(file)).unwrap();
        let named = metrics_named(&text);
        assert!(named.len() >= 5, "{file}: {named:?}");
        assert!(named.is_subset(&there), "{file}: {:?}", named.difference(&there));
    }
    let dashboard = fs::read_to_string(packaging("grafana/nsgwatch.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    assert_eq!(dashboard["panels"].as_array().unwrap().len(), 8);
}

fn scrape(agent: &Agent) -> String {
    let mut stream = UnixStream::connect(agent.socket()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    body.to_owned()
}

fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(series));
    let line = line.unwrap_or_else(|| unreachable!("no {series} in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_live_agent_counts_what_happened() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &Rules { subnet: None, nic: None }, &[]);
    let before = scrape(&agent);
    promtool(&["check", "metrics"], &before);
    assert!(value(&before, "nsgwatch_reloads_total{result=\"successful\"}") < 0.5);
    agent.signal(Signal::SIGHUP);
    agent.wait_until("the rules are loaded again", |agent| {
        value(&scrape(agent), "nsgwatch_reloads_total{result=\"successful\"}") > 0.5
    });
    let after = scrape(&agent);
    assert!(value(&after, "nsgwatch_clients_total{result=\"accepted\"}") > 1.5);
    assert!(value(&after, "nsgwatch_rules_revision{interface=") > 1.5);
    let name = "nsgwatch_last_reload_success_timestamp_seconds";
    assert!(value(&after, name) >= value(&before, name));
    agent.stop();
}
