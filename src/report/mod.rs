//! Where verdicts go: the start and the end of each flow, one line each.
//!
//! In come [`Event`]s over a bounded queue; out go lines on standard output or in a file. A file of this room is
//! one format ([`json_lines`], [`text`]); [`RecordWriter`] owns the thread that writes behind a [`RecordQueue`], and
//! gives each event to the [`Hub`] too, for those who watch live. What can not be written is counted as lost: it
//! never stops the capture. No name out of a rule file can forge a line or a terminal code.

mod digits;
mod escape;
mod hub;
pub mod journal;
pub mod json_lines;
mod loss;
pub mod metrics;
mod output;
mod queue;
#[cfg(test)]
mod tests;
pub mod text;
mod writer;

use crate::engine::Event;
use crate::flow::Timestamp;

pub use escape::push_plain;
pub use hub::{Hub, HubCounters, HubReader, Observed, Read};
pub use json_lines::JsonLines;
pub use output::{Output, ReportError, Sink};
pub use queue::{RecordCounters, RecordQueue};
pub use text::TextLines;
pub use writer::{RecordWriter, WriterHandle};

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

/// A time in which an interface was not watched: what it carried meanwhile is in no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// What the interface was meanwhile: `down` or `absent`.
    pub reason: &'static str,
}

impl Gap {
    /// How long it was, by a clock that never jumps.
    fn milliseconds(&self) -> u64 {
        self.end.monotonic_ns.saturating_sub(self.start.monotonic_ns) / 1_000_000
    }
}

/// Makes lines of one format.
#[derive(Debug)]
enum Renderer {
    Json(Box<JsonLines>),
    Text(TextLines),
}

impl Renderer {
    fn new(format: Format, interface_name: &str) -> Self {
        match format {
            Format::Json => Self::Json(Box::new(JsonLines::new(interface_name))),
            Format::Text { colour } => Self::Text(TextLines::new(colour, interface_name)),
        }
    }

    fn render(&mut self, event: &Event, out: &mut String) {
        match self {
            Self::Json(lines) => lines.render(event, out),
            Self::Text(lines) => lines.render(event, out),
        }
    }

    fn render_gap(&mut self, gap: &Gap, out: &mut String) {
        match self {
            Self::Json(lines) => lines.render_gap(gap, out),
            Self::Text(lines) => lines.render_gap(gap, out),
        }
    }
}
