//! The classes of (protocol, destination port) and of source ports.
//!
//! Protocol and destination port are one dimension: nearly every rule names both, and one table is one load and
//! one row less. The line is cut into pages of 65,536 places: a page of ports for every protocol that a rule
//! names, one for all other protocols, and three that hold what is no port: packets without ports, and, for
//! explanations, each field alone. A packet without ports meets a rule only if its port field is any
//! (architecture.md decision 7).

use super::CompileError;
use super::line::Line;
use super::packed::RowCollector;
use super::sweep::{List, set, sweep};
use crate::flow::Protocol;
use crate::nsg::{PortSet, RuleProtocol};

/// The fields of one rule that this room compiles, and the rule's bit.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServiceFields<'a> {
    pub(super) rule: usize,
    pub(super) protocol: RuleProtocol,
    pub(super) source_ports: &'a PortSet,
    pub(super) destination_ports: &'a PortSet,
}

/// Where (protocol, destination port) lies on its line.
#[derive(Debug)]
pub(super) struct Services {
    /// The page of each protocol.
    pages: [u16; 256],
    plan: Plan,
}

impl Services {
    /// Lays out the line for the protocols that the rules name.
    pub(super) fn new(rules: &[ServiceFields<'_>]) -> Self {
        let (pages, protocols) = number_protocols(rules);
        Self { pages, plan: Plan { protocols } }
    }

    /// Cuts the line into runs; rows have `width` words.
    pub(super) fn cut(
        &self,
        rules: &[ServiceFields<'_>],
        width: usize,
        rows: RowCollector<'_>,
    ) -> Result<Line<u32>, CompileError> {
        let ranges: Vec<Vec<(u32, u32)>> =
            rules.iter().map(|rule| self.plan.places(rule, &self.pages)).collect();
        let bits: Vec<[usize; 1]> = rules.iter().map(|rule| [rule.rule]).collect();
        sweep(&lists(&ranges, &bits), &vec![0; width], self.plan.last(), rows)
    }

    /// Returns the place of a packet's protocol and destination port.
    #[inline]
    pub(super) fn place(&self, protocol: Protocol, port: Option<u16>) -> u32 {
        self.plan.place(self.page(protocol), port)
    }

    /// Returns the place that tells which rules' destination port fields are met, whatever their protocol.
    pub(super) fn port_alone(&self, port: Option<u16>) -> u32 {
        self.plan.place(self.plan.protocols, port)
    }

    /// Returns the place that tells which rules' protocol fields are met, whatever their ports.
    pub(super) fn protocol_alone(&self, protocol: Protocol) -> u32 {
        self.plan.protocol_alone(self.page(protocol))
    }

    #[inline]
    fn page(&self, protocol: Protocol) -> u32 {
        self.pages.get(usize::from(protocol.0)).map_or(0, |&page| u32::from(page))
    }
}

fn lists<'a>(ranges: &'a [Vec<(u32, u32)>], bits: &'a [[usize; 1]]) -> Vec<List<'a, u32>> {
    ranges
        .iter()
        .zip(bits)
        .map(|(ranges, rules)| List { ranges, rules: rules.as_slice() })
        .collect()
}

/// Gives each protocol that a rule names its page; page 0 is for all others.
fn number_protocols(rules: &[ServiceFields<'_>]) -> ([u16; 256], u32) {
    let mut pages = [0; 256];
    let mut protocols = 1;
    for rule in rules {
        if let RuleProtocol::Only(protocol) = rule.protocol
            && let Some(page) = pages.get_mut(usize::from(protocol.0))
            && *page == 0
        {
            *page = protocols;
            protocols += 1;
        }
    }
    (pages, u32::from(protocols))
}

/// Which place of the line means what.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// How many pages belong to protocols; the next one to no protocol at all.
    protocols: u32,
}

impl Plan {
    fn last(self) -> u32 {
        ((self.protocols + 3) << 16) - 1
    }

    #[inline]
    fn place(self, page: u32, port: Option<u16>) -> u32 {
        port.map_or_else(|| self.portless(page), |port| page << 16 | u32::from(port))
    }

    /// A packet of this page's protocol that has no ports; the page after the last protocol stands for none.
    fn portless(self, page: u32) -> u32 {
        (self.protocols + 1) << 16 | page
    }

    fn protocol_alone(self, page: u32) -> u32 {
        (self.protocols + 2) << 16 | page
    }

    /// Returns the places that a rule admits, sorted and not touching.
    fn places(self, rule: &ServiceFields<'_>, page_of: &[u16; 256]) -> Vec<(u32, u32)> {
        let pages = match rule.protocol {
            RuleProtocol::Any => 0..=self.protocols - 1,
            RuleProtocol::Only(protocol) => {
                let page = page_of.get(usize::from(protocol.0)).map_or(0, |&page| page.into());
                page..=page
            }
        };
        let ports = rule.destination_ports;
        let mut places = Vec::new();
        for page in pages.clone().chain([self.protocols]) {
            for range in ports.ranges() {
                places.push((
                    page << 16 | u32::from(range.first),
                    page << 16 | u32::from(range.last),
                ));
            }
        }
        if ports.is_any() {
            places.extend(
                pages.clone().chain([self.protocols]).map(|page| self.portless(page)).map(twice),
            );
        }
        places.extend(pages.map(|page| self.protocol_alone(page)).map(twice));
        join(places)
    }
}

fn twice(place: u32) -> (u32, u32) {
    (place, place)
}

fn join(sorted: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let mut joined: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match joined.last_mut() {
            Some(previous) if previous.1 + 1 == first => previous.1 = last,
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// Where a source port lies on its line: at its number, or behind the last one for a packet without ports.
#[inline]
pub(super) fn source_port_place(port: Option<u16>) -> u32 {
    port.map_or(SOURCE_PORTLESS, u32::from)
}

const SOURCE_PORTLESS: u32 = 1 << 16;
/// The places on the line of source ports.
pub(super) const SOURCE_PORT_PLACES: usize = SOURCE_PORTLESS as usize + 1;

/// Cuts the line of source ports into runs.
pub(super) fn cut_source_ports(
    rules: &[ServiceFields<'_>],
    width: usize,
    rows: RowCollector<'_>,
) -> Result<Line<u32>, CompileError> {
    let mut always = vec![0; width];
    let (mut ranges, mut bits) = (Vec::new(), Vec::new());
    for rule in rules {
        if rule.source_ports.is_any() {
            set(&mut always, rule.rule);
            continue;
        }
        let list = rule.source_ports.ranges().iter();
        ranges.push(list.map(|range| (range.first.into(), range.last.into())).collect::<Vec<_>>());
        bits.push([rule.rule]);
    }
    sweep(&lists(&ranges, &bits), &always, SOURCE_PORTLESS, rows)
}
