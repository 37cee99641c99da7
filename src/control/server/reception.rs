//! Lets clients in, as many as there is room for, and talks with each of them within its limits.
//!
//! In come accepted connections, whatever they came over, and the routes; out go bytes, until the client goes or its
//! time is over. What is answered is not known here.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::observe::Progress;
use super::{Limits, ServerCounters};
use crate::control::ErrorBody;

/// How long a refused client is listened to, and how many bytes of it.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(1);
const LARGEST_REFUSED: u64 = 64 * 1024;
/// Clients that are being refused with an answer at once; those beyond are closed without one.
const MOST_REFUSALS: usize = 64;

/// Lets clients of one listener in, as many as there is room for.
pub(super) struct Reception {
    router: Router,
    limits: Limits,
    counters: Arc<ServerCounters>,
    permits: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl Reception {
    pub(super) fn new(router: Router, limits: Limits, counters: Arc<ServerCounters>) -> Self {
        let permits = Arc::new(Semaphore::new(limits.clients));
        let refusals = Arc::new(Semaphore::new(MOST_REFUSALS));
        Self { router, limits, counters, permits, refusals }
    }

    pub(super) async fn receive<S>(&self, accepted: io::Result<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors the listener stays readable: without a pause this would spin.
                tracing::warn!(%error, "can not accept a client");
                tokio::time::sleep(Duration::from_millis(100)).await;
                return;
            }
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
                tokio::spawn(async move {
                    refuse(stream).await;
                    drop(permit);
                });
            }
            return;
        };
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let (router, limits) = (self.router.clone(), self.limits);
        let progress = Progress::new(&self.counters);
        tokio::spawn(async move {
            converse(stream, router, limits, progress).await;
            drop(permit);
        });
    }
}

/// Answers one client until it goes away, has been idle for too long, or its time is over. An old connection is
/// closed behind an answer that says so and not between two requests, where the client could not tell whether its next
/// one was read; a client that takes the records it is sent has all the time.
async fn converse<S>(stream: S, router: Router, limits: Limits, progress: Progress)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let old = Instant::now() + limits.connection_deadline;
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(progress.clone());
        let answer = router.call(request);
        async move {
            let mut response: Response = answer.await?;
            if Instant::now() >= old {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_deadline)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut last_look = 0;
    let mut done = timeout(limits.connection_deadline * 2, connection.as_mut()).await;
    while done.is_err() && progress.goes_on(&mut last_look) {
        done = timeout(limits.connection_deadline, connection.as_mut()).await;
    }
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client's connection ended early"),
        Err(_) => tracing::debug!("a client did not read its answers and was let go"),
    }
}

/// Tells a client that there are too many, and lets it finish its request: closing on unread bytes would take the
/// answer away from it.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let body = ErrorBody::new("TooManyClients", "too many clients are connected; try again later");
    let body = serde_json::to_string(&body).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let farewell = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut request = stream.take(LARGEST_REFUSED);
        tokio::io::copy(&mut request, &mut tokio::io::sink()).await
    };
    let _too_late = timeout(REFUSAL_DEADLINE, farewell).await;
}
