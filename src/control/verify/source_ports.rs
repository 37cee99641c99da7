//! Where the rules may treat one source port otherwise than the port before it.
//!
//! In comes a policy, out go ports: a question that leaves the source port open is asked at each of them and not
//! 65,536 times.

use std::collections::BTreeSet;

use crate::classifier::Policy;
use crate::flow::Direction;

/// Of each direction every port above 0 at which some rule may start or stop to match by its source port: between
/// two cuts all source ports are treated alike.
#[derive(Debug, Default)]
pub(in crate::control) struct SourcePortCuts {
    inbound: BTreeSet<u16>,
    outbound: BTreeSet<u16>,
}

impl SourcePortCuts {
    pub(in crate::control) fn of(policy: &Policy) -> Self {
        Self {
            inbound: source_port_cuts(policy, Direction::Inbound),
            outbound: source_port_cuts(policy, Direction::Outbound),
        }
    }

    pub(super) const fn of_direction(&self, direction: Direction) -> &BTreeSet<u16> {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }
}

fn source_port_cuts(policy: &Policy, direction: Direction) -> BTreeSet<u16> {
    let layers = policy.rules().layers(direction);
    let rules = layers.iter().flat_map(|layer| &layer.rules);
    rules
        .flat_map(|rule| rule.fields.source_ports.ranges())
        .flat_map(|range| [Some(range.first), range.last.checked_add(1)])
        .flatten()
        .filter(|&port| port > 0)
        .collect()
}
