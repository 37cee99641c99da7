//! The walk through the blocks of a pcapng file: sections, in them interfaces, and packets that name an interface.
//!
//! The layout is that of `draft-ietf-opsawg-pcapng`. Each section has its own byte order and its own interfaces,
//! each interface its own link type and unit of time. Blocks that hold no packet are passed over, whatever their
//! size.

use super::link_layer::{LinkHeader, RawFrame};
use super::{ByteOrder, Frame, LARGEST_FRAME, Step, Unusable};
use crate::flow::Direction;

pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type and length before the body, the length again behind it.
const BLOCK_HEADER: usize = 8;
const BLOCK_TRAILER: usize = 4;
/// A packet's block: its frame, and room for its options.
const LARGEST_BLOCK: u32 = LARGEST_FRAME + 65_536;
/// A section that names more interfaces was not made by a capture.
const MOST_INTERFACES: usize = 65_536;

const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;
const OPTION_PACKET_FLAGS: u16 = 2;

const NANOSECONDS: u64 = 1_000_000_000;

/// What is known at some place of the file.
#[derive(Debug)]
pub(super) struct Pcapng {
    order: ByteOrder,
    interfaces: Vec<Interface>,
    /// Time of the packet before, for packets without a time of their own.
    latest_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    /// `None` where the link type is not understood.
    link: Option<LinkHeader>,
    snap_length: u32,
    resolution: Resolution,
    offset_seconds: i64,
}

/// The unit of time stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolution {
    /// So many nanoseconds a tick.
    Coarse(u64),
    /// So many ticks a nanosecond.
    Fine(u64),
    /// Two to this power ticks a second.
    Binary(u32),
}

impl Resolution {
    const MICROSECONDS: Self = Self::Coarse(1000);

    /// From the option's byte: a power of ten, or of two where the highest bit is set. `None` where a tick would
    /// be shorter than anything that is measured.
    fn of(byte: u8) -> Option<Self> {
        let power = u32::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            return (power < 64).then_some(Self::Binary(power));
        }
        match power {
            0..=9 => Some(Self::Coarse(10_u64.pow(9 - power))),
            _ => 10_u64.checked_pow(power - 9).map(Self::Fine),
        }
    }

    fn nanoseconds(self, ticks: u64) -> u64 {
        match self {
            Self::Coarse(ns) => ticks.saturating_mul(ns),
            Self::Fine(ticks_a_ns) => ticks / ticks_a_ns,
            Self::Binary(power) => {
                u64::try_from((u128::from(ticks) * u128::from(NANOSECONDS)) >> power)
                    .unwrap_or(u64::MAX)
            }
        }
    }
}

impl Interface {
    fn unix_ns(&self, ticks: u64) -> u64 {
        let shift = self.offset_seconds.unsigned_abs().saturating_mul(NANOSECONDS);
        let ns = self.resolution.nanoseconds(ticks);
        if self.offset_seconds < 0 { ns.saturating_sub(shift) } else { ns.saturating_add(shift) }
    }
}

impl Default for Pcapng {
    fn default() -> Self {
        Self { order: ByteOrder::Little, interfaces: Vec::new(), latest_ns: 0 }
    }
}

impl Pcapng {
    /// Reads the block that the bytes begin with.
    #[inline]
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let Some(header) = bytes.first_chunk::<BLOCK_HEADER>() else { return Step::Incomplete };
        let block_type = [header[0], header[1], header[2], header[3]];
        if block_type == SECTION_HEADER {
            return self.section(bytes);
        }
        let length = self.order.u32([header[4], header[5], header[6], header[7]]);
        let kind = self.order.u32(block_type);
        if length < 12 || !length.is_multiple_of(4) {
            return Step::Damaged(format!("a block of {length} bytes"));
        }
        if !matches!(kind, INTERFACE | OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
            return Step::Pass { length };
        }
        if length > LARGEST_BLOCK {
            return Step::Damaged(format!(
                "a block of {length} bytes; no captured frame is larger than {LARGEST_FRAME}"
            ));
        }
        let end = length as usize;
        let Some(block) = bytes.get(..end) else { return Step::Incomplete };
        let body = block.get(BLOCK_HEADER..end - BLOCK_TRAILER).unwrap_or_default();
        if block.last_chunk().map(|trailer| self.order.u32(*trailer)) != Some(length) {
            return Step::Damaged(format!("a block of {length} bytes whose end says otherwise"));
        }
        let frame = match kind {
            INTERFACE => {
                return match self.add_interface(body) {
                    Ok(()) => Step::Pass { length },
                    Err(reason) => Step::Damaged(reason),
                };
            }
            ENHANCED_PACKET => self.enhanced_packet(body),
            OLD_PACKET => self.old_packet(body),
            _ => self.simple_packet(body),
        };
        match frame {
            Some(frame) => Step::Record { length: end, frame },
            None => Step::Damaged("a frame that is larger than its block".to_owned()),
        }
    }

    fn section<'a>(&mut self, bytes: &[u8]) -> Step<'a> {
        let Some(header) = bytes.first_chunk::<16>() else { return Step::Incomplete };
        let magic = [header[8], header[9], header[10], header[11]];
        let orders = [ByteOrder::Little, ByteOrder::Big];
        let Some(order) = orders.into_iter().find(|order| order.u32(magic) == BYTE_ORDER_MAGIC)
        else {
            return Step::Damaged("a section without a byte order".to_owned());
        };
        let length = order.u32([header[4], header[5], header[6], header[7]]);
        let major = order.u16([header[12], header[13]]);
        if length < 28 || !length.is_multiple_of(4) {
            return Step::Damaged(format!("a section header of {length} bytes"));
        }
        if major != 1 {
            return Step::Damaged(format!("a section of pcapng version {major}; 1 is understood"));
        }
        self.order = order;
        self.interfaces.clear();
        Step::Pass { length }
    }

    fn add_interface(&mut self, body: &[u8]) -> Result<(), String> {
        let Some((fixed, options)) = body.split_first_chunk::<8>() else {
            return Err("an interface block that is too short".to_owned());
        };
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(format!("a section with more than {MOST_INTERFACES} interfaces"));
        }
        let mut interface = Interface {
            link: LinkHeader::of(self.order.u16([fixed[0], fixed[1]])),
            snap_length: self.order.u32([fixed[4], fixed[5], fixed[6], fixed[7]]),
            resolution: Resolution::MICROSECONDS,
            offset_seconds: 0,
        };
        for (code, value) in self.options(options) {
            match (code, value) {
                (OPTION_TIME_RESOLUTION, [byte, ..]) => {
                    interface.resolution = Resolution::of(*byte).ok_or_else(|| {
                        format!("an interface with the time resolution {byte:#04x}")
                    })?;
                }
                (OPTION_TIME_OFFSET, value) => {
                    if let Some(bytes) = value.first_chunk::<8>() {
                        interface.offset_seconds = self.order.i64(*bytes);
                    }
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok(())
    }

    #[inline]
    fn enhanced_packet<'a>(&mut self, body: &'a [u8]) -> Option<Result<Frame<'a>, Unusable>> {
        let (fixed, rest) = body.split_first_chunk::<20>()?;
        let field = |at: [u8; 4]| self.order.u32(at);
        let interface = field([fixed[0], fixed[1], fixed[2], fixed[3]]);
        let high = field([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let low = field([fixed[8], fixed[9], fixed[10], fixed[11]]);
        let captured = field([fixed[12], fixed[13], fixed[14], fixed[15]]);
        let original = field([fixed[16], fixed[17], fixed[18], fixed[19]]);
        self.packet(interface, Some((high, low)), (captured, original), rest)
    }

    /// The packet block of early files, with the interface in two bytes and a drop counter behind it.
    fn old_packet<'a>(&mut self, body: &'a [u8]) -> Option<Result<Frame<'a>, Unusable>> {
        let (fixed, rest) = body.split_first_chunk::<20>()?;
        let field = |at: [u8; 4]| self.order.u32(at);
        let interface = self.order.u16([fixed[0], fixed[1]]);
        let high = field([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let low = field([fixed[8], fixed[9], fixed[10], fixed[11]]);
        let captured = field([fixed[12], fixed[13], fixed[14], fixed[15]]);
        let original = field([fixed[16], fixed[17], fixed[18], fixed[19]]);
        self.packet(interface.into(), Some((high, low)), (captured, original), rest)
    }

    /// A packet of the first interface, without a time: it gets the time of the packet before.
    fn simple_packet<'a>(&mut self, body: &'a [u8]) -> Option<Result<Frame<'a>, Unusable>> {
        let (fixed, rest) = body.split_first_chunk::<4>()?;
        let original = self.order.u32(*fixed);
        let snap_length = match self.interfaces.first().map(|interface| interface.snap_length) {
            None | Some(0) => u32::MAX,
            Some(length) => length,
        };
        self.packet(0, None, (original.min(snap_length), original), rest)
    }

    /// `None` where the frame does not fit its block.
    #[inline]
    fn packet<'a>(
        &mut self,
        interface: u32,
        ticks: Option<(u32, u32)>,
        (captured, original_length): (u32, u32),
        rest: &'a [u8],
    ) -> Option<Result<Frame<'a>, Unusable>> {
        let (bytes, behind) = rest.split_at_checked(captured as usize)?;
        let Some(interface) = self.interfaces.get(interface as usize).copied() else {
            return Some(Err(Unusable::UnknownLink));
        };
        if let Some((high, low)) = ticks {
            self.latest_ns = interface.unix_ns(u64::from(high) << 32 | u64::from(low));
        }
        let Some(link) = interface.link else { return Some(Err(Unusable::UnknownLink)) };
        let options = behind.get(bytes.len().wrapping_neg() % 4..).unwrap_or_default();
        let direction = if options.is_empty() { None } else { self.direction(options) };
        Some(link.open(RawFrame { bytes, direction, unix_ns: self.latest_ns, original_length }))
    }

    fn direction(&self, options: &[u8]) -> Option<Direction> {
        let flags = self
            .options(options)
            .find(|(code, _)| *code == OPTION_PACKET_FLAGS)?
            .1
            .first_chunk()?;
        match self.order.u32(*flags) & 3 {
            1 => Some(Direction::Inbound),
            2 => Some(Direction::Outbound),
            _ => None,
        }
    }

    /// Code and value of each option; what does not fit ends the list.
    fn options<'a>(&self, mut rest: &'a [u8]) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let order = self.order;
        std::iter::from_fn(move || {
            let (header, values) = rest.split_first_chunk::<4>()?;
            let code = order.u16([header[0], header[1]]);
            let length = usize::from(order.u16([header[2], header[3]]));
            let value = values.get(..length)?;
            rest = values.get(length.next_multiple_of(4)..).unwrap_or_default();
            (code != 0).then_some((code, value))
        })
    }
}
