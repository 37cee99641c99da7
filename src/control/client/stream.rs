//! Reads an answer that goes on: lines, as they come.

use std::path::{Path, PathBuf};

use axum::body::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;

use super::{ClientError, Connection, DEADLINE, refusal};

/// The longest line that is read, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// An answer that goes on, line by line.
#[derive(Debug)]
pub struct LineStream {
    socket: PathBuf,
    body: Incoming,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
}

/// Asks with `GET` for lines.
///
/// # Errors
/// See [`ClientError`].
pub async fn lines(socket: &Path, path: &str) -> Result<LineStream, ClientError> {
    let broken = |reason: String| ClientError::Broken { path: socket.to_owned(), reason };
    let connection = Connection::open(socket).await?;
    let asked = connection.ask(Method::GET, path, Bytes::new());
    let response = match tokio::time::timeout(DEADLINE, asked).await {
        Ok(answered) => answered.map_err(broken)?,
        Err(_) => return Err(broken(format!("no answer within {} s", DEADLINE.as_secs()))),
    };
    let status = response.status();
    if status.is_success() {
        let body = response.into_body();
        return Ok(LineStream { socket: socket.to_owned(), body, begun: Vec::new() });
    }
    let body = response.into_body().collect().await.map_err(|error| broken(error.to_string()))?;
    Err(refusal(status, &body.to_bytes()).unwrap_or_else(broken))
}

impl LineStream {
    /// Waits for the next lines: one or more whole ones, each with its line feed. `None` when the agent has ended the
    /// stream.
    ///
    /// # Errors
    /// The connection is lost, or what comes is no text.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            let Some(frame) = self.body.frame().await else {
                return if self.begun.is_empty() {
                    Ok(None)
                } else {
                    Err(self.broken("the last line is cut short"))
                };
            };
            let frame = frame.map_err(|error| self.broken(&error.to_string()))?;
            self.begun.extend(frame.into_data().unwrap_or_default());
            let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if self.begun.len() - whole > LONGEST_LINE {
                return Err(self.broken("a line does not end"));
            }
            if whole > 0 {
                let rest = self.begun.split_off(whole);
                let lines = std::mem::replace(&mut self.begun, rest);
                let lines = String::from_utf8(lines);
                return lines.map(Some).map_err(|error| self.broken(&error.to_string()));
            }
        }
    }

    fn broken(&self, reason: &str) -> ClientError {
        ClientError::Broken { path: self.socket.clone(), reason: reason.to_owned() }
    }
}
