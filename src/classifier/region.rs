//! How far around a packet the answer stays the same, one dimension at a time.
//!
//! Between two places where a rule's field begins or ends all values are treated alike, so that one look-up for each
//! such run is exact. The other dimensions stay what they are in the packet: the region is a cross, not a box.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Policy;
use crate::flow::{Direction, FiveTuple, Ports};
use crate::nsg::{AddressPrefix, PortRange, PortSet, RuleFields, Verdict, widest_prefix};

/// The values that one dimension of a packet may take, all others as they are, without another answer: the same
/// access by the same rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The widest prefix around the source address.
    pub source: IpNet,
    /// The widest prefix around the destination address.
    pub destination: IpNet,
    /// The source ports; `None` where the packet has no ports.
    pub source_ports: Option<PortRange>,
    /// The destination ports; `None` where the packet has no ports.
    pub destination_ports: Option<PortRange>,
}

impl Policy {
    /// Returns the region around a packet that goes in this direction.
    #[must_use]
    pub fn region(&self, direction: Direction, tuple: &FiveTuple) -> Region {
        let verdict = self.classify(direction, tuple);
        let search = Search { policy: self, direction, verdict: &verdict };
        let (source_ports, destination_ports) = match tuple.ports {
            Ports::Pair { source, destination } => {
                let with = |source, destination| FiveTuple {
                    ports: Ports::Pair { source, destination },
                    ..*tuple
                };
                (
                    Some(search.ports(
                        source,
                        |fields| fields.source_ports,
                        |port| with(port, destination),
                    )),
                    Some(search.ports(
                        destination,
                        |fields| fields.destination_ports,
                        |port| with(source, port),
                    )),
                )
            }
            Ports::Absent | Ports::Echo(_) => (None, None),
        };
        Region {
            source: search.addresses(
                tuple.source,
                |fields| fields.source,
                |source| FiveTuple { source, ..*tuple },
            ),
            destination: search.addresses(
                tuple.destination,
                |fields| fields.destination,
                |destination| FiveTuple { destination, ..*tuple },
            ),
            source_ports,
            destination_ports,
        }
    }
}

struct Search<'a> {
    policy: &'a Policy,
    direction: Direction,
    verdict: &'a Verdict,
}

impl Search<'_> {
    fn says_the_same(&self, tuple: &FiveTuple) -> bool {
        self.policy.classify(self.direction, tuple) == *self.verdict
    }

    fn ports(
        &self,
        port: u16,
        field: impl for<'r> Fn(&RuleFields<'r>) -> &'r PortSet,
        with: impl Fn(u16) -> FiveTuple,
    ) -> PortRange {
        let mut begins = vec![0];
        self.for_each_rule(|fields| {
            for range in field(fields).ranges() {
                begins.extend([u128::from(range.first), u128::from(range.last) + 1]);
            }
        });
        let port_of = |place: u128| u16::try_from(place).unwrap_or(u16::MAX);
        let same = |place| self.says_the_same(&with(port_of(place)));
        let (first, last) = stretch(begins, port.into(), u16::MAX.into(), same);
        PortRange { first: port_of(first), last: port_of(last) }
    }

    fn addresses(
        &self,
        address: IpAddr,
        field: impl for<'r> Fn(&RuleFields<'r>) -> &'r [AddressPrefix],
        with: impl Fn(IpAddr) -> FiveTuple,
    ) -> IpNet {
        let is_v4 = address.is_ipv4();
        let rules = self.policy.rules();
        let mut begins = vec![0];
        let mut add = |prefix: &AddressPrefix| {
            let network = match prefix {
                AddressPrefix::Network(network) => Some([*network].into_iter().collect()),
                _ => None,
            };
            let Some(set) = network.as_ref().or_else(|| rules.resolve(prefix).map(AsRef::as_ref))
            else {
                return;
            };
            if is_v4 {
                let ends = set.v4_ranges().iter();
                begins.extend(ends.flat_map(|&(a, b)| [u128::from(a), u128::from(b) + 1]));
            } else {
                let ends = set.v6_ranges().iter();
                begins.extend(ends.flat_map(|&(a, b)| [Some(a), b.checked_add(1)]).flatten());
            }
        };
        self.for_each_rule(|fields| field(fields).iter().for_each(&mut add));
        let (place, most) = match address {
            IpAddr::V4(address) => (address.to_bits().into(), u32::MAX.into()),
            IpAddr::V6(address) => (address.to_bits(), u128::MAX),
        };
        let address_of = |place: u128| -> IpAddr {
            if is_v4 {
                Ipv4Addr::from_bits(u32::try_from(place).unwrap_or(u32::MAX)).into()
            } else {
                Ipv6Addr::from_bits(place).into()
            }
        };
        let same = |place| self.says_the_same(&with(address_of(place)));
        let (first, last) = stretch(begins, place, most, same);
        widest_prefix(address, address_of(first), address_of(last)).unwrap_or(address.into())
    }

    fn for_each_rule(&self, mut see: impl FnMut(&RuleFields<'_>)) {
        for layer in self.policy.rules().layers(self.direction) {
            layer.rules.iter().for_each(|rule| see(&rule.fields));
        }
    }
}

/// Stretches a place on a line from 0 to `most` as far as neighbouring runs are the same. `begins` holds every place
/// where a run may begin, zero among them; places beyond `most` do not count.
fn stretch(
    mut begins: Vec<u128>,
    place: u128,
    most: u128,
    same: impl Fn(u128) -> bool,
) -> (u128, u128) {
    begins.sort_unstable();
    begins.dedup();
    begins.retain(|&begin| begin <= most);
    let (before, behind) = begins.split_at(begins.partition_point(|&begin| begin <= place));
    // The run of the place itself is the last one that begins before it.
    let own = before.last().copied().unwrap_or(0);
    let earlier = before.iter().rev().skip(1).take_while(|&&begin| same(begin));
    let first = earlier.last().copied().unwrap_or(own);
    let other = behind.iter().find(|&&begin| !same(begin));
    (first, other.map_or(most, |begin| begin - 1))
}
