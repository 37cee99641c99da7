//! Answers questions on the Unix socket and, where it is wanted, on a loopback address.
//!
//! In come connections, out go HTTP answers; every error is a body in Azure Resource Manager's shape. What a client
//! can cost is bounded: body size, clients at once, time for a request's headers, time for an answer
//! to be made and to be read; a stream of records goes on as long as its reader takes it. A client beyond the limit is told so and let go.

mod loopback;
mod observe;
mod socket;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Query, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

pub use self::loopback::Listen;
pub use self::socket::ServerError;

use self::loopback::Loopback;
use self::observe::Progress;
use self::socket::Socket;
use super::explain::Explained;
use super::page;
use super::verify::{VerifyError, VerifyRequest};
use super::watched::{self, Watched};
use super::{ErrorBody, FlowsQuery, Question, azure, openapi};

/// What clients may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Clients at once, on each of the two listeners.
    pub clients: usize,
    /// Time for the headers of a request to arrive, idle time between two requests included.
    pub header_deadline: Duration,
    /// Time from the headers until the answer is ready.
    pub answer_deadline: Duration,
    /// Age from which on a connection is closed behind its next answer, and once more as much for the client to read
    /// what it was sent.
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
    /// Connections on which records are or were streamed, and that are still there.
    pub streaming: AtomicU64,
}

/// What the answers are made of.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The interfaces that are watched, each with its rules in force.
    pub watched: Arc<[Watched]>,
    /// Takes questions to the owner of the flow table.
    pub questions: mpsc::Sender<Question>,
    /// Counts clients.
    pub counters: Arc<ServerCounters>,
}

impl Sources {
    /// Finds the interface that a request is about, as [`watched::choose`] says.
    ///
    /// # Errors
    /// It is not known which one is meant.
    pub fn watched_of(&self, request: &VerifyRequest) -> Result<&Watched, VerifyError> {
        let local = request.query.local_address();
        watched::choose(&self.watched, request.interface.as_deref(), local)
    }
}

/// A server with its socket bound; a path that was made here is removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    loopback: Option<Loopback>,
}

impl Server {
    /// Binds the socket with mode 0660. A socket that nobody listens on is replaced; anything else is left alone.
    /// The parent directory is made where only it is missing.
    ///
    /// # Errors
    /// Says what stands in the way and what to do.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        Socket::bind(path).map(|socket| Self { socket, loopback: None })
    }

    /// Takes the Unix socket that the service manager has opened for this program; `None` where there is none. The
    /// socket's place in the file system is the service manager's.
    ///
    /// # Errors
    /// It was given something else, or more than one.
    pub fn activated() -> Result<Option<Self>, ServerError> {
        Ok(Socket::activated()?.map(|socket| Self { socket, loopback: None }))
    }

    /// Listens on a loopback address as well, for clients that have the token.
    ///
    /// # Errors
    /// The address is not a loopback address or is taken; the token file is missing, open to everybody, or holds no
    /// token.
    pub fn listen(self, listen: &Listen) -> Result<Self, ServerError> {
        Ok(Self { loopback: Some(Loopback::bind(listen)?), ..self })
    }

    /// Returns the loopback address that is listened on.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.loopback.as_ref().map(|loopback| loopback.address)
    }

    /// Accepts clients until the future is dropped.
    ///
    /// Returns only the error that kept it from starting.
    pub async fn serve(&self, sources: Sources, limits: Limits) -> ServerError {
        let unix = match self.socket.listener.try_clone().and_then(UnixListener::from_std) {
            Ok(listener) => listener,
            Err(source) => {
                let path = self.socket.path.clone();
                return ServerError::Io { operation: "listen on", path, source };
            }
        };
        let counters = Arc::clone(&sources.counters);
        let router = router(sources, limits);
        let reception = Reception::new(router.clone(), limits, Arc::clone(&counters));
        let over_unix = async {
            loop {
                reception.receive(unix.accept().await.map(|(stream, _)| stream)).await;
            }
        };
        let Some(loopback) = &self.loopback else { return over_unix.await };
        let tcp = match loopback.listener.try_clone().and_then(TcpListener::from_std) {
            Ok(listener) => listener,
            Err(source) => return ServerError::Listen { address: loopback.address, source },
        };
        let guarded =
            router.layer(middleware::from_fn_with_state(loopback.guard(), loopback::admit));
        let reception = Reception::new(guarded, limits, counters);
        let over_tcp = async {
            loop {
                let accepted = tcp.accept().await.and_then(|(stream, _)| {
                    // Answers are small and waited for.
                    stream.set_nodelay(true).map(|()| stream)
                });
                reception.receive(accepted).await;
            }
        };
        tokio::select! {
            failed = over_unix => failed,
            failed = over_tcp => failed,
        }
    }
}

/// Lets clients of one listener in, as many as there is room for.
struct Reception {
    router: Router,
    limits: Limits,
    counters: Arc<ServerCounters>,
    permits: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl Reception {
    fn new(router: Router, limits: Limits, counters: Arc<ServerCounters>) -> Self {
        let permits = Arc::new(Semaphore::new(limits.clients));
        let refusals = Arc::new(Semaphore::new(MOST_REFUSALS));
        Self { router, limits, counters, permits, refusals }
    }

    async fn receive<S>(&self, accepted: io::Result<S>)
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

/// What every route has at hand.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) sources: Sources,
    limits: Limits,
    /// Whoever holds it may keep a core busy for a while.
    pub(super) long_questions: Arc<Semaphore>,
}

fn router(sources: Sources, limits: Limits) -> Router {
    let app = App { sources, limits, long_questions: Arc::new(Semaphore::new(1)) };
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/flows", get(flows))
        .route("/", get(page::page))
        .route("/metrics", get(metrics))
        .route("/v1/rules", get(rules))
        .route("/v1/observe", get(observe::observe))
        .route("/v1/verify", post(verify))
        .route(openapi::PATH, get(openapi::document))
        .fallback_service(azure::routes(app.clone()))
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

/// The body of a request; one that can not be read is refused in Azure's shape.
pub(super) struct Body(pub(super) Bytes);

impl FromRequest<App> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        Bytes::from_request(request, app).await.map(Self).map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let most = app.limits.body_bytes;
                let message = format!("the body is larger than {most} bytes");
                error(StatusCode::PAYLOAD_TOO_LARGE, "RequestContentTooLarge", &message)
            } else {
                error(rejection.status(), "InvalidRequestContent", &rejection.body_text())
            }
        })
    }
}

async fn verify(State(app): State<App>, Body(body): Body) -> Response {
    let answer = VerifyRequest::from_json(&body).and_then(|request| {
        let policy = app.sources.watched_of(&request)?.policy.load();
        Ok(if request.explain {
            axum::Json(Explained::answer(&request.query, &policy)?).into_response()
        } else {
            axum::Json(request.query.ask(&policy)?).into_response()
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

async fn rules(State(app): State<App>) -> Response {
    ask(&app, Question::Rules).await
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
            let message = unusable_query(&rejection.body_text());
            error(StatusCode::BAD_REQUEST, "InvalidParameter", &message)
        }
    }
}

/// Says what is wrong with the query of a list of flows. What the framework says begins with a sentence of its own and
/// the name of the parameter.
fn unusable_query(text: &str) -> String {
    const TAKEN: &str = "/v1/flows takes `access`, `rule` and `limit`";
    let reason = text.rsplit_once("query string: ").map_or(text, |(_, reason)| reason);
    match reason.split_once(": ") {
        Some((name, reason)) if reason.starts_with("unknown field") => {
            format!("there is no parameter `{name}`; {TAKEN}")
        }
        Some((name, reason)) => format!("the parameter `{name}` can not be read: {reason}"),
        None => format!("the query can not be read: {reason}; {TAKEN}"),
    }
}

async fn metrics(State(app): State<App>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match answer(&app, Question::Metrics).await {
        Ok(text) => (kind, text).into_response(),
        Err(stopping) => *stopping,
    }
}

async fn ask<T: serde::Serialize>(
    app: &App,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Response {
    match answer(app, question).await {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(stopping) => *stopping,
    }
}

/// Waits for the answer to a question, or makes the response that says why there is none.
async fn answer<T>(
    app: &App,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, Box<Response>> {
    let (reply, answer) = oneshot::channel();
    let sent = app.sources.questions.send(question(reply)).await.is_ok();
    match answer.await {
        Ok(answer) if sent => Ok(answer),
        _ => Err(Box::new(stopping())),
    }
}

fn stopping() -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, "Stopping", "the agent is shutting down")
}

/// The answer to a method that a route does not take.
pub(super) async fn no_such_method(method: axum::http::Method, uri: Uri) -> Response {
    let message = format!("{method} is not possible on {}", uri.path());
    error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &message)
}

/// Makes an error in Azure's shape.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(ErrorBody::new(code, message))).into_response()
}
