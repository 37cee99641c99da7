//! Values made of the fuzzer's bytes, front to back; where there are no more, all are zero.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nsgwatch::flow::{Direction, FiveTuple, Ports, Protocol, Timestamp};

/// The bytes that are left.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const LENGTH: usize>(&mut self) -> [u8; LENGTH] {
        let mut array = [0; LENGTH];
        for (place, byte) in array.iter_mut().zip(self.take(LENGTH)) {
            *place = *byte;
        }
        array
    }

    /// Takes up to so many bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn u8(&mut self) -> u8 {
        u8::from_be_bytes(self.array())
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    pub fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// Takes a text behind the byte of its length; what is no UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        let length = usize::from(self.u8());
        String::from_utf8_lossy(self.take(length)).into_owned()
    }

    pub fn timestamp(&mut self) -> Timestamp {
        Timestamp { monotonic_ns: self.u64(), unix_ns: self.u64() }
    }

    pub fn direction(&mut self) -> Direction {
        if self.bool() { Direction::Inbound } else { Direction::Outbound }
    }

    /// Takes an address; every fourth one is where rules like to begin and to end.
    fn address(&mut self, is_v4: bool) -> IpAddr {
        const EDGES: [u32; 8] = [
            0,
            u32::MAX,
            0x0a00_0004, // 10.0.0.4
            0x0aff_ffff, // 10.255.255.255
            0x7f00_0001, // 127.0.0.1
            0xa83f_8110, // 168.63.129.16
            0xa9fe_a9fe, // 169.254.169.254
            0xcb00_7109, // 203.0.113.9
        ];
        let kind = self.u8();
        let edge = EDGES[usize::from(kind >> 2) % EDGES.len()];
        match (is_v4, kind.is_multiple_of(4)) {
            (true, true) => Ipv4Addr::from(edge).into(),
            (true, false) => Ipv4Addr::from(self.u32()).into(),
            (false, true) => Ipv4Addr::from(edge).to_ipv6_mapped().into(),
            (false, false) => Ipv6Addr::from(self.array::<16>()).into(),
        }
    }

    pub fn tuple(&mut self) -> FiveTuple {
        let protocol = match self.u8() {
            number @ 0..128 => [Protocol::TCP, Protocol::UDP][usize::from(number & 1)],
            128..160 => Protocol::ICMP,
            160..192 => Protocol::ICMPV6,
            number => Protocol(number.wrapping_mul(5)),
        };
        let is_v4 = self.bool();
        let (source, destination) = (self.address(is_v4), self.address(is_v4));
        let ports = match protocol {
            Protocol::TCP | Protocol::UDP => match self.u8() {
                0 => Ports::Absent,
                _ => Ports::Pair { source: self.u16(), destination: self.u16() },
            },
            Protocol::ICMP | Protocol::ICMPV6 if self.bool() => Ports::Echo(self.u16()),
            _ => Ports::Absent,
        };
        FiveTuple { protocol, source, destination, ports }
    }
}
