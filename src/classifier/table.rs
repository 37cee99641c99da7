//! The compiled rules of one direction: from a packet to the deciding rule.
//!
//! The rules of all layers stand in one row of bits, one lane a layer. A look-up finds the packet's class in every
//! dimension, ANDs the rows of those classes, takes the first bit of each lane, and lets the layers speak in turn.
//!
//! Tries and rows come in a few forms, by the size of the rule set. The forms are chosen once, when the table is
//! made, and are types: a look-up is one call of straight code and never asks again which form it has.

use wide::u64x4;

use super::addresses::AddressLists;
use super::explain::FieldsMet;
use super::lane::Long;
use super::layers::Layers;
use super::line::Lines;
use super::packed::{PackedRows, WORD};
use super::rows::{Classes, Rows, flatten};
use super::services::{ServiceFields, Services, cut_source_ports, source_port_place};
use super::tries::{FindClass, Form, Tries};
use super::{CompileError, Decision, MEMORY_BUDGET};
use crate::flow::{FiveTuple, Ports, Protocol};
use crate::nsg::{AppliedRules, Match, RuleFields};

/// Flat rows of one direction may take this part of the budget; larger ones stay packed.
const FLAT_SHARE: usize = 4;

/// What can be asked of the rules of one direction.
pub(super) trait Table: Send + Sync {
    /// Returns what the rules say of a packet of IPv4. The fields come one by one, so that they travel in registers.
    fn decide_v4(
        &self,
        source: u32,
        destination: u32,
        protocol: Protocol,
        ports: Ports,
    ) -> Decision;

    /// Returns what the rules say of a packet of IPv6.
    fn decide_v6(
        &self,
        source: u128,
        destination: u128,
        protocol: Protocol,
        ports: Ports,
    ) -> Decision;

    /// Returns what the rules say of any packet.
    fn decide_any(&self, tuple: &FiveTuple) -> Decision;

    /// Returns which fields of the rule with this bit the packet meets; `may_match` is the rule's second bit, where
    /// it has one.
    fn fields_met(&self, bit: usize, may_match: Option<usize>, tuple: &FiveTuple) -> FieldsMet;

    /// Returns the layers.
    fn layers(&self) -> &Layers;

    /// Returns the bytes that look-ups read.
    fn bytes(&self) -> usize;
}

/// Compiles the fields of rules, each with its bit in the layers. The rows of any one dimension may take `budget` bytes.
pub(super) fn compile(
    bits: &[(usize, RuleFields<'_>)],
    layers: Layers,
    applied: &AppliedRules,
    budget: usize,
) -> Result<Box<dyn Table>, CompileError> {
    let width = layers.width();
    let mut sources = AddressLists::new(applied, width);
    let mut destinations = AddressLists::new(applied, width);
    let mut fields = Vec::with_capacity(bits.len());
    for &(bit, rule) in bits {
        sources.add(bit, rule.source);
        destinations.add(bit, rule.destination);
        fields.push(ServiceFields {
            rule: bit,
            protocol: rule.protocol,
            source_ports: rule.source_ports,
            destination_ports: rule.destination_ports,
        });
    }
    let services = Services::new(&fields);
    let mut rows = PackedRows::new(width);
    let looks_at_source_ports = fields.iter().any(|rule| !rule.source_ports.is_any());
    let lines = Lines {
        source_v4: sources.ipv4(rows.of_line(budget))?,
        destination_v4: destinations.ipv4(rows.of_line(budget))?,
        source_v6: sources.ipv6(rows.of_line(budget))?,
        destination_v6: destinations.ipv6(rows.of_line(budget))?,
        service: services.cut(&fields, width, rows.of_line(budget))?,
        source_port: looks_at_source_ports
            .then(|| cut_source_ports(&fields, width, rows.of_line(budget)))
            .transpose()?,
    };
    choose_rows(Parts { services, layers }, &lines, rows, budget / FLAT_SHARE)
}

/// What a table holds whatever its form.
#[derive(Debug)]
struct Parts {
    services: Services,
    layers: Layers,
}

/// Lays the rows out flat where there is code for their shape and where that takes at most `flat_bytes`.
fn choose_rows(
    parts: Parts,
    lines: &Lines,
    rows: PackedRows,
    flat_bytes: usize,
) -> Result<Box<dyn Table>, CompileError> {
    let bytes = rows.len() * parts.layers.width() * size_of::<u64>();
    match (parts.layers.count(), parts.layers.lane_words()) {
        _ if bytes > flat_bytes => choose_tries(parts, lines, rows),
        (0 | 1, 1) => choose_tries(parts, lines, flatten::<u64, 1>(&rows)),
        (1, 4) => choose_tries(parts, lines, flatten::<u64x4, 1>(&rows)),
        (1, 16) => choose_tries(parts, lines, flatten::<Long, 1>(&rows)),
        (2, 1) => choose_tries(parts, lines, flatten::<u64, 2>(&rows)),
        (2, 4) => choose_tries(parts, lines, flatten::<u64x4, 2>(&rows)),
        (2, 16) => choose_tries(parts, lines, flatten::<Long, 2>(&rows)),
        (3, 1) => choose_tries(parts, lines, flatten::<u64, 3>(&rows)),
        (3, 4) => choose_tries(parts, lines, flatten::<u64x4, 3>(&rows)),
        (3, 16) => choose_tries(parts, lines, flatten::<Long, 3>(&rows)),
        _ => choose_tries(parts, lines, rows),
    }
}

fn choose_tries<R: Rows + Send + Sync + 'static>(
    parts: Parts,
    lines: &Lines,
    rows: R,
) -> Result<Box<dyn Table>, CompileError> {
    Ok(match Form::build(lines).ok_or(CompileError::TooLarge { budget: MEMORY_BUDGET })? {
        Form::Small(tries) => Box::new(Compiled { parts, tries, rows }),
        Form::Scattered(tries) => Box::new(Compiled { parts, tries, rows }),
        Form::Deep(tries) => Box::new(Compiled { parts, tries, rows }),
        Form::Large(tries) => Box::new(Compiled { parts, tries, rows }),
        Form::Vast(tries) => Box::new(Compiled { parts, tries, rows }),
    })
}

/// A table of one form: tries of `V4`, `V6`, `P` and `S`, rows `R`.
#[derive(Debug)]
struct Compiled<V4, V6, P, S, R> {
    parts: Parts,
    tries: Tries<V4, V6, P, S>,
    rows: R,
}

impl<V4, V6, P, S, R> Compiled<V4, V6, P, S, R>
where
    V4: FindClass<u32>,
    V6: FindClass<u128>,
    P: FindClass<u32>,
    S: FindClass<u32>,
    R: Rows,
{
    #[expect(
        clippy::inline_always,
        reason = "measured: a call would pass what it finds through memory"
    )]
    #[inline(always)]
    fn decide_on(
        &self,
        (source, destination): (u32, u32),
        protocol: Protocol,
        ports: Ports,
    ) -> Decision {
        let Parts { services, layers } = &self.parts;
        let place = services.place(protocol, ports.destination());
        let service = self.tries.service.find(place);
        let classes = Classes { source, destination, service, source_port: None };
        match &self.tries.source_port {
            None => self.rows.decide(&classes, layers),
            Some(source_port) => {
                let source_port = Some(source_port.find(source_port_place(ports.source())));
                self.rows.decide(&Classes { source_port, ..classes }, layers)
            }
        }
    }
}

impl<V4, V6, P, S, R> Table for Compiled<V4, V6, P, S, R>
where
    V4: FindClass<u32>,
    V6: FindClass<u128>,
    P: FindClass<u32>,
    S: FindClass<u32>,
    R: Rows + Send + Sync,
{
    fn decide_v4(
        &self,
        source: u32,
        destination: u32,
        protocol: Protocol,
        ports: Ports,
    ) -> Decision {
        let source = self.tries.source.v4(source);
        let destination = self.tries.destination.v4(destination);
        self.decide_on((source, destination), protocol, ports)
    }

    fn decide_v6(
        &self,
        source: u128,
        destination: u128,
        protocol: Protocol,
        ports: Ports,
    ) -> Decision {
        let source = self.tries.source.v6(source);
        let destination = self.tries.destination.v6(destination);
        self.decide_on((source, destination), protocol, ports)
    }

    #[cold]
    fn decide_any(&self, tuple: &FiveTuple) -> Decision {
        let source = self.tries.source.either(tuple.source);
        let destination = self.tries.destination.either(tuple.destination);
        self.decide_on((source, destination), tuple.protocol, tuple.ports)
    }

    fn fields_met(&self, bit: usize, may_match: Option<usize>, tuple: &FiveTuple) -> FieldsMet {
        let has_bit = |class, bit| self.rows.word(class, bit / WORD) >> (bit % WORD) & 1 == 1;
        let has = |class| has_bit(class, bit);
        let met = |class| match may_match {
            _ if has(class) => Match::Yes,
            Some(bit) if has_bit(class, bit) => Match::Unknown,
            _ => Match::No,
        };
        let services = &self.parts.services;
        let Tries { source, destination, service, source_port } = &self.tries;
        let has_place = |place| has(service.find(place));
        let source_place = source_port_place(tuple.ports.source());
        FieldsMet {
            protocol: has_place(services.protocol_alone(tuple.protocol)),
            source: met(source.either(tuple.source)),
            source_port: source_port.as_ref().is_none_or(|port| has(port.find(source_place))),
            destination: met(destination.either(tuple.destination)),
            destination_port: has_place(services.port_alone(tuple.ports.destination())),
        }
    }

    fn layers(&self) -> &Layers {
        &self.parts.layers
    }

    fn bytes(&self) -> usize {
        size_of_val(self) + self.tries.bytes() + self.rows.bytes()
    }
}
