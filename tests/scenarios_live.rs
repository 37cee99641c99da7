//! Runs every file of `tests/scenarios/stateful`: rules in Azure's shape, then packets, other rules and time passing,
//! with every event that the engine must tell.
//!
//! Each file names its source and holds `scenarios`; each scenario has `virtualNetwork`, `rules` (`subnet` and `nic`,
//! a network security group each) and `steps`. A step is one of
//!
//! * `packet`: `Inbound tcp SOURCE -> DESTINATION`, sent `times` times (once where that is absent). TCP has `flags`
//!   (`SYN ACK`), an ICMP echo has `echo` (`request` or `reply`) and `identifier`, an ICMP error has `quotes`, the
//!   packet it quotes;
//! * `rules`: puts other rules in force, as a reload does;
//! * `seconds`: lets time pass;
//! * `verify`: asks IP flow verify about a packet (written like `packet`), whose `answer` is `Deny by RULE`.
//!
//! `events` are the flows that the step begins (`Inbound tcp .. -> ..: Allow by RULE`, with `, midstream` where who
//! began it is a guess) and ends (`end of tcp .. -> ..: REASON after THERE/BACK packets`), in order. What is there at
//! the end is ended by the shutdown, and `atTheEnd` says of each flow what came of it, sorted: so every packet of a
//! scenario is accounted for.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use nsgwatch::classifier::Policy;
use nsgwatch::engine::{Engine, Event, Limits};
use nsgwatch::flow::{Direction, FiveTuple, Ports, Protocol, Timestamp};
use nsgwatch::nsg::Verdict;
use nsgwatch::nsg::load::{SourceFile, Sources, load};
use nsgwatch::packet::{Fragment, Packet, PacketKind, TcpFlags};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    source: String,
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Scenario {
    title: String,
    virtual_network: Vec<ipnet::IpNet>,
    rules: Groups,
    steps: Vec<Step>,
    at_the_end: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Groups {
    subnet: Option<Value>,
    nic: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Step {
    Packet(PacketStep),
    Rules(RulesStep),
    Wait(WaitStep),
    Verify(VerifyStep),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PacketStep {
    packet: String,
    flags: Option<String>,
    echo: Option<String>,
    identifier: Option<u16>,
    quotes: Option<String>,
    times: Option<u32>,
    #[serde(default)]
    events: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesStep {
    rules: Groups,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitStep {
    seconds: u64,
    #[serde(default)]
    events: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyStep {
    verify: String,
    answer: String,
}

const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn every_conversation_is_told_as_its_source_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/stateful");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 7, "only {} scenario files", paths.len());
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file: ScenarioFile = serde_json::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!file.source.is_empty() && !file.scenarios.is_empty(), "{name}");
        for scenario in &file.scenarios {
            Conversation::run(scenario, &format!("{name}: {}", scenario.title));
        }
    }
}

/// An engine, its rules, its time, and what was sent through it.
struct Conversation<'a> {
    scenario: &'a Scenario,
    policy: Arc<Policy>,
    engine: Engine,
    seconds: u64,
    packets: u64,
    events: Vec<Event>,
    /// Packets of the flows that have ended.
    accounted: u64,
}

impl<'a> Conversation<'a> {
    fn run(scenario: &'a Scenario, title: &str) {
        let policy = compile(scenario, &scenario.rules, 1);
        let engine = Engine::new(Arc::clone(&policy), Limits::default(), 99);
        let mut conversation = Self {
            scenario,
            policy,
            engine,
            seconds: 0,
            packets: 0,
            events: Vec::new(),
            accounted: 0,
        };
        for (number, step) in scenario.steps.iter().enumerate() {
            conversation.take(step, &format!("{title}: step {}", number + 1));
        }
        conversation.finish(title);
    }

    fn take(&mut self, step: &Step, title: &str) {
        match step {
            Step::Packet(step) => {
                let (direction, packet) = step.packet();
                for _ in 0..step.times.unwrap_or(1) {
                    self.packets += 1;
                    self.engine.observe(self.now(), direction, &packet, &mut self.events);
                }
                self.assert_told(&step.events, title);
            }
            Step::Rules(step) => {
                let revision = self.policy.revision() + 1;
                self.policy = compile(self.scenario, &step.rules, revision);
                self.engine.replace_policy(Arc::clone(&self.policy));
                self.assert_told(&[], title);
            }
            Step::Wait(step) => {
                self.seconds += step.seconds;
                while self.engine.expire(self.now(), &mut self.events) {}
                self.assert_told(&step.events, title);
            }
            Step::Verify(step) => {
                let (direction, tuple) = directed(&step.verify);
                let answer = self.policy.classify(direction, &tuple);
                assert_eq!(in_words(&answer), step.answer, "{title}");
            }
        }
    }

    fn finish(mut self, title: &str) {
        while self.engine.finish(usize::MAX, &mut self.events) {}
        let mut told = self.told();
        told.sort();
        assert_eq!(told, self.scenario.at_the_end, "{title}: at the end");
        assert_eq!(self.accounted, self.packets, "{title}: every packet belongs to one flow");
        assert_eq!(self.engine.counters().packets, self.packets, "{title}");
    }

    fn now(&self) -> Timestamp {
        let monotonic_ns = self.seconds * SECOND_NS;
        Timestamp { monotonic_ns, unix_ns: 1_700_000_000 * SECOND_NS + monotonic_ns }
    }

    fn assert_told(&mut self, expected: &[String], title: &str) {
        assert_eq!(self.told(), expected, "{title}");
    }

    /// Returns the events since the last call.
    fn told(&mut self) -> Vec<String> {
        let ended = self.events.iter().filter(|event| event.end.is_some());
        self.accounted += ended
            .map(|event| event.flow.to_destination.packets + event.flow.to_source.packets)
            .sum::<u64>();
        self.events.drain(..).map(|event| event_in_words(&event)).collect()
    }
}

fn compile(scenario: &Scenario, groups: &Groups, revision: u64) -> Arc<Policy> {
    let text = |group: &Option<Value>| group.as_ref().map(ToString::to_string);
    let (subnet, nic) = (text(&groups.subnet), text(&groups.nic));
    let source = |name, text| Some(SourceFile { name, text, group: None });
    let loaded = load(&Sources {
        subnet: subnet.as_deref().and_then(|text| source("subnet.json", text)),
        nic: nic.as_deref().and_then(|text| source("nic.json", text)),
        virtual_network: scenario.virtual_network.clone(),
        ..Sources::default()
    });
    let rules = loaded.unwrap_or_else(|errors| panic!("{}: {errors:#?}", scenario.title)).rules;
    Arc::new(Policy::compile(rules, revision).unwrap())
}

impl PacketStep {
    fn packet(&self) -> (Direction, Packet) {
        let (direction, mut tuple) = directed(&self.packet);
        if let Some(identifier) = self.identifier {
            tuple.ports = Ports::Echo(identifier);
        }
        let kind = match (self.echo.as_deref(), &self.flags, &self.quotes) {
            (Some("request"), None, None) => PacketKind::EchoRequest,
            (Some("reply"), None, None) => PacketKind::EchoReply,
            (None, Some(flags), None) => PacketKind::Tcp(tcp_flags(flags)),
            (None, None, Some(quoted)) => {
                PacketKind::IcmpError { quoted: Some(five_tuple(quoted)) }
            }
            (None, None, None) => PacketKind::Other,
            _ => panic!("{}: one of flags, echo and quotes", self.packet),
        };
        (direction, Packet { tuple, kind, fragment: Fragment::Whole, wire_length: 100 })
    }
}

fn tcp_flags(words: &str) -> TcpFlags {
    TcpFlags(words.split(' ').fold(0, |flags, word| {
        flags
            | match word {
                "SYN" => TcpFlags::SYN.0,
                "ACK" => TcpFlags::ACK.0,
                "FIN" => TcpFlags::FIN.0,
                "RST" => TcpFlags::RST.0,
                other => panic!("{other} is no flag"),
            }
    }))
}

/// Reads `Inbound tcp 1.1.1.1:443 -> 10.0.1.4:50000`.
fn directed(text: &str) -> (Direction, FiveTuple) {
    let (direction, tuple) = text.split_once(' ').unwrap();
    (direction.parse().unwrap(), five_tuple(tuple))
}

/// Reads `tcp 1.1.1.1:443 -> 10.0.1.4:50000`; addresses alone where there are no ports.
fn five_tuple(text: &str) -> FiveTuple {
    let (protocol, ends) = text.split_once(' ').unwrap();
    let (source, destination) = ends.split_once(" -> ").unwrap();
    let protocol: Protocol = protocol.parse().unwrap();
    let end = |text: &str| {
        let alone = text.parse::<IpAddr>().map(|address| (address, None));
        alone.unwrap_or_else(|_| {
            let socket: SocketAddr = text.parse().unwrap();
            (socket.ip(), Some(socket.port()))
        })
    };
    let ((source, from), (destination, to)) = (end(source), end(destination));
    let ports = from
        .zip(to)
        .map_or(Ports::Absent, |(source, destination)| Ports::Pair { source, destination });
    FiveTuple { protocol, source, destination, ports }
}

fn in_words(verdict: &Verdict) -> String {
    match &verdict.rule {
        Some(rule) => format!("{} by {}", verdict.access, rule.azure_name()),
        None => format!("{} without a rule", verdict.access),
    }
}

fn event_in_words(event: &Event) -> String {
    let flow = &event.flow;
    let Some(reason) = event.end else {
        let midstream = if flow.midstream { ", midstream" } else { "" };
        return format!(
            "{} {}: {}{midstream}",
            flow.direction,
            flow.tuple,
            in_words(&flow.verdict)
        );
    };
    let (there, back) = (flow.to_destination.packets, flow.to_source.packets);
    format!("end of {}: {} after {there}/{back} packets", flow.tuple, reason.as_str())
}
