//! A window of fixed size over the bytes of a file, whatever the file's size; gzip is taken off on the way.
//!
//! In comes something that can be read, out go slices of its bytes in order; what they mean is not known here. Memory is
//! of fixed size whatever the file says, and an error of the system comes after the bytes that were read before it.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

/// Small enough to stay in the processor's cache, large enough that reads do not count.
const WINDOW: usize = 512 * 1024;
/// Compressed bytes that are read at once.
const COMPRESSED: usize = 128 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes that tell what a file is.
const MAGIC: usize = 4;

/// The bytes of a file, a part of them in memory.
pub(super) struct Window {
    source: Box<dyn Read>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Place in the file (unpacked) of the first byte in the window.
    offset: u64,
    /// Bytes still to be passed over before the window goes on.
    passing: u64,
    /// Bytes of the file (packed) that were read.
    taken: Arc<AtomicU64>,
    /// What the system said when some bytes were there already; they come first.
    trouble: Option<io::Error>,
}

/// Counts what is read.
struct Counted {
    source: Box<dyn Read>,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.taken.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

impl Window {
    /// Opens the window at the beginning of a file.
    pub(super) fn over_file(file: File) -> io::Result<Self> {
        Self::over(Box::new(file))
    }

    /// Opens the window at the beginning of whatever can be read.
    pub(super) fn over(source: Box<dyn Read>) -> io::Result<Self> {
        let taken = Arc::new(AtomicU64::new(0));
        let mut source = Counted { source, taken: Arc::clone(&taken) };
        let mut magic = Vec::with_capacity(MAGIC);
        (&mut source).take(MAGIC as u64).read_to_end(&mut magic)?;
        let is_gzip = magic.starts_with(&GZIP);
        let whole = Cursor::new(magic).chain(source);
        let source: Box<dyn Read> = if is_gzip {
            Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(COMPRESSED, whole)))
        } else {
            Box::new(whole)
        };
        let buffer = vec![0; WINDOW].into_boxed_slice();
        Ok(Self { source, buffer, start: 0, end: 0, offset: 0, passing: 0, taken, trouble: None })
    }

    /// The bytes in memory.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Place in the file of the first byte in memory.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes read so far, as they are stored.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether bytes were passed over that the file has not got.
    pub(super) const fn is_passing(&self) -> bool {
        self.passing > 0
    }

    /// Leaves bytes behind, those included that are not in memory yet.
    pub(super) fn pass(&mut self, length: u64) {
        let there = (self.end - self.start) as u64;
        let now = length.min(there);
        self.start += usize::try_from(now).unwrap_or(0);
        self.offset += now;
        self.passing += length - now;
    }

    /// Fills the window up. Returns the number of new bytes; none at the end of the file.
    ///
    /// # Errors
    /// What the system says; a gzip file that ends early is an end and no error.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        if let Some(error) = self.trouble.take() {
            return Err(error);
        }
        while self.passing > 0 {
            self.start = 0;
            self.end = self.read_at(0)?;
            if self.end == 0 {
                return Ok(0);
            }
            let length = std::mem::take(&mut self.passing);
            self.pass(length);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let before = self.end;
        while self.end < self.buffer.len() {
            match self.read_at(self.end) {
                Ok(0) => break,
                Ok(length) => self.end += length,
                Err(error) if self.end > before => {
                    self.trouble = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.end - before)
    }

    fn read_at(&mut self, place: usize) -> io::Result<usize> {
        let room = self.buffer.get_mut(place..).unwrap_or_default();
        loop {
            match self.source.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
        }
    }
}
