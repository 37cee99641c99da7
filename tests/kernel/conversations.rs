//! Both sides of a connection, packet by packet, through the kernel and through the engine.
//!
//! Left out, because the engine follows Azure's documents or architecture.md decision 7 where the kernel does
//! otherwise or where no real host would send the packet:
//!
//! * A SYN-ACK, ACK, RST or echo reply that answers a packet the rules have dropped, and an ICMP error about one:
//!   who did not get a packet does not answer it. The engine counts it to the denied flow, the kernel judges it.
//! * A connection met in the middle whose first packet comes from the lower port: the engine takes the other side
//!   for the one that began it, the kernel the sender.
//! * An echo request each way with the same identifier: one flow here, two in the kernel.
//! * Fragments, which the kernel puts together before it looks; SCTP, of which the kernel follows the ports.
//! * What is too late: idle timeouts, which differ by design.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fastrand::Rng;
use nsgwatch::classifier::Policy;
use nsgwatch::engine::{Engine, Limits};
use nsgwatch::flow::{Direction, FiveTuple, FlowKey, Ports, Protocol, Sender, Timestamp};
use nsgwatch::nsg::{Access, Verdict, evaluate};
use nsgwatch::packet::{self, LinkType, TcpFlags};

use super::frames::{Content, frame, ip_packet};
use super::gate::{Answer, Gate};
use super::probes::Probe;
use super::written::pick;

/// What the two sides send: `>` the one that begins, `<` the other; then TCP flags by first letter, or `data`,
/// `reply` (to an echo), `error` (about the packet before it). A packet is sent only if the one before it went
/// through, except with `!` at its end.
const TCP: [&str; 8] = [
    ">S >S <SA >A <A <FA >FA <A >S <SA",
    ">S <SA >A <A >FA <FA >A <S! >SA <A",
    ">S <SA >A >RA >S <SA >A",
    ">S <RA >S <SA",
    ">S <S! >SA <SA >A <A",
    ">S <S! >SA <A >A",
    ">S <error >S",
    ">S <S! >S!",
];
const TCP_MET_IN_THE_MIDDLE: &str = ">A <A >A <FA >FA <A";
const DATAGRAMS: [&str; 4] = [
    ">data <data! >data! <data!",
    ">data >data <data >data",
    ">data <error <data >data",
    ">data <data! <data! >data!",
];
const ECHOES: [&str; 2] = [">data >data <reply >data <reply", ">data <error"];
/// An ICMP message that is no echo: alone, or an error about a packet that nobody has sent.
const MESSAGES: [&str; 2] = [">data", ">error"];

/// One side of a TCP connection.
#[derive(Debug, Clone, Copy)]
struct End {
    first: u32,
    next: u32,
}

/// A conversation that goes on as long as its packets go through.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// The first packet.
    probe: Probe,
    script: &'static str,
    /// How many packets of the script were sent.
    sent: usize,
    /// The beginner's side and the other one's.
    ends: [End; 2],
    is_over: bool,
    last_packet: Vec<u8>,
    last_went_through: bool,
}

impl Conversation {
    fn new(rng: &mut Rng, probe: Probe) -> Option<Self> {
        let script = match (probe.tuple.protocol, probe.tuple.ports) {
            (Protocol::TCP, Ports::Pair { source, destination }) => {
                let from_the_higher = source >= destination && rng.u8(..8) == 0;
                if from_the_higher { TCP_MET_IN_THE_MIDDLE } else { pick(rng, &TCP) }
            }
            (_, Ports::Echo(_)) => pick(rng, &ECHOES),
            (Protocol::ICMP | Protocol::ICMPV6, _) => pick(rng, &MESSAGES),
            (Protocol(132), _) => return None,
            _ => pick(rng, &DATAGRAMS),
        };
        let ends = [1000, 500_000].map(|first| End { first, next: first + 1 });
        let (last_packet, last_went_through) = (Vec::new(), true);
        Some(Self { probe, script, sent: 0, ends, is_over: false, last_packet, last_went_through })
    }

    /// Makes the next packet, if the conversation goes on.
    fn next(&mut self, number: u32) -> Option<(Direction, FiveTuple, Vec<u8>)> {
        let word = self.script.split(' ').nth(self.sent)?;
        let (word, sent_anyway) = word.strip_suffix('!').map_or((word, false), |word| (word, true));
        if !self.last_went_through && !sent_anyway {
            return None;
        }
        self.sent += 1;
        let (side, word) = word.split_at(1);
        let (direction, mut tuple) = match side {
            ">" => (self.probe.direction, self.probe.tuple),
            _ => (self.probe.direction.reversed(), self.probe.tuple.reversed()),
        };
        let content = match word {
            "data" => Content::Plain,
            "reply" => Content::EchoReply,
            "error" => {
                let quoted = self.quote(&tuple);
                let icmp = if tuple.source.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
                tuple = FiveTuple { protocol: icmp, ports: Ports::Absent, ..tuple };
                Content::Unreachable { quoted }
            }
            flags => self.segment(usize::from(side == "<"), flags),
        };
        let frame = frame(&tuple, &content, number);
        self.last_packet = ip_packet(&frame).to_vec();
        Some((direction, tuple, frame))
    }

    /// The packet before, or, where there is none, one between ports that nobody else uses.
    fn quote(&self, tuple: &FiveTuple) -> Vec<u8> {
        if !self.last_packet.is_empty() {
            return self.last_packet.clone();
        }
        let ports = Ports::Pair { source: 9, destination: 9 };
        let unsent = FiveTuple { protocol: Protocol::UDP, ports, ..tuple.reversed() };
        ip_packet(&frame(&unsent, &Content::Plain, 0)).to_vec()
    }

    /// Makes a segment with the numbers that a real connection would have; every segment holds four bytes.
    fn segment(&mut self, side: usize, letters: &str) -> Content {
        let flag = |letter| match letter {
            'S' => TcpFlags::SYN.0,
            'A' => TcpFlags::ACK.0,
            'F' => TcpFlags::FIN.0,
            'R' => TcpFlags::RST.0,
            other => panic!("{other} is no flag"),
        };
        let flags = TcpFlags(letters.chars().fold(0, |bits, letter| bits | flag(letter)));
        let opens = flags.contains(TcpFlags::SYN);
        if letters == "S" && self.is_over {
            self.is_over = false;
            self.ends = self
                .ends
                .map(|end| End { first: end.first + 1_000_000, next: end.first + 1_000_001 });
        }
        self.is_over |= flags.contains(TcpFlags::FIN) || flags.contains(TcpFlags::RST);
        let end = self.ends[side];
        let sequence = if opens { end.first } else { end.next };
        let counts = u32::from(opens) + u32::from(flags.contains(TcpFlags::FIN));
        self.ends[side].next = sequence + counts + 4;
        let acknowledges = flags.contains(TcpFlags::ACK);
        let acknowledgement = if acknowledges { self.ends[1 - side].next } else { 0 };
        Content::Tcp { flags, sequence, acknowledgement }
    }
}

/// Chooses conversations among first packets: no two of one flow.
pub(crate) fn begin(rng: &mut Rng, probes: Vec<Probe>) -> Vec<Conversation> {
    let mut taken = HashSet::new();
    let mut is_new = |probe: &Probe| taken.insert(FlowKey::from(&probe.tuple));
    probes
        .into_iter()
        .filter(|probe| probe.can_be_forwarded() && is_new(probe))
        .filter_map(|probe| Conversation::new(rng, probe))
        .collect()
}

/// What was compared.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) packets: usize,
    pub(crate) established: usize,
    pub(crate) differences: Vec<String>,
}

/// Holds all conversations at once, a packet of each in turn; both judges see the packets in the same order.
pub(crate) fn compare(
    gate: &mut Gate,
    mut conversations: Vec<Conversation>,
    policy: Policy,
) -> Comparison {
    let mut watcher = Watcher::new(policy);
    let mut comparison = Comparison::default();
    let mut number = 0;
    while !conversations.is_empty() {
        let mut frames = Vec::new();
        let mut tuples = Vec::new();
        conversations.retain_mut(|conversation| {
            number += 1;
            let next = conversation.next(number);
            next.map(|(direction, tuple, frame)| {
                frames.push((direction, frame));
                tuples.push(tuple);
            })
            .is_some()
        });
        let answers = gate.ask(&frames);
        comparison.packets += answers.len();
        let packets = frames.iter().zip(tuples).zip(answers);
        for (conversation, (((direction, frame), tuple), kernel)) in
            conversations.iter_mut().zip(packets)
        {
            let ours = watcher.take(*direction, frame);
            conversation.last_went_through = kernel.lets_through();
            comparison.established += usize::from(kernel == Answer::Established);
            if ours != kernel {
                let (sent, script) = (conversation.sent, conversation.script);
                comparison.differences.push(format!(
                    "{direction} {tuple} (packet {sent} of `{script}`): kernel {kernel:?}, ours {ours:?}"
                ));
            }
        }
    }
    comparison
}

/// A flow as the engine has told of it.
#[derive(Debug)]
struct Flow {
    verdict: Verdict,
    beginner: Sender,
    was_answered: bool,
}

/// The engine, and what it says of each packet, put as the kernel would put it.
struct Watcher {
    engine: Engine,
    policy: Arc<Policy>,
    flows: HashMap<FlowKey, Flow>,
}

impl Watcher {
    fn new(policy: Policy) -> Self {
        let policy = Arc::new(policy);
        let engine = Engine::new(Arc::clone(&policy), Limits::default(), 1);
        Self { engine, policy, flows: HashMap::new() }
    }

    fn take(&mut self, direction: Direction, frame: &[u8]) -> Answer {
        let length = u32::try_from(frame.len()).unwrap();
        let packet = packet::parse(LinkType::Ethernet, frame, length).unwrap();
        let (key, sender) = FlowKey::with_sender(&packet.tuple);
        let attached = self.engine.counters().icmp_errors.attached;
        let mut events = Vec::new();
        self.engine.observe(Timestamp::default(), direction, &packet, &mut events);
        if self.engine.counters().icmp_errors.attached > attached {
            return Answer::Established;
        }
        if let Some(start) = events.into_iter().find(|event| event.end.is_none()) {
            let (_, beginner) = FlowKey::with_sender(&start.flow.tuple);
            let verdict = start.flow.verdict;
            let answer = Answer::of(&verdict);
            self.flows.insert(key, Flow { verdict, beginner, was_answered: false });
            return answer;
        }
        let flow = self.flows.get_mut(&key).unwrap();
        let is_answer = sender != flow.beginner;
        match flow.verdict.access {
            Access::Allow if is_answer || flow.was_answered => {
                flow.was_answered = true;
                Answer::Established
            }
            // The engine keeps silent on a second denial; the kernel names the rule that denies this direction.
            Access::Deny if is_answer => {
                let verdict = evaluate(self.policy.rules(), direction, &packet.tuple);
                Answer::of(&Verdict { access: Access::Deny, ..verdict })
            }
            // Until somebody answers, each packet of an allowed flow is a beginning to the kernel.
            Access::Allow | Access::Deny | Access::Undecided => Answer::of(&flow.verdict),
        }
    }
}
