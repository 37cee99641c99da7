//! Answers questions on the Unix socket and, where it is wanted, on a loopback address.
//!
//! In come connections, out go HTTP answers; every error is a body in Azure Resource Manager's shape. What a client
//! can cost is bounded: body size, clients at once, time for a request's headers, time for an answer
//! to be made and to be read; a stream of records goes on as long as its reader takes it. A client beyond the limit is
//! told so and let go.
//!
//! - `socket`, `loopback`: the two places that are listened on.
//! - `reception`: lets clients in, and keeps each to its limits.
//! - `routes`: what is answered; `observe`: the one answer that goes on.

mod loopback;
mod observe;
mod reception;
mod routes;
mod socket;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::middleware;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;

pub use self::loopback::Listen;
pub(super) use self::routes::{App, Body, error, no_such_method};
pub use self::socket::ServerError;

use self::loopback::Loopback;
use self::reception::Reception;
use self::socket::Socket;
use super::Question;
use super::verify::{VerifyError, VerifyRequest};
use super::watched::{self, Watched};

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
        let (named, azure_name) =
            (request.interface.as_deref(), request.azure_interface.as_deref());
        watched::choose(&self.watched, named, azure_name, local)
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
        let router = routes::router(sources, limits);
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
