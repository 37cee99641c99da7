//! The frames of a capture file: pcap or pcapng, either byte order, gzip or not, of any size.
//!
//! A path comes in; out go frames, still in the memory that the file was read into, a block of them at a time, and
//! at the end a [`FileReport`]. Nothing of a file is believed: every length is checked against the bytes that are
//! there and against a limit, memory is of fixed size, and a file that is cut or damaged gives the frames before
//! that place.
//!
//! - `window`: bytes of a file, a part of them in memory.
//! - `classic`, `pcapng`: the walk through either format.
//! - `link_layer`: which link types are understood, and where the packet starts.
//!
//! Its own reader and no crate, because a frame costs no more here than the copy out of the page cache.

mod classic;
mod link_layer;
mod pcapng;
#[cfg(test)]
mod tests;
mod window;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use self::classic::{Classic, FILE_HEADER, Opened};
use self::pcapng::{Pcapng, SECTION_HEADER};
use self::window::Window;
use crate::flow::Direction;
use crate::packet::{LinkType, Skip};

/// The largest frame, in bytes: the largest snap length that capture programs set.
const LARGEST_FRAME: u32 = 262_144;

/// The name that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Why a file can not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// The file can not be opened or its beginning not be read.
    #[error("can not {operation} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is empty.
    #[error("{path}: the file is empty", path = path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The file is no capture file.
    #[error("{path}: neither pcap nor pcapng (gzip or not): it begins with {found}", path = path.display())]
    NotACapture {
        /// Which file.
        path: PathBuf,
        /// Its first bytes in hexadecimal digits.
        found: String,
    },
    /// The frames of the file begin with a header that is not understood.
    #[error(
        "{path}: link type {number} is not understood; Ethernet (1), Linux cooked (113, 276), raw IP (12, 14, 101, \
         228, 229) and BSD loopback (0, 108) are",
        path = path.display()
    )]
    UnknownLink {
        /// Which file.
        path: PathBuf,
        /// The link type's number.
        number: u16,
    },
}

/// One frame, or the IP packet of one where its file does not hold the real link layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'file> {
    /// The captured bytes.
    pub bytes: &'file [u8],
    /// What the bytes begin with.
    pub link: LinkType,
    /// Which way the frame went, where the file says so.
    pub direction: Option<Direction>,
    /// When it was captured, in nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// Length on the wire in bytes, the real link-layer header included where there was one; a made-up header is
    /// not.
    pub wire_length: u32,
}

/// Why a record gives no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// The header in front of the packet already says that there is none.
    Skip(Skip),
    /// Its interface has a link type that is not understood, or is not described in the file.
    UnknownLink,
}

impl From<Skip> for Unusable {
    fn from(skip: Skip) -> Self {
        Self::Skip(skip)
    }
}

/// How a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEnd {
    /// With its last record.
    Whole,
    /// In the middle of the record at this place (unpacked), as happens when a capture is killed.
    Cut {
        /// Where that record begins, in bytes.
        offset: u64,
    },
    /// With something that can not be read on from.
    Damaged {
        /// Where, in bytes (unpacked).
        offset: u64,
        /// What is wrong.
        reason: String,
    },
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Packet records: those that were handed out, and one that was cut.
    pub records: u64,
    /// Records handed out as [`Unusable::UnknownLink`], and one that was cut.
    pub unreadable: u64,
    /// How the file ended.
    pub end: FileEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    #[inline]
    const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    #[inline]
    const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    const fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Little => i64::from_le_bytes(bytes),
            Self::Big => i64::from_be_bytes(bytes),
        }
    }
}

/// What the bytes at some place of a file are.
enum Step<'a> {
    /// A packet, in so many bytes.
    Record { length: usize, frame: Result<Frame<'a>, Unusable> },
    /// So many bytes without a packet, which may reach beyond those in memory.
    Pass { length: u32 },
    /// The beginning of something; more bytes will tell.
    Incomplete,
    /// Nothing that can be.
    Damaged(String),
}

#[derive(Debug)]
enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
}

/// How far the walk through the bytes in memory has come.
#[derive(Debug, Default)]
struct Walk {
    /// Bytes that lie behind.
    passed: u64,
    /// Nothing more can be told from the bytes in memory.
    is_over: bool,
    damage: Option<String>,
    records: u64,
    unknown_link: u64,
}

/// A capture file that is being read.
pub struct CaptureFile {
    window: Window,
    format: Format,
    walk: Walk,
    end: Option<FileEnd>,
}

impl CaptureFile {
    /// Opens a file; [`STANDARD_INPUT`] is what it says.
    ///
    /// # Errors
    /// The file can not be read, or is no capture file that is understood.
    pub fn open(path: &Path) -> Result<Self, PcapError> {
        let io =
            |operation| move |source| PcapError::Io { operation, path: path.to_owned(), source };
        let window = if path == Path::new(STANDARD_INPUT) {
            Window::over(Box::new(io::stdin()))
        } else {
            Window::over_file(File::open(path).map_err(io("open"))?)
        };
        Self::over(window.map_err(io("read"))?, path)
    }

    fn over(mut window: Window, path: &Path) -> Result<Self, PcapError> {
        window.fill().map_err(|source| PcapError::Io {
            operation: "read",
            path: path.to_owned(),
            source,
        })?;
        let bytes = window.bytes();
        let format = if bytes.starts_with(&SECTION_HEADER) {
            Format::Pcapng(Pcapng::default())
        } else {
            match Classic::open(bytes) {
                Opened::Classic(classic) => {
                    window.pass(FILE_HEADER as u64);
                    Format::Classic(classic)
                }
                Opened::UnknownLink(number) => {
                    return Err(PcapError::UnknownLink { path: path.to_owned(), number });
                }
                Opened::No if bytes.is_empty() => {
                    return Err(PcapError::Empty { path: path.to_owned() });
                }
                Opened::No => {
                    let first: Vec<String> =
                        bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                    let found = first.join(" ");
                    return Err(PcapError::NotACapture { path: path.to_owned(), found });
                }
            }
        };
        Ok(Self { window, format, walk: Walk::default(), end: None })
    }

    /// Reads on, and returns the frames that lie in memory then; `None` at the end. Frames of the block before that
    /// were not taken come again.
    pub fn next_block(&mut self) -> Option<Frames<'_>> {
        if self.end.is_some() {
            return None;
        }
        self.window.pass(std::mem::take(&mut self.walk.passed));
        if self.walk.is_over {
            self.end = self.read_on();
            if self.end.is_some() {
                return None;
            }
            self.walk.is_over = false;
        }
        let rest = self.window.bytes();
        Some(Frames { rest, format: &mut self.format, walk: &mut self.walk })
    }

    /// Fills the window; returns how the file ended where it did.
    fn read_on(&mut self) -> Option<FileEnd> {
        let offset = self.window.offset();
        if let Some(reason) = self.walk.damage.take() {
            return Some(FileEnd::Damaged { offset, reason });
        }
        match self.window.fill() {
            Err(error) => Some(FileEnd::Damaged { offset, reason: format!("read: {error}") }),
            Ok(0) if self.window.bytes().is_empty() && !self.window.is_passing() => {
                Some(FileEnd::Whole)
            }
            Ok(0) => Some(FileEnd::Cut { offset }),
            Ok(_) => None,
        }
    }

    /// Bytes read so far, as they are stored: of a compressed file the compressed ones.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.window.taken()
    }

    /// Says what became of the file, to be asked when there are no more blocks.
    #[must_use]
    pub fn report(&self) -> FileReport {
        let end = self.end.clone().unwrap_or(FileEnd::Whole);
        let cut = u64::from(matches!(end, FileEnd::Cut { .. }));
        FileReport {
            records: self.walk.records + cut,
            unreadable: self.walk.unknown_link + cut,
            end,
        }
    }
}

/// The frames of one block, in the order of the file.
pub struct Frames<'file> {
    rest: &'file [u8],
    format: &'file mut Format,
    walk: &'file mut Walk,
}

impl<'file> Iterator for Frames<'file> {
    type Item = Result<Frame<'file>, Unusable>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.walk.is_over {
            let step = match self.format {
                Format::Classic(classic) => classic.step(self.rest),
                Format::Pcapng(pcapng) => pcapng.step(self.rest),
            };
            match step {
                Step::Record { length, frame } => {
                    self.rest = self.rest.get(length..).unwrap_or_default();
                    self.walk.passed += length as u64;
                    self.walk.records += 1;
                    self.walk.unknown_link += u64::from(frame == Err(Unusable::UnknownLink));
                    return Some(frame);
                }
                Step::Pass { length } => {
                    self.rest = self.rest.get(length as usize..).unwrap_or_default();
                    self.walk.passed += u64::from(length);
                }
                Step::Incomplete => self.walk.is_over = true,
                Step::Damaged(reason) => {
                    self.walk.damage = Some(reason);
                    self.walk.is_over = true;
                }
            }
        }
        None
    }
}
