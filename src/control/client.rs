//! Asks a running agent over its socket.
//!
//! In come a path and maybe a body, out comes the parsed answer, or lines as they come, or an error that says what to
//! do. One connection for
//! one question; nothing is kept.

mod stream;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

pub use self::stream::{LineStream, lines};

use super::ErrorBody;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("no agent answers on {}: {source}{}", .path.display(), hint(.source))]
    NotReachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The agent says no.
    #[error("{} ({})", .0.message, .0.code)]
    Refused(super::ErrorDetail),
    /// The agent was reached and then something went wrong.
    #[error("the agent on {} did not answer: {reason}", .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run as root or as a member of the socket's group",
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; start it with `nsgwatch run`, or name its socket with --socket"
        }
        _ => "",
    }
}

/// Asks with `GET`.
///
/// # Errors
/// See [`ClientError`].
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    ask(socket, Method::GET, path, Bytes::new()).await
}

/// Asks with `POST` and a JSON body.
///
/// # Errors
/// See [`ClientError`].
pub async fn post<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    body: &serde_json::Value,
) -> Result<T, ClientError> {
    ask(socket, Method::POST, path, Bytes::from(body.to_string())).await
}

async fn ask<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<T, ClientError> {
    let broken = |reason: String| ClientError::Broken { path: socket.to_owned(), reason };
    let connection = Connection::open(socket).await?;
    let exchange = async {
        let response = connection.ask(method, path, body).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER)
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        Ok::<_, String>((status, body))
    };
    let (status, body) = match tokio::time::timeout(DEADLINE, exchange).await {
        Ok(done) => done.map_err(broken)?,
        Err(_) => return Err(broken(format!("no answer within {} s", DEADLINE.as_secs()))),
    };
    if status.is_success() {
        serde_json::from_slice(&body)
            .map_err(|error| broken(format!("the answer is not understood: {error}")))
    } else {
        Err(refusal(status, &body).unwrap_or_else(broken))
    }
}

/// Reads the body of an answer that is an error.
fn refusal(status: StatusCode, body: &[u8]) -> Result<ClientError, String> {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(refused) => Ok(ClientError::Refused(refused.error)),
        Err(_) => Err(format!("HTTP status {status}")),
    }
}

/// A connection for one question.
struct Connection(UnixStream);

impl Connection {
    async fn open(socket: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket).await;
        stream
            .map(Self)
            .map_err(|source| ClientError::NotReachable { path: socket.to_owned(), source })
    }

    /// Sends the question and waits for the head of the answer.
    async fn ask(
        self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, String> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(self.0))
            .await
            .map_err(|error| error.to_string())?;
        // It ends with the answer, or when the answer is dropped.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "nsgwatch")
            .header("content-type", "application/json")
            .header("connection", "close")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        sender.send_request(request).await.map_err(|error| error.to_string())
    }
}
