//! The compiled rules of one direction: from a packet to the deciding rule.
//!
//! The rules of all layers stand in one row of bits, one lane a layer. A look-up finds the packet's class in every
//! dimension, ANDs the rows of those classes, takes the first bit of each lane, and lets the layers speak in turn.
//!
//! Tries and rows come in a few forms, by the size of the rule set. The forms are chosen once, when the table is
//! made, and are types: a look-up is one call of straight code and never asks again which form it has.

use std::net::IpAddr;

use wide::i32x8;

use super::addresses::AddressLists;
use super::dimensions::Dimensions;
use super::explain::FieldsMet;
use super::lane::Long;
use super::layers::Layers;
use super::line::Lines;
use super::packed::{PackedRows, RowCollector, WORD};
use super::rows::{AddressClass, Classes, Dimension, Rows, flatten};
use super::services::{ServiceFields, Services, cut_source_ports, source_port_place};
use super::tries::{FindClass, Form, Tries};
use super::{CompileError, Decision, MEMORY_BUDGET};
use crate::flow::FiveTuple;
use crate::nsg::{AppliedRules, Match, RuleFields};

/// Flat rows of one direction may take this part of the budget; larger ones stay packed.
const FLAT_SHARE: usize = 4;

/// What can be asked of the rules of one direction.
pub(super) trait Table: Send + Sync {
    /// Returns what the rules say of a packet.
    fn decide(&self, tuple: &FiveTuple) -> Decision;

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
    let mut collectors = [(); 6].map(|()| RowCollector::new(width, budget));
    let [source_v4, source_v6, destination_v4, destination_v6, service, source_port] =
        &mut collectors;
    let lines = Lines {
        source_v4: sources.ipv4(source_v4)?,
        source_v6: sources.ipv6(source_v6)?,
        destination_v4: destinations.ipv4(destination_v4)?,
        destination_v6: destinations.ipv6(destination_v6)?,
        service: services.cut(&fields, width, service)?,
        source_port: cut_source_ports(&fields, width, source_port)?,
    };
    let [source_v4, source_v6, destination_v4, destination_v6, service, source_port] =
        collectors.map(RowCollector::finish);
    let rows =
        Dimensions { source_v4, source_v6, destination_v4, destination_v6, service, source_port };
    let any_source_port = fields.iter().all(|rule| rule.source_ports.is_any());
    let parts = Parts { services, layers, any_source_port };
    choose_rows(parts, &lines, rows, budget / FLAT_SHARE)
}

/// What a table holds whatever its form.
#[derive(Debug)]
struct Parts {
    services: Services,
    layers: Layers,
    /// No rule looks at source ports.
    any_source_port: bool,
}

/// Lays the rows out flat where there is code for their shape and where that takes at most `flat_bytes`.
fn choose_rows(
    parts: Parts,
    lines: &Lines,
    rows: Dimensions<PackedRows>,
    flat_bytes: usize,
) -> Result<Box<dyn Table>, CompileError> {
    let count: usize = rows.all().into_iter().map(PackedRows::len).sum();
    let bytes = count * parts.layers.width() * size_of::<u64>();
    match (parts.layers.count(), parts.layers.lane_words()) {
        _ if bytes > flat_bytes => choose_tries(parts, lines, rows),
        (0 | 1, 1) => choose_tries(parts, lines, flatten::<u64, 1>(&rows)),
        (1, 4) => choose_tries(parts, lines, flatten::<i32x8, 1>(&rows)),
        (1, 16) => choose_tries(parts, lines, flatten::<Long, 1>(&rows)),
        (2, 1) => choose_tries(parts, lines, flatten::<u64, 2>(&rows)),
        (2, 4) => choose_tries(parts, lines, flatten::<i32x8, 2>(&rows)),
        (2, 16) => choose_tries(parts, lines, flatten::<Long, 2>(&rows)),
        (3, 1) => choose_tries(parts, lines, flatten::<u64, 3>(&rows)),
        (3, 4) => choose_tries(parts, lines, flatten::<i32x8, 3>(&rows)),
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
        Form::Vast(tries) => Box::new(Compiled { parts, tries, rows }),
    })
}

/// A table of one form: tries of `V4`, `V6` and `P`, rows `R`.
#[derive(Debug)]
struct Compiled<V4, V6, P, R> {
    parts: Parts,
    tries: Tries<V4, V6, P>,
    rows: R,
}

impl<V4, V6, P, R> Compiled<V4, V6, P, R>
where
    V4: FindClass<u32>,
    V6: FindClass<u128>,
    P: FindClass<u32>,
    R: Rows,
{
    /// Decides about IPv6. A function of its own, so that the code for IPv4 is straight and loads short addresses only.
    #[inline(never)]
    fn decide_long(&self, tuple: &FiveTuple) -> Decision {
        match (tuple.source, tuple.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let source = self.tries.source.v6(source);
                let destination = self.tries.destination.v6(destination);
                self.decide_on(source, destination, tuple)
            }
            (source, destination) => {
                let tries = &self.tries;
                self.decide_on(
                    tries.source.either(source),
                    tries.destination.either(destination),
                    tuple,
                )
            }
        }
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: a call would pass what it finds through memory"
    )]
    #[inline(always)]
    fn decide_on(
        &self,
        source: AddressClass,
        destination: AddressClass,
        tuple: &FiveTuple,
    ) -> Decision {
        let Parts { services, layers, any_source_port } = &self.parts;
        let place = services.place(tuple.protocol, tuple.ports.destination());
        let source_port = || self.tries.source_port.find(source_port_place(tuple.ports.source()));
        let classes = Classes {
            source,
            destination,
            service: self.tries.service.find(place),
            source_port: (!any_source_port).then(source_port),
        };
        self.rows.decide(&classes, layers)
    }
}

impl<V4, V6, P, R> Table for Compiled<V4, V6, P, R>
where
    V4: FindClass<u32>,
    V6: FindClass<u128>,
    P: FindClass<u32>,
    R: Rows + Send + Sync,
{
    fn decide(&self, tuple: &FiveTuple) -> Decision {
        match (tuple.source, tuple.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let source = self.tries.source.v4(source);
                let destination = self.tries.destination.v4(destination);
                self.decide_on(source, destination, tuple)
            }
            _ => self.decide_long(tuple),
        }
    }

    fn fields_met(&self, bit: usize, may_match: Option<usize>, tuple: &FiveTuple) -> FieldsMet {
        let has_bit = |dimension, class, bit| {
            self.rows.word(dimension, class, bit / WORD) >> (bit % WORD) & 1 == 1
        };
        let has = |dimension, class| has_bit(dimension, class, bit);
        let met = |dimension, class| match may_match {
            _ if has(dimension, class) => Match::Yes,
            Some(bit) if has_bit(dimension, class, bit) => Match::Unknown,
            _ => Match::No,
        };
        let Parts { services, any_source_port, .. } = &self.parts;
        let place = |place| self.tries.service.find(place);
        let (source, destination) = (
            self.tries.source.either(tuple.source),
            self.tries.destination.either(tuple.destination),
        );
        let source_port = source_port_place(tuple.ports.source());
        FieldsMet {
            protocol: has(Dimension::Service, place(services.protocol_alone(tuple.protocol))),
            source: met(Dimension::Source(source.family), source.class),
            source_port: *any_source_port
                || has(Dimension::SourcePort, self.tries.source_port.find(source_port)),
            destination: met(Dimension::Destination(destination.family), destination.class),
            destination_port: has(
                Dimension::Service,
                place(services.port_alone(tuple.ports.destination())),
            ),
        }
    }

    fn layers(&self) -> &Layers {
        &self.parts.layers
    }

    fn bytes(&self) -> usize {
        self.parts.services.bytes() + self.tries.bytes() + self.rows.bytes()
    }
}
