//! Asks a running agent over its socket.
//!
//! In come a path and maybe a body, out comes the parsed answer or an error that says what to do. One connection for
//! one question; nothing is kept.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

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
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ClientError::NotReachable { path: socket.to_owned(), source })?;
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "nsgwatch")
            .header("content-type", "application/json")
            .header("connection", "close")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER)
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        connection.abort();
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
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(refused) => Err(ClientError::Refused(refused.error)),
            Err(_) => Err(broken(format!("HTTP status {status}"))),
        }
    }
}
