//! Standard output and standard error, for people at a terminal and programs behind a pipe.

use std::env;
use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process;

use anyhow::Context;
use clap::ValueEnum;

/// When text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set; everywhere where `CLICOLOR_FORCE` is
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl Color {
    pub(super) fn on_stdout(self) -> bool {
        self.wanted(|name| env::var_os(name), io::stdout().is_terminal())
    }

    pub(super) fn on_stderr(self) -> bool {
        self.wanted(|name| env::var_os(name), io::stderr().is_terminal())
    }

    /// The command line wins over `NO_COLOR`, that over `CLICOLOR_FORCE`, and that over what the output is.
    fn wanted(self, variable: impl Fn(&str) -> Option<OsString>, is_terminal: bool) -> bool {
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if is_set("NO_COLOR") => false,
            Self::Auto if is_set("CLICOLOR_FORCE") => {
                variable("CLICOLOR_FORCE").is_some_and(|value| value != "0")
            }
            Self::Auto => is_terminal && variable("TERM").is_none_or(|value| value != "dumb"),
        }
    }
}

/// Colours the word of the verdict where a line begins with one.
pub(super) fn painted(text: &str, is_coloured: bool) -> String {
    const VERDICTS: [(&str, &str); 3] =
        [("Allow", "\x1b[32m"), ("Deny", "\x1b[31m"), ("Undecided", "\x1b[33m")];
    if !is_coloured {
        return text.to_owned();
    }
    text.split_inclusive('\n')
        .map(|line| {
            let first = line.split_whitespace().next().unwrap_or_default();
            let verdict = VERDICTS.iter().find(|(word, _)| *word == first);
            match verdict.and_then(|(word, code)| Some((code, word, line.strip_prefix(word)?))) {
                Some((code, word, rest)) => format!("{code}{word}\x1b[0m{rest}"),
                None => line.to_owned(),
            }
        })
        .collect()
}

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
    fn the_command_line_wins_over_the_environment_and_that_over_the_terminal() {
        let wanted = |color: Color, environment: &[(&str, &str)], is_terminal| {
            let variable = |name: &str| {
                let found = environment.iter().find(|(set, _)| *set == name);
                found.map(|(_, value)| OsString::from(value))
            };
            color.wanted(variable, is_terminal)
        };
        assert!(wanted(Color::Auto, &[], true));
        assert!(!wanted(Color::Auto, &[], false));
        assert!(!wanted(Color::Auto, &[("TERM", "dumb")], true));
        assert!(!wanted(Color::Auto, &[("NO_COLOR", "1")], true));
        assert!(wanted(Color::Auto, &[("NO_COLOR", "")], true));
        assert!(wanted(Color::Auto, &[("CLICOLOR_FORCE", "1")], false));
        assert!(!wanted(Color::Auto, &[("CLICOLOR_FORCE", "0")], true));
        assert!(!wanted(Color::Auto, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
        assert!(wanted(Color::Always, &[("NO_COLOR", "1")], false));
        assert!(!wanted(Color::Never, &[("CLICOLOR_FORCE", "1")], true));
    }

    #[test]
    fn only_a_verdict_at_the_beginning_of_a_line_is_coloured() {
        let text = "Deny  x\nAllowed  Deny\n";
        assert_eq!(painted(text, true), "\x1b[31mDeny\x1b[0m  x\nAllowed  Deny\n");
        assert_eq!(painted(text, false), text);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = columns(&[row(["a", "bbb", "c"]), row(["aaaa", "b", "ccc"])]);
        assert_eq!(text, "a     bbb  c\naaaa  b    ccc\n");
    }
}
