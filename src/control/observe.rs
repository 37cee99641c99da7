//! What `GET /v1/observe` can be asked: which records are streamed, and from when to when.
//!
//! In come the words of a query, out goes [`ObserveQuery`], which says of each event whether it is asked for. The lines
//! themselves are made by whoever has the events, and come over a channel.

mod filter;

use std::time::UNIX_EPOCH;

use tokio::sync::mpsc;

pub use self::filter::{EventFilter, FilterError};

use crate::engine::Event;

/// What is to be streamed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObserveQuery {
    /// Whether to go on with what comes, after what is remembered.
    pub follow: bool,
    /// How many remembered records come first, the newest; `None` for all that meet the rest, or for none where
    /// `follow` is set without `since`.
    pub last: Option<usize>,
    /// Only records from this moment on, in nanoseconds since 1970.
    pub since: Option<u64>,
    /// Only records up to this moment; the stream ends when it has passed.
    pub until: Option<u64>,
    /// Which records.
    pub filter: EventFilter,
}

impl ObserveQuery {
    /// Reads the parameters of a query; each may stand there more than once, see [`EventFilter`].
    ///
    /// # Errors
    /// The first parameter that is not known or has no value that it could have.
    pub fn from_parameters(parameters: &[(String, String)]) -> Result<Self, FilterError> {
        let mut query = Self::default();
        for (name, value) in parameters {
            let wrong = |expected| FilterError::value(name, value, expected);
            match name.as_str() {
                "follow" => query.follow = value.parse().map_err(|_| wrong("true or false"))?,
                "last" => query.last = Some(value.parse().map_err(|_| wrong("a number"))?),
                "since" => query.since = Some(moment(value).ok_or_else(|| wrong(MOMENT))?),
                "until" => query.until = Some(moment(value).ok_or_else(|| wrong(MOMENT))?),
                name => query.filter.add(name, value)?,
            }
        }
        Ok(query)
    }

    /// Says whether an event is asked for.
    #[must_use]
    pub fn accepts(&self, event: &Event) -> bool {
        let stamp = if event.end.is_none() { event.flow.first } else { event.flow.last };
        self.since.is_none_or(|since| since <= stamp.unix_ns)
            && self.until.is_none_or(|until| stamp.unix_ns <= until)
            && self.filter.accepts(&event.flow)
    }

    /// Returns how many remembered records come first.
    #[must_use]
    pub fn most_of_the_past(&self) -> usize {
        let unsaid = if self.follow && self.since.is_none() { 0 } else { usize::MAX };
        self.last.unwrap_or(unsaid)
    }
}

const MOMENT: &str = "a moment as 2026-11-23T08:00:00Z";

fn moment(text: &str) -> Option<u64> {
    let since_1970 = humantime::parse_rfc3339_weak(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since_1970.as_nanos()).ok()
}

/// Lines for one reader, in pieces; the sender goes on without a reader that is gone.
pub type Lines = mpsc::Receiver<String>;
