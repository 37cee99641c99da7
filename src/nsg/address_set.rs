//! A set of addresses of both families, as sorted ranges that do not touch.
//!
//! In come prefixes, out go answers about single addresses, and ranges for whoever compiles rules. No name is known here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Any set of IPv4 and IPv6 addresses. The families are apart: no IPv4 address is in an IPv6 range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl AddressSet {
    /// Every address of both families.
    #[must_use]
    pub fn everything() -> Self {
        Self { v4: vec![(0, u32::MAX)], v6: vec![(0, u128::MAX)] }
    }

    /// Says whether the address is in the set.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => contains(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => contains(&self.v6, v6.to_bits()),
        }
    }

    /// Says whether no address is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Returns the IPv4 ranges, both ends included, sorted, none touching the next.
    #[must_use]
    pub fn v4_ranges(&self) -> &[(u32, u32)] {
        &self.v4
    }

    /// Returns the IPv6 ranges, both ends included, sorted, none touching the next.
    #[must_use]
    pub fn v6_ranges(&self) -> &[(u128, u128)] {
        &self.v6
    }

    /// Returns the addresses of this set that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self { v4: subtract(&self.v4, &other.v4), v6: subtract(&self.v6, &other.v6) }
    }

    /// Returns the addresses of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: join(self.v4.iter().chain(&other.v4).copied().collect()),
            v6: join(self.v6.iter().chain(&other.v6).copied().collect()),
        }
    }
}

impl FromIterator<IpNet> for AddressSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self { v4: join(v4), v6: join(v6) }
    }
}

/// The arithmetic of one family's addresses.
trait Bits: Copy + Ord {
    const MAX: Self;
    fn next(self) -> Self;
    fn previous(self) -> Self;
}

impl Bits for u32 {
    const MAX: Self = Self::MAX;
    fn next(self) -> Self {
        self.saturating_add(1)
    }
    fn previous(self) -> Self {
        self.saturating_sub(1)
    }
}

impl Bits for u128 {
    const MAX: Self = Self::MAX;
    fn next(self) -> Self {
        self.saturating_add(1)
    }
    fn previous(self) -> Self {
        self.saturating_sub(1)
    }
}

fn contains<B: Bits>(ranges: &[(B, B)], address: B) -> bool {
    range_of(ranges, address).is_some()
}

fn range_of<B: Bits>(ranges: &[(B, B)], address: B) -> Option<(B, B)> {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    let range = after.checked_sub(1).and_then(|index| ranges.get(index)).copied();
    range.filter(|&(_, last)| address <= last)
}

/// Returns the widest prefix that holds the address and no address before the first or behind the last; `None` where
/// the address itself is not between them.
#[must_use]
pub fn widest_prefix(address: IpAddr, first: IpAddr, last: IpAddr) -> Option<IpNet> {
    (0..=IpNet::from(address).max_prefix_len())
        .filter_map(|length| IpNet::new(address, length).ok())
        .map(|network| network.trunc())
        .find(|network| first <= network.network() && network.broadcast() <= last)
}

fn join<B: Bits>(mut ranges: Vec<(B, B)>) -> Vec<(B, B)> {
    ranges.sort_unstable();
    let mut joined: Vec<(B, B)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(previous) if first <= previous.1.next() => previous.1 = previous.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined.shrink_to_fit();
    joined
}

fn subtract<B: Bits>(from: &[(B, B)], holes: &[(B, B)]) -> Vec<(B, B)> {
    let mut left = Vec::new();
    let mut start = 0;
    for &(mut first, last) in from {
        while holes.get(start).is_some_and(|hole| hole.1 < first) {
            start += 1;
        }
        let mut open = true;
        for &(hole_first, hole_last) in holes.iter().skip(start).take_while(|hole| hole.0 <= last) {
            if first < hole_first {
                left.push((first, hole_first.previous()));
            }
            if hole_last >= last || hole_last == B::MAX {
                open = false;
                break;
            }
            first = first.max(hole_last.next());
        }
        if open {
            left.push((first, last));
        }
    }
    left
}

impl AddressSet {
    /// Returns the widest prefix that holds the address and lies in the set; `None` where the address is not in it.
    #[must_use]
    pub fn prefix_around(&self, address: IpAddr) -> Option<IpNet> {
        match address {
            IpAddr::V4(v4) => {
                let (first, last) = range_of(&self.v4, v4.to_bits())?;
                let (first, last) = (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last));
                widest_prefix(address, first.into(), last.into())
            }
            IpAddr::V6(v6) => {
                let (first, last) = range_of(&self.v6, v6.to_bits())?;
                let (first, last) = (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last));
                widest_prefix(address, first.into(), last.into())
            }
        }
    }

    /// Returns the set as the fewest CIDR prefixes, IPv4 first.
    #[must_use]
    pub fn to_prefixes(&self) -> Vec<IpNet> {
        let v4 = self.v4.iter().flat_map(|&(first, last)| {
            ipnet::Ipv4Subnets::new(Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last), 0)
                .map(IpNet::V4)
        });
        let v6 = self.v6.iter().flat_map(|&(first, last)| {
            ipnet::Ipv6Subnets::new(Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last), 0)
                .map(IpNet::V6)
        });
        v4.chain(v6).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(prefixes: &[&str]) -> AddressSet {
        prefixes.iter().map(|prefix| prefix.parse::<IpNet>().unwrap()).collect()
    }

    #[test]
    fn the_ends_of_a_prefix_are_in_and_their_neighbours_are_out() {
        let set = set(&["10.0.0.0/30", "2001:db8::/127"]);
        for (address, inside) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.0.0.3", true),
            ("10.0.0.4", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
            ("::a00:0", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        }
    }

    #[test]
    fn taking_everything_away_leaves_nothing() {
        assert!(AddressSet::everything().without(&AddressSet::everything()).is_empty());
        assert_eq!(set(&["10.0.0.0/8"]).without(&set(&["10.0.0.0/9", "10.128.0.0/9"])), set(&[]));
        assert_eq!(
            AddressSet::everything().without(&set(&["0.0.0.0/1", "::/1"])),
            set(&["128.0.0.0/1", "8000::/1"])
        );
    }

    #[test]
    fn the_widest_prefix_around_an_address_stays_in_the_set() {
        let set = set(&["10.0.0.0/24", "10.0.1.0/25", "2001:db8::/32", "::/0"]);
        for (address, expected) in [
            ("10.0.0.9", Some("10.0.0.0/24")),
            ("10.0.1.9", Some("10.0.1.0/25")),
            ("10.0.1.128", None),
            ("2001:db8::1", Some("::/0")),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(set.prefix_around(address.parse().unwrap()), expected, "{address}");
        }
        let all = AddressSet::everything();
        assert_eq!(
            all.prefix_around("1.2.3.4".parse().unwrap()),
            Some("0.0.0.0/0".parse().unwrap())
        );
    }

    fn networks() -> impl Strategy<Value = Vec<IpNet>> {
        let v4 = (0u32..256, 22u8..=32).prop_map(|(low, length)| {
            IpNet::new(Ipv4Addr::from_bits(0x0a00_0000 | low << 2).into(), length).unwrap().trunc()
        });
        proptest::collection::vec(v4, 0..12)
    }

    proptest! {
        #[test]
        fn set_arithmetic_agrees_with_asking_each_prefix(
            one in networks(), two in networks(), low in 0u32..2048
        ) {
            let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | low));
            let within = |list: &[IpNet]| list.iter().any(|network| network.contains(&address));
            let (a, b): (AddressSet, AddressSet) =
                (one.iter().copied().collect(), two.iter().copied().collect());
            prop_assert_eq!(a.contains(address), within(&one));
            prop_assert_eq!(a.union(&b).contains(address), within(&one) || within(&two));
            prop_assert_eq!(a.without(&b).contains(address), within(&one) && !within(&two));
            prop_assert_eq!(a.to_prefixes().into_iter().collect::<AddressSet>(), a);
        }
    }
}
