//! The line that says how far a long command is: on a terminal alone, and never in an answer.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time before the first look and between two looks of the line.
const SHOW_AFTER: Duration = Duration::from_millis(200);
/// Columns of the bar.
const WIDTH: u64 = 30;

/// One line on a terminal; nothing where standard error is none.
pub(super) struct ProgressLine {
    is_shown: bool,
    /// What is counted beside bytes, in the plural.
    unit: &'static str,
    /// Bytes of all files, where all are regular files.
    total: Option<u64>,
    started: Instant,
    last: Instant,
}

impl ProgressLine {
    pub(super) fn new(files: &[PathBuf], unit: &'static str) -> Self {
        let size = |path: &PathBuf| {
            fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
        };
        let started = Instant::now();
        let is_shown = io::stderr().is_terminal();
        Self { is_shown, unit, total: files.iter().map(size).sum(), started, last: started }
    }

    /// Shows how many bytes were read and how many units were done, not too often.
    pub(super) fn show(&mut self, bytes: u64, done: u64) {
        if !self.is_shown || self.last.elapsed() < SHOW_AFTER {
            return;
        }
        self.last = Instant::now();
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let text = self.text(bytes, done, millis);
        let _nobody_looks = write!(io::stderr().lock(), "\r\x1b[K{text}");
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.is_shown {
            let _nobody_looks = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }

    fn text(&self, bytes: u64, done: u64, millis: u64) -> String {
        let (unit, rate) = (self.unit, done / millis);
        match self.total {
            Some(total) if total > 0 => {
                let bytes = bytes.min(total);
                let filled = usize::try_from(bytes * WIDTH / total).unwrap_or(0);
                let empty = usize::try_from(WIDTH).unwrap_or(0).saturating_sub(filled);
                let (bar, rest) = ("#".repeat(filled), ".".repeat(empty));
                let percent = bytes * 100 / total;
                format!("[{bar}{rest}] {percent:3} %  {done} {unit}, {rate}k a second")
            }
            _ => format!("{} MiB, {done} {unit}, {rate}k a second", bytes >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_shown_where_the_size_is_known() {
        let mut line = ProgressLine::new(&[], "packets");
        line.total = Some(100 << 20);
        assert_eq!(
            line.text(50 << 20, 3_000_000, 500),
            "[###############...............]  50 %  3000000 packets, 6000k a second"
        );
        line.total = None;
        assert_eq!(line.text(50 << 20, 3_000_000, 1000), "50 MiB, 3000000 packets, 3000k a second");
        line.total = Some(1);
        assert!(line.text(50 << 20, 1, 1).contains("100 %"));
    }
}
