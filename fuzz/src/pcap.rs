//! Capture files: any bytes end, as a file of so many records, the same whichever way they are read.

use nsgwatch::capture::pcap::{CaptureFile, FileEnd, FileReport, Frame};
use nsgwatch::packet::parse;

use super::memory_file::MemoryFile;

/// What is remembered of a record.
type Seen = Option<(Vec<u8>, u64, u32)>;

/// The input is the file.
pub fn check(input: &[u8]) {
    let file = MemoryFile::with(input);
    let Ok(capture) = CaptureFile::open(&file.path()) else { return };
    let (at_once, report) = read(capture, usize::MAX);
    check_report(&at_once, &report);
    if let FileEnd::Cut { offset } | FileEnd::Damaged { offset, .. } = report.end {
        let is_packed = input.starts_with(&[0x1f, 0x8b]);
        assert!(is_packed || offset <= input.len() as u64, "{report:?}");
    }
    if at_once.len() <= 64 {
        let capture = CaptureFile::open(&file.path()).expect("as before");
        assert_eq!(read(capture, 1), (at_once, report), "one by one");
    }
}

/// Reads all blocks, taking up to `most` frames of each.
fn read(mut capture: CaptureFile, most: usize) -> (Vec<Seen>, FileReport) {
    let mut seen = Vec::new();
    while let Some(frames) = capture.next_block() {
        for frame in frames.take(most) {
            seen.push(frame.ok().map(|frame| {
                let Frame { bytes, link, direction: _, unix_ns, wire_length } = frame;
                _ = parse(link, bytes, wire_length);
                (bytes.to_vec(), unix_ns, wire_length)
            }));
        }
    }
    let report = capture.report();
    (seen, report)
}

fn check_report(seen: &[Seen], report: &FileReport) {
    let cut = u64::from(matches!(report.end, FileEnd::Cut { .. }));
    assert_eq!(report.records, seen.len() as u64 + cut, "{report:?}");
    assert!(report.unreadable <= report.records, "{report:?}");
}
