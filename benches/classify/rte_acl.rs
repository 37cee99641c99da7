//! The peer: DPDK's `rte_acl` in a process of its own, one pass a question, so that its passes and ours alternate.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nsgwatch::flow::FiveTuple;
use nsgwatch::nsg::{AddressSet, RuleProtocol};

use crate::traces::Boxes;

/// Memory that EAL may use, in MiB; a million boxes take 7 GiB while they are built.
const MEMORY_MIB: &str = "10000";

/// A running driver that holds one rule set and its traces.
pub(crate) struct RteAcl {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) build_ms: f64,
    pub(crate) kib: f64,
}

impl RteAcl {
    /// Starts the driver and waits until it has built its tables.
    pub(crate) fn start(driver: &Path, boxes: &Boxes, traces: &[&[FiveTuple]]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: String, bytes: Vec<u8>| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("room in the temporary folder");
            path
        };
        let mut command = Command::new(driver);
        command.args(["-l", "0", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry"]);
        command.args(["--log-level=error", "-m", MEMORY_MIB, "--"]);
        command.arg(write("boxes".into(), boxes_bytes(boxes)));
        for (number, trace) in traces.iter().enumerate() {
            let packets = trace.iter().flat_map(packet_bytes).collect();
            command.arg(write(format!("trace{number}"), packets));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the driver runs");
        let questions = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped"));
        let built = loop {
            let line = read_line(&mut answers);
            if let Some(built) = line.strip_prefix("built ") {
                break built.to_owned();
            }
        };
        let (build_ms, kib) = two_numbers(&built);
        let mut driver = Self { child, questions, answers, build_ms, kib };
        for trace in 0..traces.len() {
            driver.pass(trace);
        }
        driver
    }

    /// Runs over a trace once; returns nanoseconds a packet and the sum of the deciding rules' priorities.
    pub(crate) fn pass(&mut self, trace: usize) -> (f64, f64) {
        writeln!(self.questions, "{trace}").expect("the driver listens");
        two_numbers(&read_line(&mut self.answers))
    }
}

impl Drop for RteAcl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_line(answers: &mut impl BufRead) -> String {
    let mut line = String::new();
    let length = answers.read_line(&mut line).expect("the driver answers");
    assert!(length > 0, "the driver has ended");
    line.trim_end().to_owned()
}

fn two_numbers(line: &str) -> (f64, f64) {
    let (one, other) = line.split_once(' ').expect("two numbers");
    (one.parse().expect("a number"), other.parse().expect("a number"))
}

/// Every rule multiplied out: one box for each pair of prefixes and port ranges.
fn boxes_bytes(boxes: &Boxes) -> Vec<u8> {
    let mut bytes = Vec::new();
    for boxed in &boxes.rules {
        let rule = &boxed.rule;
        let protocol = match rule.protocol {
            RuleProtocol::Any => 256,
            RuleProtocol::Only(protocol) => u32::from(protocol.0),
        };
        let (sources, destinations) = (v4_prefixes(&boxed.source), v4_prefixes(&boxed.destination));
        for source in &sources {
            for destination in &destinations {
                for source_ports in rule.source_ports.ranges() {
                    for destination_ports in rule.destination_ports.ranges() {
                        for number in [source.0, source.1, destination.0, destination.1] {
                            bytes.extend(number.to_le_bytes());
                        }
                        for range in [source_ports, destination_ports] {
                            bytes.extend(range.first.to_le_bytes());
                            bytes.extend(range.last.to_le_bytes());
                        }
                        bytes.extend(protocol.to_le_bytes());
                        bytes.extend(u32::from(rule.priority.0).to_le_bytes());
                    }
                }
            }
        }
    }
    bytes
}

fn v4_prefixes(set: &AddressSet) -> Vec<(u32, u32)> {
    let prefixes = set.to_prefixes().into_iter();
    prefixes
        .filter_map(|prefix| match prefix.addr() {
            IpAddr::V4(address) => Some((address.to_bits(), prefix.prefix_len().into())),
            IpAddr::V6(_) => None,
        })
        .collect()
}

fn packet_bytes(tuple: &FiveTuple) -> [u8; 16] {
    let bits = |address| match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(_) => 0,
    };
    let (source_port, destination_port) =
        (tuple.ports.source().unwrap_or(0), tuple.ports.destination().unwrap_or(0));
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&bits(tuple.source).to_le_bytes());
    bytes[4..8].copy_from_slice(&bits(tuple.destination).to_le_bytes());
    bytes[8..10].copy_from_slice(&source_port.to_le_bytes());
    bytes[10..12].copy_from_slice(&destination_port.to_le_bytes());
    bytes[12] = tuple.protocol.0;
    bytes
}
