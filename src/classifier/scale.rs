//! Which bits of IPv6 addresses tell them apart.
//!
//! In comes a line of addresses, out comes how to number them, in the same order, so that few bits are enough. Networks
//! are told apart by the upper half, down to the last bit that any rule looks at. Hosts, which the lower half tells apart,
//! are mostly numbered from one up: where rules name such hosts, the host's number, or one that all higher ones share, are
//! the last bits.

use super::line::Line;

/// The lowest bits of the upper half that may be cut off.
const MOST_FLOOR: u32 = 20;
/// Bits of a host's own number that may be told apart.
const MOST_HOST_BITS: u32 = 8;

/// How addresses are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    /// The lowest bits of the upper half that are cut off; none where hosts have numbers.
    pub(super) floor: u32,
    /// The last bits, for the own numbers of hosts; none where no rule names hosts with low ones.
    pub(super) host_bits: u32,
    /// What all hosts have whose own number is not lower.
    most: u64,
}

impl Scale {
    /// Finds what tells the addresses of a line apart.
    pub(super) fn of(line: &Line<u128>) -> Self {
        let hosts = line.cuts().map(lower_half).filter(|host| host >> MOST_HOST_BITS == 0);
        let host_bits = u64::BITS - hosts.max().unwrap_or(0).leading_zeros();
        if host_bits == 0 {
            return Self::of_networks(line);
        }
        Self { floor: 0, host_bits, most: (1 << host_bits) - 1 }
    }

    /// The same, but hosts have no numbers.
    pub(super) fn of_networks(line: &Line<u128>) -> Self {
        let zeros = line.cuts().map(|cut| upper_half(cut).trailing_zeros()).min().unwrap_or(0);
        Self { floor: zeros.min(MOST_FLOOR), host_bits: 0, most: 0 }
    }

    /// Returns the number of an address.
    pub(super) fn unit(self, address: u128) -> u128 {
        let network = u128::from(upper_half(address) >> self.floor);
        network << self.host_bits | u128::from(lower_half(address).min(self.most))
    }

    /// Returns the first address with a number.
    pub(super) fn first_address(self, unit: u128) -> u128 {
        let network = unit >> self.host_bits;
        network << (u64::BITS + self.floor) | unit & u128::from(self.most)
    }

    /// Returns the number of an address, counted from that of a network's first address; `network` is its upper half,
    /// counted from that of the other one.
    #[inline]
    pub(super) fn position(self, network: u64, host: u64) -> u64 {
        // Which it is, is up to the rules: a branch that is always foreseen.
        if self.host_bits == 0 {
            network >> self.floor
        } else {
            network << self.host_bits | host.min(self.most)
        }
    }
}

/// Returns the upper half of an address.
#[inline]
pub(super) fn upper_half(address: u128) -> u64 {
    (address >> 64) as u64
}

/// Returns the lower half of an address.
#[expect(clippy::cast_possible_truncation, reason = "the other half is cut off")]
#[inline]
pub(super) fn lower_half(address: u128) -> u64 {
    address as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(cuts: &[u128]) -> Scale {
        let runs = [(0, 3)].into_iter().chain(cuts.iter().map(|&cut| (cut, 4))).collect();
        Scale::of(&Line { runs, last: u128::MAX, classes: 3..5 })
    }

    #[test]
    fn bits_that_no_rule_looks_at_are_cut_off() {
        assert_eq!(scale(&[0x2603 << 112, 0x2603_1000_0010 << 80]).floor, MOST_FLOOR);
        let scale = scale(&[0x2603 << 112, 0x2603_1000_0000_0100 << 64]);
        assert_eq!(scale, Scale { floor: 8, host_bits: 0, most: 0 });
        assert_eq!(scale.unit(0x2603_1000_0000_01ff << 64 | 9), 0x26_0310_0000_0001);
        assert_eq!(scale.first_address(0x26_0310_0000_0001), 0x2603_1000_0000_0100 << 64);
    }

    #[test]
    fn hosts_with_low_numbers_are_told_apart_and_all_others_are_one() {
        let network = 0x2603_1000_0000_0001 << 64;
        let scale = scale(&[network | 4, network | 5, network | 0x100]);
        assert_eq!(scale, Scale { floor: 0, host_bits: 3, most: 7 });
        let unit = |host: u128| scale.unit(network | host) - (0x2603_1000_0000_0001 << 3);
        assert_eq!([0, 5, 6, 7, 8, u128::MAX >> 64].map(unit), [0, 5, 6, 7, 7, 7]);
        assert_eq!(scale.first_address(scale.unit(network | 5)), network | 5);
        assert_eq!(scale.first_address(scale.unit(network | 0x100)), network | 7);
    }

    #[test]
    fn a_position_is_the_distance_of_two_units() {
        let first = 0x2603_1000_0000_0000 << 64;
        for scale in [scale(&[first | 4]), scale(&[first | 1 << 68])] {
            for address in [first, first | 3, first | 0xf8, first | 5 << 68 | 2, first | 1 << 90] {
                let network = upper_half(address) - upper_half(first);
                let position = scale.position(network, lower_half(address));
                assert_eq!(u128::from(position), scale.unit(address) - scale.unit(first));
            }
        }
    }
}
