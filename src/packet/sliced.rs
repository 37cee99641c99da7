//! The meaning of a frame, through etherparse's lax slicing: link layer, tags, IP header, extension headers.
//!
//! Lax, because a frame here is cut to the capture's snap length, and because segmentation offload leaves length
//! fields unset. Every loop is bounded by the bytes of the frame.

use std::net::IpAddr;

use etherparse::err::ip::{HeaderError, LaxHeaderSliceError};
use etherparse::err::{Layer, packet::SliceError};
use etherparse::{
    EtherType, Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice, LaxIpv4Slice, LaxIpv6Slice,
    LaxNetSlice, LaxSlicedPacket, ether_type, ip_number,
};

use super::{Fragment, FragmentId, LinkType, PacketKind, Skip, transport};
use crate::flow::{FiveTuple, Protocol};

/// The smallest Ethernet frame carries 46 bytes: behind an IPv6 header without payload that is so much padding.
const IPV6_PADDING: usize = 46 - 40;

/// A packet without its length on the wire.
pub(super) struct Content {
    pub(super) tuple: FiveTuple,
    pub(super) kind: PacketKind,
    pub(super) fragment: Fragment,
}

/// Reads any frame.
pub(super) fn read(link: LinkType, frame: &[u8]) -> Result<Content, Skip> {
    let sliced = match link {
        LinkType::Ethernet => LaxSlicedPacket::from_ethernet(frame).map_err(|_| Skip::Truncated)?,
        LinkType::Ip => LaxSlicedPacket::from_ip(frame).map_err(|error| match error {
            LaxHeaderSliceError::Len(_) => Skip::Truncated,
            LaxHeaderSliceError::Content(HeaderError::UnsupportedIpVersion { .. }) => Skip::NotIp,
            LaxHeaderSliceError::Content(_) => Skip::Malformed,
        })?,
    };
    let announced = sliced.ether_payload().map(|payload| payload.ether_type);
    let announced_as = |ether_type: EtherType| announced.is_none_or(|it| it == ether_type);
    let datagram = match &sliced.net {
        // etherparse goes by the version in the IP header alone; a receiver drops a packet whose link layer
        // announces the other version.
        Some(LaxNetSlice::Ipv4(slice)) if announced_as(ether_type::IPV4) => {
            Datagram::of_ipv4(slice)?
        }
        Some(LaxNetSlice::Ipv6(slice)) if announced_as(ether_type::IPV6) => {
            Datagram::of_ipv6(slice)
        }
        Some(LaxNetSlice::Ipv4(_) | LaxNetSlice::Ipv6(_)) => return Err(Skip::Malformed),
        Some(LaxNetSlice::Arp(_)) => return Err(Skip::Arp),
        None => return Err(reason_without_ip(announced, sliced.stop_err.as_ref())),
    };
    Ok(datagram.content())
}

fn reason_without_ip(announced: Option<EtherType>, stop: Option<&(SliceError, Layer)>) -> Skip {
    match (announced, stop) {
        (Some(ether_type::ARP), _) => Skip::Arp,
        (_, Some((SliceError::Len(_), _))) => Skip::Truncated,
        (Some(ether_type::IPV4 | ether_type::IPV6), _) => Skip::Malformed,
        _ => Skip::NotIp,
    }
}

/// An IP packet as far as its headers say, extension headers looked through.
pub(super) struct Datagram<'a> {
    pub(super) source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    fragment: Fragment,
    /// From the transport header on; empty in a later fragment and in AH, which have none to be read.
    payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// # Errors
    ///
    /// [`Skip::Malformed`] where the header states a length in which it does not fit itself. Zero is not that:
    /// segmentation offload leaves the length unset.
    pub(super) fn of_ipv4(slice: &LaxIpv4Slice<'a>) -> Result<Self, Skip> {
        let header = slice.header();
        let total_length = usize::from(header.total_len());
        if total_length != 0 && total_length < header.slice().len() {
            return Err(Skip::Malformed);
        }
        let protocol = Protocol(header.protocol().0);
        let (source, destination) =
            (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()));
        let id = FragmentId {
            source,
            destination,
            protocol,
            identification: u32::from(header.identification()),
        };
        let fragment =
            fragment_of(id, header.fragments_offset().value(), header.is_fragmenting_payload());
        let has_transport =
            !matches!(fragment, Fragment::Later(_)) && header.protocol() != ip_number::AUTH;
        let payload = if has_transport { slice.payload().payload } else { &[] };
        Ok(Self { source, destination, protocol, fragment, payload })
    }

    pub(super) fn of_ipv6(slice: &LaxIpv6Slice<'a>) -> Self {
        let header = slice.header();
        let (source, destination) =
            (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
        let mut datagram = Self {
            source,
            destination,
            protocol: Protocol(header.next_header().0),
            fragment: Fragment::Whole,
            payload: &[],
        };
        let ends_in_transport = datagram.walk_extensions(slice.extensions().slice());
        let payload = slice.payload().payload;
        let is_padding = header.payload_length() == 0 && payload.len() <= IPV6_PADDING;
        if ends_in_transport && !is_padding {
            datagram.payload = payload;
        }
        datagram
    }

    /// Goes through the extension headers that etherparse found whole. Says whether the payload behind them is
    /// this packet's transport header: not so behind the header of a later fragment, whose bytes etherparse takes
    /// for headers, and not behind AH.
    ///
    /// Not done with etherparse's own iterator: where a header is cut off, it reads beyond the slice.
    fn walk_extensions(&mut self, mut rest: &[u8]) -> bool {
        while !rest.is_empty() {
            let (next, length) = match etherparse::IpNumber(self.protocol.0) {
                ip_number::AUTH => return false,
                ip_number::IPV6_FRAG => {
                    let Ok(header) = Ipv6FragmentHeaderSlice::from_slice(rest) else {
                        return false;
                    };
                    let id = FragmentId {
                        source: self.source,
                        destination: self.destination,
                        protocol: Protocol(header.next_header().0),
                        identification: header.identification(),
                    };
                    if header.is_fragmenting_payload() {
                        self.fragment = fragment_of(id, header.fragment_offset().value(), true);
                    }
                    (header.next_header(), header.slice().len())
                }
                _ => {
                    let Ok(header) = Ipv6RawExtHeaderSlice::from_slice(rest) else { return false };
                    (header.next_header(), header.slice().len())
                }
            };
            self.protocol = Protocol(next.0);
            if matches!(self.fragment, Fragment::Later(_)) {
                return false;
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        self.protocol != Protocol::AH
    }

    pub(super) fn tuple(&self) -> FiveTuple {
        FiveTuple {
            protocol: self.protocol,
            source: self.source,
            destination: self.destination,
            ports: transport::ports(self.source, self.protocol, self.payload),
        }
    }

    fn content(&self) -> Content {
        Content {
            tuple: self.tuple(),
            kind: transport::kind(self.source, self.protocol, self.payload),
            fragment: self.fragment,
        }
    }
}

fn fragment_of(id: FragmentId, offset: u16, is_fragment: bool) -> Fragment {
    match (is_fragment, offset) {
        (false, _) => Fragment::Whole,
        (true, 0) => Fragment::First(id),
        (true, _) => Fragment::Later(id),
    }
}
