//! The classes of (protocol, destination port) and of source ports.
//!
//! Protocol and destination port are one dimension: nearly every rule names both, and one table is one load and
//! one row less. The line is cut into pages of 65,536 places: a page of ports for every protocol that a rule
//! names, one for all other protocols, and three that hold what is no port: packets without ports, and, for
//! explanations, each field alone. A packet without ports meets a rule only if its port field is any
//! (architecture.md decision 7).

use super::CompileError;
use super::packed::RowCollector;
use super::sweep::{List, set, sweep};
use super::trie::{Shape, Trie};
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

/// (protocol, destination port) to class.
#[derive(Debug)]
pub(super) struct Services {
    /// The page of each protocol.
    pages: Box<[u16; 256]>,
    /// How many pages belong to protocols; the next one to no protocol at all.
    protocols: u32,
    trie: Trie,
}

impl Services {
    /// Compiles the fields of all rules; the rows have `width` words.
    pub(super) fn compile(
        rules: &[ServiceFields<'_>],
        width: usize,
        rows: &mut RowCollector,
    ) -> Result<Self, CompileError> {
        let (pages, protocols) = number_protocols(rules);
        let plan = Plan { protocols };
        let ranges: Vec<Vec<(u32, u32)>> =
            rules.iter().map(|rule| plan.places(rule, &pages)).collect();
        let bits: Vec<[usize; 1]> = rules.iter().map(|rule| [rule.rule]).collect();
        let lists: Vec<List<'_, u32>> = ranges
            .iter()
            .zip(&bits)
            .map(|(ranges, rules)| List { ranges, rules: rules.as_slice() })
            .collect();
        let runs = sweep(&lists, &vec![0; width], rows)?;
        let trie = Trie::new(&runs, rows.len(), Shape::port_pages(plan.pages()));
        Ok(Self { pages, protocols, trie })
    }

    /// Returns the class of a packet's protocol and destination port.
    #[inline]
    pub(super) fn class(&self, protocol: Protocol, port: Option<u16>) -> u32 {
        let page = self.pages.get(usize::from(protocol.0)).map_or(0, |&page| u32::from(page));
        self.find(page, port)
    }

    /// Returns the class that tells which rules' destination port fields are met, whatever their protocol.
    pub(super) fn port_class(&self, port: Option<u16>) -> u32 {
        self.find(self.protocols, port)
    }

    /// Returns the class that tells which rules' protocol fields are met, whatever their ports.
    pub(super) fn protocol_class(&self, protocol: Protocol) -> u32 {
        let page = self.pages.get(usize::from(protocol.0)).map_or(0, |&page| u32::from(page));
        self.trie.find::<8>(Plan { protocols: self.protocols }.protocol_alone(page))
    }

    #[inline]
    fn find(&self, page: u32, port: Option<u16>) -> u32 {
        let plan = Plan { protocols: self.protocols };
        let place = port.map_or_else(|| plan.portless(page), |port| page << 16 | u32::from(port));
        self.trie.find::<8>(place)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.pages.as_slice()) + self.trie.bytes()
    }
}

/// Gives each protocol that a rule names its page; page 0 is for all others.
fn number_protocols(rules: &[ServiceFields<'_>]) -> (Box<[u16; 256]>, u32) {
    let mut pages = Box::new([0; 256]);
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
#[derive(Clone, Copy)]
struct Plan {
    protocols: u32,
}

impl Plan {
    fn pages(self) -> u32 {
        self.protocols + 3
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

/// Source port to class.
#[derive(Debug)]
pub(super) struct SourcePorts(Trie);

impl SourcePorts {
    /// The place after the last port: a packet without ports.
    const PORTLESS: u32 = 1 << 16;

    /// Compiles the source ports; `None` where no rule looks at them, as nearly always.
    pub(super) fn compile(
        rules: &[ServiceFields<'_>],
        width: usize,
        rows: &mut RowCollector,
    ) -> Result<Option<Self>, CompileError> {
        if rules.iter().all(|rule| rule.source_ports.is_any()) {
            return Ok(None);
        }
        let mut always = vec![0; width];
        let (mut ranges, mut bits) = (Vec::new(), Vec::new());
        for rule in rules {
            if rule.source_ports.is_any() {
                set(&mut always, rule.rule);
                continue;
            }
            let list = rule.source_ports.ranges().iter();
            ranges.push(
                list.map(|range| (range.first.into(), range.last.into())).collect::<Vec<_>>(),
            );
            bits.push([rule.rule]);
        }
        let lists: Vec<List<'_, u32>> = ranges
            .iter()
            .zip(&bits)
            .map(|(ranges, rules)| List { ranges, rules: rules.as_slice() })
            .collect();
        let runs = sweep(&lists, &always, rows)?;
        Ok(Some(Self(Trie::new(&runs, rows.len(), Shape::port_pages(2)))))
    }

    /// Returns the class of a packet's source port.
    #[inline]
    pub(super) fn class(&self, port: Option<u16>) -> u32 {
        self.0.find::<8>(port.map_or(Self::PORTLESS, u32::from))
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
