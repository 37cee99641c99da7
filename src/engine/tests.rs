//! Scenes of packets, with every event and every counter asserted; and the balances as laws.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::flow::{FiveTuple, Ports, Protocol};
use crate::flow_table::Flow;
use crate::nsg::{
    Access, AddressPrefix, AppliedRules, NetworkSecurityGroup, PortRange, PortSet, Priority,
    RuleProtocol, SecurityRule, ServiceTags, default_security_rules,
};
use crate::packet::{Fragment, FragmentId, PacketKind, TcpFlags};

const LOCAL: &str = "10.0.1.4";
const REMOTE: &str = "203.0.113.9";
const SECOND: u64 = 1_000_000_000;
/// How late the table may be.
const TICK: u64 = 1 << 28;

fn at(monotonic_ns: u64) -> Timestamp {
    Timestamp { monotonic_ns, unix_ns: 1_700_000_000 * SECOND + monotonic_ns }
}

fn rule(name: &str, direction: Direction, access: Access, port: u16) -> SecurityRule {
    SecurityRule {
        name: name.to_owned(),
        priority: Priority(100),
        direction,
        access,
        protocol: RuleProtocol::Any,
        source: vec![AddressPrefix::Any],
        source_ports: PortSet::any(),
        destination: vec![AddressPrefix::Any],
        destination_ports: PortSet::new(vec![PortRange { first: port, last: port }]).unwrap(),
        is_default: false,
        id: None,
    }
}

fn policy(revision: u64, user_rules: Vec<SecurityRule>, flush_connection: bool) -> Arc<Policy> {
    let rules = user_rules.into_iter().chain(default_security_rules()).collect();
    let mut group = NetworkSecurityGroup::new("nsg", rules);
    group.flush_connection = flush_connection;
    let rules = AppliedRules {
        subnet: Some(group),
        nic: None,
        service_tags: ServiceTags::new(["10.0.0.0/16".parse().unwrap()]),
        ..AppliedRules::default()
    };
    Arc::new(Policy::compile(rules, revision).unwrap())
}

fn flags(letters: &str) -> PacketKind {
    let bits = letters.chars().map(|letter| match letter {
        'F' => TcpFlags::FIN.0,
        'S' => TcpFlags::SYN.0,
        'R' => TcpFlags::RST.0,
        'A' => TcpFlags::ACK.0,
        other => panic!("{other} is no flag"),
    });
    PacketKind::Tcp(TcpFlags(bits.fold(0, |all, bit| all | bit)))
}

/// Ports as (local, remote).
fn tuple_of(direction: Direction, protocol: Protocol, ports: (u16, u16)) -> FiveTuple {
    let outbound = FiveTuple {
        protocol,
        source: LOCAL.parse().unwrap(),
        destination: REMOTE.parse().unwrap(),
        ports: Ports::Pair { source: ports.0, destination: ports.1 },
    };
    match direction {
        Outbound => outbound,
        Inbound => outbound.reversed(),
    }
}

fn whole(tuple: FiveTuple, kind: PacketKind) -> Packet {
    Packet { tuple, kind, fragment: Fragment::Whole, wire_length: 100 }
}

fn show(event: &Event) -> String {
    let flow = &event.flow;
    let traffic = (flow.to_destination.packets, flow.to_source.packets);
    if let Some(reason) = event.end {
        return format!("end {} {}/{}", reason.as_str(), traffic.0, traffic.1);
    }
    assert_eq!(traffic.0 + traffic.1, 1, "a flow starts as of its first packet");
    assert_eq!(flow.first, flow.last);
    let rule = flow.verdict.rule.as_ref().map_or("no rule", |rule| rule.rule.as_str());
    let midstream = if flow.midstream { ", midstream" } else { "" };
    format!("{} {}: {} by {rule}{midstream}", flow.direction, flow.tuple, flow.verdict.access)
}

/// An engine, its time, and what it has told. After each step the balances are checked.
struct Scene {
    engine: Engine,
    now: u64,
    events: Vec<Event>,
    /// How many of the events have been checked.
    checked: usize,
    /// Packets and bytes of flows that ended.
    gone: Traffic,
}

impl Scene {
    fn new(policy: Arc<Policy>, max_flows: usize) -> Self {
        let limits = Limits { max_flows, max_fragments: 4, ..Limits::default() };
        let engine = Engine::new(policy, limits, 99);
        Self { engine, now: 0, events: Vec::new(), checked: 0, gone: Traffic::default() }
    }

    fn packet(&mut self, direction: Direction, packet: &Packet) {
        self.engine.observe(at(self.now), direction, packet, &mut self.events);
        self.check();
    }

    /// A TCP segment, ports as (local, remote).
    fn tcp(&mut self, direction: Direction, ports: (u16, u16), letters: &str) {
        let tuple = tuple_of(direction, Protocol::TCP, ports);
        self.packet(direction, &whole(tuple, flags(letters)));
    }

    fn udp(&mut self, direction: Direction, ports: (u16, u16)) {
        let tuple = tuple_of(direction, Protocol::UDP, ports);
        self.packet(direction, &whole(tuple, PacketKind::Other));
    }

    fn icmp(&mut self, direction: Direction, kind: PacketKind, identifier: Option<u16>) {
        let tuple = FiveTuple {
            ports: identifier.map_or(Ports::Absent, Ports::Echo),
            ..tuple_of(direction, Protocol::ICMP, (0, 0))
        };
        self.packet(direction, &whole(tuple, kind));
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds * SECOND;
        while self.engine.expire(at(self.now), &mut self.events) {}
        self.check();
    }

    fn replace(&mut self, policy: Arc<Policy>) {
        self.engine.replace_policy(policy);
        self.check();
    }

    fn finish(&mut self) {
        while self.engine.finish(2, &mut self.events) {}
        self.check();
        assert_eq!(self.engine.counters().flows.live, 0);
    }

    /// Returns the events since the last call.
    fn told(&mut self) -> Vec<String> {
        self.checked = 0;
        self.events.drain(..).map(|event| show(&event)).collect()
    }

    fn live(&self) -> Vec<FlowRecord> {
        let mut live = Vec::new();
        let next = self.engine.flows(0, usize::MAX, &FlowFilter::default(), usize::MAX, &mut live);
        assert_eq!(next, None);
        live
    }

    fn check(&mut self) {
        for event in self.events.iter().skip(self.checked).filter(|event| event.end.is_some()) {
            let (there, back) = (event.flow.to_destination, event.flow.to_source);
            self.gone.packets += there.packets + back.packets;
            self.gone.bytes += there.bytes + back.bytes;
        }
        self.checked = self.events.len();
        let live = self.live();
        let counters = self.engine.counters();
        assert_eq!(counters.flows.live, live.len() as u64);
        assert_eq!(counters.flows.created, counters.flows.live + counters.flows.ended.total());
        assert_eq!(counters.flows.created, counters.verdicts.total());
        let in_flows: u64 =
            live.iter().map(|flow| flow.to_destination.packets + flow.to_source.packets).sum();
        assert_eq!(
            counters.packets,
            in_flows + self.gone.packets + counters.fragments.undecided,
            "every packet is in one flow or undecided"
        );
        let hits = self.engine.rule_hits();
        let by_rules: u64 = hits.rules.iter().map(|rule| rule.hits.flows).sum();
        assert_eq!(
            counters.flows.created,
            by_rules + hits.by_former_rules + hits.without_rule,
            "every flow is a hit"
        );
    }

    /// Rules that have decided something: how many flows, and in which second the last.
    fn hits(&self) -> Vec<String> {
        let hits = self.engine.rule_hits();
        let decided = hits.rules.iter().filter(|rule| rule.hits != Hits::default());
        decided
            .map(|RuleHit { direction, rule, hits, .. }| {
                let last = (hits.last_unix_ns.unwrap() - at(0).unix_ns) / SECOND;
                format!("{direction} {}: {} at {last}", rule.rule, hits.flows)
            })
            .collect()
    }
}

use Access::{Allow, Deny};
use Direction::{Inbound, Outbound};

const WEB_ALLOWED: &str =
    "Outbound tcp 10.0.1.4:50000 -> 203.0.113.9:443: Allow by AllowInternetOutBound";
const SSH_DENIED: &str = "Inbound tcp 203.0.113.9:50000 -> 10.0.1.4:22: Deny by DenyAllInBound";
const SSH_ALLOWED: &str = "Inbound tcp 203.0.113.9:50000 -> 10.0.1.4:22: Allow by ssh";

fn ssh_allowed() -> Vec<SecurityRule> {
    vec![rule("ssh", Inbound, Allow, 22)]
}

#[test]
fn a_reply_belongs_to_the_flow_though_the_rules_would_deny_it() {
    // nsg-semantics.md section 14, trap 11
    let rules = policy(1, vec![], false);
    let reply = tuple_of(Inbound, Protocol::TCP, (50_000, 443));
    assert_eq!(rules.classify(Inbound, &reply).access, Deny);
    let mut scene = Scene::new(rules, 10);
    scene.tcp(Outbound, (50_000, 443), "S");
    scene.tcp(Inbound, (50_000, 443), "SA");
    scene.tcp(Outbound, (50_000, 443), "A");
    assert_eq!(scene.told(), [WEB_ALLOWED]);
    scene.finish();
    assert_eq!(scene.told(), ["end shutdown 2/1"]);
    let counters = Counters {
        packets: 3,
        bytes: 300,
        flows: FlowCounters {
            created: 1,
            live: 0,
            ended: EndCounters { shutdown: 1, ..EndCounters::default() },
        },
        verdicts: VerdictCounters { allow: 1, ..VerdictCounters::default() },
        ..Counters::default()
    };
    assert_eq!(scene.engine.counters(), counters);
}

#[test]
fn removing_a_rule_does_not_cut_the_flow_it_allowed() {
    // trap 12, first half
    let mut scene = Scene::new(policy(1, ssh_allowed(), false), 10);
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.tcp(Outbound, (22, 50_000), "SA");
    assert_eq!(scene.told(), [SSH_ALLOWED]);
    scene.replace(policy(2, vec![], false));
    scene.tcp(Inbound, (22, 50_000), "A");
    scene.tcp(Outbound, (22, 50_000), "A");
    assert_eq!(scene.told(), [""; 0]);
    scene.tcp(Inbound, (22, 50_001), "S");
    assert_eq!(
        scene.told(),
        ["Inbound tcp 203.0.113.9:50001 -> 10.0.1.4:22: Deny by DenyAllInBound"]
    );
}

#[test]
fn with_flush_connection_a_flow_is_judged_again_as_its_initiator_opened_it() {
    // trap 12, second half
    for (direction, traffic) in [(Inbound, "2/1"), (Outbound, "1/2")] {
        let mut scene = Scene::new(policy(1, ssh_allowed(), true), 10);
        scene.tcp(Inbound, (22, 50_000), "S");
        scene.tcp(Outbound, (22, 50_000), "SA");
        scene.replace(policy(2, ssh_allowed(), true));
        scene.tcp(direction, (22, 50_000), "A");
        assert_eq!(scene.told(), [SSH_ALLOWED], "the rules say the same");
        scene.replace(policy(3, vec![], true));
        scene.tcp(direction, (22, 50_000), "A");
        assert_eq!(scene.told(), [format!("end policy_change {traffic}").as_str(), SSH_DENIED]);
        let [flow] = scene.live().try_into().unwrap();
        assert_eq!(flow.tcp, Some(TcpStage::Established));
    }
}

#[test]
fn switching_flush_connection_on_judges_older_flows_again() {
    let mut scene = Scene::new(policy(1, ssh_allowed(), false), 10);
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.replace(policy(2, vec![], false));
    scene.tcp(Inbound, (22, 50_000), "A");
    scene.replace(policy(3, vec![], true));
    scene.tcp(Inbound, (22, 50_000), "A");
    assert_eq!(scene.told(), [SSH_ALLOWED, "end policy_change 2/0", SSH_DENIED]);
}

#[test]
fn with_flush_connection_the_other_side_may_go_on_by_a_flow_of_its_own() {
    let mut scene = Scene::new(policy(1, vec![rule("dns", Inbound, Allow, 53)], true), 10);
    scene.udp(Inbound, (53, 5000));
    scene.replace(policy(2, vec![], true));
    scene.udp(Outbound, (53, 5000));
    assert_eq!(
        scene.told(),
        [
            "Inbound udp 203.0.113.9:5000 -> 10.0.1.4:53: Allow by dns",
            "end policy_change 1/0",
            "Outbound udp 10.0.1.4:53 -> 203.0.113.9:5000: Allow by AllowInternetOutBound"
        ]
    );
}

#[test]
fn a_denied_entry_is_judged_again_under_other_rules() {
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.replace(policy(2, vec![rule("web", Inbound, Allow, 80)], false));
    scene.tcp(Inbound, (22, 50_000), "S");
    assert_eq!(scene.told(), [SSH_DENIED], "the same verdict is not told again");
    scene.replace(policy(3, ssh_allowed(), false));
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.tcp(Outbound, (22, 50_000), "SA");
    assert_eq!(scene.told(), ["end policy_change 3/0", SSH_ALLOWED]);
    scene.replace(policy(4, vec![], false));
    scene.tcp(Inbound, (22, 50_000), "A");
    assert_eq!(scene.told(), [""; 0], "it is a connection now");
}

#[test]
fn an_undecided_flow_is_counted_apart_and_judged_again_like_a_denied_one() {
    let corp = SecurityRule {
        source: vec![AddressPrefix::ServiceTag("CorpNetSaw".to_owned())],
        ..rule("corp", Inbound, Allow, 22)
    };
    let mut scene = Scene::new(policy(1, vec![corp], false), 10);
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.tcp(Inbound, (22, 50_000), "S");
    let undecided = "Inbound tcp 203.0.113.9:50000 -> 10.0.1.4:22: Undecided by corp";
    assert_eq!(scene.told(), [undecided]);
    let verdicts = VerdictCounters { undecided: 1, ..VerdictCounters::default() };
    assert_eq!(scene.engine.counters().verdicts, verdicts);
    scene.replace(policy(2, ssh_allowed(), false));
    scene.tcp(Inbound, (22, 50_000), "S");
    assert_eq!(scene.told(), ["end policy_change 2/0", SSH_ALLOWED]);
}

#[test]
fn a_denied_entry_under_another_rule_is_told_again() {
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.replace(policy(2, vec![rule("no-ssh", Inbound, Deny, 22)], false));
    scene.tcp(Inbound, (22, 50_000), "S");
    let by_rule = "Inbound tcp 203.0.113.9:50000 -> 10.0.1.4:22: Deny by no-ssh";
    assert_eq!(scene.told(), [SSH_DENIED, "end policy_change 1/0", by_rule]);
}

#[test]
fn a_packet_of_the_other_side_of_a_denied_entry_is_judged_by_itself() {
    let mut scene = Scene::new(policy(1, vec![rule("no-dns", Outbound, Deny, 53)], false), 10);
    scene.udp(Inbound, (40_000, 5000));
    scene.udp(Outbound, (40_000, 5000));
    assert_eq!(
        scene.told(),
        [
            "Inbound udp 203.0.113.9:5000 -> 10.0.1.4:40000: Deny by DenyAllInBound",
            "end superseded 1/0",
            "Outbound udp 10.0.1.4:40000 -> 203.0.113.9:5000: Allow by AllowInternetOutBound",
        ]
    );
    scene.udp(Inbound, (40_000, 53));
    scene.udp(Outbound, (40_000, 53));
    scene.udp(Outbound, (40_000, 53));
    assert_eq!(
        scene.told(),
        ["Inbound udp 203.0.113.9:53 -> 10.0.1.4:40000: Deny by DenyAllInBound"],
        "denied as well: counted in the entry"
    );
    scene.replace(policy(2, vec![], false));
    scene.udp(Outbound, (40_000, 53));
    assert_eq!(
        scene.told(),
        [
            "end superseded 1/2",
            "Outbound udp 10.0.1.4:40000 -> 203.0.113.9:53: Allow by AllowInternetOutBound"
        ]
    );
    assert_eq!(scene.engine.counters().flows.ended.superseded, 2);
}

#[test]
fn an_answer_to_a_denied_connection_is_only_counted() {
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.tcp(Outbound, (22, 50_000), "SA");
    scene.icmp(Inbound, PacketKind::EchoRequest, Some(7));
    scene.icmp(Outbound, PacketKind::EchoReply, Some(7));
    assert_eq!(
        scene.told(),
        [SSH_DENIED, "Inbound icmp 203.0.113.9 -> 10.0.1.4: Deny by DenyAllInBound"]
    );
    scene.tcp(Outbound, (22, 50_000), "S");
    assert_eq!(
        scene.told(),
        [
            "end superseded 1/1",
            "Outbound tcp 10.0.1.4:22 -> 203.0.113.9:50000: Allow by AllowInternetOutBound"
        ]
    );
}

type Send<'a> = &'a dyn Fn(&mut Scene);

#[test]
fn who_began_a_flow_met_in_the_middle_is_a_marked_guess() {
    let ssh_midstream =
        "Inbound tcp 203.0.113.9:50000 -> 10.0.1.4:22: Deny by DenyAllInBound, midstream";
    let web_midstream = format!("{WEB_ALLOWED}, midstream");
    let echo = "Outbound icmp 10.0.1.4 -> 203.0.113.9: Allow by AllowInternetOutBound, midstream";
    let equal =
        "Outbound tcp 10.0.1.4:179 -> 203.0.113.9:179: Allow by AllowInternetOutBound, midstream";
    let cases: [(Send, &str); 7] = [
        (&|scene| scene.tcp(Outbound, (22, 50_000), "SA"), ssh_midstream),
        (&|scene| scene.tcp(Inbound, (50_000, 443), "SA"), &web_midstream),
        (&|scene| scene.tcp(Outbound, (22, 50_000), "A"), ssh_midstream),
        (&|scene| scene.tcp(Inbound, (22, 50_000), "A"), ssh_midstream),
        (&|scene| scene.tcp(Inbound, (50_000, 443), "FA"), &web_midstream),
        (&|scene| scene.tcp(Outbound, (179, 179), "A"), equal),
        (&|scene| scene.icmp(Inbound, PacketKind::EchoReply, Some(3)), echo),
    ];
    for (send, expected) in cases {
        let mut scene = Scene::new(policy(1, vec![], false), 10);
        send(&mut scene);
        assert_eq!(scene.told(), [expected]);
    }
}

#[test]
fn both_sides_may_open_a_connection_at_once() {
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    for (direction, letters) in [(Outbound, "S"), (Inbound, "S"), (Outbound, "SA"), (Inbound, "SA")]
    {
        scene.tcp(direction, (50_000, 443), letters);
    }
    scene.tcp(Outbound, (50_000, 443), "A");
    assert_eq!(scene.told(), [WEB_ALLOWED]);
    assert_eq!(scene.live()[0].tcp, Some(TcpStage::Established));
}

#[test]
fn a_closed_connection_ends_after_late_packets_and_its_ports_open_another() {
    let close = [(Outbound, "FA"), (Inbound, "FA"), (Outbound, "A")];
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    scene.tcp(Outbound, (50_000, 443), "S");
    scene.tcp(Inbound, (50_000, 443), "SA");
    for (direction, letters) in close {
        scene.tcp(direction, (50_000, 443), letters);
    }
    scene.wait(4);
    scene.tcp(Inbound, (50_000, 443), "A");
    scene.wait(5);
    assert_eq!(scene.told(), [WEB_ALLOWED]);
    scene.wait(1);
    assert_eq!(scene.told(), ["end closed 3/3"]);

    scene.tcp(Outbound, (50_000, 443), "S");
    scene.tcp(Inbound, (50_000, 443), "RA");
    scene.tcp(Outbound, (50_000, 443), "S");
    assert_eq!(scene.told(), [WEB_ALLOWED, "end reset 1/1", WEB_ALLOWED]);
    for (direction, letters) in close {
        scene.tcp(direction, (50_000, 443), letters);
    }
    scene.tcp(Inbound, (50_000, 443), "S");
    assert_eq!(
        scene.told(),
        ["end closed 3/1", "Inbound tcp 203.0.113.9:443 -> 10.0.1.4:50000: Deny by DenyAllInBound"]
    );
    let ended = scene.engine.counters().flows.ended;
    assert_eq!(ended, EndCounters { closed: 2, reset: 1, ..EndCounters::default() });
}

#[test]
fn idle_flows_end_by_their_protocols_timeout() {
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    scene.tcp(Outbound, (50_000, 443), "S");
    scene.udp(Outbound, (50_000, 443));
    scene.icmp(Outbound, PacketKind::EchoRequest, Some(1));
    assert_eq!(scene.told().len(), 3);
    scene.wait(20);
    scene.udp(Inbound, (50_000, 443));
    scene.wait(10);
    assert_eq!(scene.told(), [""; 0], "never early");
    scene.now += TICK;
    scene.wait(0);
    assert_eq!(scene.told(), ["end idle 1/0"]);
    scene.wait(20);
    assert_eq!(scene.told(), ["end idle 1/1"]);
    scene.wait(189);
    assert_eq!(scene.told(), [""; 0]);
    scene.wait(1);
    assert_eq!(scene.told(), ["end idle 1/0"]);
    assert_eq!(scene.engine.counters().flows.ended.idle, 3);
}

#[test]
fn records_carry_the_first_and_the_last_packets_times() {
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    scene.now = 5 * SECOND;
    scene.udp(Outbound, (50_000, 53));
    scene.now = 7 * SECOND;
    scene.udp(Inbound, (50_000, 53));
    scene.wait(60);
    let [start, end] = scene.events.as_slice() else { panic!("{:?}", scene.events) };
    assert_eq!((start.flow.first, start.flow.last), (at(5 * SECOND), at(5 * SECOND)));
    assert_eq!((end.flow.first, end.flow.last), (at(5 * SECOND), at(7 * SECOND)));
    assert_eq!(end.flow.to_source, Traffic { packets: 1, bytes: 100 });
}

#[test]
fn a_full_table_lets_denied_flows_go_first_then_closed_ones_then_the_oldest() {
    let mut scene = Scene::new(policy(1, vec![], false), 3);
    scene.udp(Outbound, (1001, 443));
    scene.wait(1);
    scene.tcp(Outbound, (1002, 443), "S");
    scene.tcp(Inbound, (1002, 443), "RA");
    scene.wait(1);
    scene.udp(Inbound, (1003, 443));
    scene.told();
    let mut gone = Vec::new();
    for port in 2001..2005 {
        scene.wait(1);
        scene.udp(Outbound, (port, 443));
        let ended = scene.events.iter().find(|event| event.end == Some(EndReason::Evicted));
        gone.push(ended.unwrap().flow.tuple.ports);
        scene.told();
    }
    let to = |source| Ports::Pair { source, destination: 443 };
    assert_eq!(gone, [to(1003).reversed(), to(1002), to(1001), to(2001)]);
    assert_eq!(scene.engine.counters().flows.ended.evicted, 4);
}

#[test]
fn an_icmp_error_is_counted_in_the_flow_it_quotes() {
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    scene.udp(Outbound, (50_000, 53));
    let quoted = Some(tuple_of(Outbound, Protocol::UDP, (50_000, 53)));
    scene.icmp(Inbound, PacketKind::IcmpError { quoted }, None);
    let [flow] = scene.live().try_into().unwrap();
    assert_eq!((flow.to_destination.packets, flow.to_source.packets), (1, 1));
    scene.told();

    let unknown = Some(tuple_of(Outbound, Protocol::UDP, (50_001, 53)));
    scene.icmp(Inbound, PacketKind::IcmpError { quoted: unknown }, None);
    scene.icmp(Inbound, PacketKind::IcmpError { quoted: None }, None);
    assert_eq!(scene.told(), ["Inbound icmp 203.0.113.9 -> 10.0.1.4: Deny by DenyAllInBound"]);
    let counted = scene.engine.counters().icmp_errors;
    assert_eq!(counted, IcmpErrorCounters { attached: 1, unattached: 2 });
}

fn fragment_id(identification: u32) -> FragmentId {
    FragmentId {
        source: LOCAL.parse().unwrap(),
        destination: REMOTE.parse().unwrap(),
        protocol: Protocol::UDP,
        identification,
    }
}

fn first_fragment(identification: u32, port: u16) -> Packet {
    let tuple = tuple_of(Outbound, Protocol::UDP, (port, 53));
    Packet {
        fragment: Fragment::First(fragment_id(identification)),
        ..whole(tuple, PacketKind::Other)
    }
}

fn later_fragment(identification: u32) -> Packet {
    let tuple = FiveTuple { ports: Ports::Absent, ..tuple_of(Outbound, Protocol::UDP, (0, 0)) };
    Packet {
        fragment: Fragment::Later(fragment_id(identification)),
        ..whole(tuple, PacketKind::Other)
    }
}

#[test]
fn a_later_fragment_joins_the_flow_of_its_first_one_or_stays_undecided() {
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    scene.packet(Outbound, &later_fragment(1));
    assert_eq!(scene.live(), [], "it came before its first one");
    scene.packet(Outbound, &first_fragment(1, 40_000));
    scene.packet(Outbound, &later_fragment(1));
    scene.packet(Outbound, &later_fragment(2));
    let [flow] = scene.live().try_into().unwrap();
    assert_eq!(flow.to_destination.packets, 2);
    scene.wait(31);
    scene.packet(Outbound, &later_fragment(1));
    for identification in 10..16 {
        scene.packet(Outbound, &first_fragment(identification, 40_000));
    }
    scene.packet(Outbound, &later_fragment(10));
    scene.packet(Outbound, &later_fragment(15));
    let counted = scene.engine.counters().fragments;
    assert_eq!(counted, FragmentCounters { joined: 2, undecided: 4, forgotten: 2 });
    assert_eq!(scene.engine.counters().flows.created, 2);
}

#[test]
fn skipped_frames_are_counted_by_reason_and_are_no_packets() {
    let mut scene = Scene::new(policy(1, vec![], false), 10);
    for skip in Skip::ALL {
        scene.engine.skip(skip);
    }
    let skipped = SkipCounters { arp: 1, not_ip: 1, truncated: 1, malformed: 1 };
    assert_eq!(scene.engine.counters(), Counters { skipped, ..Counters::default() });
}

#[test]
fn flows_are_read_in_slices_and_by_filter() {
    let mut scene = Scene::new(policy(1, vec![], false), 100);
    for port in 1..=30 {
        scene.udp(Outbound, (1000 + port, 443));
        scene.udp(Inbound, (2000 + port, 443));
    }
    let read = |filter: &FlowFilter, limit| {
        let (mut found, mut from, mut slices) = (Vec::new(), Some(0), 0);
        while let Some(place) = from {
            from = scene.engine.flows(place, 7, filter, limit, &mut found);
            slices += 1;
        }
        (found.len(), slices)
    };
    let all = FlowFilter::default();
    assert_eq!(read(&all, usize::MAX), (60, 9));
    assert_eq!(read(&all, 20), (20, 3));
    assert_eq!(read(&FlowFilter { access: Some(Deny), ..all.clone() }, 100).0, 30);
    let rule = "DefaultRule_DenyAllInBound".parse().ok();
    assert_eq!(read(&FlowFilter { rule, ..all.clone() }, 100).0, 30);
    let rule = "securityRules/DenyAllInBound".parse().ok();
    assert_eq!(read(&FlowFilter { rule, ..all.clone() }, 100).0, 0);
    assert_eq!(read(&FlowFilter { direction: Some(Outbound), ..all.clone() }, 100).0, 30);
    assert_eq!(read(&FlowFilter { port: Some(1007), ..all.clone() }, 100).0, 1);
    assert_eq!(read(&FlowFilter { protocol: Some(Protocol::TCP), ..all.clone() }, 100).0, 0);
    let elsewhere: IpAddr = "10.9.9.9".parse().unwrap();
    assert_eq!(read(&FlowFilter { address: Some(elsewhere), ..all.clone() }, 100).0, 0);
    assert_eq!(read(&FlowFilter { address: Some(REMOTE.parse().unwrap()), ..all }, 100).0, 60);
}

#[derive(Debug, Clone)]
enum Step {
    Packet(Direction, Packet),
    Wait(u64),
    Policy { ssh: bool, flush: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let direction = prop_oneof![Just(Inbound), Just(Outbound)];
    let ports = prop_oneof![Just((50_000, 443)), Just((22, 50_000)), (1000_u16..1004, 1_u16..3)];
    let tcp = prop_oneof![
        Just("S"),
        Just("SA"),
        Just("A"),
        Just("FA"),
        Just("RA"),
        Just("R"),
        Just("SF"),
        Just("")
    ];
    let kind = 0_u8..8;
    let packet = (direction, ports, tcp, kind).prop_map(|(direction, ports, letters, kind)| {
        let tuple = |protocol| tuple_of(direction, protocol, ports);
        let echo = FiveTuple { ports: Ports::Echo(ports.0), ..tuple(Protocol::ICMP) };
        let absent = FiveTuple { ports: Ports::Absent, ..tuple(Protocol::ICMP) };
        let quoted = (ports.1 != 1).then(|| tuple(Protocol::TCP).reversed());
        let packet = match kind {
            0..=2 => whole(tuple(Protocol::TCP), flags(letters)),
            3 => whole(tuple(Protocol::UDP), PacketKind::Other),
            4 => whole(echo, PacketKind::EchoRequest),
            5 => whole(echo, PacketKind::EchoReply),
            6 => whole(absent, PacketKind::IcmpError { quoted }),
            _ if direction == Inbound => later_fragment(u32::from(ports.1)),
            _ => first_fragment(u32::from(ports.1), ports.0),
        };
        Step::Packet(direction, packet)
    });
    prop_oneof![
        12 => packet,
        1 => (0_u64..300).prop_map(Step::Wait),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(ssh, flush)| Step::Policy { ssh, flush }),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_the_sums_balance_and_a_block_equals_its_packets(
        max_flows in 1_usize..10,
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let rules = |ssh, flush, revision| {
            policy(revision, if ssh { ssh_allowed() } else { vec![] }, flush)
        };
        let mut scene = Scene::new(rules(true, false, 0), max_flows);
        let mut by_block = Scene::new(rules(true, false, 0), max_flows);
        let mut block = Vec::new();
        for (revision, step) in (1..).zip(steps) {
            if let Step::Packet(direction, packet) = step {
                scene.packet(direction, &packet);
                block.push((at(scene.now), direction, packet));
                continue;
            }
            by_block.engine.observe_block(&block, &mut by_block.events);
            block.clear();
            for scene in [&mut scene, &mut by_block] {
                match step {
                    Step::Wait(seconds) => scene.wait(seconds),
                    Step::Policy { ssh, flush } => scene.replace(rules(ssh, flush, revision)),
                    Step::Packet(..) => {}
                }
            }
            prop_assert_eq!(scene.told(), by_block.told());
        }
        by_block.engine.observe_block(&block, &mut by_block.events);
        scene.finish();
        by_block.finish();
        prop_assert_eq!(scene.told(), by_block.told());
        prop_assert_eq!(scene.engine.counters(), by_block.engine.counters());
        prop_assert_eq!(scene.engine.counters().packets * 100, scene.engine.counters().bytes);
    }
}

#[test]
fn a_hit_is_a_flow_and_not_a_packet() {
    let mut scene = Scene::new(policy(1, ssh_allowed(), false), 10);
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.tcp(Outbound, (22, 50_000), "SA");
    scene.wait(3);
    scene.tcp(Inbound, (22, 50_001), "S");
    scene.tcp(Inbound, (23, 50_001), "S");
    scene.tcp(Inbound, (23, 50_001), "S");
    scene.tcp(Outbound, (50_002, 443), "S");
    assert_eq!(
        scene.hits(),
        [
            "Inbound ssh: 2 at 3",
            "Inbound DenyAllInBound: 1 at 3",
            "Outbound AllowInternetOutBound: 1 at 3"
        ]
    );
}

#[test]
fn hits_stay_with_a_rule_that_stays_and_are_gone_with_one_that_goes() {
    let mut scene = Scene::new(policy(1, ssh_allowed(), false), 10);
    scene.tcp(Inbound, (22, 50_000), "S");
    scene.tcp(Inbound, (23, 50_000), "S");
    // A rule before it, and another access under the same name.
    let web = SecurityRule { priority: Priority(99), ..rule("web", Inbound, Allow, 443) };
    scene.replace(policy(2, vec![web, rule("ssh", Inbound, Deny, 22)], false));
    assert_eq!(scene.hits(), ["Inbound DenyAllInBound: 1 at 0"]);
    assert_eq!(scene.engine.rule_hits().by_former_rules, 1);
    scene.wait(1);
    scene.tcp(Inbound, (22, 50_001), "S");
    assert_eq!(scene.hits(), ["Inbound ssh: 1 at 1", "Inbound DenyAllInBound: 1 at 0"]);
    // The denied flow is judged again by its next packet: a flow of its own by another rule.
    scene.replace(policy(3, vec![rule("telnet", Inbound, Allow, 23)], false));
    scene.tcp(Inbound, (23, 50_000), "S");
    assert_eq!(scene.hits(), ["Inbound telnet: 1 at 1", "Inbound DenyAllInBound: 1 at 0"]);
    assert_eq!(scene.engine.rule_hits().by_former_rules, 2);
}

#[test]
fn flows_without_any_group_are_hits_of_no_rule() {
    let nothing = Arc::new(Policy::compile(AppliedRules::default(), 1).unwrap());
    let mut scene = Scene::new(nothing, 10);
    scene.tcp(Inbound, (22, 50_000), "S");
    assert_eq!(scene.engine.rule_hits().without_rule, 1);
    assert!(scene.engine.rule_hits().rules.is_empty());
}

#[test]
fn only_the_events_that_are_asked_for_are_told_and_all_are_counted() {
    let run = |told| {
        let limits = Limits { max_flows: 3, ..Limits::default() };
        let mut engine = Engine::new(policy(1, ssh_allowed(), false), limits, 99).telling(told);
        let mut events = Vec::new();
        let mut syn = |engine: &mut Engine, second, ports| {
            let packet = whole(tuple_of(Inbound, Protocol::TCP, ports), flags("S"));
            engine.observe(at(second * SECOND), Inbound, &packet, &mut events);
        };
        for port in 50_000..50_005 {
            syn(&mut engine, 0, (22, port));
        }
        syn(&mut engine, 1, (23, 50_000));
        engine.replace_policy(policy(2, vec![rule("telnet", Inbound, Allow, 23)], false));
        syn(&mut engine, 2, (23, 50_000));
        while engine.expire(at(241 * SECOND), &mut events) {}
        while engine.finish(1, &mut events) {}
        (events, engine.counters())
    };
    let (all, counters) = run(Told::Both);
    let reasons: Vec<_> = all.iter().filter_map(|event| event.end).collect();
    for reason in
        [EndReason::Evicted, EndReason::PolicyChange, EndReason::Idle, EndReason::Shutdown]
    {
        assert!(reasons.contains(&reason), "{reasons:?}");
    }
    for (told, ends) in [(Told::Start, false), (Told::End, true)] {
        let wanted: Vec<_> =
            all.iter().filter(|event| event.end.is_some() == ends).cloned().collect();
        assert_eq!(run(told), (wanted, counters));
    }
}

#[test]
fn a_judgment_takes_16_bytes_beside_each_flow() {
    assert_eq!(size_of::<Judgment>(), 16);
    assert_eq!(size_of::<Option<Flow<Judgment>>>(), 128);
}
