//! Where lines are written to: standard output or a file, never with a torn line between two whole ones.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What records are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, appended to; created with mode 0640 where it is missing.
    File(PathBuf),
}

/// Why records can not be written at all.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file can not be opened.
    #[error("open {path} for records: {source}", path = path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output can not be used.
    #[error("use standard output for records: {0}")]
    Stdout(io::Error),
    /// The thread that writes can not be started.
    #[error("start the thread that writes records: {0}")]
    Thread(io::Error),
}

/// How long to wait before a write is tried again that the other side is not ready for.
const RETRY: Duration = Duration::from_millis(1);

/// An open sink. Opened apart from the writer's start, because it may take privileges that are dropped between.
#[derive(Debug)]
pub struct Output {
    sink: Sink,
    file: File,
    /// The last thing written is the beginning of a line that could not be taken back.
    torn: bool,
}

impl Output {
    /// Opens the sink.
    ///
    /// # Errors
    /// The file, or standard output, can not be used.
    pub fn open(sink: Sink) -> Result<Self, ReportError> {
        let (file, torn) = match &sink {
            Sink::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                (File::from(stdout.map_err(ReportError::Stdout)?), false)
            }
            Sink::File(path) => open_file(path)?,
        };
        Ok(Self { sink, file, torn })
    }

    /// Opens the file at the path anew, after it was renamed; `false` where there is no file. Where that fails the old
    /// one stays in use.
    pub(super) fn reopen(&mut self) -> Result<bool, ReportError> {
        let Sink::File(path) = &self.sink else { return Ok(false) };
        (self.file, self.torn) = open_file(path)?;
        Ok(true)
    }

    /// Writes whole lines, `count` of them. Returns how many are written, and the error that kept the others from it.
    #[expect(clippy::naive_bytecount, reason = "only what a failed write has written is counted")]
    pub(super) fn write_lines(&mut self, lines: &[u8], count: u64) -> (u64, io::Result<()>) {
        if self.torn {
            if let (_, Err(error)) = write_all(&mut self.file, b"\n") {
                return (0, Err(error));
            }
            self.torn = false;
        }
        let (length, result) = write_all(&mut self.file, lines);
        if length == lines.len() {
            return (count, result);
        }
        let written = lines.get(..length).unwrap_or_default();
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let torn = length - whole;
        if torn > 0 && self.take_back(torn).is_err() {
            self.torn = true;
        }
        let whole_lines = written.iter().filter(|byte| **byte == b'\n').count();
        (whole_lines as u64, result)
    }

    /// Cuts the last bytes off the file; fails on anything but a file.
    fn take_back(&mut self, bytes: usize) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        if !metadata.is_file() {
            return Err(ErrorKind::Unsupported.into());
        }
        self.file.set_len(metadata.len().saturating_sub(bytes as u64))?;
        // Standard output that goes to a file need not be open for appending.
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

/// Opens a file to append to; `true` where its last line was torn, by a kill or a power cut.
fn open_file(path: &Path) -> Result<(File, bool), ReportError> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|source| ReportError::Open { path: path.to_owned(), source })?;
    let has_bytes = file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
    // A file that can not be read is taken to be whole.
    let torn = has_bytes && last_byte(path).is_ok_and(|byte| byte != b'\n');
    Ok((file, torn))
}

fn last_byte(path: &Path) -> io::Result<u8> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    let [byte] = last;
    Ok(byte)
}

/// Writes all bytes, or as many as possible; returns how many.
fn write_all(file: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (done, Err(ErrorKind::WriteZero.into())),
            Ok(length) => done += length,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock => std::thread::sleep(RETRY),
                _ => return (done, Err(error)),
            },
        }
    }
    (done, Ok(()))
}
