//! A file that is only memory, for what is read from a path.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// The file; gone when it is dropped.
#[derive(Debug)]
pub struct MemoryFile(File);

impl MemoryFile {
    pub fn with(content: &[u8]) -> Self {
        let file = memfd_create(c"fuzz", MFdFlags::MFD_CLOEXEC).expect("memory for a file");
        let mut file = File::from(file);
        file.write_all(content).expect("memory can be written");
        Self(file)
    }

    /// A path that opens the file, from its beginning, as often as is wanted.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
