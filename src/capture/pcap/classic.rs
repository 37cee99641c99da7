//! The walk through the records of a pcap file: a header of 24 bytes, then 16 bytes and a frame, again and again.
//!
//! The layout is that of `draft-ietf-opsawg-pcap`.

use super::link_layer::{LinkHeader, RawFrame};
use super::{ByteOrder, LARGEST_FRAME, Step};

pub(super) const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// How the records of a file are to be read.
#[derive(Debug)]
pub(super) struct Classic {
    order: ByteOrder,
    /// Nanoseconds of one unit of a time stamp's fraction.
    unit_ns: u64,
    link: LinkHeader,
}

/// What the first bytes of a file say.
pub(super) enum Opened {
    Classic(Classic),
    UnknownLink(u16),
    /// Another kind of file, or too short to tell.
    No,
}

impl Classic {
    /// Reads the file's header.
    pub(super) fn open(bytes: &[u8]) -> Opened {
        let Some(header) = bytes.first_chunk::<FILE_HEADER>() else { return Opened::No };
        let magic = [header[0], header[1], header[2], header[3]];
        let orders = [ByteOrder::Little, ByteOrder::Big];
        let meaning = orders.into_iter().find_map(|order| match order.u32(magic) {
            MICROSECONDS => Some((order, 1000)),
            NANOSECONDS => Some((order, 1)),
            _ => None,
        });
        let Some((order, unit_ns)) = meaning else { return Opened::No };
        // The upper half of the field tells of frame check sequences, which nothing here looks at.
        let number = order.u32([header[20], header[21], header[22], header[23]]) & 0xffff;
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        match LinkHeader::of(number) {
            Some(link) => Opened::Classic(Self { order, unit_ns, link }),
            None => Opened::UnknownLink(number),
        }
    }

    /// Reads the record that the bytes begin with.
    #[inline]
    pub(super) fn step<'a>(&self, bytes: &'a [u8]) -> Step<'a> {
        let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER>() else {
            return Step::Incomplete;
        };
        let field = |at: [u8; 4]| self.order.u32(at);
        let seconds = field([header[0], header[1], header[2], header[3]]);
        let fraction = field([header[4], header[5], header[6], header[7]]);
        let captured = field([header[8], header[9], header[10], header[11]]);
        let original_length = field([header[12], header[13], header[14], header[15]]);
        if captured > LARGEST_FRAME {
            return Step::Damaged(format!(
                "a record of {captured} bytes; no captured frame is larger than {LARGEST_FRAME}"
            ));
        }
        let Some(bytes) = rest.get(..captured as usize) else { return Step::Incomplete };
        let unix_ns = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit_ns;
        let frame = self.link.open(RawFrame { bytes, direction: None, unix_ns, original_length });
        Step::Record { length: RECORD_HEADER + bytes.len(), frame }
    }
}
