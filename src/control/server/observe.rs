//! `GET /v1/observe`: records as they come, one JSON object a line, until the reader or the agent goes.
//!
//! In come lines over a channel, out goes the body of an answer. How far a reader has come is noted, so that one that
//! takes nothing is let go and one for whom nothing happens is not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body, Frame};
use tokio::sync::oneshot;

use super::routes::stopping;
use super::{App, ServerCounters, error};
use crate::control::Question;
use crate::control::observe::{Lines, ObserveQuery};

pub(super) async fn observe(
    State(app): State<App>,
    Extension(progress): Extension<Progress>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(parameters)) => ObserveQuery::from_parameters(&parameters),
        Err(rejection) => {
            return error(StatusCode::BAD_REQUEST, "InvalidParameter", &rejection.body_text());
        }
    };
    let query = match query {
        Ok(query) => query,
        Err(refused) => {
            return error(StatusCode::BAD_REQUEST, "InvalidParameter", &refused.to_string());
        }
    };
    let (reply, answer) = oneshot::channel();
    let sent = app.sources.questions.send(Question::Observe(Box::new(query), reply)).await.is_ok();
    match answer.await {
        Ok(Some(lines)) if sent => {
            let body = axum::body::Body::new(Stream::new(lines, progress));
            ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
        }
        Ok(None) => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "TooManyReaders",
            "too many readers watch already; end one of them and try again",
        ),
        _ => stopping(),
    }
}

/// Whether the reader of a connection's stream takes what it is sent.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    counters: Arc<ServerCounters>,
    /// A stream was begun on this connection.
    begun: AtomicBool,
    /// It has not ended.
    streams: AtomicBool,
    /// There was nothing to send when the reader was last ready.
    up_to_date: AtomicBool,
    /// How often the reader was ready.
    times: AtomicU64,
}

impl Progress {
    pub(super) fn new(counters: &Arc<ServerCounters>) -> Self {
        Self(Arc::new(Taken {
            counters: Arc::clone(counters),
            begun: AtomicBool::new(false),
            streams: AtomicBool::new(false),
            up_to_date: AtomicBool::new(false),
            times: AtomicU64::new(0),
        }))
    }

    /// Says whether a stream is sent whose reader has taken something since the last look, or all that there was.
    pub(super) fn goes_on(&self, last_look: &mut u64) -> bool {
        let times = self.0.times.load(Ordering::Acquire);
        let took_some = times != std::mem::replace(last_look, times);
        let up_to_date = self.0.up_to_date.load(Ordering::Acquire);
        self.0.streams.load(Ordering::Acquire) && (took_some || up_to_date)
    }
}

impl Drop for Taken {
    /// The connection is gone, and with it all that it was sent.
    fn drop(&mut self) {
        if *self.begun.get_mut() {
            self.counters.streaming.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The body of an answer that goes on as long as lines come.
#[derive(Debug)]
pub(super) struct Stream {
    lines: Lines,
    progress: Progress,
}

impl Stream {
    pub(super) fn new(lines: Lines, progress: Progress) -> Self {
        progress.0.streams.store(true, Ordering::Release);
        if !progress.0.begun.swap(true, Ordering::AcqRel) {
            progress.0.counters.streaming.fetch_add(1, Ordering::AcqRel);
        }
        Self { lines, progress }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    /// Only asked where there is room for what comes: a reader that takes nothing is not asked for.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let lines = self.lines.poll_recv(context);
        let taken = &self.progress.0;
        taken.times.fetch_add(1, Ordering::Release);
        taken.up_to_date.store(lines.is_pending(), Ordering::Release);
        lines.map(|lines| lines.map(|lines| Ok(Frame::data(Bytes::from(lines)))))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.progress.0.streams.store(false, Ordering::Release);
    }
}
