//! The compiled rules of one direction: from a packet to the deciding rule.
//!
//! The rules of all layers stand in one row of bits, one lane a layer. A look-up finds the packet's class in every
//! dimension, ANDs the rows of those classes, takes the first bit of each lane, and lets the layers speak in turn.

use std::net::IpAddr;

use super::addresses::{AddressLists, Addresses};
use super::explain::FieldsMet;
use super::layers::Layers;
use super::packed::{RowCollector, WORD};
use super::rows::{AddressClass, Classes, Dimension, RowSets, Rows};
use super::services::{ServiceFields, Services, SourcePorts};
use super::{CompileError, Decision};
use crate::flow::FiveTuple;
use crate::nsg::{AppliedRules, Match, RuleFields};

/// Flat rows of one direction may take this part of the budget; larger ones stay packed.
const FLAT_SHARE: usize = 4;

/// Everything that a look-up in one direction reads.
#[derive(Debug)]
pub(super) struct Table {
    sources: Addresses,
    destinations: Addresses,
    services: Services,
    source_ports: Option<SourcePorts>,
    rows: Rows,
    layers: Layers,
}

impl Table {
    /// Compiles the fields of rules, each with its bit in the layers. The rows of any one dimension may take `budget` bytes.
    pub(super) fn compile(
        bits: &[(usize, RuleFields<'_>)],
        layers: Layers,
        applied: &AppliedRules,
        budget: usize,
    ) -> Result<Self, CompileError> {
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
        let mut collectors = [(); 6].map(|()| RowCollector::new(width, budget));
        let [source_v4, source_v6, destination_v4, destination_v6, service, source_port] =
            &mut collectors;
        let table = (
            Addresses { ipv4: sources.ipv4(source_v4)?, ipv6: sources.ipv6(source_v6)? },
            Addresses {
                ipv4: destinations.ipv4(destination_v4)?,
                ipv6: destinations.ipv6(destination_v6)?,
            },
            Services::compile(&fields, width, service)?,
            SourcePorts::compile(&fields, width, source_port)?,
        );
        let (sources, destinations, services, source_ports) = table;
        let [source_v4, source_v6, destination_v4, destination_v6, service, source_port] =
            collectors.map(RowCollector::finish);
        let sets =
            RowSets { source_v4, source_v6, destination_v4, destination_v6, service, source_port };
        let rows = Rows::new(sets, &layers, budget / FLAT_SHARE);
        Ok(Self { sources, destinations, services, source_ports, rows, layers })
    }

    /// Returns what the rules say of a packet.
    #[inline(never)]
    pub(super) fn decide(&self, tuple: &FiveTuple) -> Decision {
        // The family is decided here, once, so that each family has straight code of its own.
        match (tuple.source, tuple.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let source = self.sources.class_v4(source);
                self.decide_on(source, self.destinations.class_v4(destination), tuple)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let source = self.sources.class_v6(source);
                self.decide_on(source, self.destinations.class_v6(destination), tuple)
            }
            (source, destination) => {
                let source = self.sources.class(source);
                self.decide_on(source, self.destinations.class(destination), tuple)
            }
        }
    }

    /// Returns the layers.
    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Returns which fields of the rule with this bit the packet meets; `may_match` is the rule's second bit, where
    /// it has one.
    pub(super) fn fields_met(
        &self,
        bit: usize,
        may_match: Option<usize>,
        tuple: &FiveTuple,
    ) -> FieldsMet {
        let has_bit = |dimension, class, bit| {
            self.rows.word(dimension, class, bit / WORD) >> (bit % WORD) & 1 == 1
        };
        let has = |dimension, class| has_bit(dimension, class, bit);
        let met = |dimension, class| match may_match {
            _ if has(dimension, class) => Match::Yes,
            Some(bit) if has_bit(dimension, class, bit) => Match::Unknown,
            _ => Match::No,
        };
        let source = self.sources.class(tuple.source);
        let destination = self.destinations.class(tuple.destination);
        let (source_port, destination_port) = (tuple.ports.source(), tuple.ports.destination());
        FieldsMet {
            protocol: has(Dimension::Service, self.services.protocol_class(tuple.protocol)),
            source: met(Dimension::Source(source.family), source.class),
            source_port: self
                .source_ports
                .as_ref()
                .is_none_or(|ports| has(Dimension::SourcePort, ports.class(source_port))),
            destination: met(Dimension::Destination(destination.family), destination.class),
            destination_port: has(Dimension::Service, self.services.port_class(destination_port)),
        }
    }

    /// Returns the bytes that look-ups read.
    pub(super) fn bytes(&self) -> usize {
        let source_ports = self.source_ports.as_ref().map_or(0, SourcePorts::bytes);
        let values =
            self.sources.bytes() + self.destinations.bytes() + self.services.bytes() + source_ports;
        values + self.rows.bytes()
    }

    #[inline]
    fn decide_on(
        &self,
        source: AddressClass,
        destination: AddressClass,
        tuple: &FiveTuple,
    ) -> Decision {
        let source_ports = self.source_ports.as_ref();
        let classes = Classes {
            source,
            destination,
            service: self.services.class(tuple.protocol, tuple.ports.destination()),
            source_port: source_ports.map(|ports| ports.class(tuple.ports.source())),
        };
        self.rows.decide(&classes, &self.layers)
    }
}
