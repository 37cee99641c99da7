//! Rules in the kernel's own language. Nothing of the product decides anything here: prefixes are joined by `ipnet`,
//! port ranges stand one by one.
//!
//! What Azure leaves open is translated as architecture.md decision 7 has it:
//!
//! * `*` covers both families, `0.0.0.0/0` only IPv4: every rule becomes one rule a family.
//! * A protocol is the number in the IP header: `Icmp` is 1, and ICMPv6 (58) meets only `*`.
//! * A rule with ports is for TCP and UDP alone, so a packet of another protocol meets it only if both fields are any.
//! * A layer's Allow goes on to the next layer, its Deny ends the packet, and no match goes on without a word. The
//!   packet's mark holds the number of the last rule that spoke; the chain where it ends says what became of it.

use std::fmt::Write;

use ipnet::IpNet;
use nsgwatch::flow::{Direction, Protocol};
use nsgwatch::nsg::{Access, AddressPrefix, Layer, PortRange, RuleProtocol};

use super::written::{WrittenRule, WrittenRules};

/// The netfilter log group that all packets are logged to.
pub(crate) const LOG_GROUP: u16 = 5;

/// Whether replies to allowed packets are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Without,
    With,
}

/// A ruleset, and what the rules are called by the mark that they set.
#[derive(Debug)]
pub(crate) struct Translation {
    pub(crate) ruleset: String,
    names: Vec<String>,
}

impl Translation {
    pub(crate) fn of(rules: &WrittenRules, state: State) -> Self {
        let mut translation = Self { ruleset: String::from("table inet nsg {\n"), names: vec![] };
        for (chain, verdict) in [("allow", "accept"), ("deny", "drop"), ("established", "accept")] {
            let log = format!("log prefix \"{chain}\" group {LOG_GROUP}");
            writeln!(translation.ruleset, "chain {chain} {{ {log} {verdict}; }}").unwrap();
        }
        for direction in Direction::ALL {
            translation.direction(rules, direction);
        }
        translation.ruleset += "chain before_routing {\n";
        translation.ruleset += "type filter hook prerouting priority -100; policy drop;\n";
        if state == State::With {
            translation.ruleset += "ct state established,related goto established\n";
        }
        for direction in Direction::ALL {
            let interface = interface(direction);
            let goto = format!("iifname {interface} goto {direction}_0\n");
            translation.ruleset += &goto;
        }
        translation.ruleset += "}\n}\n";
        translation
    }

    /// Returns the name of the rule with this mark; 0 is no rule's.
    pub(crate) fn name(&self, mark: u32) -> Option<&str> {
        let index = usize::try_from(mark).unwrap().checked_sub(1)?;
        Some(self.names.get(index).unwrap())
    }

    /// Adds one chain a layer in the order of evaluation: inbound the subnet's first, outbound the interface's.
    fn direction(&mut self, rules: &WrittenRules, direction: Direction) {
        let mut layers: Vec<_> = rules.groups.iter().collect();
        if direction == Direction::Outbound {
            layers.reverse();
        }
        writeln!(self.ruleset, "chain {direction}_{} {{ goto allow; }}", layers.len()).unwrap();
        for (place, (layer, written)) in layers.into_iter().enumerate().rev() {
            let mut written: Vec<_> =
                written.iter().filter(|written| written.rule.direction == direction).collect();
            written.sort_by_key(|written| written.rule.priority);
            let next = format!("{direction}_{}", place + 1);
            writeln!(self.ruleset, "chain {direction}_{place} {{").unwrap();
            for written in written {
                self.names.push(name(*layer, &written.rule.name));
                let goto = if written.rule.access == Access::Allow { &next } else { "deny" };
                let then = format!("meta mark set {} goto {goto}", self.names.len());
                for meets in matches(rules, written) {
                    writeln!(self.ruleset, "{meets} {then}").unwrap();
                }
            }
            writeln!(self.ruleset, "goto {next}\n}}").unwrap();
        }
    }
}

/// What a rule is called in answers.
pub(crate) fn name(layer: Layer, rule: &str) -> String {
    format!("{layer}/{rule}")
}

/// The interface on which packets of this direction come to the kernel.
pub(crate) const fn interface(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// What a packet must be to meet the rule, in as many lines as it takes.
fn matches(rules: &WrittenRules, written: &WrittenRule) -> Vec<String> {
    let rule = &written.rule;
    let ports = ports(written);
    let mut lines = Vec::new();
    for (family, ip, protocol) in [("ipv4", "ip", "ip protocol"), ("ipv6", "ip6", "ip6 nexthdr")] {
        let list = |end: &str, field: &[AddressPrefix]| addresses(rules, ip, end, field);
        let (Some(source), Some(destination)) =
            (list("saddr", &rule.source), list("daddr", &rule.destination))
        else {
            continue;
        };
        let protocol = match rule.protocol {
            RuleProtocol::Any if ports == [""] => String::new(),
            RuleProtocol::Any => format!("{protocol} {{ 6, 17 }}"),
            RuleProtocol::Only(Protocol(number)) => format!("{protocol} {number}"),
        };
        let line =
            |ports| format!("meta nfproto {family} {source} {destination} {protocol} {ports}");
        lines.extend(ports.iter().map(line));
    }
    lines
}

/// One match for each pair of port ranges: a single empty one where both fields are any, none where the rule's
/// protocol has no ports to meet them.
fn ports(written: &WrittenRule) -> Vec<String> {
    let (source, destination) = (&written.source_ports, &written.destination_ports);
    match written.rule.protocol {
        _ if is_any(source) && is_any(destination) => return vec![String::new()],
        RuleProtocol::Any | RuleProtocol::Only(Protocol::TCP | Protocol::UDP) => {}
        RuleProtocol::Only(_) => return vec![],
    }
    let pairs = source.iter().flat_map(|one| destination.iter().map(move |other| (one, other)));
    pairs
        .map(|(from, to)| {
            format!("th sport {}-{} th dport {}-{}", from.first, from.last, to.first, to.last)
        })
        .collect()
}

fn is_any(ranges: &[PortRange]) -> bool {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.first);
    let end = sorted.iter().fold(0, |end, range| {
        if u32::from(range.first) > end { end } else { end.max(u32::from(range.last) + 1) }
    });
    end > u32::from(u16::MAX)
}

/// The match on an address of one family: empty where all meet it, `None` where none can.
fn addresses(rules: &WrittenRules, ip: &str, end: &str, field: &[AddressPrefix]) -> Option<String> {
    let Some(mut networks) = rules.networks(field) else { return Some(String::new()) };
    networks.retain(|network| network.addr().is_ipv4() == (ip == "ip"));
    let networks = IpNet::aggregate(&networks.iter().map(IpNet::trunc).collect());
    match networks.as_slice() {
        [] => None,
        [all] if all.prefix_len() == 0 => Some(String::new()),
        some => {
            let some: Vec<String> = some.iter().map(ToString::to_string).collect();
            Some(format!("{ip} {end} {{ {} }}", some.join(", ")))
        }
    }
}
