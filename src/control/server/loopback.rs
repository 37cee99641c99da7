//! The opt-in listener on a loopback address, for clients that can not speak over a Unix socket.
//!
//! In come an address and the file of a token, out comes a bound listener and the guard that every request passes. Every
//! user of the machine can connect to a port, and so can a web page in a user's browser: a request must name a loopback
//! host, against DNS rebinding, and carry the token.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode, uri::Authority};
use axum::middleware::Next;
use axum::response::Response;

use super::{ServerError, error};

/// The fewest and the most characters of a token.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 16..=1024;

/// Where to listen, and whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// A loopback address and a port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Holds the token: one line, and nobody but its owner and group may read it.
    pub token_file: PathBuf,
}

/// A bound listener.
#[derive(Debug)]
pub(super) struct Loopback {
    pub(super) listener: TcpListener,
    /// With the port that was taken.
    pub(super) address: SocketAddr,
    token: Arc<[u8]>,
}

impl Loopback {
    pub(super) fn bind(listen: &Listen) -> Result<Self, ServerError> {
        let address = listen.address;
        if !address.ip().is_loopback() {
            return Err(ServerError::NotLoopback(address));
        }
        let token = read_token(&listen.token_file)?.into();
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) =
            bound.map_err(|source| ServerError::Listen { address, source })?;
        Ok(Self { listener, address, token })
    }

    pub(super) fn guard(&self) -> Guard {
        Guard { token: Arc::clone(&self.token), port: self.address.port() }
    }
}

fn read_token(path: &Path) -> Result<Vec<u8>, ServerError> {
    let refused =
        |reason: &str| ServerError::Token { path: path.to_owned(), reason: reason.to_owned() };
    let unreadable = |error: io::Error| refused(&format!("can not be read: {error}"));
    // A pipe would make the start wait for its writer.
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(refused("is not a regular file"));
    }
    if metadata.mode() & 0o007 != 0 {
        return Err(refused("can be read or written by everybody; run `chmod o= ` on it"));
    }
    let mut text = String::new();
    let most = *TOKEN_LENGTH.end() as u64 + 2;
    let read = file.take(most).read_to_string(&mut text);
    match read {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
        Err(error) => return Err(unreadable(error)),
        Ok(_) => {}
    }
    let token = text.trim_end_matches(['\r', '\n']);
    if !TOKEN_LENGTH.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused(
            "must hold one line of 16 to 1024 visible ASCII characters; make one with `openssl rand -hex 32`",
        ));
    }
    Ok(token.as_bytes().to_vec())
}

/// What a request over the listener must have.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    token: Arc<[u8]>,
    port: u16,
}

/// Lets a request through, or says why not.
pub(super) async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST);
    if !host.is_some_and(|host| guard.is_loopback(host)) {
        let message = "the Host header must be a loopback address or localhost, with this port";
        return error(StatusCode::MISDIRECTED_REQUEST, "InvalidHostHeader", message);
    }
    let authorization = request.headers().get(AUTHORIZATION);
    // The page holds no data and asks for the token itself: a browser that is sent to an address can not send one.
    let is_page =
        [Method::GET, Method::HEAD].contains(request.method()) && request.uri().path() == "/";
    if is_page || authorization.is_some_and(|authorization| guard.believes(authorization)) {
        return next.run(request).await;
    }
    let message =
        "send the token of the agent's listen-token-file as `Authorization: Bearer TOKEN`";
    let mut response = error(StatusCode::UNAUTHORIZED, "AuthenticationFailed", message);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

impl Guard {
    fn is_loopback(&self, host: &HeaderValue) -> bool {
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        authority.is_some_and(|authority| {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            let is_loopback = host.eq_ignore_ascii_case("localhost")
                || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            is_loopback && authority.port_u16().unwrap_or(80) == self.port
        })
    }

    fn believes(&self, authorization: &HeaderValue) -> bool {
        let given = authorization.as_bytes();
        let (scheme, given) = given.split_at_checked(7).unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"Bearer ") && is_same(given, &self.token)
    }
}

/// Compares in a time that tells nothing of where the two differ.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let differences = given.iter().zip(token).fold(0, |sum, (one, other)| sum | (one ^ other));
    given.len() == token.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn guard() -> Guard {
        Guard { token: b"0123456789abcdef".as_slice().into(), port: 8123 }
    }

    #[test]
    fn only_a_loopback_host_with_the_port_is_ours() {
        for (host, ours) in [
            ("127.0.0.1:8123", true),
            ("127.9.0.1:8123", true),
            ("localhost:8123", true),
            ("LOCALHOST:8123", true),
            ("[::1]:8123", true),
            ("localhost", false),
            ("localhost:80", false),
            ("evil.example:8123", false),
            ("127.0.0.1.evil.example:8123", false),
            ("10.0.0.4:8123", false),
            ("", false),
        ] {
            let header = HeaderValue::from_static(host);
            assert_eq!(guard().is_loopback(&header), ours, "{host}");
        }
    }

    #[test]
    fn only_the_whole_token_is_believed() {
        for (header, believed) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer ", false),
            ("Basic 0123456789abcdef", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(header);
            assert_eq!(guard().believes(&value), believed, "{header}");
        }
    }

    #[test]
    fn a_token_file_is_refused_with_what_is_wrong_about_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (text, mode, reason) in [
            ("0123456789abcdef\n", 0o600, None),
            ("0123456789abcdef", 0o640, None),
            ("0123456789abcdef", 0o644, Some("by everybody")),
            ("0123456789abcdef", 0o602, Some("by everybody")),
            ("short\n", 0o600, Some("16 to 1024")),
            ("0123456789abcdef two words", 0o600, Some("16 to 1024")),
            ("0123456789abcdef\n0123456789abcdef\n", 0o600, Some("16 to 1024")),
            ("ä123456789abcdefgh", 0o600, Some("16 to 1024")),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match (read_token(&path), reason) {
                (Ok(token), None) => assert_eq!(token, b"0123456789abcdef"),
                (Err(error), Some(reason)) => {
                    assert!(error.to_string().contains(reason), "{error}");
                }
                (result, _) => panic!("{text:?}: {result:?}"),
            }
        }
        let error = read_token(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
        let error = read_token(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("none can not be read: No such file"), "{error}");
    }

    #[test]
    fn an_address_that_others_reach_is_refused() {
        let listen = Listen { address: "0.0.0.0:0".parse().unwrap(), token_file: "/none".into() };
        let error = Loopback::bind(&listen).unwrap_err().to_string();
        assert!(error.contains("0.0.0.0:0 is not a loopback address"), "{error}");
    }
}
