//! Numbers and addresses as text, for lines that are written by the million.
//!
//! In come numbers, out go their digits at the end of a string: what `write!` says too, in a fraction of its time.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// Appends a number.
pub(super) fn push_number(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// Appends the nine digits of a number of nanoseconds below one second.
pub(super) fn push_fraction(out: &mut String, nanoseconds: u64) {
    // A one in front keeps the zeros that a number does not begin with.
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(nanoseconds % 1_000_000_000 + 1_000_000_000);
    out.push_str(digits.get(1..).unwrap_or_default());
}

/// Writes addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    /// For each octet its digits with a dot behind them, and how many bytes that is.
    octets: [([u8; 4], usize); 256],
}

impl Addresses {
    pub(super) fn new() -> Self {
        Self {
            octets: std::array::from_fn(|octet| {
                let text = format!("{octet}.");
                let mut digits = [0; 4];
                digits.iter_mut().zip(text.bytes()).for_each(|(digit, byte)| *digit = byte);
                (digits, text.len())
            }),
        }
    }

    /// Appends an address.
    pub(super) fn push(&self, out: &mut String, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.push_v4(out, address),
            // Writing to a string can not fail.
            IpAddr::V6(address) => _ = write!(out, "{address}"),
        }
    }

    /// Four bytes are copied for each octet, needed or not: that is one instruction.
    fn push_v4(&self, out: &mut String, address: Ipv4Addr) {
        let mut text = [0; 16];
        let mut length = 0;
        for octet in address.octets() {
            let Some((digits, count)) = self.octets.get(usize::from(octet)) else { continue };
            if let Some(place) = text.get_mut(length..length + 4) {
                place.copy_from_slice(digits);
            }
            length += count;
        }
        let without_last_dot = text.get(..length - 1).unwrap_or_default();
        out.push_str(str::from_utf8(without_last_dot).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_are_those_that_the_standard_library_writes(
            address in any::<u32>(),
            nanoseconds in 0_u64..1_000_000_000,
        ) {
            let address = IpAddr::V4(Ipv4Addr::from_bits(address));
            let mut text = String::new();
            Addresses::new().push(&mut text, address);
            prop_assert_eq!(&text, &address.to_string());
            text.clear();
            push_fraction(&mut text, nanoseconds);
            prop_assert_eq!(&text, &format!("{nanoseconds:09}"));
        }
    }

    #[test]
    fn every_octet_is_written_in_every_place() {
        let addresses = Addresses::new();
        for octet in 0..=255 {
            for place in 0..4 {
                let mut octets = [0, 10, 200, 255];
                octets[place] = octet;
                let mut text = String::new();
                addresses.push(&mut text, IpAddr::from(octets));
                assert_eq!(text, Ipv4Addr::from(octets).to_string());
            }
        }
    }
}
