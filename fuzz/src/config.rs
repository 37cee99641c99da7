//! The configuration file: any bytes are settings, or are refused with a place and a reason on one line.

use nsgwatch::config::{RunOptions, Settings};

use super::memory_file::MemoryFile;

/// The input is the file.
pub fn check(input: &[u8]) {
    let file = MemoryFile::with(input);
    match Settings::load(&RunOptions::default(), Some(&file.path())) {
        Ok(settings) => {
            assert!((1..=16_777_216).contains(&settings.max_flows), "{settings:?}");
            assert!((1..=16_777_216).contains(&settings.record_queue), "{settings:?}");
            assert!((2..=1024).contains(&settings.ring_mib), "{settings:?}");
            assert!(!settings.needs_restart(&settings.clone()));
        }
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains(|character: char| character.is_control()), "{line:?}");
        }
    }
}
