//! The walk through the records of one block.
//!
//! A block is bytes in the layout of `linux/if_packet.h`: a block header, then one record a frame, each with a
//! header, a link-layer address that says where the frame comes from, and the frame. Every offset in it is
//! checked against the block; a record that does not fit ends the walk.

#![expect(unsafe_code, reason = "reads the kernel's headers from bytes")]

use std::mem::offset_of;
use std::ptr;

use libc::{
    PACKET_OUTGOING, TP_STATUS_VLAN_VALID, TPACKET3_HDRLEN, sockaddr_ll, tpacket_block_desc,
    tpacket_hdr_v1, tpacket3_hdr,
};
use prefetch_index::prefetch_index;

use crate::flow::Direction;
use crate::packet::LinkType;

/// How far ahead of the walk memory is fetched: a dozen records of small frames.
const PREFETCH_BYTES: usize = 2048;
/// How much is fetched for each record: as much as that of a small frame takes.
const PREFETCH_LINES: usize = 3;
const CACHE_LINE: usize = 64;

/// The bytes of a VLAN tag, which the kernel takes out of the frame.
const VLAN_TAG_LENGTH: u32 = 4;
/// The identifier among the bits of a tag.
const VLAN_ID_MASK: u32 = 0x0fff;

const NANOSECONDS: u64 = 1_000_000_000;

const BLOCK_HEADER: usize = offset_of!(tpacket_block_desc, hdr);

/// What precedes each frame.
#[repr(C)]
#[derive(Clone, Copy)]
struct RecordHeader {
    record: tpacket3_hdr,
    address: sockaddr_ll,
}

const _: () = assert!(size_of::<RecordHeader>() == TPACKET3_HDRLEN, "no padding in between");

impl RecordHeader {
    fn read(bytes: &[u8; TPACKET3_HDRLEN]) -> Self {
        // SAFETY: the array is exactly as large as the structure, whose fields are all integers, so any bytes are
        // valid; the read asks for no alignment.
        unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) }
    }
}

/// One frame, as captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'block> {
    /// The first bytes of the frame.
    pub bytes: &'block [u8],
    /// Which way the frame goes, seen from the interface.
    pub direction: Direction,
    /// When the kernel saw it, in nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// Length on the wire in bytes, the VLAN tag included that is no longer in `bytes`.
    pub wire_length: u32,
    /// The identifier of the outermost VLAN tag, which is no longer in `bytes`.
    pub vlan: Option<u16>,
    /// What the bytes begin with.
    pub link: LinkType,
}

/// The frames of a block, oldest first.
#[derive(Debug, Clone)]
pub struct Frames<'block> {
    /// From the next record to the end of the block.
    rest: &'block [u8],
    left: u32,
    link: LinkType,
}

impl<'block> Frames<'block> {
    /// Walks a block, given as all its bytes.
    pub(super) fn new(block: &'block [u8], link: LinkType) -> Self {
        let field = |offset: usize| {
            let bytes = block.get(BLOCK_HEADER + offset..)?.first_chunk()?;
            Some(u32::from_ne_bytes(*bytes))
        };
        let left = field(offset_of!(tpacket_hdr_v1, num_pkts)).unwrap_or(0);
        let first = field(offset_of!(tpacket_hdr_v1, offset_to_first_pkt));
        let rest = first.and_then(|first| block.get(first as usize..)).unwrap_or_default();
        Self { rest, left, link }
    }
}

impl<'block> Iterator for Frames<'block> {
    type Item = Frame<'block>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'block>> {
        if self.left == 0 {
            return None;
        }
        prefetch(self.rest);
        let record = self.rest;
        let RecordHeader { record: header, address } =
            RecordHeader::read(record.first_chunk::<TPACKET3_HDRLEN>()?);
        self.left -= 1;
        self.rest = match header.tp_next_offset {
            0 => &[],
            step => record.get(step as usize..).unwrap_or_default(),
        };
        let start = usize::from(header.tp_mac);
        let end = start.saturating_add(header.tp_snaplen as usize);
        let is_tagged = header.tp_status & TP_STATUS_VLAN_VALID != 0;
        let direction = if address.sll_pkttype == PACKET_OUTGOING {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        Some(Frame {
            bytes: record.get(start..end).unwrap_or_default(),
            direction,
            unix_ns: u64::from(header.tp_sec) * NANOSECONDS + u64::from(header.tp_nsec),
            wire_length: header.tp_len.saturating_add(if is_tagged { VLAN_TAG_LENGTH } else { 0 }),
            vlan: u16::try_from(header.hv1.tp_vlan_tci & VLAN_ID_MASK).ok().filter(|_| is_tagged),
            link: self.link,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.left).ok())
    }
}

/// Asks the CPU to have the records ready that come next but a few. The block was written by another CPU, and
/// waiting for its memory would be most of the walk.
#[inline]
fn prefetch(records: &[u8]) {
    for line in 0..PREFETCH_LINES {
        prefetch_index(records, PREFETCH_BYTES + line * CACHE_LINE);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK_SIZE: usize = 4096;
    const FIRST_RECORD: usize = size_of::<tpacket_block_desc>();
    const PACKET_HOST: u8 = 0;

    fn put(block: &mut [u8], at: usize, value: &[u8]) {
        block[at..at + value.len()].copy_from_slice(value);
    }

    /// A block whose header states a number of records and where the first lies.
    fn block(count: u32, first: u32) -> Vec<u8> {
        let mut block = vec![0; BLOCK_SIZE];
        put(&mut block, BLOCK_HEADER + offset_of!(tpacket_hdr_v1, num_pkts), &count.to_ne_bytes());
        let at = BLOCK_HEADER + offset_of!(tpacket_hdr_v1, offset_to_first_pkt);
        put(&mut block, at, &first.to_ne_bytes());
        block
    }

    struct Record<'a> {
        next: u32,
        frame: &'a [u8],
        packet_type: u8,
        status: u32,
    }

    /// Writes a record as the kernel does; the frame lies behind the header with a gap of 14 bytes.
    fn write(block: &mut [u8], at: usize, record: &Record) {
        let mut field = |offset: usize, value: u32| put(block, at + offset, &value.to_ne_bytes());
        let length = u32::try_from(record.frame.len()).unwrap();
        field(offset_of!(tpacket3_hdr, tp_next_offset), record.next);
        field(offset_of!(tpacket3_hdr, tp_sec), 1_700_000_000);
        field(offset_of!(tpacket3_hdr, tp_nsec), 123_456_789);
        field(offset_of!(tpacket3_hdr, tp_snaplen), length);
        field(offset_of!(tpacket3_hdr, tp_len), 1500);
        field(offset_of!(tpacket3_hdr, tp_status), record.status);
        let tag =
            offset_of!(tpacket3_hdr, hv1) + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci);
        field(tag, 0xe02a);
        let mac = u16::try_from(TPACKET3_HDRLEN + 14).unwrap();
        put(block, at + offset_of!(tpacket3_hdr, tp_mac), &mac.to_ne_bytes());
        let packet_type = at + size_of::<tpacket3_hdr>() + offset_of!(sockaddr_ll, sll_pkttype);
        put(block, packet_type, &[record.packet_type]);
        put(block, at + TPACKET3_HDRLEN + 14, record.frame);
    }

    fn walk(block: &[u8]) -> Vec<Frame<'_>> {
        Frames::new(block, LinkType::Ethernet).collect()
    }

    #[test]
    fn the_records_of_a_block_become_frames() {
        let mut bytes = block(2, 48);
        let first = Record { next: 112, frame: b"to the VM", packet_type: PACKET_HOST, status: 1 };
        let tagged = 1 | TP_STATUS_VLAN_VALID;
        let second =
            Record { next: 0, frame: b"from it", packet_type: PACKET_OUTGOING, status: tagged };
        write(&mut bytes, 48, &first);
        write(&mut bytes, 48 + 112, &second);
        let unix_ns = 1_700_000_000_123_456_789;
        let inbound = Frame {
            bytes: b"to the VM",
            direction: Direction::Inbound,
            unix_ns,
            wire_length: 1500,
            vlan: None,
            link: LinkType::Ethernet,
        };
        let outbound = Frame {
            bytes: b"from it",
            direction: Direction::Outbound,
            wire_length: 1504,
            vlan: Some(42),
            ..inbound
        };
        assert_eq!(walk(&bytes), [inbound, outbound]);
    }

    #[test]
    fn every_packet_type_but_outgoing_arrives() {
        for packet_type in [0, 1, 2, 3, 5, 6] {
            let mut bytes = block(1, 48);
            write(&mut bytes, 48, &Record { next: 0, frame: b"x", packet_type, status: 1 });
            assert_eq!(walk(&bytes)[0].direction, Direction::Inbound, "type {packet_type}");
        }
    }

    #[test]
    fn a_walk_never_leaves_its_block() {
        let record = |next| Record { next, frame: b"x", packet_type: 0, status: 1 };
        let place = u32::try_from(FIRST_RECORD).unwrap();
        let mut wild_step = block(9, place);
        write(&mut wild_step, FIRST_RECORD, &record(u32::MAX));
        let mut step_into_the_last_bytes = block(9, place);
        write(&mut step_into_the_last_bytes, FIRST_RECORD, &record(4000));
        let mut ended_early = block(9, place);
        write(&mut ended_early, FIRST_RECORD, &record(0));
        let cases: &[(&str, Vec<u8>, usize)] = &[
            ("no bytes at all", vec![], 0),
            ("half a block header", vec![0xff; 20], 0),
            ("no records", block(0, place), 0),
            ("first record behind the block", block(9, u32::MAX), 0),
            ("first record in the last bytes", block(9, 4090), 0),
            ("a step behind the block", wild_step, 1),
            ("a step into the last bytes", step_into_the_last_bytes, 1),
            ("a last record before the stated number", ended_early, 1),
        ];
        for (name, bytes, frames) in cases {
            assert_eq!(walk(bytes).len(), *frames, "{name}");
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_the_block_has_no_bytes() {
        for (field, value) in [
            (offset_of!(tpacket3_hdr, tp_snaplen), u32::MAX),
            (offset_of!(tpacket3_hdr, tp_snaplen), 4096),
            (offset_of!(tpacket3_hdr, tp_mac), u32::MAX),
        ] {
            let mut bytes = block(1, 48);
            write(&mut bytes, 48, &Record { next: 0, frame: b"x", packet_type: 0, status: 1 });
            put(&mut bytes, 48 + field, &value.to_ne_bytes());
            let frames = walk(&bytes);
            assert_eq!(frames.len(), 1);
            assert!(frames[0].bytes.is_empty());
        }
    }

    proptest! {
        #[test]
        fn random_blocks_are_walked_within_their_bounds(
            header in proptest::collection::vec(any::<u8>(), 0..300),
            count in any::<u32>(),
            first in 0_u32..200,
        ) {
            let mut bytes = block(count, first);
            put(&mut bytes, FIRST_RECORD, &header);
            let range = bytes.as_ptr_range();
            for frame in walk(&bytes) {
                let place = frame.bytes.as_ptr_range();
                prop_assert!(
                    frame.bytes.is_empty() || range.start <= place.start && place.end <= range.end
                );
            }
        }
    }
}
