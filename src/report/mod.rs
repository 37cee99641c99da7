//! Where verdicts go: the start and the end of each flow, one line each.
//!
//! In come [`Event`]s over a bounded queue; out go lines on standard output or in a file. A file of this room is
//! one format ([`json_lines`], [`text`]); [`RecordWriter`] owns the thread that writes. What can not be written is
//! counted as lost: it never stops the capture. No name out of a rule file can forge a line or a terminal code.

mod escape;
pub mod json_lines;
mod output;
#[cfg(test)]
mod tests;
pub mod text;
mod writer;

use crate::engine::Event;

pub use json_lines::JsonLines;
pub use output::{Output, ReportError, Sink};
pub use text::TextLines;
pub use writer::{RecordCounters, RecordQueue, RecordWriter, WriterHandle};

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For programs: see [`json_lines`].
    Json,
    /// For people: see [`text`].
    Text {
        /// Colour the verdicts with terminal codes.
        colour: bool,
    },
}

/// Makes lines of one format.
#[derive(Debug)]
enum Renderer {
    Json(JsonLines),
    Text(TextLines),
}

impl Renderer {
    fn new(format: Format, interface_name: &str) -> Self {
        match format {
            Format::Json => Self::Json(JsonLines::new(interface_name)),
            Format::Text { colour } => Self::Text(TextLines::new(colour)),
        }
    }

    fn render(&mut self, event: &Event, out: &mut String) {
        match self {
            Self::Json(lines) => lines.render(event, out),
            Self::Text(lines) => lines.render(event, out),
        }
    }
}
