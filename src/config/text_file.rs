//! Reads the text of a file that people keep settings or rules in.
//!
//! In comes a path and the most bytes that the file may have, out comes its text. Only regular files are read, so
//! that a FIFO can not hold the agent up and a device can not fill its memory. What the text means is not known here.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Why a file's text can not be had; the caller names the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("can not {operation} the file: {source}")]
    Io { operation: &'static str, source: io::Error },
    #[error("not a regular file")]
    NotRegular,
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    #[error("not UTF-8 text (line {line})")]
    NotText { line: usize },
}

/// Reads the text of a regular file of at most so many bytes.
pub(super) fn read(path: &Path, largest: u64) -> Result<String, Unreadable> {
    let io = |operation| move |source| Unreadable::Io { operation, source };
    // Without O_NONBLOCK a FIFO in the place of a file would hold the agent up for ever.
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(io("open"))?;
    if !file.metadata().map_err(io("look at"))?.is_file() {
        return Err(Unreadable::NotRegular);
    }
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes).map_err(io("read"))?;
    if bytes.len() as u64 > largest {
        return Err(Unreadable::TooLarge(largest));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        Unreadable::NotText { line: before.split(|byte| *byte == b'\n').count() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &Path) -> String {
        read(path, 16).unwrap_err().to_string()
    }

    #[test]
    fn neither_a_fifo_nor_a_device_holds_the_agent_up() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("rules.json");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&fifo, Path::new("/dev/zero"), folder.path()] {
            assert_eq!(message(path), "not a regular file", "{}", path.display());
        }
    }

    #[test]
    fn a_file_that_is_missing_too_large_or_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.json");
        assert!(message(&path).starts_with("can not open the file: No such file"));
        std::fs::write(&path, [b' '; 17]).unwrap();
        assert_eq!(message(&path), "larger than 16 bytes");
        std::fs::write(&path, b"{\n\n\"name\": \"\xff\"}").unwrap();
        assert_eq!(message(&path), "not UTF-8 text (line 3)");
        std::fs::write(&path, [b' '; 16]).unwrap();
        assert_eq!(read(&path, 16).unwrap().len(), 16);
    }
}
