//! `nsgwatch verify --batch`: answers a file of questions, a piece on every core.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::anyhow;

use super::progress::ProgressLine;
use super::{exit, terminal};
use crate::classifier::Policy;
use crate::control::batch::{ANSWER_HEADER, Batch, BatchFormat, CsvHeader};
use crate::nsg::RuleNameStyle;

/// Bytes that one core answers at a time, up to the end of a line.
const PIECE: u64 = 1 << 20;
/// The longest line, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// Lines for one core, and the number of the first.
struct Piece {
    lines: Vec<u8>,
    first_line: u64,
}

pub(super) fn run(path: &Path, policy: &Policy, names: RuleNameStyle) -> anyhow::Result<ExitCode> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(path);
        Box::new(opened.map_err(|error| anyhow!("can not open {}: {error}", path.display()))?)
    };
    let source = BufReader::with_capacity(1 << 16, source);
    let mut line = ProgressLine::new(&[path.to_owned()], "questions");
    let answered = answer_all(source, policy, names, io::stdout().lock(), |bytes, lines| {
        line.show(bytes, lines);
    });
    line.clear();
    match answered {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(failed) => {
            let lines = if failed == 1 { "line" } else { "lines" };
            terminal::complain(&format!("error: {failed} {lines} could not be answered"));
            Ok(ExitCode::from(exit::FAILED))
        }
        Err(error) if is_gone(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(anyhow!("can not answer {}: {error}", path.display())),
    }
}

/// A reader that has gone away (as `head` does) is no error.
fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Returns how many lines could not be answered; `show` is told how many bytes and lines are answered.
fn answer_all(
    mut source: impl BufRead,
    policy: &Policy,
    names: RuleNameStyle,
    mut target: impl Write,
    mut show: impl FnMut(u64, u64),
) -> anyhow::Result<u64> {
    let (mut next_line, mut bytes) = (1, 0);
    let is_json = source.fill_buf()?.trim_ascii_start().starts_with(b"{");
    let format = if is_json {
        BatchFormat::JsonLines
    } else {
        let mut header = Vec::new();
        source.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut header)?;
        next_line += 1;
        let header = CsvHeader::read(&String::from_utf8_lossy(&header));
        let header = header.map_err(|error| anyhow!("line 1: {error}"))?;
        target.write_all(ANSWER_HEADER.as_bytes())?;
        BatchFormat::Csv(header)
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut workers: Vec<_> =
        (0..cores).map(|_| (Batch::new(policy, &format, names), Vec::new())).collect();
    let mut failed = 0;
    loop {
        let mut pieces = Vec::with_capacity(cores);
        while pieces.len() < cores
            && let Some(piece) = read_piece(&mut source, &mut next_line)?
        {
            bytes += piece.lines.len() as u64;
            pieces.push(piece);
        }
        if pieces.is_empty() {
            target.flush()?;
            return Ok(failed);
        }
        failed += thread::scope(|scope| {
            let running: Vec<_> = workers
                .iter_mut()
                .zip(&pieces)
                .map(|((batch, out), piece)| {
                    scope.spawn(|| batch.answer(&piece.lines, piece.first_line, out))
                })
                .collect();
            running.into_iter().try_fold(0, |failed, worker| match worker.join() {
                Ok(more) => Ok(failed + more),
                Err(_) => Err(anyhow!("a piece was not answered")),
            })
        })?;
        for (_, out) in &mut workers {
            target.write_all(out)?;
            out.clear();
        }
        show(bytes, next_line - 1);
    }
}

/// Reads whole lines; `None` at the end.
fn read_piece(source: &mut impl BufRead, next_line: &mut u64) -> anyhow::Result<Option<Piece>> {
    let mut lines = Vec::new();
    source.take(PIECE).read_to_end(&mut lines)?;
    if lines.is_empty() {
        return Ok(None);
    }
    if lines.last() != Some(&b'\n') {
        let rest = source.take(LONGEST_LINE).read_until(b'\n', &mut lines)?;
        anyhow::ensure!(
            lines.last() == Some(&b'\n') || (rest as u64) < LONGEST_LINE,
            "a line is longer than {LONGEST_LINE} bytes"
        );
    }
    let first_line = *next_line;
    *next_line += lines.split(|&byte| byte == b'\n').count() as u64 - 1;
    Ok(Some(Piece { lines, first_line }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nsg::AppliedRules;

    #[test]
    fn many_pieces_are_answered_in_order() {
        let policy = Policy::compile(AppliedRules::default(), 1).unwrap();
        let header = b"direction,protocol,localIPAddress,localPort,remoteIPAddress,remotePort\n";
        let mut questions = header.to_vec();
        let lines = 100_000;
        for number in 0..lines {
            writeln!(questions, "outbound,tcp,10.0.0.4,*,10.0.0.5,{}", number % 65_536).unwrap();
        }
        let mut answers = Vec::new();
        let failed = answer_all(
            questions.as_slice(),
            &policy,
            RuleNameStyle::Azure,
            &mut answers,
            |_, _| {},
        )
        .unwrap();
        let text = String::from_utf8(answers).unwrap();
        assert_eq!((failed, text.lines().count()), (0, lines + 1));
        for (line, number) in text.lines().skip(1).zip(2..) {
            assert_eq!(line, format!("{number},Allow,,,,,,"));
        }
    }

    #[test]
    fn a_line_without_end_is_refused_in_bounded_memory() {
        let policy = Policy::compile(AppliedRules::default(), 1).unwrap();
        let endless = io::repeat(b'{');
        let endless = BufReader::new(endless);
        let error =
            answer_all(endless, &policy, RuleNameStyle::Azure, Vec::new(), |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("longer than 65536 bytes"), "{error}");
    }
}
