//! Faults, done to a real agent: floods, full and vanished files, clients without end, rule files that change under
//! it, signals, kills. What must hold in all of them: the counters balance, and the agent goes on. README.md is the
//! table of all faults. Needs root, like `live`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../agent/mod.rs"]
mod agent;
mod clients;
mod floods;
#[path = "../netns/mod.rs"]
mod netns;
mod output;
mod rule_files;

use std::fs;
use std::net::SocketAddr;

use agent::Agent;
use etherparse::PacketBuilder;
use netns::{Side, VethPair};
use pnet::datalink::{self, Channel, DataLinkSender};

const ORIGIN: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// Addressed to everybody, so that the frame is taken in whatever the interface's address is.
const BROADCAST: [u8; 6] = [0xff; 6];
/// Addresses that nobody has: what is sent between them is only watched, and never answered.
const STRANGER: [u8; 4] = [192, 0, 2, 1];
const NOBODY: [u8; 4] = [192, 0, 2, 2];

/// Sends whole frames from the outside to the VM.
fn frame_sender(pair: &VethPair) -> Box<dyn DataLinkSender> {
    pair.inside(Side::Outside, || {
        let interfaces = datalink::interfaces();
        let name = Side::Outside.interface();
        let interface = interfaces.iter().find(|interface| interface.name == name).unwrap();
        match datalink::channel(interface, datalink::Config::default()).unwrap() {
            Channel::Ethernet(sender, _) => sender,
            _ => panic!("no Ethernet channel"),
        }
    })
}

fn send(sender: &mut dyn DataLinkSender, frame: &[u8]) {
    // Where the queue of the interface is full, the frame is tried again: each is sent exactly once.
    while sender.send_to(frame, None).unwrap().is_err() {
        std::thread::yield_now();
    }
}

/// A datagram between two strangers.
fn udp_frame(source_port: u16, port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(ORIGIN, BROADCAST).ipv4(STRANGER, NOBODY, 64);
    let mut frame = Vec::new();
    builder.udp(source_port, port).write(&mut frame, &[0; 18]).unwrap();
    frame
}

/// The first packet of a connection between two strangers, told apart by a number.
fn syn_frame(number: u32, port: u16) -> Vec<u8> {
    let [_, second, third, fourth] = number.to_be_bytes();
    let source = SocketAddr::from(([198, 18 + (second & 1), third, fourth], 40_000));
    let SocketAddr::V4(source) = source else { panic!("IPv4") };
    let builder = PacketBuilder::ethernet2(ORIGIN, BROADCAST);
    let mut frame = Vec::new();
    builder
        .ipv4(source.ip().octets(), NOBODY, 64)
        .tcp(source.port(), port, number, 1024)
        .syn()
        .write(&mut frame, &[])
        .unwrap();
    frame
}

/// Memory of the agent that is in use, in KiB.
fn resident_kib(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time that the agent has taken, in hundredths of a second.
fn processor_ticks(agent: &Agent) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}
