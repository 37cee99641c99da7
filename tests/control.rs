//! The local socket: what it answers, and what it does about clients that ask for too much, too slowly or too often.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use nsgwatch::classifier::Policy;
use nsgwatch::control::server::{Limits, Server, ServerCounters, Sources};
use nsgwatch::control::{FlowsAnswer, Question};
use nsgwatch::nsg::{AppliedRules, NetworkSecurityGroup, ServiceTags};
use serde_json::Value;
use tempfile::TempDir;

const QUESTION: &str = r#"{"direction":"Inbound","protocol":"TCP","localPort":"22","remotePort":"*",
    "localIPAddress":"10.0.0.4","remoteIPAddress":"203.0.113.9"}"#;

/// A server in a thread of its own, with a desk that knows no flow and never answers about its status.
struct Running {
    folder: TempDir,
    counters: Arc<ServerCounters>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::bind(&folder.path().join("agent.sock")).unwrap();
        let rules = AppliedRules {
            nic: Some(NetworkSecurityGroup::with_defaults_only("nsg")),
            service_tags: ServiceTags::new(["10.0.0.0/16".parse().unwrap()]),
            ..AppliedRules::default()
        };
        let policy = Arc::new(ArcSwap::from_pointee(Policy::compile(rules, 3).unwrap()));
        let (questions, mut asked) = tokio::sync::mpsc::channel(4);
        let counters = Arc::<ServerCounters>::default();
        let sources = Sources { policy, questions, counters: Arc::clone(&counters) };
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut unanswered = Vec::new();
                let serve = server.serve(sources, limits);
                tokio::pin!(serve);
                loop {
                    tokio::select! {
                        failed = &mut serve => panic!("{failed}"),
                        _ = &mut stopped => return,
                        Some(question) = asked.recv() => match question {
                            Question::Flows(query, reply) => {
                                let flows = vec![Value::from(query.limit)];
                                reply.send(FlowsAnswer { more: false, flows }).unwrap();
                            }
                            question @ Question::Status(_) => unanswered.push(question),
                        },
                    }
                }
            });
        });
        Self { folder, counters, _stop: stop }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Sends one request as it stands and returns the status line's code and the body.
    fn exchange(&self, request: &str) -> (u16, Value) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read_answer(&mut stream)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }
}

fn read_answer(stream: &mut UnixStream) -> (u16, Value) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let code = text.split(' ').nth(1).unwrap_or_else(|| panic!("no status line in {text:?}"));
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    (code.parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn verify_answers_with_azures_fields_first() {
    let (code, answer) = Running::start(Limits::default()).post("/v1/verify", QUESTION);
    assert_eq!(code, 200);
    assert_eq!(answer["access"], "Deny");
    assert_eq!(answer["ruleName"], "defaultSecurityRules/DenyAllInBound");
    assert_eq!(answer["policyRevision"], 3);
}

#[test]
fn every_error_has_the_shape_of_azure_resource_manager() {
    let running = Running::start(Limits::default());
    for ((code, body), expected, word) in [
        (running.get("/v1/nothing"), 404, "InvalidResourceType"),
        (running.get("/v1/verify"), 405, "MethodNotAllowed"),
        (running.get("/v1/flows?limit=many"), 400, "InvalidParameter"),
        (running.get("/v1/flows?access=maybe"), 400, "InvalidParameter"),
        (running.get("/v1/flows?colour=red"), 400, "InvalidParameter"),
        (running.post("/v1/verify", "{"), 400, "InvalidRequestContent"),
        (running.post("/v1/verify", "{}"), 400, "MissingParameter"),
        (running.post("/v1/verify", &QUESTION.replace("\"22\"", "\"x\"")), 400, "InvalidParameter"),
        (running.post("/v1/verify", &" ".repeat(65 * 1024)), 413, "RequestContentTooLarge"),
        (running.post("/v1/verify", &"[".repeat(60_000)), 400, "InvalidRequestContent"),
    ] {
        assert_eq!((code, body["error"]["code"].as_str()), (expected, Some(word)), "{body}");
        assert!(
            body["error"]["message"].as_str().is_some_and(|message| message.len() > 10),
            "{body}"
        );
    }
}

#[test]
fn a_list_of_flows_is_never_longer_than_the_limit() {
    let running = Running::start(Limits::default());
    for (path, limit) in [
        ("/v1/flows", 100),
        ("/v1/flows?limit=5&access=deny", 5),
        ("/v1/flows?limit=99999999", 10_000),
    ] {
        assert_eq!(
            running.get(path),
            (200, serde_json::json!({ "more": false, "flows": [limit] }))
        );
    }
}

#[test]
fn an_answer_that_takes_too_long_is_an_error_and_not_a_hang() {
    let running =
        Running::start(Limits { answer_deadline: Duration::from_millis(100), ..Limits::default() });
    let (code, body) = running.get("/v1/status");
    assert_eq!((code, &body["error"]["code"]), (408, &Value::from("RequestTimeout")));
}

#[test]
fn a_client_that_dribbles_its_request_is_cut_off_while_others_are_answered() {
    let running =
        Running::start(Limits { header_deadline: Duration::from_millis(200), ..Limits::default() });
    let mut slow = running.connect();
    slow.write_all(b"POST /v1/verify HTTP/1.1\r\nhost:").unwrap();
    let mut idle = running.connect();
    assert_eq!(running.post("/v1/verify", QUESTION).0, 200);
    let started = Instant::now();
    for stream in [&mut slow, &mut idle] {
        let mut rest = Vec::new();
        // The end, with or without an error answer before it.
        let _closed = stream.read_to_end(&mut rest);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_body_that_never_comes_is_cut_off() {
    let running =
        Running::start(Limits { answer_deadline: Duration::from_millis(200), ..Limits::default() });
    let mut stream = running.connect();
    stream
        .write_all(b"POST /v1/verify HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 500\r\n\r\n{")
        .unwrap();
    assert_eq!(read_answer(&mut stream).0, 408);
}

#[test]
fn a_client_that_never_reads_its_answers_gives_its_place_back() {
    let running = Running::start(Limits {
        clients: 1,
        connection_deadline: Duration::from_millis(200),
        ..Limits::default()
    });
    let mut deaf = running.connect();
    deaf.set_nonblocking(true).unwrap();
    let request = b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let deadline = Instant::now() + Duration::from_secs(5);
    // Until the socket is full both ways: the server waits for room for an answer and so reads no further request.
    let full = (0..1_000_000).find_map(|_| deaf.write_all(&request).err()).unwrap();
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    while running.get("/v1/flows").0 != 200 {
        assert!(Instant::now() < deadline, "the place is not free again");
    }
}

#[test]
fn a_client_too_many_is_told_so_and_let_go() {
    let running = Running::start(Limits { clients: 2, ..Limits::default() });
    let held = [running.connect(), running.connect()];
    let deadline = Instant::now() + Duration::from_secs(5);
    while running.counters.accepted.load(Ordering::Relaxed) < 2 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let (code, body) = read_answer(&mut running.connect());
    assert_eq!((code, &body["error"]["code"]), (503, &Value::from("TooManyClients")));
    assert_eq!(running.counters.refused.load(Ordering::Relaxed), 1);
    drop(held);
    while running.get("/v1/flows").0 != 200 {
        assert!(Instant::now() < deadline, "the places are not free again");
    }
}

#[test]
fn the_socket_is_open_to_its_owner_and_group_alone() {
    let running = Running::start(Limits::default());
    let mode = fs::metadata(running.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced_and_anything_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::bind(&path).unwrap();
    let error = Server::bind(&path).unwrap_err().to_string();
    assert!(error.contains("another program is listening"), "{error}");
    drop(server);
    assert!(!path.exists(), "the socket is removed with its server");

    let datagrams = UnixDatagram::bind(&path).unwrap();
    let error = Server::bind(&path).unwrap_err().to_string();
    assert!(error.contains("can not find out who listens on"), "{error}");
    assert!(path.exists(), "a socket of another kind is somebody's");
    drop(datagrams);
    fs::remove_file(&path).unwrap();

    fs::write(&path, "precious").unwrap();
    let error = Server::bind(&path).unwrap_err().to_string();
    assert!(error.contains("is not a socket"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(Path::new("/dev/null"), &path).unwrap();
    assert!(Server::bind(&path).is_err(), "a symbolic link is not followed");
    assert!(!fs::metadata("/dev/null").unwrap().file_type().is_socket());
}

#[test]
fn a_missing_directory_is_made_and_an_impossible_path_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::bind(&folder.path().join("run/agent.sock")).unwrap();
    drop(server);
    let error = Server::bind(&folder.path().join("a/b/agent.sock")).unwrap_err().to_string();
    assert!(error.contains("create the directory"), "{error}");
}
