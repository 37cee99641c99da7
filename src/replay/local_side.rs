//! Which side of a captured packet is the VM: said by the user, recorded in the file, or guessed from the packets.
//!
//! The guess looks at the beginning of every file. In this order:
//!
//! 1. Every record says its direction (cooked captures, pcapng with packet flags): nothing is guessed.
//! 2. One Ethernet address is an end of every unicast frame, Azure's gateway aside: the addresses it sends from.
//! 3. One IP address is an end of every unicast packet of its kind (IPv4, IPv6, IPv6 link-local): these.
//!
//! Otherwise the direction can not be told and nothing is assumed.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::ReplayError;
use crate::capture::pcap::{CaptureFile, Frame, STANDARD_INPUT};
use crate::flow::{Direction, FiveTuple};
use crate::packet::{self, LinkType};

/// Packets looked at in each file.
const SAMPLE: usize = 16_384;
/// The Ethernet address that every Azure VM sends to and receives from.
const AZURE_GATEWAY: MacAddress = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];
/// What sends from more addresses is no VM but passes on what others send.
const MOST_ADDRESSES: usize = 16;

type MacAddress = [u8; 6];

/// Tells the direction of packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalSide {
    /// Where empty, the records tell.
    addresses: Vec<IpNet>,
    source: Source,
}

/// How the local side is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Given,
    Recorded,
    EthernetAddress(MacAddress),
    EveryPacket,
}

impl LocalSide {
    /// What the user says, and where that is nothing, a guess.
    pub(super) fn new(given: &[IpNet], files: &[PathBuf]) -> Result<Self, ReplayError> {
        if given.is_empty() {
            let mut sample = Sample::default();
            for file in files {
                sample.look_at(file)?;
            }
            sample.answer()
        } else {
            Ok(Self { addresses: given.to_vec(), source: Source::Given })
        }
    }

    /// The direction of a packet. By addresses, where exactly one of its ends is local; else what its record says;
    /// else `None`.
    #[inline]
    pub(super) fn direction(
        &self,
        recorded: Option<Direction>,
        tuple: &FiveTuple,
    ) -> Option<Direction> {
        match (self.holds(tuple.source), self.holds(tuple.destination)) {
            (true, false) => Some(Direction::Outbound),
            (false, true) => Some(Direction::Inbound),
            _ => recorded,
        }
    }

    #[inline]
    fn holds(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|network| network.contains(&address))
    }
}

impl fmt::Display for LocalSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self
            .addresses
            .iter()
            .map(|network| {
                let is_address = network.prefix_len() == network.max_prefix_len();
                if is_address { network.addr().to_string() } else { network.to_string() }
            })
            .collect();
        let addresses = addresses.join(", ");
        match self.source {
            Source::Given => write!(f, "the local side is {addresses}"),
            Source::Recorded => f.write_str("the direction is taken from the records"),
            Source::EthernetAddress(mac) => {
                let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                write!(
                    f,
                    "the local side is taken as {addresses}: what {} sends from, an end of every frame looked at",
                    mac.join(":")
                )
            }
            Source::EveryPacket => write!(
                f,
                "the local side is taken as {addresses}: an end of every packet looked at"
            ),
        }
    }
}

/// The ends that every frame so far has in common.
#[derive(Debug)]
struct Common<T> {
    /// `None` before the first frame.
    ends: Option<Vec<T>>,
}

impl<T> Default for Common<T> {
    fn default() -> Self {
        Self { ends: None }
    }
}

impl<T: Copy + PartialEq> Common<T> {
    fn meet(&mut self, one: T, other: T) {
        match &mut self.ends {
            Some(ends) => ends.retain(|end| *end == one || *end == other),
            None if one == other => self.ends = Some(vec![one]),
            None => self.ends = Some(vec![one, other]),
        }
    }

    fn only(&self) -> Option<T> {
        match self.ends.as_deref() {
            Some([only]) => Some(*only),
            _ => None,
        }
    }
}

/// What the beginnings of the files have shown.
#[derive(Debug, Default)]
struct Sample {
    packets: u64,
    recorded: u64,
    /// Without Azure's gateway.
    macs: Common<Option<MacAddress>>,
    is_all_ethernet: bool,
    /// What each end of the first frame sends from.
    sent_from: Vec<(MacAddress, BTreeSet<IpAddr>)>,
    /// IPv4, IPv6, IPv6 link-local.
    addresses: [Common<IpAddr>; 3],
}

impl Sample {
    fn look_at(&mut self, path: &Path) -> Result<(), ReplayError> {
        let can_be_read_twice = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        if !can_be_read_twice && path.exists() || path == Path::new(STANDARD_INPUT) {
            return Err(ReplayError::NotReadTwice { path: path.to_owned() });
        }
        let mut file = CaptureFile::open(path).map_err(ReplayError::Open)?;
        let mut left = SAMPLE;
        while let Some(frames) = file.next_block() {
            for frame in frames.flatten() {
                if left == 0 {
                    return Ok(());
                }
                if let Ok(packet) = packet::parse(frame.link, frame.bytes, frame.wire_length) {
                    self.add(&frame, &packet.tuple);
                    left -= 1;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, frame: &Frame<'_>, tuple: &FiveTuple) {
        self.is_all_ethernet =
            frame.link == LinkType::Ethernet && (self.packets == 0 || self.is_all_ethernet);
        self.packets += 1;
        self.recorded += u64::from(frame.direction.is_some());
        if frame.link == LinkType::Ethernet && !self.add_ethernet(frame.bytes, tuple) {
            return;
        }
        if is_unicast(tuple.source) && is_unicast(tuple.destination) {
            let kind = match (tuple.source, tuple.destination) {
                (IpAddr::V4(_), _) => 0,
                (IpAddr::V6(one), IpAddr::V6(other))
                    if one.is_unicast_link_local() || other.is_unicast_link_local() =>
                {
                    2
                }
                (IpAddr::V6(_), _) => 1,
            };
            if let Some(common) = self.addresses.get_mut(kind) {
                common.meet(tuple.source, tuple.destination);
            }
        }
    }

    /// Says whether the frame is for one receiver.
    fn add_ethernet(&mut self, frame: &[u8], tuple: &FiveTuple) -> bool {
        let Some((destination, rest)) = frame.split_first_chunk::<6>() else { return false };
        let Some(source) = rest.first_chunk::<6>() else { return false };
        if destination[0] & 1 != 0 {
            return false;
        }
        if self.macs.ends.is_none() {
            self.sent_from = vec![(*source, BTreeSet::new()), (*destination, BTreeSet::new())];
        }
        let not_gateway = |mac: &MacAddress| (*mac != AZURE_GATEWAY).then_some(*mac);
        self.macs.meet(not_gateway(source), not_gateway(destination));
        let sender = self.sent_from.iter_mut().find(|(mac, _)| mac == source);
        if let Some((_, addresses)) = sender
            && is_unicast(tuple.source)
            && addresses.len() <= MOST_ADDRESSES
        {
            addresses.insert(tuple.source);
        }
        true
    }

    fn answer(&self) -> Result<LocalSide, ReplayError> {
        if self.packets == 0 || self.recorded == self.packets {
            return Ok(LocalSide { addresses: Vec::new(), source: Source::Recorded });
        }
        if let Some((mac, addresses)) = self.only_mac() {
            let addresses = addresses.iter().copied().map(IpNet::from).collect();
            return Ok(LocalSide { addresses, source: Source::EthernetAddress(mac) });
        }
        let seen = self.addresses.iter().filter(|common| common.ends.is_some());
        let only: Option<Vec<IpNet>> = seen.map(|common| common.only().map(IpNet::from)).collect();
        match only {
            Some(addresses) if !addresses.is_empty() => {
                Ok(LocalSide { addresses, source: Source::EveryPacket })
            }
            _ => Err(ReplayError::NoLocalSide { reason: self.why_not() }),
        }
    }

    fn only_mac(&self) -> Option<(MacAddress, &BTreeSet<IpAddr>)> {
        if !self.is_all_ethernet {
            return None;
        }
        let mut real = self.macs.ends.iter().flatten().copied().flatten();
        let mac = real.next()?;
        if real.next().is_some() {
            return None;
        }
        let (_, addresses) = self.sent_from.iter().find(|(end, _)| *end == mac)?;
        (!addresses.is_empty() && addresses.len() <= MOST_ADDRESSES).then_some((mac, addresses))
    }

    fn why_not(&self) -> String {
        for common in &self.addresses {
            match common.ends.as_deref() {
                Some([]) => return "no address is an end of every packet".to_owned(),
                Some([one, other]) => return format!("all packets go between {one} and {other}"),
                _ => {}
            }
        }
        "no packet goes from one address to one other".to_owned()
    }
}

fn is_unicast(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_multicast() && !address.is_unspecified() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Ports, Protocol};

    const VM: MacAddress = [2, 0, 0, 0, 0, 4];
    const NEIGHBOUR: MacAddress = [2, 0, 0, 0, 0, 5];
    const STRANGER: MacAddress = [2, 0, 0, 0, 0, 6];

    fn tuple(source: &str, destination: &str) -> FiveTuple {
        FiveTuple {
            protocol: Protocol::UDP,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            ports: Ports::Absent,
        }
    }

    fn frame(bytes: &[u8], link: LinkType, direction: Option<Direction>) -> Frame<'_> {
        Frame { bytes, link, direction, unix_ns: 0, wire_length: 60 }
    }

    type Ends<'a> = (&'a str, &'a str);

    fn by_ip(packets: &[Ends<'_>]) -> Result<String, String> {
        let mut sample = Sample::default();
        for (source, destination) in packets {
            sample.add(&frame(&[], LinkType::Ip, None), &tuple(source, destination));
        }
        sample.answer().map(|side| side.to_string()).map_err(|error| error.to_string())
    }

    fn by_ethernet(packets: &[(MacAddress, MacAddress, Ends<'_>)]) -> Result<String, String> {
        let mut sample = Sample::default();
        for (from, to, (source, destination)) in packets {
            let bytes = [to.as_slice(), from.as_slice(), &[8, 0]].concat();
            sample.add(&frame(&bytes, LinkType::Ethernet, None), &tuple(source, destination));
        }
        sample.answer().map(|side| side.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_address_that_every_packet_has_is_local() {
        let side = by_ip(&[
            ("10.0.0.4", "8.8.8.8"),
            ("10.0.0.9", "10.0.0.4"),
            ("10.0.0.9", "255.255.255.255"),
            ("2001:db8::4", "2001:db8::1"),
            ("2001:db8::2", "2001:db8::4"),
            ("fe80::1", "ff02::1"),
        ]);
        let expected =
            "the local side is taken as 10.0.0.4, 2001:db8::4: an end of every packet looked at";
        assert_eq!(side.as_deref(), Ok(expected));
    }

    #[test]
    fn where_it_can_not_be_told_the_error_says_why_and_how_to_say_it() {
        for (packets, reason) in [
            (&[("10.0.0.4", "8.8.8.8")][..], "all packets go between 10.0.0.4 and 8.8.8.8"),
            (
                &[("10.0.0.4", "8.8.8.8"), ("10.0.0.5", "9.9.9.9")][..],
                "no address is an end of every packet",
            ),
            (&[("0.0.0.0", "255.255.255.255")][..], "no packet goes from one address"),
        ] {
            let error = by_ip(packets).unwrap_err();
            assert!(error.contains(reason) && error.contains("--local"), "{error}");
        }
    }

    #[test]
    fn the_ethernet_address_that_every_frame_has_names_the_addresses_it_sends_from() {
        let side = by_ethernet(&[
            (VM, NEIGHBOUR, ("10.0.0.4", "10.0.0.5")),
            (VM, NEIGHBOUR, ("10.0.0.44", "10.0.0.5")),
            (STRANGER, VM, ("10.0.0.6", "10.0.0.4")),
            (STRANGER, [0xff; 6], ("10.0.0.6", "10.0.0.255")),
        ])
        .unwrap();
        assert!(side.contains("10.0.0.4, 10.0.0.44: what 02:00:00:00:00:04 sends"), "{side}");
    }

    #[test]
    fn the_gateway_of_azure_is_never_the_vm() {
        let side = by_ethernet(&[
            (VM, AZURE_GATEWAY, ("10.0.0.4", "10.0.0.5")),
            (AZURE_GATEWAY, VM, ("10.0.0.5", "10.0.0.4")),
        ])
        .unwrap();
        assert!(side.contains("taken as 10.0.0.4: what 02:00:00:00:00:04 sends"), "{side}");
    }

    #[test]
    fn records_that_all_say_their_direction_need_no_guess() {
        let mut sample = Sample::default();
        let told = Some(Direction::Outbound);
        sample.add(&frame(&[], LinkType::Ip, told), &tuple("10.0.0.4", "8.8.8.8"));
        let side = sample.answer().unwrap();
        assert_eq!(side.source, Source::Recorded);
        assert_eq!(side.direction(told, &tuple("10.0.0.4", "8.8.8.8")), told);
        sample.add(&frame(&[], LinkType::Ip, None), &tuple("10.0.0.4", "8.8.8.8"));
        assert!(sample.answer().is_err());
    }

    #[test]
    fn addresses_tell_before_records_and_records_tell_the_rest() {
        let side = LocalSide {
            addresses: vec!["10.0.0.0/24".parse().unwrap(), "fd00::4/128".parse().unwrap()],
            source: Source::Given,
        };
        let (inbound, outbound) = (Some(Direction::Inbound), Some(Direction::Outbound));
        for (source, destination, recorded, expected) in [
            ("10.0.0.7", "8.8.8.8", inbound, outbound),
            ("8.8.8.8", "10.0.0.7", outbound, inbound),
            ("2001:db8::1", "fd00::4", None, inbound),
            ("10.0.0.7", "10.0.0.8", outbound, outbound),
            ("10.0.0.7", "10.0.0.8", None, None),
            ("8.8.8.8", "224.0.0.1", inbound, inbound),
            ("8.8.8.8", "224.0.0.1", None, None),
        ] {
            let told = side.direction(recorded, &tuple(source, destination));
            assert_eq!(told, expected, "{source} {destination} {recorded:?}");
        }
    }
}
