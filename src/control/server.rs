//! Answers questions on the Unix socket.
//!
//! In come connections, out go HTTP answers; every error is a body in Azure Resource Manager's shape. What a client
//! can cost is bounded: body size, clients at once, time for a request's headers, time for an answer
//! to be made and to be read. A client beyond the limit is told so and let go.

mod socket;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

pub use self::socket::ServerError;

use self::socket::Socket;
use super::explain::Explained;
use super::verify::VerifyRequest;
use super::{ErrorBody, FlowsQuery, Question};
use crate::classifier::Policy;

/// What clients may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Clients at once.
    pub clients: usize,
    /// Time for the headers of a request to arrive, idle time between two requests included.
    pub header_deadline: Duration,
    /// Time from the headers until the answer is ready.
    pub answer_deadline: Duration,
    /// Time after which a connection takes no further request, and once more as much for the client to read what
    /// it was sent.
    pub connection_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 * 1024,
            clients: 64,
            header_deadline: Duration::from_secs(10),
            answer_deadline: Duration::from_secs(5),
            connection_deadline: Duration::from_secs(30),
        }
    }
}

/// How long a refused client is listened to, and how many bytes of it.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(1);
const LARGEST_REFUSED: u64 = 64 * 1024;
/// Clients that are being refused with an answer at once; those beyond are closed without one.
const MOST_REFUSALS: usize = 64;

/// What happened at the socket since the start.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Clients that were let in.
    pub accepted: AtomicU64,
    /// Clients that were refused because too many were there.
    pub refused: AtomicU64,
}

/// What the answers are made of.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The rules in force.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Takes questions to the owner of the flow table.
    pub questions: mpsc::Sender<Question>,
    /// Counts clients.
    pub counters: Arc<ServerCounters>,
}

/// A server with its socket bound; the path is removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
}

impl Server {
    /// Binds the socket with mode 0660. A socket that nobody listens on is replaced; anything else is left alone.
    /// The parent directory is made where only it is missing.
    ///
    /// # Errors
    /// Says what stands in the way and what to do.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        Socket::bind(path).map(|socket| Self { socket })
    }

    /// Accepts clients until the future is dropped.
    ///
    /// Returns only the error that kept it from starting.
    pub async fn serve(&self, sources: Sources, limits: Limits) -> ServerError {
        let listener = match self.socket.listener.try_clone().and_then(UnixListener::from_std) {
            Ok(listener) => listener,
            Err(source) => {
                let path = self.socket.path.clone();
                return ServerError::Io { operation: "listen on", path, source };
            }
        };
        let counters = Arc::clone(&sources.counters);
        let router = router(sources, limits);
        let permits = Arc::new(Semaphore::new(limits.clients));
        let refusals = Arc::new(Semaphore::new(MOST_REFUSALS));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors the listener stays readable: without a pause this would spin.
                    tracing::warn!(%error, "can not accept a client");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                    tokio::spawn(async move {
                        refuse(stream).await;
                        drop(permit);
                    });
                }
                continue;
            };
            counters.accepted.fetch_add(1, Ordering::Relaxed);
            let router = router.clone();
            tokio::spawn(async move {
                converse(stream, router, limits).await;
                drop(permit);
            });
        }
    }
}

/// Answers one client until it goes away, has been idle for too long, or its time is over.
async fn converse(stream: UnixStream, router: Router, limits: Limits) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_deadline)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let mut done = timeout(limits.connection_deadline, connection.as_mut()).await;
    if done.is_err() {
        connection.as_mut().graceful_shutdown();
        done = timeout(limits.connection_deadline, connection).await;
    }
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client's connection ended early"),
        Err(_) => tracing::debug!("a client did not read its answers and was let go"),
    }
}

/// Tells a client that there are too many, and lets it finish its request: closing on unread bytes would take the
/// answer away from it.
async fn refuse(mut stream: UnixStream) {
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

#[derive(Debug, Clone)]
struct App {
    sources: Sources,
    limits: Limits,
}

fn router(sources: Sources, limits: Limits) -> Router {
    let app = App { sources, limits };
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/flows", get(flows))
        .route("/v1/verify", post(verify))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(middleware::from_fn_with_state(app.clone(), within_deadline))
        .with_state(app)
}

async fn within_deadline(State(app): State<App>, request: Request, next: Next) -> Response {
    match timeout(app.limits.answer_deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => error(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "the request took too long"),
    }
}

async fn verify(State(app): State<App>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let most = app.limits.body_bytes;
            let message = format!("the body is larger than {most} bytes");
            return error(StatusCode::PAYLOAD_TOO_LARGE, "RequestContentTooLarge", &message);
        }
        Err(rejection) => {
            return error(rejection.status(), "InvalidRequestContent", &rejection.body_text());
        }
    };
    let policy = app.sources.policy.load();
    let answer = VerifyRequest::from_json(&body).and_then(|VerifyRequest { query, explain }| {
        Ok(if explain {
            axum::Json(Explained::answer(&query, &policy)?).into_response()
        } else {
            axum::Json(query.ask(&policy)?).into_response()
        })
    });
    match answer {
        Ok(answer) => answer,
        Err(refused) => error(StatusCode::BAD_REQUEST, refused.code(), &refused.to_string()),
    }
}

async fn status(State(app): State<App>) -> Response {
    ask(&app, Question::Status).await
}

async fn flows(
    State(app): State<App>,
    query: Result<Query<FlowsQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(query)) => {
            let limit = query.limit.min(FlowsQuery::MOST);
            ask(&app, |reply| Question::Flows(FlowsQuery { limit, ..query }, reply)).await
        }
        Err(rejection) => {
            error(StatusCode::BAD_REQUEST, "InvalidParameter", &rejection.body_text())
        }
    }
}

async fn ask<T: serde::Serialize>(
    app: &App,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Response {
    let (reply, answer) = oneshot::channel();
    let sent = app.sources.questions.send(question(reply)).await.is_ok();
    match answer.await {
        Ok(answer) if sent => axum::Json(answer).into_response(),
        _ => error(StatusCode::SERVICE_UNAVAILABLE, "Stopping", "the agent is shutting down"),
    }
}

async fn no_such_route(uri: Uri) -> Response {
    let message = format!(
        "there is no {}; there are GET /v1/status, GET /v1/flows and POST /v1/verify",
        uri.path()
    );
    error(StatusCode::NOT_FOUND, "InvalidResourceType", &message)
}

async fn no_such_method(method: axum::http::Method, uri: Uri) -> Response {
    let message = format!("{method} is not possible on {}", uri.path());
    error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &message)
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(ErrorBody::new(code, message))).into_response()
}
