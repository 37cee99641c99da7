//! Standard output and standard error, for people at a terminal and programs behind a pipe.

use std::io::{self, ErrorKind, Write};
use std::process;

use anyhow::Context;

/// Writes one answer to standard output. A reader that has gone away (as `head` does) is no error: the program ends
/// quietly.
pub(super) fn answer(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(0),
        done => done.context("can not write to standard output"),
    }
}

/// Writes one line for people to standard error; when that is closed nobody is listening.
pub(super) fn complain(text: &str) {
    let _nobody_listens = writeln!(io::stderr().lock(), "{text}");
}

/// Lays rows out in columns as wide as their widest cell, two spaces between; the last column is not padded.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = columns(&[row(["a", "bbb", "c"]), row(["aaaa", "b", "ccc"])]);
        assert_eq!(text, "a     bbb  c\naaaa  b    ccc\n");
    }
}
