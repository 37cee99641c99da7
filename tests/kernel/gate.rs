//! A kernel that forwards between two interfaces by its own rules, and says of each packet what it did with it.
//!
//! Packets of each direction come in on an interface of their own, sent raw from outside, so that any source and any
//! destination works; what is allowed leaves through a third one, which makes the kernel remember the connection.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use nsgwatch::flow::Direction;
use nsgwatch::nsg::{Access, Verdict};
use pnet::datalink::{self, Channel, DataLinkSender, MacAddr};

use super::frames::{RECEIVER, ip_packet};
use super::netns::{self, Side, VethPair};
use super::packet_log::{Logged, PacketLog};
use super::translation::{self, LOG_GROUP, Translation};

/// Packets under way at a time.
const BATCH: usize = 256;

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Rules decide, the named one last.
    Judged(Access, Option<String>),
    /// It belongs to a connection that was allowed.
    Established,
}

impl Answer {
    pub(crate) fn of(verdict: &Verdict) -> Self {
        let rule = verdict.rule.as_ref();
        let name = rule.map(|rule| translation::name(rule.layer, &rule.rule));
        Self::Judged(verdict.access, name)
    }

    pub(crate) fn lets_through(&self) -> bool {
        !matches!(self, Self::Judged(Access::Deny, _))
    }
}

/// The kernel and the ways into it.
pub(crate) struct Gate {
    pair: VethPair,
    log: PacketLog,
    senders: [Box<dyn DataLinkSender>; 2],
    translation: Option<Translation>,
}

impl Gate {
    /// Makes the namespaces and interfaces; `None` where the process may not or `nft` is missing.
    pub(crate) fn open() -> Option<Self> {
        if !netns::is_privileged() {
            return None;
        }
        if Command::new("nft").arg("--version").stdout(Stdio::null()).status().is_err() {
            netns::skip("needs nftables");
            return None;
        }
        let pair = VethPair::create()?;
        join(&pair);
        let log = pair.inside(Side::Vm, || {
            forward_everything();
            PacketLog::open(LOG_GROUP)
        });
        let senders = Direction::ALL.map(|direction| sender(&pair, direction));
        Some(Self { pair, log, senders, translation: None })
    }

    /// Puts rules in force.
    pub(crate) fn load(&mut self, translation: Translation) {
        let mut nft = self.pair.command_in(Side::Vm, "nft");
        let mut nft = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let ruleset = format!("flush ruleset\n{}", translation.ruleset);
        nft.stdin.take().unwrap().write_all(ruleset.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "nft refuses:\n{ruleset}");
        self.translation = Some(translation);
    }

    /// Sends the frames in order and returns what became of each.
    pub(crate) fn ask(&mut self, frames: &[(Direction, Vec<u8>)]) -> Vec<Answer> {
        frames.chunks(BATCH).flat_map(|batch| self.ask_batch(batch)).collect()
    }

    fn ask_batch(&mut self, frames: &[(Direction, Vec<u8>)]) -> Vec<Answer> {
        for (direction, frame) in frames {
            let [inbound, outbound] = &mut self.senders;
            let sender = if *direction == Direction::Inbound { inbound } else { outbound };
            sender.send_to(frame, None).unwrap().unwrap();
        }
        let packets =
            frames.iter().enumerate().map(|(index, (_, frame))| (ip_packet(frame), index));
        let mut unheard: HashMap<&[u8], usize> = packets.collect();
        let mut answers = vec![None; frames.len()];
        while !unheard.is_empty() {
            let Some(heard) = self.log.read() else {
                panic!("the kernel's rules never saw {unheard:x?}");
            };
            for logged in heard {
                if let Some(index) = unheard.remove(logged.packet.as_slice()) {
                    answers[index] = Some(self.answer(&logged));
                }
            }
        }
        answers.into_iter().flatten().collect()
    }

    fn answer(&self, logged: &Logged) -> Answer {
        let name = || self.translation.as_ref().unwrap().name(logged.mark).map(str::to_owned);
        match logged.prefix.as_str() {
            "allow" => Answer::Judged(Access::Allow, name()),
            "deny" => Answer::Judged(Access::Deny, name()),
            "established" => Answer::Established,
            other => panic!("no chain is called {other}"),
        }
    }
}

/// Joins the namespaces by three cables without addresses, so that nothing travels there but what the test sends.
fn join(pair: &VethPair) {
    let (receiver, outside) = (MacAddr::from(RECEIVER), pair.namespace(Side::Outside));
    let cable = |interface: &str| {
        format!(
            "ip link add {interface} address {receiver} type veth \
             peer name {interface}-far netns {outside}\n\
             ip link set {interface} addrgenmode none up\n\
             ip -n {outside} link set {interface}-far addrgenmode none up\n"
        )
    };
    let [inbound, outbound] = Direction::ALL.map(translation::interface).map(cable);
    let exit = cable("exit");
    let script = format!(
        "set -e\n{inbound}{outbound}{exit}\
         ip link set exit arp off\n\
         ip route add default dev exit\n\
         ip -6 route add default dev exit\n"
    );
    pair.run_in(Side::Vm, &["sh", "-c", &script]);
}

/// Lets the calling thread's namespace forward, whatever a packet's source is.
fn forward_everything() {
    let write = |path: &str, value: &str| {
        fs::write(path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
    };
    for interface in ["all", "inbound", "outbound"] {
        write(&format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), "0");
    }
    write("/proc/sys/net/ipv4/ip_forward", "1");
    write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
}

fn sender(pair: &VethPair, direction: Direction) -> Box<dyn DataLinkSender> {
    let name = format!("{}-far", translation::interface(direction));
    pair.inside(Side::Outside, move || {
        let interface =
            datalink::interfaces().into_iter().find(|interface| interface.name == name).unwrap();
        match datalink::channel(&interface, datalink::Config::default()).unwrap() {
            Channel::Ethernet(sender, _) => sender,
            _ => panic!("no Ethernet channel"),
        }
    })
}
